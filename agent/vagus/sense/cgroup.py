# SPDX-License-Identifier: MIT
"""Read cgroup v2 files of the workloads that do something -> samples.

A cgroup whose CPU time does not move is idle and costs nothing: of all idle
ones only a few a tick are looked at, in turn, and any that a hint names.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from vagus.flow import Event, Sample, SourceState
from vagus.sense.files import Kept, nested, number, picked

LINGER_READS = 10  # readings after the last CPU use: writeback still goes on
IDLE_LOOKS = 48  # idle cgroups looked at in one reading, where nobody hints
HINTED_LOOKS = 8  # likewise, where somebody does
# cpu.stat, memory.events, memory.stat: Documentation/admin-guide/cgroup-v2.rst
_CPU = {b"usage_usec": "cpu_usage_us", b"throttled_usec": "cpu_throttled_us"}
_EVENTS = {b"oom_kill": "oom_kills", b"high": "memory_high_events"}
_STAT = {b"pgmajfault": "major_faults", b"pgscan_direct": "direct_scans"}
_REFAULTS = (b"workingset_refault_anon", b"workingset_refault_file")
_MEMORY = {
    b"MemTotal": "memory_total_bytes",
    b"MemAvailable": "memory_available_bytes",
}
_IO = {b"rbytes": "read_bytes", b"wbytes": "write_bytes"}
_IOS = {b"rios": "read_ios", b"wios": "write_ios"}
_OF_STAT = (*_STAT, *_REFAULTS)
_USAGE = (b"usage_usec",)
_CONTROLLERS = {"memory.current": "memory", "io.stat": "io"}
_ACCOUNTING = {"memory.current": "MemoryAccounting", "io.stat": "IOAccounting"}


class CgroupSensor:
    """CPU, memory and I/O counters of workloads; owns kept descriptors."""

    name = "cgroup"

    def __init__(
        self,
        root: Path = Path("/sys/fs/cgroup"),
        proc: Path = Path("/proc"),
        sys: Path = Path("/sys"),
        hints: Callable[[], Iterable[str]] | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Open nothing yet.  `hints` names workloads that just did something."""
        self._files, self._machines = Kept(root), Kept(proc)
        self._root = root
        self._sys = sys
        self._hints = hints
        self._clock = clock
        self._workloads: dict[str, tuple[str, int]] = {}
        self._usage: dict[str, int] = {}
        self._idle_at: dict[str, int] = {}  # name -> last seen idle, ns
        self._active: dict[str, int] = {}  # name -> readings left to linger
        self._idle: OrderedDict[str, None] = OrderedDict()
        self._stacked: dict[bytes, bool] = {}
        self._had: set[str] = set()  # files that some workload had, this reading
        self._lacking: list[str] = []  # what none had, with the remedy
        self._answered = False  # whether any cpu.stat could be read
        self._cpus = os.cpu_count() or 1

    def follow(self, workloads: Mapping[str, tuple[str, int]]) -> None:
        """Watch these workloads: name -> (cgroup path, cgroup id)."""
        for name, place in self._workloads.items():
            if workloads.get(name) != place:
                self._files.forget(place[0])
                for per_name in (self._usage, self._active, self._idle, self._idle_at):
                    per_name.pop(name, None)
        for name in workloads:
            if self._workloads.get(name) != workloads[name]:
                self._active[name] = LINGER_READS
        self._workloads = dict(workloads)

    def read(self) -> list[Sample]:
        """Return the machine's samples and those of workloads that are not idle."""
        now = self._clock()
        samples = self._machine(now) + self._wake(now)
        self._had.clear()
        active = tuple(self._active)
        for name in active:
            samples += self._workload(name, now)
        if active:
            self._answered = "cpu.stat" in self._had
            self._lacking = [file for file in _CONTROLLERS if file not in self._had]
        return samples

    def active(self) -> list[str]:
        """Return the workloads that are not idle, as of the last reading."""
        return list(self._active)

    def events(self) -> list[Event]:
        """Return nothing: these are levels."""
        return []

    def state(self) -> SourceState:
        """Return files read; missing where there is no cgroup2 at all."""
        there = self._answered or (self._root / "cgroup.controllers").exists()
        missing = f"no cgroup2 at {self._root}: mount it, or boot with systemd"
        return SourceState(self._files.reads, 0, "" if there else missing)

    def lacking(self) -> list[str]:
        """Return the controllers that are off for every workload, with the remedy.

        What they would tell is unknown, or known from another source.
        """
        return [
            f"no {file}: the {_CONTROLLERS[file]} controller is off; set"
            f" {_ACCOUNTING[file]}=yes in the units, or write +{_CONTROLLERS[file]}"
            " to the parent's cgroup.subtree_control"
            for file in self._lacking
            if self._answered
        ]

    def fileno(self) -> int:
        """Return -1: read once a tick."""
        return -1

    def close(self) -> None:
        """Close every descriptor."""
        self._files.close()
        self._machines.close()

    def _wake(self, now: int) -> list[Sample]:
        """Move idle workloads that did something to the active ones.

        Each of them gets a sample that says until when it was seen idle, so
        that its rates are not spread over all the time that it slept.
        """
        hinted = self._hints() if self._hints else ()
        woken = {name for name in hinted if name in self._idle}
        looks = HINTED_LOOKS if hinted else IDLE_LOOKS
        for _ in range(min(looks, len(self._idle))):
            name, _none = self._idle.popitem(last=False)
            self._idle[name] = None
            if self._used(name) in (None, self._usage.get(name)):
                self._idle_at[name] = now
            else:
                woken.add(name)
        for name in woken:
            del self._idle[name]
            self._active[name] = LINGER_READS
        return [
            Sample(self.name, name, "idle", "gauge", self._idle_at.pop(name))
            for name in woken
            if name in self._idle_at
        ]

    def _used(self, name: str) -> int | None:
        """Return a workload's CPU time so far, us; None where it vanished."""
        data = self._files.read(self._workloads[name][0], "cpu.stat", 1024)
        return picked(data, _USAGE).get(b"usage_usec") if data else None

    def _workload(self, name: str, now: int) -> list[Sample]:
        """Read one workload, and let it fall idle after a while of rest."""
        path = self._workloads[name][0]
        data = self._files.read(path, "cpu.stat", 1024)
        if data is None:
            self._rest(name, path)
            return []
        self._had.add("cpu.stat")
        found = _named(picked(data, _CPU), _CPU)
        self._linger(name, path, int(found.get("cpu_usage_us", 0)))
        found |= self._memory(path)
        found |= self._io(path)
        gauge = {"memory_bytes"}
        return [
            Sample(
                self.name,
                name,
                signal,
                "gauge" if signal in gauge else "counter",
                now,
                float(value),
            )
            for signal, value in found.items()
        ]

    def _linger(self, name: str, path: str, usage: int) -> None:
        if self._usage.get(name) != usage:
            self._active[name] = LINGER_READS
        else:
            self._active[name] -= 1
            if self._active[name] <= 0:
                self._rest(name, path)
        self._usage[name] = usage

    def _rest(self, name: str, path: str) -> None:
        """Let a workload fall idle: it keeps no descriptor open."""
        self._active.pop(name, None)
        self._idle[name] = None
        self._idle_at[name] = self._clock()
        self._files.forget(path)

    def _memory(self, path: str) -> dict[str, int]:
        current = number(self._files.read(path, "memory.current", 64))
        if current is None:
            return {}
        self._had.add("memory.current")
        found = {"memory_bytes": current}
        stat = picked(self._files.read(path, "memory.stat") or b"", _OF_STAT)
        found |= _named(stat, _STAT)
        if any(key in stat for key in _REFAULTS):
            found["refaults"] = sum(stat.get(key, 0) for key in _REFAULTS)
        events = self._files.read(path, "memory.events", 512)
        return found | _named(picked(events or b"", _EVENTS), _EVENTS)

    def _io(self, path: str) -> dict[str, int]:
        """Add up io.stat over devices; a stacked device would count twice."""
        data = self._files.read(path, "io.stat", 16384)
        if data is None:
            return {}
        self._had.add("io.stat")
        names = {**_IO, **_IOS}
        found = dict.fromkeys(names.values(), 0)
        for device, values in nested(data).items():
            if self._is_stacked(device):
                continue
            for key, signal in names.items():
                found[signal] += values.get(key, 0)
        return found

    def _is_stacked(self, device: bytes) -> bool:
        """Return whether a device (MAJ:MIN) lies on others: dm, md."""
        known = self._stacked.get(device)
        if known is None:
            slaves = self._sys / "dev/block" / os.fsdecode(device) / "slaves"
            known = slaves.is_dir() and any(slaves.iterdir())
            self._stacked[device] = known
        return known

    def _machine(self, now: int) -> list[Sample]:
        """Return what the whole machine has and uses."""
        found = {"cpus": float(self._cpus)}
        # What is looked for is among the first lines.
        text = self._machines.read("", "meminfo", 256) or b""
        for line in text.split(b"\n"):
            key, _, rest = line.partition(b":")
            words = rest.split()
            if key in _MEMORY and words and words[0].isdigit():
                found[_MEMORY[key]] = int(words[0]) * 1024.0
        samples = [
            Sample(self.name, "", signal, "gauge", now, value)
            for signal, value in found.items()
        ]
        # Others may have run since the reading began, as long as they like.
        at = self._clock()
        root = self._files.read("/", "cpu.stat", 1024) or b""
        usage = picked(root, _USAGE).get(b"usage_usec")
        if usage is not None:
            self._answered = True
            samples.append(
                Sample(self.name, "", "cpu_usage_us", "counter", at, float(usage))
            )
        return samples


def _named(values: Mapping[bytes, int], names: Mapping[bytes, str]) -> dict[str, int]:
    """Return the values that have a name of ours, under that name."""
    return {signal: values[key] for key, signal in names.items() if key in values}
