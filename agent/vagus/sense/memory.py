# SPDX-License-Identifier: MIT
"""Memory trouble of workloads through eBPF -> samples and events."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from vagus.flow import Event, Sample, SourceState
from vagus.native.probes import MemoryStat
from vagus.sense.probes import SharedProbes


class MemorySensor:
    """Major faults, swap-ins, refaults and OOM kills of workloads."""

    name = "memory"

    def __init__(
        self, probes: SharedProbes, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Read the object `memory` of the shared programs."""
        self._probes = probes
        self._clock = clock
        self._seen = 0

    def follow(self, workloads: Mapping[str, tuple[str, int]]) -> None:
        """Watch these workloads: name -> (cgroup path, cgroup id)."""
        self._probes.follow(workloads)

    def read(self) -> list[Sample]:
        """Return counters of the workloads that had trouble."""
        now = self._clock()
        stats = self._probes.stats(lambda probes: probes.memory())
        samples: list[Sample] = []
        seen = 0
        for id_, stat in stats.items() if isinstance(stats, dict) else ():
            name = self._probes.name_of(id_)
            if name and isinstance(stat, MemoryStat):
                counts = {
                    "major_faults": stat.major_faults,
                    "swapins": stat.swapins,
                    "refaults": stat.refaults,
                    "oom_kills": stat.oom_kills,
                }
                seen += sum(counts.values())
                samples += [
                    Sample(self.name, name, signal, "counter", now, float(value))
                    for signal, value in counts.items()
                ]
        self._seen = max(self._seen, seen)
        return samples

    def events(self) -> list[Event]:
        """Return OOM kills since the last call."""
        return self._probes.events(self.name)

    def state(self) -> SourceState:
        """Return events counted."""
        return SourceState(self._seen, 0, self._probes.missing(self.name))

    def fileno(self) -> int:
        """Return -1: the shared ring wakes through the process sensor."""
        return -1

    def close(self) -> None:
        """Return nothing: the process sensor ends the shared programs."""
