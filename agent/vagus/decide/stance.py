# SPDX-License-Identifier: MIT
"""The llm decider: asks the model for stances when something changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

from vagus.decide.engine import Engine, Filled
from vagus.decide.follow import following
from vagus.decide.grammar import Form, filled
from vagus.decide.hold import held
from vagus.decide.plainly import in_signs, plain_form
from vagus.decide.prompt import (
    SLOTS,
    Card,
    Reading,
    Standing,
    read_stances,
    stance_form,
)
from vagus.decide.standing import lasting
from vagus.flow import (
    Act,
    Decider,
    Proposal,
    Resource,
    Stance,
    Use,
    Window,
    Word,
    WorkloadWindow,
)
from vagus.policy.model import Policy
from vagus.policy.trust import entry_of, installed

PATIENCE_NS = 10_000_000_000  # for a model that is being loaded


class LlmDecider:
    """Proposes the model's stances; falls back, and says so, where it cannot."""

    name = "llm"

    def __init__(
        self,
        policy: Policy,
        engine: Engine | None,
        fallback: Decider,
        missing: str = "",
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take an engine, or None with the reason why there is none."""
        self._policy = policy
        self._engine = engine
        self._fallback = fallback
        self._missing = missing or "there is no model"
        self._clock = clock
        self._asked_ns = 0
        self._key: object = None  # what the last question was about
        self._sentence = ""  # of the last question
        self._troubled: set[str] = set()  # who was in trouble in it
        self._hurried = False  # it did not wait for the interval
        self._stood: dict[str, list[Stance]] = {}  # last answers, by objective
        self._last: Proposal | None = None
        self._ready: Proposal | None = None
        self._open = False

    def set_policy(self, policy: Policy) -> None:
        """Decide by another policy from now on; the engine stays."""
        self._policy = policy
        self._key = None

    def consider(self, window: Window, objective: str) -> None:
        """Ask when a word, a workload or the sentence changed, and not too often.

        Once an interval, a new sentence and somebody's trouble that begins do not wait
        for it to end: a backlog grows meanwhile, and takes long to drain.
        """
        if self._engine is None:
            self._fallback.consider(window, objective)
            return
        self._engine.pump()
        chosen = choose(window)
        cards = [card_of(window.workloads[name], self._policy) for name in chosen]
        key = (objective, tuple(cards), window.quality.good)
        troubled = {card.name for card in cards if is_troubled(card)}
        news = bool(troubled - self._troubled) or objective != self._sentence
        since_ns = self._clock() - self._asked_ns
        early = bool(self._asked_ns) and since_ns < self._policy.decide.min_interval_ns
        if self._open and self._is_loading():
            self._fallback.consider(window, objective)
        if self._open or (early and (self._hurried or not news)):
            return
        if key == self._key:
            self._repeat()
            return
        self._key, self._asked_ns, self._open = key, self._clock(), True
        self._sentence, self._troubled, self._hurried = objective, troubled, early

        def form(native: bool) -> Form:
            make = stance_form if native else plain_form
            return make(objective, cards, window.quality.good)

        def done(result: Filled) -> None:
            self._take(result, chosen, cards, window, objective)

        deadline = self._policy.model.deadline_ms
        self._engine.submit(form, deadline, done, urgent=True)

    def answer(self) -> Proposal | None:
        """Return a proposal once, when there is one."""
        if self._engine is None:
            return self._fallen(self._fallback.answer(), self._missing)
        self._engine.pump()
        ready, self._ready = self._ready, None
        if ready is None and self._open and self._is_loading():
            return self._fallen(self._fallback.answer(), "the model is still loading")
        return ready

    def _is_loading(self) -> bool:
        """Tell whether the model takes so long to load that rules must step in."""
        late = self._clock() - self._asked_ns > PATIENCE_NS
        return late and self._engine is not None and not self._engine.ready

    def fileno(self) -> int:
        """Return the engine's descriptor, or -1."""
        return self._engine.fileno() if self._engine else -1

    def close(self) -> None:
        """End engine and fallback."""
        if self._engine:
            self._engine.close()
        self._fallback.close()

    def _take(
        self,
        result: Filled,
        names: Sequence[str],
        cards: Sequence[Card],
        window: Window,
        objective: str,
    ) -> None:
        """Turn what the engine said into a proposal."""
        self._open = False
        if result.why:
            self._key = None  # ask again when the interval allows it
            self._fallback.consider(window, objective)
            self._ready = self._fallen(self._fallback.answer(), result.why)
            return
        form, answers = result.form, result.answers
        if not (self._engine and self._engine.native):
            answers = in_signs(answers, form, cards)
        said = read_stances(answers, names)
        reading = following(said.standings, cards, window.quality.good)
        before = lasting(self._stood.pop(objective, []), window)
        stances = held(before, reading.stances, window)
        # The one before as well: a sentence may only be tried and not kept.
        self._stood = {**dict(list(self._stood.items())[-1:]), objective: stances}
        self._last = self._ready = Proposal(
            decider=self.name,
            stances=stances,
            cause=cause(reading, names, before, stances)
            + correction(said.stances, reading.stances),
            took_ms=result.took_ms,
            model=self._engine.state().model if self._engine else "",
            prompt=filled(form, {}),
            answer=filled(form, result.answers),
            objective=objective,
        )

    def _repeat(self) -> None:
        """Say the same again: verification may have had a stance wait."""
        if self._last and any(s.act is not Act.LEAVE for s in self._last.stances):
            self._asked_ns = self._clock()
            self._ready = self._last

    def _fallen(self, proposal: Proposal | None, why: str) -> Proposal | None:
        """Return the fallback's proposal, marked as one."""
        if proposal is None:
            return None
        return Proposal(
            decider=proposal.decider,
            stances=proposal.stances,
            cause=proposal.cause,
            took_ms=proposal.took_ms,
            fallback=why,
        )


def choose(window: Window) -> list[str]:
    """Return at most SLOTS workload names, those in trouble and the greedy first."""
    order = sorted(window.workloads.values(), key=_weight, reverse=True)[:SLOTS]
    return [one.name for one in sorted(order, key=lambda one: one.name)]


def card_of(one: WorkloadWindow, policy: Policy) -> Card:
    """Return what the model sees of a workload."""
    entry = entry_of(policy, one)
    cpu, io, memory = (one.words.get(r, Word.UNKNOWN) for r in Resource)
    uses = [one.uses.get(r, Use.UNKNOWN) for r in Resource]
    return Card(
        name=one.name,
        program=trusted_program(one.identity.exe),
        role=one.role.name,
        time=one.role.time_sense,
        slo=bool(entry and entry.slo and entry.slo.numbers()),
        suffers=(cpu, io, memory),
        uses=(uses[0], uses[1], uses[2]),
    )


def is_troubled(card: Card) -> bool:
    """Tell whether a workload is in trouble on anything."""
    return not {Word.BAD, Word.CRITICAL}.isdisjoint(card.suffers)


def trusted_program(exe: str) -> str:
    """Return an executable's name where it is the system's word, not the process's."""
    return PurePosixPath(exe).name if installed(exe) else ""


def cause(
    reading: Reading,
    names: Sequence[str],
    before: Sequence[Stance],
    now: Sequence[Stance],
) -> str:
    """Return in one sentence why these stances."""
    firsts = _listed(reading, names, "first")
    laters = _listed(reading, names, "later")
    who = f"{firsts or 'nobody'} comes first"
    if laters:
        who += f", {laters} may wait"
    level = max(reading.trouble)
    if level:
        where = list(Resource)[reading.trouble.index(level)]
        how = {1: "warm", 2: "bad", 3: "critical"}[level]
        return f"{who}; {where} is {how} for somebody who comes first"
    if any(stance.act is not Act.LEAVE for stance in now) and before:
        return f"{who}; no trouble now, held while the competition goes on"
    return f"{who}; no trouble, nothing to do"


def correction(said: Sequence[Stance], followed: Sequence[Stance]) -> str:
    """Return what was corrected of the model's answer; '' where nothing was.

    A small model reads well and reckons badly: its stances must follow from its own
    reading of who is who, by docs/stance.md, or what follows is taken instead.
    """
    wrong = [a.workload for a, b in zip(said, followed, strict=True) if a != b]
    return f"; corrected by its own reading: {', '.join(wrong)}" if wrong else ""


def _listed(reading: Reading, names: Sequence[str], kind: str) -> str:
    pairs = zip(names, reading.standings, strict=True)
    return " and ".join(name for name, who in pairs if Standing(who).startswith(kind))


def _weight(one: WorkloadWindow) -> tuple[int, int, str]:
    words: Mapping[Word, int] = {Word.WARM: 1, Word.BAD: 2, Word.CRITICAL: 3}
    uses: Mapping[Use, int] = {Use.LIGHT: 1, Use.BUSY: 2, Use.HEAVY: 3}
    suffers = max((words.get(word, 0) for word in one.words.values()), default=0)
    takes = max((uses.get(use, 0) for use in one.uses.values()), default=0)
    return suffers, takes, one.name
