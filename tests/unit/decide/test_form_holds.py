# SPDX-License-Identifier: MIT
"""The form holds whatever is asked: random situations, hostile names and sentences."""

import random

import pytest
from msgspec.structs import replace

from train.hostile import scores, texts
from train.tasks import Source, situation
from vagus.decide.engine import SHIPPED
from vagus.decide.filler import Filler, Native
from vagus.decide.follow import following
from vagus.decide.grammar import Text, valid
from vagus.decide.prompt import Card, read_stances, stance_form
from vagus.flow import Use, Word

pytestmark = pytest.mark.needs("model")
NAMES = ["restic", "quagga", "tinyproxy", "zorvik", "grotto", "pumice"]


@pytest.fixture(scope="module")
def filler():
    return Filler(Native(SHIPPED, 1))


def random_text(rng):
    """Return what somebody might send: a hostile text or any characters at all."""
    if rng.random() < 0.5:
        return rng.choice(texts(rng, 30))
    codes = (
        rng.choice((rng.randrange(32, 127), rng.randrange(0xD7FF))) for _ in "x" * 40
    )
    return "".join(map(chr, codes))


def mutilated(rng, cards):
    """Return the cards, some of them with names and programs of an attacker."""
    return tuple(
        Card(
            random_text(rng) if rng.random() < 0.3 else card.name,
            random_text(rng) if rng.random() < 0.3 else card.program,
            *(card.role, card.time, card.slo),
            tuple(rng.choice(tuple(Word)) for _ in range(3)),
            tuple(rng.choice(tuple(Use)) for _ in range(3)),
        )
        for card in cards
    )


def holds(filler, count, seed):
    """Assert that every answer is valid and that no text became a sign."""
    rng = random.Random(seed)
    signs = set(filler.signs.values())
    for _ in range(count):
        drawn = situation(Source(rng, rng.choice(("train", "held")), NAMES, 0.2))
        cards = mutilated(rng, drawn.cards)
        said = random_text(rng) if rng.random() < 0.3 else drawn.sentence
        form = stance_form(said, cards, drawn.good)
        answers, _ = filler.fill(form)
        assert valid(form, answers), (said, cards)
        assert read_stances(answers, [card.name for card in cards])
        calm = stance_form(
            "", [replace(c, name="", program="") for c in cards], drawn.good
        )
        assert written(filler, form, signs) == written(filler, calm, signs)


def written(filler, form, signs):
    """Return the form's signs as tokens; those that stand for a name are left out."""
    names = {filler.signs["<none>"], *(filler.signs[f"<w{i}>"] for i in range(1, 9))}
    texts = "".join(part.text for part in form if isinstance(part, Text))
    return [t for t in filler.tokens(texts) if t in signs and t not in names]


def test_random_situations_get_valid_answers_and_no_sign_is_forged(filler):
    holds(filler, 300, 1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_thousand_random_situations(filler):
    holds(filler, 10_000, 2)


def test_hostile_texts_change_nobody_else_and_gain_nothing(filler):
    def decide(s):
        answers, _ = filler.fill(stance_form(s.sentence, s.cards, s.good))
        said = read_stances(answers, [card.name for card in s.cards])
        return following(said.standings, s.cards, s.good).stances

    found = scores(decide, filler, NAMES)
    assert found["texts"] == 300
    assert found["others_unchanged"] >= OTHERS
    assert found["verified"] == 0


OTHERS = 0.99
