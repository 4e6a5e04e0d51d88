# SPDX-License-Identifier: MIT
"""Processes of workloads through eBPF -> samples and events: fork, exec, exit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from vagus.abi import Counter
from vagus.flow import Event, Sample, SourceState
from vagus.native.probes import ProcessStat
from vagus.sense.probes import SharedProbes


class ProcessSensor:
    """Forks and execs of workloads; closes the shared programs."""

    name = "process"

    def __init__(
        self, probes: SharedProbes, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Read the object `process` of the shared programs."""
        self._probes = probes
        self._clock = clock

    def follow(self, workloads: Mapping[str, tuple[str, int]]) -> None:
        """Watch these workloads: name -> (cgroup path, cgroup id)."""
        self._probes.follow(workloads)

    def read(self) -> list[Sample]:
        """Return counts of processes made, programs started, processes ended."""
        now = self._clock()
        stats = self._probes.stats(lambda probes: probes.process())
        samples: list[Sample] = []
        for id_, stat in stats.items() if isinstance(stats, dict) else ():
            name = self._probes.name_of(id_)
            if name and isinstance(stat, ProcessStat):
                samples += [
                    Sample(self.name, name, signal, "counter", now, float(value))
                    for signal, value in (
                        ("forks", stat.forks),
                        ("threads", stat.threads),
                        ("execs", stat.execs),
                        ("exits", stat.exits),
                    )
                ]
        return samples

    def events(self) -> list[Event]:
        """Return programs started and processes ended since the last call."""
        return self._probes.events(self.name)

    def state(self) -> SourceState:
        """Return ring records read, lost in the kernel, and read late."""
        probes = self._probes
        lost = probes.lost(Counter.RING_FULL, Counter.STATS_FULL)
        missing = probes.missing(self.name)
        return SourceState(probes.seen(), lost, missing, probes.late())

    def fileno(self) -> int:
        """Return the descriptor of the ring that all programs share, or -1."""
        return self._probes.fileno()

    def close(self) -> None:
        """End the shared programs."""
        self._probes.close()
