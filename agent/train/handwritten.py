# SPDX-License-Identifier: MIT
"""Sentences written by hand, never trained on, as situations."""

from __future__ import annotations

import random
from pathlib import Path

from train.right import Clause, Situation, standing
from train.tasks import words
from vagus.decide.prompt import Card, Standing, time_of

PATH = Path(__file__).parent / "handwritten.txt"
EACH = 3  # draws of words for every sentence


def handwritten(rng: random.Random) -> list[Situation]:
    """Return each sentence with several draws of words; the standing is given."""
    return [
        situation_of(rng, sentence, who, standings)
        for sentence, who, standings in lines()
        for _ in range(EACH)
    ]


def lines() -> list[tuple[str, str, str]]:
    """Return sentence, workloads and standings of every line."""
    rows = [line.split("|") for line in PATH.read_text("utf-8").splitlines()]
    return [
        (row[0].strip(), row[1].strip(), row[2].strip())
        for row in rows
        if len(row) == 3 and not row[0].startswith("#")
    ]


def situation_of(
    rng: random.Random, sentence: str, who: str, standings: str
) -> Situation:
    """Return a situation whose clauses say exactly the given standings."""
    cards = []
    for pair in who.split(","):
        name, role = pair.split()
        drawn = words(rng, rng.choice(("single", "wild", "calm")), rng.randrange(3))
        cards.append(Card(name, "", role, time_of(role), False, *drawn))
    wanted = [Standing(word) for word in standings.split()]
    clauses = tuple(
        Clause(wish, frozenset({card.name}))
        for card, wish in zip(cards, wanted, strict=True)
    )
    assert [standing(card, clauses) for card in cards] == wanted
    return Situation(sentence, clauses, tuple(cards))
