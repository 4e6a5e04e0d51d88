# SPDX-License-Identifier: MIT
"""The three sensing objects as one: a ring, a set of workloads, their counters."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import msgspec

from vagus import abi
from vagus.errors import FeatureMissing, KernelError
from vagus.native.bpf import BpfObject
from vagus.native.ring import ALL_TYPES, Ring

NAMES = ("process", "block", "memory")
SHARED_MAPS = ("tracked", "epoch", "owners", "events", "counters")


class ProcessStat(msgspec.Struct, frozen=True):
    """Processes of one workload since it was followed."""

    forks: int
    threads: int
    execs: int
    exits: int


class BlockStat(msgspec.Struct, frozen=True):
    """Completed block requests of one workload and op since it was followed."""

    requests: int
    bytes: int
    device_sum_ns: int
    queue_sum_ns: int
    device_hist: tuple[int, ...]  # abi.HIST_BUCKETS counts, issue to completion
    queue_hist: tuple[int, ...]  # likewise, creation to issue
    device_max_ns: int
    queue_max_ns: int


class MemoryStat(msgspec.Struct, frozen=True):
    """Memory trouble of one workload since it was followed."""

    major_faults: int
    swapins: int
    refaults: int
    oom_kills: int


class Probes:
    """The eBPF programs, loaded and attached for as long as this lives.

    A program whose hook this kernel lacks is left out, and missing() says so;
    an object that cannot be loaded at all is left out with its programs.
    Raises KernelError when nothing can be loaded.
    """

    def __init__(
        self,
        directory: Path,
        *,
        options: Mapping[str, int] | None = None,
        workloads: int = 256,
        ring_bytes: int = 1 << 20,
        event_types: Iterable[int] = ALL_TYPES,
        batch: int = 4096,
    ) -> None:
        """Load directory/{process,block,memory}.bpf.o.

        options: const volatile values by "object.name", "block.outlier_ns";
        workloads: how many can be followed; ring_bytes: a power of two;
        event_types: what goes to the ring, all is counted either way.
        """
        self._stack = ExitStack()
        self._objects: dict[str, BpfObject] = {}
        self._failed: dict[str, str] = {}
        self._followed: set[int] = set()
        self._changes = 0
        sizes = {"tracked": workloads, "events": ring_bytes}
        types = sum(1 << kind for kind in set(event_types))
        given = {f"{name}.event_types": types for name in NAMES} | dict(options or {})
        try:
            for name in NAMES:
                self._try(directory, name, given, sizes)
            owner = self._owner()
            self.ring = self._stack.enter_context(
                Ring.bpf(owner.map_fd("events"), batch=batch)
            )
            self._tracked = owner.map("tracked")
            self._epoch = owner.map("epoch")
            self._counters = owner.map("counters")
            self._stats = {
                name: loaded.map(f"{name}_stats", _sum_words(name))
                for name, loaded in self._objects.items()
            }
            programs = [loaded.missing() for loaded in self._objects.values()]
        except BaseException:
            self._stack.close()
            raise
        self._missing = self._failed | {k: v for p in programs for k, v in p.items()}

    def _try(
        self,
        directory: Path,
        name: str,
        options: Mapping[str, int],
        sizes: Mapping[str, int],
    ) -> None:
        """Start one object, or note why it does not start."""
        try:
            with ExitStack() as undo:
                loading = undo.enter_context(BpfObject(directory / f"{name}.bpf.o"))
                self._prepare(loading, name, options, sizes)
                loading.start()
                undo.pop_all()
        except FeatureMissing:
            raise  # nothing was built, or no object can run on this kernel
        except KernelError as error:
            self._failed[name] = str(error)
        else:
            self._objects[name] = self._stack.enter_context(loading)

    def _prepare(
        self,
        loading: BpfObject,
        name: str,
        options: Mapping[str, int],
        sizes: Mapping[str, int],
    ) -> None:
        """Set options and sizes; share the maps of the first object."""
        for key, value in options.items():
            if key.startswith(f"{name}."):
                loading.set_option(key.removeprefix(f"{name}."), value)
        if self._objects:
            for shared in SHARED_MAPS:
                loading.share_map(shared, self._owner())
        else:
            for own, entries in sizes.items():
                loading.resize_map(own, entries)
        ops = len(abi.BlockOp) if name == "block" else 1
        loading.resize_map(f"{name}_stats", sizes["tracked"] * ops)

    def _owner(self) -> BpfObject:
        """Return the object whose maps the others share."""
        if not self._objects:
            raise KernelError("; ".join(self._failed.values()))
        return next(iter(self._objects.values()))

    def __enter__(self) -> Self:
        """Return self; everything runs from construction on."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Detach and free everything; a second call does nothing."""
        self._stack.close()

    def follow(self, cgroup_ids: Iterable[int]) -> None:
        """Count for these cgroups, and for no others; their counters start at 0."""
        wanted = set(cgroup_ids)
        gone, self._followed = self._followed - wanted, self._followed & wanted
        for id_ in gone:
            self._tracked.drop(struct.pack("=Q", id_))
        try:
            for id_ in wanted - self._followed:
                self._tracked.put(struct.pack("=Q", id_), struct.pack("=I", 1))
                self._followed.add(id_)
        finally:
            # What the programs remember of whose events are whose is stale now.
            self._changes += 1
            self._epoch.put(struct.pack("=I", 0), struct.pack("=Q", self._changes))
            for id_ in gone:
                self._forget(id_)

    def _forget(self, cgroup_id: int) -> None:
        """Make room in the maps of counters."""
        for stats in self._stats.values():
            for op in abi.BlockOp:
                stats.drop(_key(cgroup_id, op))

    def process(self) -> dict[int, ProcessStat]:
        """Return counts by cgroup id, of workloads on which something happened."""
        return {id_: ProcessStat(*words) for id_, _, words in self._read("process")}

    def block(self) -> dict[tuple[int, abi.BlockOp], BlockStat]:
        """Return counts by cgroup id and op, where there were requests."""
        return {
            (id_, abi.BlockOp(op)): _block_stat(words)
            for id_, op, words in self._read("block")
        }

    def memory(self) -> dict[int, MemoryStat]:
        """Return counts by cgroup id, of workloads on which something happened."""
        return {id_: MemoryStat(*words) for id_, _, words in self._read("memory")}

    def _read(self, name: str) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """Read one object's map: cgroup id, op, words; nothing where it is missing."""
        if name not in self._stats:
            return
        for key, words in self._stats[name].read_percpu().items():
            id_, op, _ = struct.unpack("=QII", key)
            if id_ in self._followed:
                yield id_, op, words
            else:  # a request that was under way when its workload went
                self._stats[name].drop(key)

    def counters(self) -> dict[abi.Counter, int]:
        """Return what all programs made and lost since they were loaded."""
        words = {
            struct.unpack("=I", key)[0]: value[0]
            for key, value in self._counters.read_percpu().items()
        }
        return {counter: words[counter] for counter in abi.Counter}

    def missing(self) -> Mapping[str, str]:
        """Return what has not run since the start, object or program, and why."""
        return self._missing


def _sum_words(name: str) -> int | None:
    """Return how many words of a stat are sums; the rest are maxima."""
    if name != "block":
        return None
    return abi.fields("struct vagus_block_stat")["device_max_ns"] // 8


def _key(cgroup_id: int, op: int) -> bytes:
    """Return a struct vagus_stat_key."""
    return struct.pack("=QII", cgroup_id, op, 0)


def _block_stat(words: tuple[int, ...]) -> BlockStat:
    """Cut the words of a struct vagus_block_stat where its fields are."""
    at = {name: at // 8 for name, at in abi.fields("struct vagus_block_stat").items()}
    device, queue = at["device_hist"], at["queue_hist"]
    return BlockStat(
        requests=words[at["requests"]],
        bytes=words[at["bytes"]],
        device_sum_ns=words[at["device_sum_ns"]],
        queue_sum_ns=words[at["queue_sum_ns"]],
        device_hist=words[device : device + abi.HIST_BUCKETS],
        queue_hist=words[queue : queue + abi.HIST_BUCKETS],
        device_max_ns=words[at["device_max_ns"]],
        queue_max_ns=words[at["queue_max_ns"]],
    )
