# SPDX-License-Identifier: MIT
"""What the law must know of the machine, read from cgroupfs and sysfs.

The law itself reads nothing; this is its only eye, and `Ground` is a value, so
that a recorded one replays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec

from vagus.apply.place import parts
from vagus.flow import Resource, Stance

NS = 1_000_000_000
# Files by resource; memory.current and memory.stat are read, never written.
FILES = {
    Resource.CPU: ("cpu.weight", "cpu.idle", "cpu.max", "cpu.max.burst"),
    Resource.IO: ("io.weight", "io.max"),
    Resource.MEMORY: ("memory.low", "memory.high", "memory.max", "memory.current"),
}
# How long a walk for populated cgroups holds; a cgroup that appears under a
# yielding ancestor meanwhile shares its fate for at most this long.
WALK_NS = 5 * NS
LEAF_LINKS = 2
# More than any of these files has.  A file of kernfs that is one record comes whole in
# one read(); of cgroup.procs, which is many, only the first part is wanted.
SIZE_MAX = 65536


class Flow(msgspec.Struct, frozen=True):
    """What a cgroup does to the device that it uses most."""

    device: str  # "MAJ:MIN"
    bytes_per_s: float
    ios_per_s: float


class Ground(msgspec.Struct, frozen=True):
    """The part of the machine that the stances are about."""

    cgroups: dict[str, str] = {}  # workload -> path below the mount
    knobs: dict[str, str] = {}  # "/shop.service/cpu.weight" -> text; absent: no file
    populated: frozenset[str] = frozenset()  # where the stances could reach
    working_set: dict[str, float] = {}  # cgroup -> bytes without inactive cache
    flows: dict[str, Flow] = {}  # cgroup -> its busiest device
    iocost: frozenset[str] = frozenset()  # devices with io.cost.qos enabled
    disks: dict[str, str] = {}  # "MAJ:MIN" -> "/block/vda/queue/wbt_lat_usec"
    memory_bytes: float = 0.0
    kept: dict[str, float] = {}  # "/a.slice/memory.min" -> bytes; also memory.low
    cpus: int = 1


class Surveyor:
    """Reads a Ground; remembers io.stat between two readings, for rates."""

    def __init__(
        self, cgroups: Path, sysfs: Path, proc: Path, clock: Callable[[], int]
    ) -> None:
        """Take the mount points; roots of a fake tree in tests."""
        self._cgroups, self._sysfs, self._proc = cgroups, sysfs, proc
        self._clock = clock
        self._io: dict[str, tuple[int, dict[str, tuple[int, int]]]] = {}
        self._walked: tuple[int, frozenset[str], frozenset[str]] = (
            -WALK_NS,
            frozenset(),
            frozenset(),
        )

    def another(self) -> Surveyor:
        """Return a surveyor of the same machine; its readings do not count here."""
        return Surveyor(self._cgroups, self._sysfs, self._proc, self._clock)

    def survey(self, stances: Iterable[Stance], paths: dict[str, str]) -> Ground:
        """Read what these stances could touch; vanished files are left out."""
        wanted = [(s, paths[s.workload]) for s in stances if s.workload in paths]
        knobs: dict[str, str] = {}
        for stance, path in wanted:
            for level in _levels(path):
                self._read_knobs(level, stance.resource, knobs)
        # Each once: a second reading of a rate, at once, is a rate of nothing.
        io = dict.fromkeys(p for s, p in wanted if s.resource is Resource.IO)
        memory = dict.fromkeys(p for s, p in wanted if s.resource is Resource.MEMORY)
        flows = {path: flow for path in io if (flow := self._flow(path))}
        disks = self._disks({flow.device for flow in flows.values()}, knobs)
        return Ground(
            cgroups=dict(paths),
            knobs=knobs,
            populated=self._populated({path for _, path in wanted}),
            working_set={path: self._working_set(path) for path in memory},
            flows=flows,
            iocost=self._iocost() if io else frozenset(),
            disks=disks,
            memory_bytes=self._memory_bytes() if memory else 0.0,
            kept=self._kept() if memory else {},
            cpus=os.cpu_count() or 1,
        )

    def _read_knobs(
        self, level: str, resource: Resource, knobs: dict[str, str]
    ) -> None:
        for name in FILES[resource]:
            key = f"{level}/{name}"
            if (
                key not in knobs
                and (text := _read(f"{self._cgroups}{key}")) is not None
            ):
                knobs[key] = text

    def _working_set(self, path: str) -> float:
        """Return memory.current less inactive page cache, as the kubelet does."""
        folder = self._cgroups / path.strip("/")
        stat = dict(
            line.split(" ", 1)
            for line in (_read(folder / "memory.stat") or "").splitlines()
        )
        current = float(_read(folder / "memory.current") or 0)
        return max(0.0, current - float(stat.get("inactive_file", 0)))

    def _flow(self, path: str) -> Flow | None:
        """Return the rates on the busiest device since the last survey."""
        now, text = self._clock(), _read(self._cgroups / path.strip("/") / "io.stat")
        counts = _io_counts(text or "")
        then, before = self._io.get(path, (now, counts))
        self._io[path] = (now, counts)
        if now <= then or not counts:
            return None
        seconds = (now - then) / NS
        zero = (0, 0)
        rates = [
            Flow(
                device,
                max(0, done[0] - before.get(device, zero)[0]) / seconds,
                max(0, done[1] - before.get(device, zero)[1]) / seconds,
            )
            for device, done in counts.items()
        ]
        return max(rates, key=lambda flow: flow.bytes_per_s)

    def _iocost(self) -> frozenset[str]:
        lines = (_read(self._cgroups / "io.cost.qos") or "").splitlines()
        return frozenset(line.split()[0] for line in lines if "enable=1" in line)

    def _disks(self, devices: Collection[str], knobs: dict[str, str]) -> dict[str, str]:
        """Find each device's wbt_lat_usec; a device without one is left out."""
        found = {}
        for device in devices:
            folder = (self._sysfs / "dev/block" / device).resolve()
            text = _read(folder / "queue/wbt_lat_usec")
            if text is not None:
                path = (
                    f"/{folder.relative_to(self._sysfs.resolve())}/queue/wbt_lat_usec"
                )
                found[device], knobs[path] = path, text
        return found

    def _memory_bytes(self) -> float:
        first = (_read(self._proc / "meminfo") or "MemTotal: 0 kB").splitlines()[0]
        return float(first.split()[1]) * 1024

    def _kept(self) -> dict[str, float]:
        """Return what the topmost cgroups keep from reclaim; all below is in that."""
        found = {}
        for name in ("memory.min", "memory.low"):
            for file in self._cgroups.glob(f"*/{name}"):
                value = float((_read(file) or "0").replace("max", "inf"))
                if value > 0:
                    found[f"/{file.relative_to(self._cgroups)}"] = value
        return found

    def _populated(self, paths: Collection[str]) -> frozenset[str]:
        """Return the cgroups with processes, in the top-level trees of these."""
        tops = frozenset("/" + parts(path)[0] for path in paths if parts(path))
        walked_ns, walked_tops, found = self._walked
        if walked_tops != tops or self._clock() - walked_ns >= WALK_NS:
            found = frozenset(self._walk(tops))
            self._walked = (self._clock(), tops, found)
        return found

    def _walk(self, tops: Iterable[str]) -> Iterable[str]:
        waiting = list(tops)
        while waiting:
            path = waiting.pop()
            folder = f"{self._cgroups}{path}"
            if _has_tasks(folder):
                yield path
            waiting += [f"{path}/{name}" for name in _folders(folder)]


