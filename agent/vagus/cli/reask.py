# SPDX-License-Identifier: MIT
"""`vagus replay --check`, the model's part: ask again what it was asked, and compare.

A question follows from a window, the policy in force and the sentence, so it is made
again and must be the recorded one; the model is greedy, so the same file must give
the same answer.  Without that file only the questions are compared.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec

from vagus.cli import units
from vagus.decide.engine import Engine, Filled
from vagus.decide.grammar import Form, filled
from vagus.decide.plainly import plain_form
from vagus.decide.prompt import stance_form
from vagus.decide.stance import card_of, choose
from vagus.errors import ModelError
from vagus.flow import Proposal, Record, Window
from vagus.policy.model import Policy
from vagus.record.redact import MARK

BEFORE = 10  # windows back in which a question may have been asked
DEADLINE_MS = 60_000


class Reply(msgspec.Struct, frozen=True):
    """One answer, or question, that came out another way."""

    tick: int
    time: str  # ISO 8601, local
    wall_ns: int
    what: str  # "question" or "answer"
    recorded: str
    again: str


class Replies(msgspec.Struct, frozen=True):
    """What asking again gave, as --json prints it."""

    asked: int = 0  # questions made again and answered again
    without_model: int = 0  # made again; the model file that answered is not here
    skipped: int = 0  # redacted, or without what they were made from
    differences: list[Reply] = []


class Asker:
    """Owns an engine, once it is needed; a context manager."""

    def __init__(self, model: Path | None, is_asking: bool) -> None:
        """Ask `model`, or the shipped one; only compare questions without is_asking."""
        self._path, self._is_asking = model, is_asking
        self._engine: Engine | None = None
        self._windows: deque[Window] = deque(maxlen=BEFORE)
        self._known: Proposal | None = None
        self._counts = dict.fromkeys(("asked", "without_model", "skipped"), 0)
        self._differences: list[Reply] = []

    def __enter__(self) -> Asker:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the engine."""
        if self._engine is not None:
            self._engine.close()

    def found(self) -> Replies:
        """Return what was found so far."""
        return Replies(**self._counts, differences=self._differences)

    def follow(self, record: Record, policy: Policy | None) -> None:
        """Take the next record, in order; `policy` was in force for its verdict."""
        self._windows.append(record.window)
        proposal = record.proposal
        if proposal is None or proposal == self._known or not proposal.prompt:
            return
        self._known = proposal
        if policy is None or MARK in proposal.prompt or not proposal.objective:
            self._counts["skipped"] += 1
            return
        form = self._question(proposal, policy)
        if form is None:
            again = next(self._forms(proposal, policy), ())
            self._differ(record, "question", proposal.prompt, filled(again, {}))
            return
        answer = self._answer(form, proposal.model)
        if answer is None:
            self._counts["without_model"] += 1
            return
        self._counts["asked"] += 1
        if answer != proposal.answer:
            self._differ(record, "answer", proposal.answer, answer)

    def _question(self, proposal: Proposal, policy: Policy) -> Form | None:
        """Return the recorded question, made again; None where no window gives it."""
        forms = self._forms(proposal, policy)
        return next((one for one in forms if filled(one, {}) == proposal.prompt), None)

    def _forms(self, proposal: Proposal, policy: Policy) -> Iterator[Form]:
        """Yield the questions of the last windows, newest first."""
        for window in reversed(self._windows):
            cards = [card_of(window.workloads[one], policy) for one in choose(window)]
            for make in (stance_form, plain_form):
                yield make(proposal.objective, cards, window.quality.good)

    def _answer(self, form: Form, model: str) -> str | None:
        """Return the model's answer; None where another file answered then."""
        if not self._is_asking:
            return None
        if self._engine is None:
            try:
                self._engine = Engine(self._path)
            except ModelError:
                self._is_asking = False
                return None
        done: list[Filled] = []
        self._engine.submit(form, DEADLINE_MS, done.append)
        while not done:
            select.select([self._engine.fileno()], [], [], 0.5)
            self._engine.pump()
            if self._engine.ready and self._engine.state().model != model:
                self._is_asking = False
                return None
        return filled(done[0].form, done[0].answers) if not done[0].why else None

    def _differ(self, record: Record, what: str, recorded: str, again: str) -> None:
        self._differences.append(
            Reply(
                record.window.tick,
                units.iso(record.wall_ns),
                record.wall_ns,
                what,
                recorded,
                again,
            )
        )
