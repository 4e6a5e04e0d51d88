# SPDX-License-Identifier: MIT
"""What is allowed in a policy and still hardly meant: warnings of `policy check`."""

from __future__ import annotations

from collections.abc import Iterator

from vagus.flow import Act
from vagus.policy.match import spared_by
from vagus.policy.model import Policy
from vagus.policy.nodes import Key
from vagus.policy.workload import Match, Workload

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
    favoured = workload.protect or workload.slo is not None
    if favoured and _by_comm_alone(match):
        what = "a process chooses its own command name: add cgroup, unit, exe or user"
        yield ("workloads", name, "match"), f"is never protected; {what}"


def _by_comm_alone(match: Match) -> bool:
    return not (match.cgroup or match.unit or match.exe or match.user)


def _example(cgroup: str | None, unit: str | None) -> str:
    """Return a cgroup path that such a pattern stands for."""
    text = cgroup or unit or ""
    if unit and not cgroup and "." not in unit:
        text = f"{unit}.service"
    return text if text.startswith("/") else f"/{text}"


def _shadowed(policy: Policy) -> Iterator[tuple[Key, str]]:
    """Find workloads that can never be reached: the first match wins."""
    entries = list(policy.workloads.items())
    for number, (name, workload) in enumerate(entries):
        for earlier, other in entries[:number]:
            if _covers(other.match, workload.match):
                what = f"is never reached: {earlier} comes first and takes all of it"
                yield ("workloads", name, "match"), what
                break


def _covers(first: Match, second: Match) -> bool:
    """Tell whether everything that `second` demands is demanded by `first` too.

    Only equal patterns and subsets of command names are seen, not globs that
    include each other.
    """
    for key in ("cgroup", "unit", "exe", "user"):
        wanted = getattr(first, key)
        if wanted is not None and wanted != getattr(second, key):
            return False
    if first.comm:
        return bool(second.comm) and set(second.comm) <= set(first.comm)
    return True
