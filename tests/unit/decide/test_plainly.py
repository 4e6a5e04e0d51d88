# SPDX-License-Identifier: MIT
"""The question for models that do not know the signs."""

from pathlib import Path

import pytest

from vagus.decide.engine import Engine, fill_now
from vagus.decide.filler import Filler, Native
from vagus.decide.grammar import Blank, Text, filled, valid
from vagus.decide.plainly import in_signs, plain_form
from vagus.decide.prompt import Card, read_stances, stance_form
from vagus.flow import Act, Resource, Stance, Use, Word

OTHER = Path(__file__).parents[3] / ".output/smoke/other.gguf"
CARDS = [
    Card(name, "", "web", "service", False, (Word.BAD,) * 3, (Use.BUSY,) * 3)
    for name in ("shop", "backup")
]


def blanks(form):
    return {part.name: part.options for part in form if isinstance(part, Blank)}


def test_same_blanks_in_the_same_order_with_as_many_options():
    plain, signs = (make("x", CARDS, True) for make in (plain_form, stance_form))
    assert list(blanks(plain)) == list(blanks(signs))
    for name, options in blanks(plain).items():
        assert len(options) == len(blanks(signs)[name])
        # Prefix-free: what is written can be only one of them.
        assert not any(a != b and b.startswith(a) for a in options for b in options)


def test_answers_come_back_as_the_stances_they_say():
    form = plain_form("x", CARDS, True)
    answers = {name: options[0] for name, options in blanks(form).items()}
    answers |= {"standing1": " later!;", "stance1": " yield io 3;"}
    assert valid(form, answers)
    reading = read_stances(in_signs(answers, form, CARDS), ["shop", "backup"])
    assert reading.standings == ["later!", "first"]
    assert reading.stances[0] == Stance("shop", Act.YIELD, Resource.IO, 3)


def test_the_question_says_what_matters():
    text = filled(plain_form("Keep the shop fast", CARDS, False), {})
    for part in ("keep the shop fast", "1. shop:", "cpu bad/busy", "doubtful"):
        assert part in text


@pytest.mark.needs("smoke")
def test_a_model_without_signs_writes_only_options():
    form = plain_form("keep the shop fast", CARDS, True)
    with Engine(OTHER) as engine:
        answers = fill_now(engine, form)
        assert not engine.native
        assert valid(form, answers)


@pytest.mark.needs("smoke")
def test_spelling_an_option_takes_the_likeliest_path():
    filler = Filler(Native(OTHER, 1))
    form = (Text("who"), Blank("a", (" first;", " later;", " plain;")))
    answers, evaluated = filler.fill(form)
    assert answers["a"] in form[1].options and evaluated > 0
    only = (Text("who"), Blank("a", (" first;",)))
    assert filler.fill(only)[0] == {"a": " first;"}
