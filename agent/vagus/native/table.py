# SPDX-License-Identifier: MIT
"""The module's table of workloads: histograms and counters, read as memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import msgspec

from vagus._native import ffi, lib
from vagus.native.failure import raise_for_module

TABLE_PATH = Path("/sys/kernel/vagus/table")


class Cell(msgspec.Struct, frozen=True):
    """One slot of the table, added up over all CPUs; u32 counters wrap."""

    slot: int
    cgroup_id: int
    generation: int
    preempted: int
    preempted_by_other: int
    switches: int
    last_preemptor: int
    sum_ns: tuple[int, ...]  # by abi.HistKind
    max_ns: tuple[int, ...]  # by abi.HistKind, since the row was tracked
    hist: tuple[tuple[int, ...], ...]  # by abi.HistKind: HIST_BUCKETS counts
    migrations: int = 0
    stalls: int = 0


class Table:
    """A reader of vagus.ko's table of workloads."""

    def __init__(self, handle: Any, source: Path) -> None:
        """Take over an open handle; use module() or memory()."""
        self._handle = handle
        self._source = source
        self._memory: Any = None
        self._array: Any = ffi.new("struct vagus_reading[]", 0)
        self._some: tuple[tuple[int, ...], Any] = ((), None)

    @classmethod
    def module(cls, path: Path = TABLE_PATH) -> Self:
        """Map the table of vagus.ko."""
        out = ffi.new("struct vagus_table_reader **")
        ret = lib.vagus_table_open_file(os.fsencode(path), out)
        if ret:
            raise_for_module(ret, path)
        return cls(out[0], path)

    @classmethod
    def memory(cls, buffer: bytearray | memoryview) -> Self:
        """Read a table in a buffer, for replay and tests."""
        memory = ffi.from_buffer(buffer)
        out = ffi.new("struct vagus_table_reader **")
        ret = lib.vagus_table_open_memory(memory, len(memory), out)
        if ret:
            raise_for_module(ret, Path("memory"))
        table = cls(out[0], Path("memory"))
        table._memory = memory
        return table

    def __enter__(self) -> Self:
        """Return self; the table is open from construction on."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Unmap; a second call does nothing."""
        handle, self._handle = self._handle, ffi.NULL
        lib.vagus_table_close(handle)
        self._memory = None

    @property
    def slots(self) -> int:
        """Rows of the table."""
        return lib.vagus_table_slots(self._handle)

    @property
    def cpus(self) -> int:
        """Cells of a row."""
        return lib.vagus_table_cpus(self._handle)

    def follow(self, slots: Iterable[int]) -> None:
        """Read these slots from now on; all count as changed at first."""
        self._array = _readings(tuple(dict.fromkeys(slots)))
        self._some = ((), None)

    def read(self) -> list[Cell]:
        """Return the followed slots that were written since the last call.

        A slot that was being written all the time is left for the next call.
        Raises ModuleMissing when the module was unloaded.
        """
        return self._changed(self._array)

    def read_some(self, slots: tuple[int, ...]) -> list[Cell]:
        """Return those of these slots that were written since it read the same ones.

        What read() returns is not changed by this.
        """
        if slots != self._some[0]:
            self._some = (slots, _readings(slots))
        return self._changed(self._some[1]) if slots else []

    def _changed(self, array: Any) -> list[Cell]:
        before = [reading.version for reading in array]
        ret = lib.vagus_table_read(self._handle, array, len(array))
        if ret < 0:
            raise_for_module(ret, self._source)
        return [
            _cell(reading)
            for reading, version in zip(array, before, strict=True)
            if not reading.error and reading.version != version
        ]


def _readings(slots: tuple[int, ...]) -> Any:
    """Make room for what is read of these slots."""
    array = ffi.new("struct vagus_reading[]", len(slots))
    for reading, slot in zip(array, slots, strict=True):
        reading.slot = slot
    return array


def _cell(reading: Any) -> Cell:
    """Copy one reading."""
    total = reading.sum
    return Cell(
        slot=reading.slot,
        cgroup_id=reading.row.cgroup_id,
        generation=reading.row.generation,
        preempted=total.preempted,
        preempted_by_other=total.preempted_by_other,
        switches=total.switches,
        last_preemptor=total.last_preemptor,
        sum_ns=tuple(total.sum_ns),
        max_ns=tuple(total.max_ns),
        hist=tuple(tuple(counts) for counts in total.hist),
        migrations=total.migrations,
        stalls=total.stalls,
    )
