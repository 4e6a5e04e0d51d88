# SPDX-License-Identifier: MIT
"""docs/stance.md as code: what a sentence means and which stances are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vagus.decide.follow import following
from vagus.decide.prompt import HELPED, Card, Reading, Standing


@dataclass(frozen=True, slots=True)
class Clause:
    """One wish about workloads: by name, by group (roles or times), or the rest."""

    wish: Standing | None  # None: a mention without a wish
    names: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    times: frozenset[str] = frozenset()
    rest: bool = False  # "everything", "everything else", "the others"
    excepted: frozenset[str] = frozenset()  # names that a group leaves out


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decider sees, with the sentence's meaning beside its words."""

    sentence: str
    clauses: tuple[Clause, ...]
    cards: tuple[Card, ...]
    good: bool = True


def standing(card: Card, clauses: Sequence[Clause]) -> Standing:
    """Return who a workload is: step 1."""
    asked = [(near, c.wish) for c in clauses if c.wish and (near := nearness(card, c))]
    if any(wish is Standing.NEVER for _, wish in asked):
        return Standing.NEVER
    if asked:  # the nearest target wins, and of equally near ones the last
        nearest = max(near for near, _ in asked)
        return [wish for near, wish in asked if near == nearest][-1]
    favours = any(clause.wish in HELPED for clause in clauses)
    if card.slo or (not favours and card.time in ("interactive", "service")):
        return Standing.FIRST_ROLE
    if card.time in ("throughput", "deferrable"):
        return Standing.LATER_ROLE
    return Standing.PLAIN


def nearness(card: Card, clause: Clause) -> int:
    """Return 3 for a name, 2 for a group, 1 for the rest, 0 for not meant."""
    if card.name in clause.names:
        return 3
    if card.name in clause.excepted:
        return 0
    if card.role in clause.roles or card.time in clause.times:
        return 2
    return int(clause.rest)


def right(situation: Situation) -> Reading:
    """Return the standings, the trouble and the stances that are right."""
    cards = situation.cards
    standings = [standing(card, situation.clauses) for card in cards]
    return following(standings, cards, situation.good)
