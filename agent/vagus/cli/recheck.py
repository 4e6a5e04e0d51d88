# SPDX-License-Identifier: MIT
"""`vagus replay --check`: make every recorded verdict and step again and compare.

A verdict follows from its proposal, the window, the policy in force and what
verification remembered; all of it is on record, so the same code must give the
same verdict, whatever kernel or model is here now.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from vagus.cli import common, units, words
from vagus.cli.reask import Asker, Replies
from vagus.cli.retake import Steps, Walker, lines
from vagus.errors import PolicyError, RecordError
from vagus.flow import Basis, Record, Verdict, Window
from vagus.policy.load import loads
from vagus.policy.model import Policy
from vagus.record.read import Reader
from vagus.verify import VerifyState, verify
from vagus.wishes import Wishes


class Difference(msgspec.Struct, frozen=True):
    """One verdict that came out another way."""

    tick: int  # of the window it was made from
    time: str  # ISO 8601, local
    wall_ns: int  # when
    recorded: Verdict  # as it was
    recomputed: Verdict  # as it is now


class Result(msgspec.Struct, frozen=True):
    """What a check found, as --json prints it."""

    verdicts: int  # recomputed
    skipped: int  # without what they were made from
    differences: list[Difference]
    replies: Replies = Replies()  # of the model
    steps: Steps = Steps()  # of the reflex
    altered: int = 0  # of those skipped, under a policy that held a secret


def check(
    path: Path, since_ns: int, until_ns: int, as_json: bool, ask_model: bool = True
) -> int:
    """Print what differs; 1 where something does."""
    with Reader(path) as reader, Asker(None, ask_model) as asker:
        found = recheck(reader, since_ns, until_ns, asker)
    if as_json:
        common.print_json(found)
    else:
        print(text(found), end="")
    parts = (found, found.replies, found.steps)
    return int(any(part.differences for part in parts))


def recheck(
    reader: Reader, since_ns: int, until_ns: int, asker: Asker | None = None
) -> Result:
    """Recompute the verdicts of a time range; ask again, where there is an asker.

    RecordError where nothing is recorded in it: that is no check that passed.
    """
    verdicts = skipped = altered = windows = 0
    differences = []
    policies, walker = _Policies(reader), Walker()
    for record, window in _windows(reader, since_ns, until_ns):
        windows += 1
        walker.follow(record)
        basis, verdict, proposal = record.basis, record.verdict, record.proposal
        policy = policies.in_force(basis) if basis else None
        if asker is not None:
            asker.follow(record, policy)
        if record.verdict is None:
            continue
        if not (basis and verdict and proposal and policy and window):
            skipped += 1
            altered += basis is not None and reader.is_altered(basis.policy)
            continue
        verdicts += 1
        state = msgspec.json.decode(basis.state, type=VerifyState)
        again, _ = verify(proposal, window, policy, state, basis.now_ns)
        if again != verdict:
            time = units.iso(record.wall_ns)
            tick, wall_ns = basis.tick, record.wall_ns
            differences.append(Difference(tick, time, wall_ns, verdict, again))
    if not windows:
        raise RecordError("nothing is recorded in that time; see `vagus record ls`")
    replies = asker.found() if asker else Replies()
    return Result(verdicts, skipped, differences, replies, walker.found(), altered)


def _windows(
    reader: Reader, since_ns: int, until_ns: int
) -> Iterator[tuple[Record, Window | None]]:
    """Yield the records, each with the window that its verdict was made from.

    An answer that came between two ticks was verified with the window before; None
    where that one is not on record.
    """
    before = reader.window_before(since_ns, until_ns)
    for record in reader.between(since_ns, until_ns):
        tick = record.basis.tick if record.basis else record.window.tick
        there = (one for one in (record.window, before) if one and one.tick == tick)
        yield record, next(there, None)
        before = record.window


class _Policies:
    """Makes the policies in force again; loads each text once."""

    def __init__(self, reader: Reader) -> None:
        """Read texts from the record."""
        self._reader = reader
        self._loaded: dict[str, Policy | None] = {}

    def in_force(self, basis: Basis) -> Policy | None:
        """Return the policy of a verdict; None where its text is not kept as it was."""
        base = self._base(basis.policy)
        if base is None:
            return None
        wishes = msgspec.json.decode(basis.wishes, type=Wishes)
        return wishes.over(base, datetime.fromisoformat(basis.local))

    def _base(self, name: str) -> Policy | None:
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> Policy | None:
        if self._reader.is_altered(name):
            return None
        text = self._reader.policy(name)
        try:
            return loads(text, f"policy {name}") if text else None
        except PolicyError as error:
            raise RecordError(f"policy {name} of the record: {error}") from error


def text(found: Result) -> str:
    """Say what a check found."""
    told = []
    for one in found.differences:
        told.append(f"tick {one.tick} ({one.time}): the verdict differs")
        told += [
            f"  {name}  {_verdict(verdict)}"
            for name, verdict in (
                ("recorded  ", one.recorded),
                ("recomputed", one.recomputed),
            )
        ]
    replies = found.replies
    for reply in replies.differences:
        told.append(f"tick {reply.tick} ({reply.time}): the {reply.what} differs")
        told += [f"  recorded    {reply.recorded}", f"  again       {reply.again}"]
    told.append(
        f"{found.verdicts} verdicts recomputed, {len(found.differences)} differ"
        + (f", {found.skipped} not to be recomputed" if found.skipped else "")
    )
    if found.altered:
        told.append(
            f"  {found.altered} of these because a secret was taken out of the policy"
            " before it was kept"
        )
    if replies.asked or replies.without_model or replies.differences or replies.skipped:
        told.append(
            f"{replies.asked} questions asked again, {len(replies.differences)} differ"
            + _also(replies.without_model, "whose model file is not here")
            + _also(replies.skipped, "not to be made again")
        )
    return "\n".join([*told, *lines(found.steps)]) + "\n"


def _also(count: int, what: str) -> str:
    return f", {count} {what}" if count else ""


def _verdict(one: Verdict) -> str:
    refused = ", ".join(f"{no.workload} {no.code}" for no in one.refused) or "nothing"
    return f"{words.stances(one.allowed)}; refused: {refused}; {one.mode.value}"
