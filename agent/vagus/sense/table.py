# SPDX-License-Identifier: MIT
"""The module's table of workloads -> samples: run-queue waits, reclaim stalls.

No system call to read; workloads on which nothing happened are passed over.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from vagus.abi import HistKind
from vagus.errors import VagusError
from vagus.flow import Event, Sample, SourceState
from vagus.native import TABLE_PATH, Cell, Table

_HISTS = ((HistKind.RUNQ, "runq_ns"), (HistKind.RECLAIM, "reclaim_ns"))
# A row is told for this long after it last moved: the reflex reads too, and what
# it took would be missing from the window of the next tick.
TOLD_NS = 1_500_000_000
_COUNTERS = ("preempted_by_other", "preempted", "switches")


class Tracker(Protocol):
    """What is needed of the module's netlink client (vagus.kmod.Module)."""

    def track(self, ids: Iterable[int]) -> dict[int, int]:
        """Track cgroups: id -> slot, or a negative errno."""

    def untrack(self, ids: Iterable[int]) -> object:
        """Stop tracking."""


class TableSensor:
    """Histograms of tracked workloads; owns the mapping, not the module's socket."""

    name = "table"

    def __init__(
        self,
        module: Tracker | None,
        path: Path = TABLE_PATH,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Map the table; where that fails, state() says why and with what remedy."""
        self._module = module
        self._clock = clock
        # Between ticks: whom alone to read; None: everybody.
        self.only: Collection[str] | None = None
        self._names: dict[int, str] = {}  # cgroup id -> name
        self._ids: dict[str, int] = {}  # name -> cgroup id
        self._slots: dict[int, int] = {}  # cgroup id -> slot
        self._moved: dict[int, tuple[int, Cell]] = {}  # cgroup id -> (when, row)
        self._reads = 0
        self._refused = 0
        self._missing = ""
        self._table: Table | None = None
        try:
            self._table = Table.module(path)
        except VagusError as error:
            self._missing = str(error)
        if module is None and not self._missing:
            self._missing = "vagus.ko does not answer: check `vagus doctor`"

    def follow(self, workloads: Mapping[str, tuple[str, int]]) -> None:
        """Track these workloads in the kernel, and no others of ours."""
        self._names = {id_: name for name, (_, id_) in workloads.items()}
        self._ids = {name: id_ for id_, name in self._names.items()}
        if self._module is None or self._table is None:
            return
        gone = self._slots.keys() - self._names.keys()
        new = self._names.keys() - self._slots.keys()
        if not gone and not new:
            return
        try:
            if gone:
                self._module.untrack(gone)
            answers = self._module.track(new) if new else {}
        except VagusError as error:
            self._lose(error)
            return
        for id_ in gone:
            self._slots.pop(id_)
            self._moved.pop(id_, None)
        self._slots |= {id_: slot for id_, slot in answers.items() if slot >= 0}
        self._refused = len(self._names) - len(self._slots)
        self._table.follow(self._slots.values())

    def read(self) -> list[Sample]:
        """Return histograms and counters of workloads that ran lately."""
        if self._table is None:
            return []
        now = self._clock()
        try:
            ids, cells = self._cells(self._table)
        except VagusError as error:
            self._lose(error)
            return []
        self._reads += len(cells)
        for cell in cells:
            before = self._moved.get(cell.cgroup_id)
            if before is None or before[1] != cell:
                self._moved[cell.cgroup_id] = (now, cell)
        told = self._moved if ids is None else ids & self._moved.keys()
        samples: list[Sample] = []
        for id_ in tuple(told):
            moved_ns, cell = self._moved[id_]
            if now - moved_ns > TOLD_NS:
                del self._moved[id_]
            elif name := self._names.get(id_):
                samples += _samples(name, cell, now)
        return samples

    def _cells(self, table: Table) -> tuple[set[int] | None, list[Cell]]:
        """Return whose rows are read now, None for everybody's, and those changed."""
        if self.only is None:
            return None, table.read()
        ids = {self._ids[name] for name in self.only if name in self._ids}
        return ids, table.read_some(
            tuple(self._slots[i] for i in ids & self._slots.keys())
        )

    def active(self) -> list[str]:
        """Return the workloads that ran lately, as of the last reading."""
        return [self._names[id_] for id_ in self._moved if id_ in self._names]

    def events(self) -> list[Event]:
        """Return nothing: outliers come through the ring."""
        return []

    def state(self) -> SourceState:
        """Return readings; missing without the module, or without a free row."""
        missing = self._missing
        if not missing and self._refused and not self._slots:
            missing = f"no row for {self._refused} workloads: load vagus.ko slots=4096"
        return SourceState(self._reads, 0, missing)

    @property
    def refused(self) -> int:
        """Workloads that the module has no row for."""
        return self._refused

    def fileno(self) -> int:
        """Return -1: memory does not wake."""
        return -1

    def close(self) -> None:
        """Untrack what we tracked and unmap."""
        if self._module is not None and self._slots:
            # The module may have gone first, and its rows with it.
            with contextlib.suppress(VagusError):
                self._module.untrack(self._slots)
        self._lose(None)

    def _lose(self, error: VagusError | None) -> None:
        """Go on without the table."""
        if error is not None:
            self._missing = str(error)
        self._slots.clear()
        self._moved.clear()
        if self._table is not None:
            self._table.close()
            self._table = None


def _samples(name: str, cell: Cell, now: int) -> list[Sample]:
    """Return one row's counters and histograms."""
    samples = [
        Sample("table", name, signal, "counter", now, float(getattr(cell, signal)))
        for signal in _COUNTERS
    ]
    for kind, signal in _HISTS:
        value = float(cell.sum_ns[kind])
        counts = cell.hist[kind]
        samples.append(Sample("table", name, signal, "histogram", now, value, counts))
    return samples
