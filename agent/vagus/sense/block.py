# SPDX-License-Identifier: MIT
"""Block requests of workloads through eBPF -> samples: latency, bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from operator import add

from vagus.abi import BlockOp, Counter
from vagus.flow import Event, Sample, SourceState
from vagus.native.probes import BlockStat
from vagus.sense.probes import SharedProbes


class BlockSensor:
    """Latency of block requests, issue to completion, and queueing before it."""

    name = "block"

    def __init__(
        self, probes: SharedProbes, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Read the object `block` of the shared programs."""
        self._probes = probes
        self._clock = clock
        self._requests = 0

    def follow(self, workloads: Mapping[str, tuple[str, int]]) -> None:
        """Watch these workloads: name -> (cgroup path, cgroup id)."""
        self._probes.follow(workloads)

    def read(self) -> list[Sample]:
        """Return a histogram over all operations, and bytes of each."""
        now = self._clock()
        stats = self._probes.stats(lambda probes: probes.block())
        by_id: dict[int, dict[BlockOp, BlockStat]] = {}
        for (id_, op), stat in stats.items() if isinstance(stats, dict) else ():
            by_id.setdefault(id_, {})[op] = stat
        self._requests = sum(
            stat.requests for ops in by_id.values() for stat in ops.values()
        )
        samples: list[Sample] = []
        for id_, ops in by_id.items():
            if name := self._probes.name_of(id_):
                samples += _samples(name, ops, now)
        return samples

    def events(self) -> list[Event]:
        """Return requests over the threshold since the last call."""
        return self._probes.events(self.name)

    def state(self) -> SourceState:
        """Return requests seen, and those that could not be followed."""
        lost = self._probes.lost(Counter.REQUESTS_FULL)
        return SourceState(self._requests, lost, self._probes.missing(self.name))

    def fileno(self) -> int:
        """Return -1: the shared ring wakes through the process sensor."""
        return -1

    def close(self) -> None:
        """Return nothing: the process sensor ends the shared programs."""


def _samples(name: str, ops: Mapping[BlockOp, BlockStat], now: int) -> list[Sample]:
    """Return one workload's latency over operations, and its bytes."""
    rows = list(ops.values())
    device = _added([row.device_hist for row in rows])
    queue = _added([row.queue_hist for row in rows])
    sums = {
        "io_ns": (sum(row.device_sum_ns for row in rows), device),
        "io_queue_ns": (sum(row.queue_sum_ns for row in rows), queue),
    }
    samples = [
        Sample("block", name, signal, "histogram", now, float(total), counts)
        for signal, (total, counts) in sums.items()
    ]
    for op, signal in ((BlockOp.READ, "read_bytes"), (BlockOp.WRITE, "write_bytes")):
        if op in ops:
            value = float(ops[op].bytes)
            samples.append(Sample("block", name, signal, "counter", now, value))
    return samples


def _added(rows: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Add histograms up."""
    first, *others = map(tuple, rows)
    for row in others:
        first = tuple(map(add, first, row))
    return first
