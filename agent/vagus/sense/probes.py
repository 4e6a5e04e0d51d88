# SPDX-License-Identifier: MIT
"""The eBPF programs, shared by the sensors process, block and memory."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec.structs import replace

from vagus.abi import Counter, EventType
from vagus.errors import VagusError
from vagus.flow import Event
from vagus.native.probes import Probes
from vagus.sense.rings import KEPT, Waiter, drain

# Forks are counted and not told one by one: a compiler makes thousands a second.
TOLD = (EventType.EXEC, EventType.EXIT, EventType.BLOCK, EventType.OOM)
SOURCE_OF = {"exec": "process", "exit": "process", "block": "block", "oom": "memory"}


class SharedProbes:
    """Loads the programs once, drains their ring once; close() ends them.

    Nothing here raises: what does not work is told by missing().
    """

    def __init__(
        self,
        directory: Path | None = None,
        options: Mapping[str, int] | None = None,
        workloads: int = 256,
        told: Iterable[EventType] = TOLD,
    ) -> None:
        """Load and attach directory/{process,block,memory}.bpf.o."""
        self._names: dict[int, str] = {}
        self._waiting: dict[str, list[Event]] = {}
        self._started: set[int] = set()
        self._refused = ""
        self._probes: Probes | None = None
        self._waiter: Waiter | None = None
        try:
            self._probes = Probes(
                directory or objects_folder(),
                options=options,
                workloads=workloads,
                event_types=told,
                batch=KEPT,
            )
            self._waiter = Waiter(self._probes.ring.fileno(), select.EPOLLIN)
            self._tell_missing(self._probes.missing())
        except (VagusError, OSError) as error:
            self._refused = str(error)

    def follow(self, workloads: Mapping[str, tuple[str, int]]) -> None:
        """Count for these workloads; the same ones again cost nothing."""
        names = {id_: name for name, (_, id_) in workloads.items()}
        if names == self._names or self._probes is None:
            return
        self._names = names
        try:
            self._probes.follow(names)
        except VagusError as error:
            self._refused = f"{error}; fewer workloads, or a larger map"

    def name_of(self, cgroup_id: int) -> str:
        """Return a workload's name; empty where it is none of ours."""
        return self._names.get(cgroup_id, "")

    def events(self, source: str) -> list[Event]:
        """Return the events of one source since it was last asked."""
        self._drain()
        return self._waiting.pop(source, [])

    def started(self) -> set[int]:
        """Return the cgroups in which a program started since the last call."""
        self._drain()
        started, self._started = self._started, set()
        return started

    def stats(self, take: Callable[[Probes], object]) -> object:
        """Return what `take` reads of the programs; None where that fails."""
        if self._probes is None:
            return None
        try:
            return take(self._probes)
        except VagusError as error:
            self._refused = str(error)
            return None

    def missing(self, source: str) -> str:
        """Return why a source has no data at all; empty where it works."""
        if self._probes is None:
            return self._refused
        return self._probes.missing().get(source, "")

    def seen(self) -> int:
        """Return records read from the ring."""
        return self._probes.ring.counts().seen if self._probes else 0

    def late(self) -> int:
        """Return records that were read long after they were made."""
        return self._probes.ring.counts().late if self._probes else 0

    def lost(self, *counters: Counter) -> int:
        """Return what the kernel counted as lost."""
        if self._probes is None:
            return 0
        counted = self.stats(lambda probes: probes.counters())
        if not isinstance(counted, dict):
            return 0
        return sum(counted.get(counter, 0) for counter in counters)

    def fileno(self) -> int:
        """Return a descriptor that is readable when events wait, or -1."""
        return self._waiter.fileno() if self._waiter else -1

    def close(self) -> None:
        """Detach and free everything; a second call does nothing."""
        if self._waiter is not None:
            self._waiter.close()
            self._waiter = None
        if self._probes is not None:
            self._probes.close()
            self._probes = None

    def _tell_missing(self, missing: Mapping[str, str]) -> None:
        """Put one event for each program that does not run among the others."""
        now = time.monotonic_ns()
        for name, why in missing.items():
            source = name.partition("_")[0]
            told = f"{name} does not run, what it counts is unknown: {why}"
            event = Event(now, source, "sense", "", 0, 0, 0, "", 0.0, "", told)
            self._waiting.setdefault(source, []).append(event)

    def _drain(self) -> None:
        """Empty the ring and sort its events by source."""
        if self._probes is None or self._waiter is None:
            return
        self._waiter.clear()
        events, started = drain(self._probes.ring, "process", self.name_of)
        self._started |= started
        for event in events:
            source = SOURCE_OF.get(event.kind, "process")
            waiting = self._waiting.setdefault(source, [])
            # Nobody asks: keep no more than one drain's worth.
            del waiting[: max(0, len(waiting) - KEPT)]
            waiting.append(_from(event, source))


def _from(event: Event, source: str) -> Event:
    return event if event.source == source else replace(event, source=source)


def objects_folder() -> Path:
    """Return where the compiled programs are: in the package, or in the checkout."""
    package = Path(__file__).parent.parent
    installed = package / "ebpf"
    return installed if installed.is_dir() else package.parent.parent / ".output/ebpf"
