# SPDX-License-Identifier: MIT
"""Where in the cgroup tree a weight works: among siblings, and nowhere else.

Weights are compared between the children of one cgroup.  A backup in
/system.slice/backup.service competes with a shop in /shop.slice/shop.service as
system.slice against shop.slice.  So a weight is written on the workload itself,
and also on its ancestor that is the sibling of the other side's ancestor, but
only if every populated cgroup below that ancestor belongs to workloads that
have the same stance: nobody else may be dragged along, least of all what the
policy says never to touch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache

# The reflex asks the same of the same pairs ten times a second.
_remember = lru_cache(maxsize=8192)


@_remember
def parts(path: str) -> tuple[str, ...]:
    """Split a cgroup path; the root has none."""
    return tuple(part for part in path.split("/") if part)


@_remember
def inside(path: str, above: str) -> bool:
    """Say whether a cgroup is another one or below it."""
    return f"{path.rstrip('/')}/".startswith(f"{above.rstrip('/')}/")


@_remember
def rival_level(path: str, other: str) -> str | None:
    """Return the ancestor of `path` that competes with an ancestor of `other`.

    None where one contains the other: then there is no such pair of siblings.
    """
    mine, theirs = parts(path), parts(other)
    for depth, (one, two) in enumerate(zip(mine, theirs, strict=False), start=1):
        if one != two:
            return "/" + "/".join(mine[:depth])
    return None


def owned(above: str, mine: Collection[str], populated: Iterable[str]) -> bool:
    """Say whether every populated cgroup below `above` lies within `mine`."""
    below = (path for path in populated if inside(path, above))
    return all(any(inside(path, own) for own in mine) for path in below)


def places(
    path: str, mine: Collection[str], rivals: Iterable[str], populated: Collection[str]
) -> tuple[list[str], bool]:
    """Return the cgroups to weigh for `path`, parents first, and if all is reached.

    `mine` are the cgroups with the same stance, `rivals` those it is about.
    False where the level that matters belongs to others as well.
    """
    levels = {level for rival in rivals if (level := rival_level(path, rival))}
    free = {level for level in levels if owned(level, mine, populated)}
    chosen = sorted(free | {path}, key=lambda level: len(parts(level)))
    return chosen, free == levels
