# SPDX-License-Identifier: MIT
"""The module's ring, or a BPF ring buffer: one reader for both."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import msgspec

from vagus import abi
from vagus._native import ffi, lib
from vagus.native.failure import raise_for, raise_for_module

RING_PATH = Path("/sys/kernel/vagus/ring")
ALL_TYPES = frozenset(abi.EventType)


class RawEvent(msgspec.Struct, frozen=True):
    """One ring record; its texts are bytes that a process chose: never trust."""

    time_ns: int
    cgroup_id: int
    type: int  # abi.EventType, or a number that this version does not know
    cpu: int
    tgid: int
    tid: int
    value: int
    extra: int
    comm: bytes
    uid: int  # exec only, else 0
    args: bytes  # exec only: NUL-separated, cut at abi.ARGS_LEN


class Fold(msgspec.Struct, frozen=True):
    """What all records of one workload and type add up to."""

    count: int
    sum: int
    max: int


class RingCounts(msgspec.Struct, frozen=True):
    """What became of the records since the ring was opened."""

    seen: int
    lost: int  # as told by the producer's own LOST records
    discarded: int
    malformed: int
    unfolded: int  # seen, but the fold table had no room
    late: int  # seen, but more than 2 s after they were made


class Ring:
    """A reader of one ring, with room for a batch of kept records.

    drain() returns records of the types in keep, one by one; take_folds() what
    all records since the last call add up to.
    """

    def __init__(
        self,
        handle: Any,
        source: str,
        keep: Iterable[int] = ALL_TYPES,
        batch: int = 4096,
        folds: int = 4096,
    ) -> None:
        """Take over an open handle; use module(), bpf() or memory()."""
        self._handle = handle
        self._source = source
        self._memory: Any = None
        self._kept = ffi.new("struct vagus_exec[]", batch)
        self._folds = ffi.new("struct vagus_fold[]", folds)
        self._drain = ffi.new("struct vagus_drain *")
        self._drain.keep_types = sum(1 << kind for kind in set(keep))
        self._drain.kept, self._drain.kept_capacity = self._kept, batch
        self._drain.folds, self._drain.folds_capacity = self._folds, folds

    @classmethod
    def module(cls, path: Path = RING_PATH, **options: Any) -> Self:
        """Map the ring of vagus.ko; poll fileno() for EPOLLPRI | EPOLLET."""
        out = ffi.new("struct vagus_ring **")
        ret = lib.vagus_ring_open_file(os.fsencode(path), out)
        if ret:
            raise_for_module(ret, path)
        return cls(out[0], str(path), **options)

    @classmethod
    def bpf(cls, map_fd: int, **options: Any) -> Self:
        """Map a BPF ring buffer; poll fileno() for EPOLLIN | EPOLLET."""
        out = ffi.new("struct vagus_ring **")
        ret = lib.vagus_ring_open_map(map_fd, out)
        if ret:
            raise_for(ret, "mapping the BPF ring buffer")
        return cls(out[0], "BPF ring buffer", **options)

    @classmethod
    def memory(
        cls, buffer: bytearray | memoryview, page_bytes: int = 4096, **options: Any
    ) -> Self:
        """Read a ring laid out in a writable buffer, for replay and tests."""
        memory = ffi.from_buffer(buffer, require_writable=True)
        out = ffi.new("struct vagus_ring **")
        ret = lib.vagus_ring_open_memory(memory, len(memory), page_bytes, out)
        if ret:
            raise ValueError(f"not a ring: {os.strerror(-ret)}")
        ring = cls(out[0], "memory", **options)
        ring._memory = memory  # holds the buffer as long as the ring lives
        return ring

    def __enter__(self) -> Self:
        """Return self; the ring is open from construction on."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Unmap; a second call does nothing."""
        handle, self._handle = self._handle, ffi.NULL
        lib.vagus_ring_close(handle)
        self._memory = None

    def fileno(self) -> int:
        """Return the descriptor to poll, or -1 for a ring in memory."""
        return lib.vagus_ring_fd(self._handle)

    @property
    def data_bytes(self) -> int:
        """Size of the data area."""
        return lib.vagus_ring_data_bytes(self._handle)

    def drain(self) -> list[RawEvent]:
        """Read what is there; return kept records, at most a batch.

        A full batch means that there may be more.  Raises ModuleMissing when
        the module was unloaded.
        """
        return [_event(self._kept[i]) for i in range(self.drain_records())]

    def drain_records(self) -> int:
        """Read as drain(), but leave the kept records in records()."""
        self._drain.kept_count = 0
        more = 1
        while more > 0 and self._drain.kept_count < self._drain.kept_capacity:
            more = lib.vagus_ring_drain(self._handle, self._drain)
        if more < 0:
            raise_for_module(more, Path(self._source))
        return int(self._drain.kept_count)

    def fold_rest(self) -> None:
        """Read what is left and keep no record of it: sums and counts go on."""
        keep, self._drain.keep_types = self._drain.keep_types, 0
        try:
            more = lib.vagus_ring_drain(self._handle, self._drain)
        finally:
            self._drain.keep_types = keep
        if more < 0:
            raise_for_module(more, Path(self._source))

    def records(self) -> memoryview:
        """Return the kept records of the last drain, valid until the next one.

        numpy.frombuffer(ring.records(), numpy.dtype(abi.record_dtype())).
        """
        size = self._drain.kept_count * ffi.sizeof("struct vagus_exec")
        return memoryview(ffi.buffer(self._kept, size)).toreadonly()

    def take_folds(self) -> dict[tuple[int, int], Fold]:
        """Return sums by (cgroup id, event type) since the last call."""
        if not self._drain.folds_count:
            return {}
        taken = ffi.new("struct vagus_fold[]", self._drain.folds_count)
        count = lib.vagus_drain_take_folds(self._drain, taken)
        return {
            (entry.cgroup_id, entry.type): Fold(entry.count, entry.sum, entry.max)
            for entry in taken[0:count]
        }

    def counts(self) -> RingCounts:
        """Return what became of all records since open."""
        counts = ffi.new("struct vagus_ring_counts *")
        lib.vagus_ring_read_counts(self._handle, counts)
        return RingCounts(
            *(getattr(counts, name) for name in RingCounts.__struct_fields__)
        )


def _event(record: Any) -> RawEvent:
    """Copy one kept record."""
    head = record.event
    return RawEvent(
        head.time_ns,
        head.cgroup_id,
        head.type,
        head.cpu,
        head.tgid,
        head.tid,
        head.value,
        head.extra,
        ffi.string(head.comm),
        record.uid,
        bytes(ffi.buffer(record.args, record.args_len)),
    )
