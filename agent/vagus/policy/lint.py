# SPDX-License-Identifier: MIT
"""What is allowed in a policy and still hardly meant: warnings of `policy check`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from vagus.flow import Act
from vagus.policy.match import COMM_BYTES, placed, spared_by, unit_name
from vagus.policy.model import Policy
from vagus.policy.nodes import Key
from vagus.policy.workload import Match, Workload

# It is renewed with 0.6 of it left, by a loop that may rest for most of a second.
LEASE_MS = 1_500
LINES = ("exe", "user", "comm")  # of a match, about its processes
WILD = re.compile(r"[*?[]")
MODEL_READS_BYTES = 400  # of an objective; docs/stance.md


def warnings(policy: Policy) -> Iterator[tuple[Key, str]]:
    """Return (place, sentence) of everything that deserves a second look."""
    yield from _shadowed(policy)
    for name, workload in policy.workloads.items():
        yield from _workload(policy, name, workload)
    for name in policy.static:
        if name not in policy.workloads:
            yield ("static", name), "no workload of this name is in workloads"
    if policy.static and policy.decider != "static":
        yield ("static",), f"has no effect while decider is {policy.decider}"
    if policy.decider == "static" and not policy.static:
        yield ("decider",), "static has no stances; write them under static"
    size = len(policy.objective.encode())
    if size > MODEL_READS_BYTES:
        cut = f"the model reads {MODEL_READS_BYTES} bytes of it, and it has {size}"
        yield ("objective",), cut
    if policy.budget.actions_per_minute == 0:
        yield ("budget", "actions_per_minute"), "0 lets nothing ever be changed"
    if "agent_cpu_pct" in policy.budget.model_fields_set:
        what = "nothing is slowed down by it; `vagus top` shows what the agent uses"
        yield ("budget", "agent_cpu"), what
    if policy.budget.lease_ms < LEASE_MS:
        what = (
            f"under {LEASE_MS / 1000:g}s an agent that is late once loses it, and knobs"
            " go back and forth"
        )
        yield ("budget", "lease"), what


def _workload(
    policy: Policy, name: str, workload: Workload
) -> Iterator[tuple[Key, str]]:
    match = workload.match
    pattern = spared_by(policy, name, _example(match.cgroup, match.unit))
    if pattern:
        what = f"never_touch has '{pattern}': this workload is never changed"
        yield ("workloads", name), what
    pick = policy.static.get(name)
    if workload.protect and pick and pick.act is Act.YIELD:
        yield ("static", name), "is refused: this workload has protect: true"
    if workload.limits and _by_comm_alone(match):
        what = "do not hold; a process chooses its own command name: add cgroup, unit,"
        yield ("workloads", name, "limits"), f"{what} exe or user"
    favoured = workload.protect or workload.slo is not None
    if favoured and _by_comm_alone(match):
        what = "a process chooses its own command name: add cgroup, unit, exe or user"
        yield ("workloads", name, "match"), f"is never protected; {what}"


def _by_comm_alone(match: Match) -> bool:
    return not (match.cgroup or match.unit or match.exe or match.user)


def _example(cgroup: str | None, unit: str | None) -> str:
    """Return a cgroup path that such a pattern stands for."""
    text = cgroup or (unit_name(unit) if unit else "")
    return text if text.startswith("/") else f"/{text}"


def _shadowed(policy: Policy) -> Iterator[tuple[Key, str]]:
    """Find workloads that others take, in whole or in part: the first match wins."""
    entries = list(policy.workloads.items())
    for number, (name, workload) in enumerate(entries):
        for earlier, other in entries[:number]:
            place = ("workloads", name, "match")
            if covers(other.match, workload.match):
                what = f"is never reached: {earlier} comes first and takes all of it"
                yield place, what
                break
            if shared := _contested(other.match, workload.match):
                yield place, f"{earlier} comes first and takes part of it: {shared}"


def _contested(first: Match, second: Match) -> str:
    """Return what two matches have in common, "" for nothing.

    The narrow one before the wide one is how to write it, and no conflict.  Of lines
    that only one of them has nothing is known, and where they have none in common a
    conflict is told when a workload is found that fits both.
    """
    if covers(second, first):
        return ""
    shared = []
    lines = [(key, _lines(first, key), _lines(second, key)) for key in LINES]
    for key, one, two in lines:
        both = [b for b in two if any(_takes(a, b) or _takes(b, a) for a in one)]
        if one and two and not both:
            return ""
        shared += [f"{key} {', '.join(both)}"] if both else []
    ours, theirs = _places(first), _places(second)
    if ours and theirs:
        if not (
            any(_takes_place(place, second) for place in ours)
            or any(_takes_place(place, first) for place in theirs)
        ):
            return ""
        shared.append(theirs[0])
    return " and ".join(shared)


def _lines(match: Match, key: str) -> tuple[str, ...]:
    """Return what a match demands of a process; any of it will do."""
    if key == "comm":
        return tuple(one[:COMM_BYTES] for one in match.comm)
    wanted = match.exe if key == "exe" else match.user
    return (wanted,) if wanted else ()


def _places(match: Match) -> list[str]:
    units = match.unit and unit_name(match.unit)
    return [place for place in (match.cgroup, units) if place]


def covers(first: Match, second: Match) -> bool:
    """Tell whether everything that `first` demands is demanded by `second` too.

    Globs that take each other in some other way than by their stars are not seen.
    """
    pairs = [("exe", _takes), ("user", str.__eq__)]
    for key, takes in pairs:
        wanted, given = getattr(first, key), getattr(second, key)
        if wanted is not None and (given is None or not takes(wanted, given)):
            return False
    if not all(_takes_place(pattern, second) for pattern in _places(first)):
        return False
    return not first.comm or (
        bool(second.comm)
        and all(
            any(_takes(one[:COMM_BYTES], other[:COMM_BYTES]) for one in first.comm)
            for other in second.comm
        )
    )


def _takes_place(pattern: str, second: Match) -> bool:
    """Tell whether a glob on names or paths takes every place of another match."""
    if second.cgroup == pattern:
        return True
    names = [second.unit and unit_name(second.unit), second.cgroup]
    for name in filter(None, names):
        if name.startswith("/") and not WILD.search(name):
            if placed(pattern, name):
                return True
        elif "/" not in pattern + name and _takes(pattern, name):
            return True
    return False


def _takes(glob: str, other: str) -> bool:
    """Tell whether a glob takes whatever another glob, or a plain name, does."""
    if glob == other or not WILD.search(other):
        return fnmatchcase(other, glob) or glob == other
    # Where stars are all that is wild in it, they take the other's wild parts whole.
    return (
        not re.search(r"[?[]", glob) and "[" not in other and fnmatchcase(other, glob)
    )
