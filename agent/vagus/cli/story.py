# SPDX-License-Identifier: MIT
"""Everything that belongs to one decision, gathered from the record."""

from __future__ import annotations

from pathlib import Path

from vagus.cli import units
from vagus.errors import RecordError
from vagus.flow import Quality, Stance, Value
from vagus.record.found import (
    Decision,
    EffectRow,
    LeaseRow,
    Moment,
    RefusalRow,
)
from vagus.record.read import FOREVER_NS, Reader


class Seen(Value, frozen=True):
    """One workload as it was when the decision was made."""

    name: str  # of the workload
    program: str  # what the machine says it is
    role: str  # what it is for
    words: dict[str, str]  # how it suffered: cpu, io, memory
    uses: dict[str, str]  # how much it took: cpu, io, memory
    numbers: dict[str, float]  # by signal, with the unit in its name


class Story(Value, frozen=True):
    """One decision from the first sign to the last effect, as --json prints it."""

    id: int  # of the decision
    time: str  # ISO 8601, local
    wall_ns: int  # when
    tick: int  # of the window
    mode: str  # of the latest verdict
    decider: str  # who decided
    took_ms: float  # to decide
    model: str  # hash of the model file; empty without one
    fallback: str  # why the wanted decider did not answer
    policy: str  # hash of the policy in force
    policy_text: str  # its text, redacted; empty where it is not kept
    cause: str  # why, in a sentence
    seen: list[Seen]  # the workloads then, those that are named first
    quality: Quality  # what was lost then, which sources were silent
    prompt: str  # what the model was asked, redacted
    answer: str  # what it answered, raw
    wanted: list[Stance]  # the stances that were proposed
    allowed: list[Stance]  # by the latest verdict
    advised: list[Stance]  # likewise, of workloads that are only advised
    verdicts: int  # how many there were: some stances have to wait
    refused: list[RefusalRow]  # by verification or by the kernel, with the reason
    written: list[LeaseRow]  # leases with old and new values, and how they ended
    effects: list[EffectRow]  # what the judge found
    undo: str  # how to take it back, or that nothing is left


def find(reader: Reader, what: str, proc: Path) -> int:
    """Return the decision that an ID, a workload's name or a process means.

    A plain number is a decision where there is such a one, and else a process, as
    `pid:N` is in any case.  For a workload it is the latest that touched it.
    RecordError where there is none.
    """
    number = what.removeprefix("#").removeprefix("pid:")
    if not (number.isascii() and number.isdigit()):
        return latest(reader, _named(reader, what))
    is_process = what.startswith("pid:")
    if not is_process and reader.decision(int(number)) is not None:
        return int(number)
    name = _workload_of(reader, int(number), proc)
    if not name:
        nor = "" if is_process else f"no decision {number}, and "
        raise RecordError(
            f"there is {nor}no recorded workload with a process {number};"
            " `vagus decisions` lists what there is"
        )
    return latest(reader, name)


def also(reader: Reader, what: str, proc: Path) -> str:
    """Say how to ask for a process where its number is a decision's; else ''."""
    if not (what.isascii() and what.isdigit()) or reader.decision(int(what)) is None:
        return ""
    name = _workload_of(reader, int(what), proc)
    return f"{what} is a process of {name}, too: vagus explain pid:{what}" * bool(name)


def latest(reader: Reader, name: str, until_ns: int = FOREVER_NS) -> int:
    """Return the latest decision that touched a workload; RecordError without one."""
    found = reader.decisions(until_ns=until_ns, workload=name, limit=1)
    if not found:
        raise RecordError(
            f"no decision touched {name}; `vagus decisions` lists what there is"
        )
    return found[-1].id


def _named(reader: Reader, what: str) -> str:
    """Return the workload that a name or a systemd unit means."""
    latest = reader.latest()
    loads = latest.window.workloads if latest else {}
    if what in loads or reader.decisions(workload=what, limit=1):
        return what
    for load in loads.values():
        if load.cgroup == what or load.cgroup.rsplit("/", 1)[-1] in (
            what,
            f"{what}.service",
        ):
            return load.name
    return what


def _workload_of(reader: Reader, pid: int, proc: Path) -> str:
    """Return the workload of a process: from the record, or by its cgroup now."""
    latest = reader.latest()
    if latest is None:
        return ""
    loads = latest.window.workloads
    for load in loads.values():
        if pid in load.pids:
            return load.name
    try:
        text = (proc / str(pid) / "cgroup").read_text()
    except OSError:
        return ""
    path = text.strip().rsplit("::", 1)[-1]
    inside = [
        load
        for load in loads.values()
        if path == load.cgroup or path.startswith(load.cgroup.rstrip("/") + "/")
    ]
    return max(inside, key=lambda load: len(load.cgroup)).name if inside else ""


def tell(reader: Reader, number: int) -> Story:
    """Return the whole story of a decision; RecordError where there is none."""
    decision = reader.decision(number)
    if decision is None:
        raise RecordError(f"there is no decision {number}; see `vagus decisions`")
    moment = reader.moment(decision.window)
    written = reader.leases(decision=number)
    proposal = decision.proposal
    return Story(
        id=decision.id,
        time=units.iso(decision.wall_ns),
        wall_ns=decision.wall_ns,
        tick=moment.window.tick if moment else 0,
        mode=decision.mode,
        decider=proposal.decider,
        took_ms=proposal.took_ms,
        model=proposal.model,
        fallback=proposal.fallback,
        policy=decision.policy,
        policy_text=reader.policy(decision.policy),
        cause=proposal.cause,
        seen=_seen(moment, decision),
        quality=moment.window.quality if moment else Quality(),
        prompt=proposal.prompt,
        answer=proposal.answer,
        wanted=proposal.stances,
        allowed=decision.allowed,
        advised=decision.verdict.advised if decision.verdict else [],
        verdicts=decision.verdicts,
        refused=reader.refused(number),
        written=written,
        effects=reader.effects(number),
        undo=_undo(number, written),
    )


def _seen(moment: Moment | None, decision: Decision) -> list[Seen]:
    """Return the workloads of the window, those that the decision names first."""
    if moment is None:
        return []
    named = [one.workload for one in decision.proposal.stances]
    loads = sorted(
        moment.window.workloads.values(),
        key=lambda load: (
            named.index(load.name) if load.name in named else len(named),
            load.name,
        ),
    )
    return [
        Seen(
            name=load.name,
            program=load.identity.unit_description
            or load.identity.synopsis
            or load.identity.comm,
            role=load.role.name,
            words={key: word.value for key, word in load.words.items()},
            uses={key: use.value for key, use in load.uses.items()},
            numbers=load.numbers,
        )
        for load in loads
    ]


def _undo(number: int, written: list[LeaseRow]) -> str:
    """Say how to take it back, or that nothing is left to take back."""
    if any(one.end is None and one.is_current for one in written):
        return f"vagus undo {number}   (everything, also without the agent: vagus off)"
    if not written:
        return "nothing was written"
    if any(one.end is None for one in written):
        return "nothing is held: the kernel restored it when that agent ended"
    return "nothing is held any more"
