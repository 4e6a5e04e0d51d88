# SPDX-License-Identifier: MIT
"""Find the workloads: cgroups that the policy names, and leaves with processes.

The cgroup2 tree is walked once.  From then on inotify tells of cgroups made,
removed, filled and emptied (the kernel notifies cgroup.events), and only those
are looked at again: a tick in which nothing came or went costs one read that
returns nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from vagus.flow import Found, SourceState
from vagus.policy.match import Subject, match
from vagus.policy.model import Policy
from vagus.sense import inotify, naming
from vagus.sense.files import flat
from vagus.sense.processes import of_cgroup

# Slower, where inotify is not to be had: how many polls between two walks.
WALK_POLLS = 10
PROGRAMS = 4
# How many polls the lists of processes may be old, where nothing else changed.
STIR_POLLS = 10


class _Node:
    """One directory of the tree, as last seen."""

    __slots__ = ("children", "id", "path", "watch")

    def __init__(self, path: str, id_: int, watch: int) -> None:
        self.path = path
        self.id = id_
        self.watch = watch
        self.children: set[str] = set()


class Discovery:
    """The workloads of one cgroup2 mount; owns an inotify descriptor."""

    name = "discover"

    def __init__(
        self,
        policy: Policy,
        root: Path = Path("/sys/fs/cgroup"),
        proc: Path = Path("/proc"),
        own: str | None = None,
    ) -> None:
        """Walk the tree below `root`.

        `own` is the agent's cgroup, never a workload; as /proc/self/cgroup says
        by default.
        """
        self._policy = policy
        self._root = str(root)
        self._base = root
        self._proc = proc
        self._own = _own_cgroup(root, proc) if own is None else own
        self._nodes: dict[str, _Node] = {}
        self._by_watch: dict[int, str] = {}
        self._by_id: dict[int, str] = {}
        self._by_path: dict[str, Found] = {}
        self._dirty: set[str] = set()
        self._found: dict[str, Found] = {}
        self._turns = self._turn()
        self._reads = self._overflows = self._unwatched = 0
        self._missing = ""
        self._stirred = False
        self._inotify = self._open_inotify()
        self._rescan()
        self._settle()

    @property
    def found(self) -> Mapping[str, Found]:
        """Return the workloads by name, as of the last poll."""
        return self._found

    def follow(self) -> dict[str, tuple[str, int]]:
        """Return what a Sensor follows: name -> (cgroup path, cgroup id)."""
        return {name: (one.cgroup, one.cgroup_id) for name, one in self._found.items()}

    def poll(self, touched: Iterable[int] = ()) -> bool:
        """Take in comings and goings; true where the workloads changed.

        `touched` are ids of cgroups whose processes changed (of exec events):
        their command names are looked at again.
        """
        before = self._found
        self._reads += 1
        for change in self._inotify.read() if self._inotify else ():
            self._take(change)
        if self._unwatched and self._reads % WALK_POLLS == 0:
            self._rescan()
        if turn := next(self._turns, None):
            self._dirty.add(turn)
        for id_ in touched:
            if path := self._by_id.get(id_):
                self._dirty.add(path)
        if self._dirty:
            self._settle()
        return self._found is not before

    def set_policy(self, policy: Policy) -> None:
        """Match everything again, by another policy."""
        self._policy = policy
        self._dirty.update(self._nodes)
        self._settle()

    def fileno(self) -> int:
        """Return a descriptor that is readable when something came or went."""
        return self._inotify.fd if self._inotify else -1

    def state(self) -> SourceState:
        """Return polls made, overflows of the watch queue, what is missing."""
        return SourceState(self._reads, self._overflows, self._missing)

    def close(self) -> None:
        """Give the watches back."""
        if self._inotify:
            self._inotify.close()

    def _open_inotify(self) -> inotify.Inotify | None:
        try:
            return inotify.Inotify()
        except OSError as error:
            self._unwatched = 1
            self._missing = f"no inotify ({error.strerror}): raise fs.inotify limits"
            return None

    def _take(self, change: inotify.Change) -> None:
        """Follow one event of the tree."""
        if change.mask & inotify.OVERFLOW:
            self._overflows += 1
            self._rescan()
            return
        path = self._by_watch.get(change.watch)
        if path is None:
            return
        if change.mask & inotify.ISDIR:
            child = f"{path.rstrip('/')}/{change.name}"
            if change.mask & inotify.CREATE:
                self._add(child)
            elif not os.path.isdir(self._root + child):
                self._remove(child)
        elif change.name == "cgroup.events" and change.mask & inotify.MODIFY:
            self._dirty.add(path)

    def _rescan(self) -> None:
        """Walk the whole tree: at first, and after an overflow."""
        if not os.path.exists(f"{self._root}/cgroup.procs"):
            self._missing = f"no cgroup2 at {self._root}: mount it, or boot systemd"
        gone = [p for p in self._nodes if not os.path.isdir(self._root + p)]
        for path in gone:
            self._remove(path)
        self._add("/")

    def _add(self, path: str) -> None:
        """Take in a directory and everything below it."""
        try:
            id_ = os.stat(self._root + path).st_ino
            known = self._nodes.get(path)
            if known is not None and known.id != id_:
                self._remove(path)
                known = None
            if known is None:
                self._enter(path, id_)
            # Scanned after the watch is set, so that no child slips through.
            with os.scandir(self._root + path) as entries:
                names = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
        except OSError:
            self._remove(path)
            return
        for name in names:
            self._add(f"{path.rstrip('/')}/{name}")

    def _enter(self, path: str, id_: int) -> None:
        """Note a directory and watch it."""
        watch = self._watch(path)
        self._nodes[path] = _Node(path, id_, watch)
        if watch >= 0:
            self._by_watch[watch] = path
        self._by_id[id_] = path
        parent = self._nodes.get(os.path.dirname(path))
        if parent is not None and path != "/":
            parent.children.add(path)
            self._dirty.update((path, parent.path))

    def _watch(self, path: str) -> int:
        """Watch a directory; -1 where that is refused, which slows us down."""
        if self._inotify is None:
            return -1
        try:
            return self._inotify.add(self._root + path)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                self._unwatched += 1
                self._missing = (
                    f"{self._unwatched} cgroups without a watch: raise"
                    " fs.inotify.max_user_watches"
                )
            return -1

    def _remove(self, path: str) -> None:
        """Forget a directory and everything below it."""
        node = self._nodes.pop(path, None)
        if node is None:
            return
        for child in tuple(node.children):
            self._remove(child)
        if self._by_watch.get(node.watch) == path:
            del self._by_watch[node.watch]
        if self._by_id.get(node.id) == path:
            del self._by_id[node.id]
        if self._inotify and node.watch >= 0:
            self._inotify.remove(node.watch)
        self._dirty.add(path)
        parent = self._nodes.get(os.path.dirname(path))
        if parent is not None:
            parent.children.discard(path)
            self._dirty.add(parent.path)

    def _settle(self) -> None:
        """Look at what changed, and give names to what is there."""
        dirty, self._dirty = self._dirty, set()
        changed = self._stirred and self._reads % STIR_POLLS == 0
        for path in dirty:
            one, before = self._look(path), self._by_path.get(path)
            if one == before:
                continue
            if one is None:
                del self._by_path[path]
            else:
                self._by_path[path] = one
            # Processes that come and go in a workload are no news by themselves.
            self._stirred = True
            changed = changed or _essence(one) != _essence(before)
        if changed:
            self._stirred = False
            self._found = _named(self._by_path, frozenset(self._policy.workloads))

    def _look(self, path: str) -> Found | None:
        """Return the workload that a directory is, still without a name."""
        node = self._nodes.get(path)
        if node is None or path == "/" or self._is_own(path):
            return None
        # Only a leaf holds processes; an inner directory is known by its place.
        populated = not node.children and self._populated(path)
        there = of_cgroup(self._base, self._proc, path) if populated else []
        subjects = [Subject(path)]
        subjects += [Subject(path, one.comm, one.exe, one.uid) for one in there]
        hit = match(self._policy, subjects)
        if hit is None and not populated:
            return None
        comms = list(dict.fromkeys(process.comm for process in there))
        return Found(
            name="",
            cgroup=path,
            cgroup_id=node.id,
            policy=hit.name if hit else "",
            by=hit.by if hit else "",
            also=hit.also if hit else (),
            unit=naming.unit_of(path),
            pids=tuple(process.pid for process in there),
            comms=tuple(comms[:PROGRAMS]),
            exe=there[0].exe if there else "",
            uid=there[0].uid if there else -1,
        )

    def _turn(self) -> Iterator[str]:
        """Return one workload a poll in turn: processes come without a notice."""
        while True:
            paths = tuple(self._by_path) or ("",)
            yield from paths

    def _is_own(self, path: str) -> bool:
        """Return whether this is the agent's own cgroup, or inside it."""
        return bool(self._own) and f"{path}/".startswith(f"{self._own}/")

    def _populated(self, path: str) -> bool:
        """Return whether a process lives in a cgroup or below."""
        try:
            with open(f"{self._root}{path}/cgroup.events", "rb") as file:
                return flat(file.read(4096)).get(b"populated") == 1
        except OSError:
            return False


