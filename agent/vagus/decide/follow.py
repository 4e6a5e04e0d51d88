# SPDX-License-Identifier: MIT
"""From who is who and the signal words to stances: docs/stance.md, steps 2 and 3."""

from __future__ import annotations

from collections.abc import Sequence

from vagus.decide.prompt import HELPED, Card, Reading, Standing, stance_of
from vagus.flow import Act, Resource, Stance, Use, Word

LATERS = (Standing.LATER, Standing.LATER_HARD, Standing.LATER_ROLE)
RESOURCES = tuple(Resource)
SEVERITY = {Word.BAD: 2, Word.CRITICAL: 3}
SHIFT = {
    Standing.FIRST_HARD: 1,
    Standing.LATER_HARD: 1,
    Standing.FIRST_ROLE: -1,
    Standing.LATER_ROLE: -1,
}


def following(
    standings: list[Standing], cards: Sequence[Card], good: bool = True
) -> Reading:
    """Return what is right once it is known who is who: steps 2 and 3."""
    total = trouble(standings, cards)
    stances = []
    for own, (who, card) in enumerate(zip(standings, cards, strict=True)):
        mine = levels(standings, cards, own)
        stance = stance_of("<leave>", card.name)
        if max(mine):
            stance = _stance(card.name, Act.PROTECT, mine, who, good)
        elif who in LATERS:
            taken = tuple(total[r] * takes(card, r) for r in range(3))
            if max(taken):
                stance = _stance(card.name, Act.YIELD, taken, who, good)
        stances.append(stance)
    return Reading(standings, total, stances)


def _stance(
    name: str, act: Act, level: Sequence[int], who: Standing, good: bool
) -> Stance:
    """Return the stance on the resource of the highest level; earlier wins a tie."""
    worst = max(range(3), key=lambda r: (level[r], -r))
    strength = max(1, min(3, level[worst] + SHIFT.get(who, 0))) if good else 1
    return Stance(name, act, RESOURCES[worst], strength)


def trouble(
    standings: Sequence[Standing], cards: Sequence[Card]
) -> tuple[int, int, int]:
    """Return the trouble on cpu, io, memory, 0..3: step 2."""
    table = [levels(standings, cards, own) for own in range(len(cards))]
    cpu, io, memory = (max((row[r] for row in table), default=0) for r in range(3))
    return cpu, io, memory


def levels(
    standings: Sequence[Standing], cards: Sequence[Card], own: int
) -> tuple[int, int, int]:
    """Return how much one workload's suffering counts on each resource."""
    if standings[own] not in HELPED:
        return 0, 0, 0
    out = []
    for r, word in enumerate(cards[own].suffers):
        touch = word is Word.WARM and standings[own] is not Standing.FIRST_ROLE
        taken = any(
            who in LATERS and takes(card, r)
            for who, card in zip(standings, cards, strict=True)
        )
        out.append(SEVERITY.get(word, int(touch and taken)))
    return out[0], out[1], out[2]


def takes(card: Card, resource: int) -> bool:
    """Tell whether a workload uses a resource busy or heavy."""
    return card.uses[resource] in (Use.BUSY, Use.HEAVY)
