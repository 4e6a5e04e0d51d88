# SPDX-License-Identifier: MIT
"""Which workload a cgroup is, and what must never be touched.

Naming gives rights (a role, an SLO, protection), so it is strict: a glob without a
leading '/' looks at the cgroup's own name only down to the first unit that is no
slice, because below it the unit itself, or the user, chooses names.  Sparing takes
rights away, so it is generous: any part of the path may match.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec

from vagus.policy.model import Policy
from vagus.policy.workload import Match

COMM_BYTES = 15  # TASK_COMM_LEN less the NUL; longer names are cut by the kernel
UNIT_SUFFIXES = (".service", ".scope", ".socket", ".mount", ".swap")


class Subject(msgspec.Struct, frozen=True):
    """One cgroup, and one process in it, to be named."""

    cgroup: str  # path below the cgroup2 mount
    comm: str = ""
    exe: str = ""
    uid: int = -1


class Hit(msgspec.Struct, frozen=True):
    """The workload that a subject is."""

    name: str
    by: str  # the most trustworthy line: cgroup, unit, exe, user or comm
    also: tuple[str, ...] = ()  # later workloads that match as well


def match(policy: Policy, subjects: Sequence[Subject]) -> Hit | None:
    """Return the first workload that one of a cgroup's processes fits."""
    hits = [
        (name, by)
        for name, workload in policy.workloads.items()
        if (by := fits_any(workload.match, subjects))
    ]
    if not hits:
        return None
    return Hit(*hits[0], also=tuple(name for name, _ in hits[1:]))


def fits_any(wanted: Match, subjects: Sequence[Subject]) -> str:
    """Return what matched first of some processes of one cgroup, '' for none."""
    return next((by for one in subjects if (by := fits(wanted, one))), "")


def fits(wanted: Match, subject: Subject) -> str:
    """Return the most trustworthy line that matched, '' unless every line does."""
    lines = {
        "cgroup": wanted.cgroup and placed(wanted.cgroup, subject.cgroup),
        "unit": wanted.unit and unit_placed(wanted.unit, subject.cgroup),
        "exe": wanted.exe and fnmatchcase(subject.exe, wanted.exe),
        "user": wanted.user and _is_user(wanted.user, subject.uid),
        "comm": wanted.comm and _is_comm(wanted.comm, subject.comm),
    }
    given = {key: bool(ok) for key, ok in lines.items() if getattr(wanted, key)}
    return next(iter(given)) if given and all(given.values()) else ""


def placed(pattern: str, cgroup: str) -> bool:
    """Compare a cgroup glob with a path.

    With a leading '/' the whole path is compared; '*' stays within one name, '**'
    does not.  Without it the last names are, where the machine gave them.
    """
    names = _names(cgroup)
    if pattern.startswith("/"):
        return _globbed(_names(pattern), names)
    return names == given_names(cgroup) and _globbed(["**", *_names(pattern)], names)


def unit_placed(pattern: str, cgroup: str) -> bool:
    """Compare a unit glob with the unit that a cgroup is; 'shop' is shop.service."""
    names = _names(cgroup)
    if not names or names != given_names(cgroup):
        return False
    return fnmatchcase(names[-1], unit_name(pattern))


def given_names(cgroup: str) -> list[str]:
    """Return the names down to the first unit that is no slice, that one included."""
    names = _names(cgroup)
    for number, name in enumerate(names, start=1):
        if name.endswith(UNIT_SUFFIXES):
            return names[:number]
    return names


def spared_by(policy: Policy, workload: str, cgroup: str) -> str:
    """Return the pattern of never_touch that covers a workload, '' for none.

    A pattern is compared with the workload's name, with every name in its path, and
    as a path with the path and what is above it.  postgresql.service covers
    postgresql@15-main.service.
    """
    return _first_sparing(policy.never_touch, workload, cgroup)


# The reflex asks for every setting, ten times a second, and mostly the same.
@lru_cache(maxsize=4096)
def _first_sparing(patterns: tuple[str, ...], workload: str, cgroup: str) -> str:
    names = _names(cgroup)
    for pattern in patterns:
        if fnmatchcase(workload, pattern) or _spares(pattern, names):
            return pattern
    return ""


def _spares(pattern: str, names: Sequence[str]) -> bool:
    if "/" in pattern:
        wanted = _names(pattern)
        if not pattern.startswith("/"):
            wanted = ["**", *wanted]
        heads = (names[:end] for end in range(1, len(names) + 1))
        return any(_globbed(wanted, head) for head in heads)
    units = (pattern, unit_name(pattern), _instances(unit_name(pattern)))
    return any(fnmatchcase(name, unit) for name in names for unit in units)


def unit_name(pattern: str) -> str:
    """Return a unit's full name, as systemctl does."""
    known = (*UNIT_SUFFIXES, ".slice", "*")
    return pattern if pattern.endswith(known) else f"{pattern}.service"


def _instances(unit: str) -> str:
    """Return the glob of a unit's instances: a@*.service of a.service."""
    stem, dot, suffix = unit.rpartition(".")
    return f"{stem}@*{dot}{suffix}" if dot and "@" not in stem else unit


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _globbed(pattern: Sequence[str], names: Sequence[str]) -> bool:
    """Compare name by name; '**' is any number of names.

    The set holds how much of the pattern may be used up: no backtracking.
    """
    reached = set(_skips(pattern, 0))
    for name in names:
        reached = {
            after
            for at in reached
            if at < len(pattern)
            for after in _steps(pattern, at, name)
        }
    return len(pattern) in reached


def _steps(pattern: Sequence[str], at: int, name: str) -> Iterator[int]:
    if pattern[at] == "**":
        yield from _skips(pattern, at)
    elif fnmatchcase(name, pattern[at]):
        yield from _skips(pattern, at + 1)


def _skips(pattern: Sequence[str], at: int) -> Iterator[int]:
    """Return this place, and those behind each '**' that may be empty."""
    yield at
    while at < len(pattern) and pattern[at] == "**":
        at += 1
        yield at


def _is_user(wanted: str, uid: int) -> bool:
    """Compare by number or name; a name that does not exist is nobody."""
    if wanted.isdecimal():
        return int(wanted) == uid
    try:
        return pwd.getpwnam(wanted).pw_uid == uid
    except (KeyError, ValueError):
        return False


def _is_comm(wanted: Sequence[str], comm: str) -> bool:
    return any(fnmatchcase(comm, one[:COMM_BYTES]) for one in wanted)