def _essence(one: Found | None) -> Found | None:
    """Return a workload without what changes with every process."""
    if one is None:
        return None
    return replace(one, pids=one.pids[:1], comms=one.comms[:1])


def _named(by_path: Mapping[str, Found], taken: frozenset[str]) -> dict[str, Found]:
    """Give every workload a name of its own; the policy's names are theirs alone.

    What lies below a named cgroup belongs to it, unless it is named itself.  The
    second cgroup of one policy entry, and one that merely is called like an
    entry, get their id behind the name.
    """
    named_paths = {path for path, one in by_path.items() if one.policy}
    found: dict[str, Found] = {}
    order = sorted(by_path.values(), key=lambda one: (not one.policy, one.cgroup))
    for one in order:
        if not one.policy and not named_paths.isdisjoint(_above(one.cgroup)):
            continue
        name = one.policy or naming.plain_name(one.cgroup)
        if name in found or (not one.policy and name in taken):
            name = f"{name}@{one.cgroup_id}"
        found[name] = replace(one, name=name)
    return found


def _above(path: str) -> Iterable[str]:
    """Return the paths of a cgroup's ancestors."""
    parts = path.split("/")
    return ("/".join(parts[:end]) for end in range(2, len(parts)))


def _own_cgroup(root: Path, proc: Path) -> str:
    """Return the agent's own cgroup; empty where it is in the root or unknown.

    One that is divided for the agent and its engine is its own as a whole.
    """
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return ""
    own = next((line[3:] for line in lines if line.startswith("0::")), "").rstrip("/")
    whole, _, half = own.rpartition("/")
    divided = half == "agent" and (root / whole.strip("/") / "engine").is_dir()
    return whole if divided else own
