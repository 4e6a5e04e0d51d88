# SPDX-License-Identifier: MIT
"""Twins differ in what they say they differ in, and in nothing else."""

import random

from train.tasks import Source, situation
from train.twins import other_clause, other_role, pairs

PACKAGES = ["restic", "quagga", "tinyproxy"]


def test_who_is_called_by_a_name_is_called_by_its_program_too(scaled):
    """A sentence may call a workload by either, so both change hands."""
    rng = random.Random(1)
    source = Source(rng, "held", PACKAGES, 0.1)
    exchanged = 0
    for _ in range(scaled(500)):
        one = situation(source)
        two = other_clause(rng, one)
        if two is None:
            continue
        called = [{(c.name, c.program) for c in s.cards} for s in (one, two)]
        assert called[0] == called[1]
        moved = [a.name != b.name for a, b in zip(one.cards, two.cards, strict=True)]
        assert sum(moved) == 2
        rest = [[(c.role, c.suffers, c.uses) for c in s.cards] for s in (one, two)]
        assert rest[0] == rest[1]
        exchanged += 1
    assert exchanged > 100


def test_another_role_is_one_workload_of_the_same_sentence():
    rng = random.Random(2)
    source = Source(rng, "held", PACKAGES, 0.1)
    for _ in range(200):
        one = situation(source)
        two = other_role(rng, one)
        assert (two.sentence, two.clauses) == (one.sentence, one.clauses)
        assert sum(a != b for a, b in zip(one.cards, two.cards, strict=True)) <= 1


def test_the_two_of_a_pair_want_different_answers():
    kinds = [pair.kind for pair in pairs(random.Random(3), PACKAGES, 30)]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "word": 10,
        "role": 10,
        "clause": 10,
    }
