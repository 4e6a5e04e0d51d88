# SPDX-License-Identifier: MIT
"""Counterfactual twins: pairs that differ in one input, so that the answer changes.

And the controls that take one input away: words shuffled, no names, no objective.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from train.right import Situation, right
from train.tasks import Source, situation
from vagus.decide.prompt import ROLES, Card, stance_sign, time_of
from vagus.flow import Stance, Use, Word

Decide = Callable[[Situation], list[Stance]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two situations and what differs between them."""

    kind: str  # "word", "role", "clause"
    one: Situation
    two: Situation


def pairs(rng: random.Random, names: Sequence[str], count: int) -> list[Pair]:
    """Return twins of held-out wordings, a third of each kind."""
    source = Source(rng, "held", names, 0.1)
    out: list[Pair] = []
    makers = {"word": other_word, "role": other_role, "clause": other_clause}
    while len(out) < count:
        kind = tuple(makers)[len(out) % 3]
        one = situation(source)
        two = makers[kind](rng, one)
        if two is not None and _signs(one) != _signs(two):
            out.append(Pair(kind, one, two))
    return out


def _signs(s: Situation) -> list[str]:
    """Return what is right, slot by slot."""
    return [stance_sign(stance) for stance in right(s).stances]


def both_right(decide: Decide, twins: Sequence[Pair]) -> float:
    """Return the share of pairs of which both sides are right for every workload."""
    return sum(_is_right(decide, p.one) and _is_right(decide, p.two) for p in twins) / (
        len(twins)
    )


def by_kind(decide: Decide, twins: Sequence[Pair]) -> dict[str, float]:
    """Return the share of pairs right, for each kind of difference."""
    kinds = sorted({pair.kind for pair in twins})
    some = {kind: [p for p in twins if p.kind == kind] for kind in kinds}
    return {kind: round(both_right(decide, some[kind]), 4) for kind in kinds}


def _is_right(decide: Decide, s: Situation) -> bool:
    return decide(s) == right(s).stances


def other_word(rng: random.Random, s: Situation) -> Situation | None:
    """Return the situation with one signal word changed."""
    at, resource = rng.randrange(len(s.cards)), rng.randrange(3)
    card = s.cards[at]
    if rng.random() < 0.6:
        suffers = list(card.suffers)
        suffers[resource] = rng.choice(tuple(Word))
        card = replace(card, suffers=tuple(suffers))
    else:
        uses = list(card.uses)
        uses[resource] = rng.choice(tuple(Use))
        card = replace(card, uses=tuple(uses))
    return _with_card(s, at, card)


def other_role(rng: random.Random, s: Situation) -> Situation | None:
    """Return the situation with one workload's description changed."""
    at = rng.randrange(len(s.cards))
    role = rng.choice([role for roles in ROLES.values() for role in roles])
    return _with_card(s, at, replace(s.cards[at], role=role, time=time_of(role)))


def other_clause(rng: random.Random, s: Situation) -> Situation | None:
    """Return the situation with two workloads' names exchanged in the sentence."""
    named = [c.name for c in s.cards if any(c.name in x.names for x in s.clauses)]
    rest = [c.name for c in s.cards if c.name not in named]
    if not named or len(s.cards) < 2:
        return None
    a = rng.choice(named)
    b = rng.choice([name for name in (*named, *rest) if name != a])
    cards = {card.name: card for card in s.cards}
    # Name and program change hands, for the sentence may call him by either.
    swap = {a: cards[b], b: cards[a]}
    called = {name: swap.get(name, card) for name, card in cards.items()}
    return Situation(
        s.sentence,
        s.clauses,
        tuple(
            replace(card, name=called[name].name, program=called[name].program)
            for name, card in cards.items()
        ),
        s.good,
    )


def _with_card(s: Situation, at: int, card: Card) -> Situation:
    cards = (*s.cards[:at], card, *s.cards[at + 1 :])
    return Situation(s.sentence, s.clauses, cards, s.good)


# -- controls ------------------------------------------------------------------------


def shuffled(rng: random.Random, s: Situation) -> Situation:
    """Return the situation with the signal words dealt out at random."""
    suffers = [word for card in s.cards for word in card.suffers]
    uses = [use for card in s.cards for use in card.uses]
    rng.shuffle(suffers)
    rng.shuffle(uses)
    cards = tuple(
        replace(
            card,
            suffers=tuple(suffers[3 * i : 3 * i + 3]),
            uses=tuple(uses[3 * i : 3 * i + 3]),
        )
        for i, card in enumerate(s.cards)
    )
    return Situation(s.sentence, s.clauses, cards, s.good)


def without_names(s: Situation) -> Situation:
    """Return the situation with workloads that the sentence cannot mean by name."""
    cards = tuple(
        replace(card, name=f"nobody{i}", program="") for i, card in enumerate(s.cards)
    )
    return Situation(s.sentence, s.clauses, cards, s.good)


def renamed_back(stances: Sequence[Stance], s: Situation) -> list[Stance]:
    """Return stances about nobody0, nobody1, ... as stances about the workloads."""
    return [
        replace(stance, workload=card.name)
        for stance, card in zip(stances, s.cards, strict=True)
    ]


def without_objective(s: Situation) -> Situation:
    """Return the situation with an empty sentence."""
    return Situation("", s.clauses, s.cards, s.good)