def _levels(path: str) -> list[str]:
    """Return a cgroup and its ancestors below the root, parents first."""
    names = parts(path)
    return ["/" + "/".join(names[: n + 1]) for n in range(len(names))]


def _folders(folder: str) -> list[str]:
    """Return the names of the cgroups right below one; none where it vanished."""
    try:
        # A folder of kernfs has two links, and one for each folder in it: those
        # without, which are most, need no look at their fifty files.
        if os.stat(folder).st_nlink == LEAF_LINKS:
            return []
        with os.scandir(folder) as entries:
            return [e.name for e in entries if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _has_tasks(folder: str) -> bool:
    # A threaded cgroup refuses cgroup.procs (EOPNOTSUPP) but has threads.
    procs = _read(f"{folder}/cgroup.procs")
    return bool(procs if procs is not None else _read(f"{folder}/cgroup.threads"))


def _read(path: Path | str) -> str | None:
    """Return a file's text; without Path's own work, since it is done at every tick."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, SIZE_MAX).decode().strip()
    except OSError:
        return None
    finally:
        os.close(fd)


def _io_counts(text: str) -> dict[str, tuple[int, int]]:
    """Parse io.stat into device -> (bytes, requests), reads and writes together."""
    counts = {}
    for line in text.splitlines():
        device, *fields = line.split()
        pairs = dict(f.split("=", 1) for f in fields if "=" in f)
        done = [int(pairs.get(key, 0)) for key in ("rbytes", "wbytes", "rios", "wios")]
        counts[device] = (done[0] + done[1], done[2] + done[3])
    return counts
