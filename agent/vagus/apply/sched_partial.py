# SPDX-License-Identifier: MIT
"""Put the threads of yielding workloads under SCHED_EXT, and back.

The ext class ranks below the fair one, so they run when nobody else does (and by
the kernel's own reserve for that class).  Once no scheduler is attached, the
kernel takes SCHED_EXT for SCHED_OTHER: what a killed agent leaves behind is a
name without an effect.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

# include/uapi/linux/sched.h
SCHED_OTHER, SCHED_BATCH, SCHED_EXT = 0, 3, 7


class Movers:
    """The threads that were moved, and the policy that each had."""

    def __init__(self, cgroups: Path) -> None:
        """Take the cgroup2 mount."""
        self._cgroups = cgroups
        self._old: dict[int, int] = {}
        self._paths: dict[int, Path] = {}

    def move(self, cgroup_ids: Mapping[str, int]) -> None:
        """Have exactly the threads in and below these cgroups under SCHED_EXT."""
        wanted: set[int] = set()
        for cgroup_id in cgroup_ids.values():
            wanted |= self._threads(cgroup_id)
        for tid in set(self._old) - wanted:
            self._restore(tid)
        for tid in wanted - set(self._old):
            self._take(tid)

    def may_take(self, cgroup_id: int) -> bool:
        """Say whether a cgroup's threads keep all they are bound by in that class.

        The scheduler does not know cpu.max, of the cgroup or of one above it.
        """
        folder = self._path(cgroup_id)
        return folder is not None and not self._is_limited(folder)

    def _is_limited(self, folder: Path) -> bool:
        for one in (folder, *folder.parents):
            if one == self._cgroups:
                break
            with contextlib.suppress(OSError):
                if not (one / "cpu.max").read_text().startswith("max"):
                    return True
        return False

    def close(self) -> None:
        """Move all back."""
        for tid in list(self._old):
            self._restore(tid)

    def _take(self, tid: int) -> None:
        with contextlib.suppress(OSError):
            old = os.sched_getscheduler(tid)
            if old in (SCHED_OTHER, SCHED_BATCH):
                os.sched_setscheduler(tid, SCHED_EXT, os.sched_param(0))
                self._old[tid] = old
            elif old == SCHED_EXT:
                # Born of one that was moved.
                self._old[tid] = SCHED_OTHER

    def _restore(self, tid: int) -> None:
        """Give a thread its policy back, unless somebody else has set it."""
        old = self._old.pop(tid)
        with contextlib.suppress(OSError):
            if os.sched_getscheduler(tid) == SCHED_EXT:
                os.sched_setscheduler(tid, old, os.sched_param(0))

    def _threads(self, cgroup_id: int) -> set[int]:
        """Return the thread ids in and below a cgroup, but for what has a cpu.max."""
        folder = self._path(cgroup_id)
        found: set[int] = set()
        if folder is None:
            return found
        for path in folder.glob("**/cgroup.threads"):
            if self._is_limited(path.parent):
                continue
            with contextlib.suppress(OSError):
                found |= {int(line) for line in path.read_text().split()}
        return found

    def _path(self, cgroup_id: int) -> Path | None:
        """Return the directory whose inode number the id is."""
        known = self._paths.get(cgroup_id)
        with contextlib.suppress(OSError):
            if known and known.stat().st_ino == cgroup_id:
                return known
        for path in [self._cgroups, *self._cgroups.glob("**/")]:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == cgroup_id:
                    self._paths[cgroup_id] = path
                    return path
        return None
