# SPDX-License-Identifier: MIT
"""Filling forms with the shipped model: what was asked before is not asked again."""

import pytest

from vagus.decide import filler as module
from vagus.decide.engine import SHIPPED
from vagus.decide.filler import Filler, Native
from vagus.decide.grammar import Blank, Text
from vagus.decide.prompt import Card, stance_form
from vagus.flow import Use, Word

pytestmark = pytest.mark.needs("model")
SENTENCE = "Keep the shop fast. The build can wait."


@pytest.fixture(scope="module")
def model():
    return Native(SHIPPED, 1)


def cards(suffers=Word.OK):
    calm = (Word.OK, Word.OK), (Use.IDLE,) * 3
    names = ("shop", "web"), ("build", "build"), ("a1", "backup"), ("a2", "backup")
    return [
        Card(name, "", role, "service", False, (suffers, *calm[0]), calm[1])
        for name, role in names
    ]


def test_who_is_who_is_asked_once_of_a_sentence(model):
    filler = Filler(model)
    first, tokens = filler.fill(stance_form(SENTENCE, cards(), True))
    again, fewer = filler.fill(stance_form(SENTENCE, cards(), True))
    assert again == first and fewer < tokens / 2
    # Other signals are another question of what follows, not of who is who.
    worse = stance_form(SENTENCE, cards(Word.CRITICAL), True)
    known, few = filler.fill(worse)
    assert few < tokens / 2 and known == Filler(model).fill(worse)[0]
    # Two that are alike and that nobody speaks of are one question.
    assert first["standing3"] == first["standing4"]
    assert len(filler.known) == 3


def test_what_differs_is_asked(model):
    filler = Filler(model)
    filler.fill(stance_form(SENTENCE, cards(), True))
    for sentence in ("Keep the build fast. The shop can wait.", "", "hello"):
        form = stance_form(sentence, cards(), True)
        assert filler.fill(form)[0] == Filler(model).fill(form)[0]
    asked = Text("<stance> keep<w1> fast.<web><service><w1>")
    options = ("<first>", "<later>"), ("<never>", "<later>")
    chosen = [filler.fill((asked, Blank("x", some)))[0]["x"] for some in options]
    assert chosen[0] == "<first>" and chosen[1] in options[1]


def test_what_is_kept_is_bounded(model, monkeypatch):
    monkeypatch.setattr(module, "KNOWN_MAX", 2)
    filler = Filler(model)
    first, _ = filler.fill(stance_form(SENTENCE, cards(), True))
    assert len(filler.known) == 2
    assert filler.fill(stance_form(SENTENCE, cards(), True))[0] == first
