# SPDX-License-Identifier: MIT
"""The shipped model reads: the demo's sentences, the worked cases, other names."""

import random
import re
from pathlib import Path

import pytest

from train.handwritten import handwritten
from train.right import right
from vagus.decide.engine import SHIPPED
from vagus.decide.filler import Filler, Native
from vagus.decide.follow import following
from vagus.decide.grammar import Echo, Text, merged, texts
from vagus.decide.prompt import Card, read_stances, stance_form, time_of
from vagus.flow import Use, Word

pytestmark = pytest.mark.needs("model")
PAGE = Path(__file__).parents[3] / "docs/stance.md"
KEEP = "Keep the {} fast. The {} and the {} can wait."
FINISH = "Finish the {}; the {} can wait."


@pytest.fixture(scope="module")
def filler():
    return Filler(Native(SHIPPED, 1))


def card(name, role, cpu="ok", use="busy"):
    return Card(
        name,
        "",
        role,
        time_of(role),
        False,
        (Word(cpu), Word.OK, Word.OK),
        (Use(use), Use.LIGHT, Use.LIGHT),
    )


def acts(filler, sentence, cards):
    answers, _ = filler.fill(stance_form(sentence, cards, True))
    said = read_stances(answers, [c.name for c in cards])
    stances = following(said.standings, cards, True).stances
    return {stance.workload: str(stance.act) for stance in stances}


def test_of_a_text_before_the_model_keeps_nothing(filler):
    asked = stance_form(KEEP.format("a", "b", "c"), [card("a", "web")], True)
    second = texts(asked)[1]
    echoed = next(part.name for part in second if isinstance(part, Echo))
    answers, _ = filler.fill(asked)
    given = [
        Text(answers[echoed]) if isinstance(part, Echo) else part for part in second
    ]
    kept = list(filler.past)
    alone, _ = filler.fill(merged(given))
    assert kept == filler.past
    assert alone == {name: answers[name] for name in alone}


NAMES = [
    ("shop", "backup", "build"),
    ("backup", "shop", "build"),
    ("zorvik", "blimp", "grotto"),
    ("team-a", "team-b", "team-c"),
    ("orders.service", "nightly.service", "ci.service"),
]


@pytest.mark.parametrize("names", NAMES)
def test_the_demo_sentence_whoever_bears_the_names(filler, names):
    roles = ("web", "backup", "build")
    for order in range(6):  # slots do not matter either
        cards = [
            card(name, role, "bad") for name, role in zip(names, roles, strict=True)
        ]
        random.Random(order).shuffle(cards)
        got = acts(filler, KEEP.format(*names), cards)
        assert got == {names[0]: "protect", names[1]: "yield", names[2]: "yield"}


@pytest.mark.parametrize("names", NAMES)
def test_the_reversed_sentence_reverses_the_stances(filler, names):
    roles = ("backup", "web", "build")
    cards = [card(n, r, "bad") for n, r in zip(names, roles, strict=True)]
    got = acts(filler, FINISH.format(*names[:2]), cards)
    assert got == {names[0]: "protect", names[1]: "yield", names[2]: "yield"}


def test_programs_exchanged_the_stances_follow_the_names(filler):
    sentence = KEEP.format("shop", "backup", "build")
    roles = {"shop": "web", "backup": "backup", "build": "build"}
    for first, second in (("shop", "backup"), ("backup", "shop")):
        other = dict(roles)
        other["shop"], other["backup"] = roles[first], roles[second]
        cards = [card(name, role, "bad") for name, role in other.items()]
        got = acts(filler, sentence, cards)
        assert got == {"shop": "protect", "backup": "yield", "build": "yield"}


def test_nobody_suffers_nobody_is_touched(filler):
    cards = [card("shop", "web"), card("backup", "backup"), card("build", "build")]
    for sentence in (KEEP.format("shop", "backup", "build"), "", "Pause the build!"):
        assert set(acts(filler, sentence, cards).values()) == {"leave"}


def test_without_a_sentence_roles_decide(filler):
    cards = [card("x1", "web", "critical"), card("x2", "build"), card("x3", "unknown")]
    assert acts(filler, "", cards) == {"x1": "protect", "x2": "yield", "x3": "leave"}


def test_never_touch_is_left_alone(filler):
    cards = [card("postgres", "database", "bad", "heavy"), card("shop", "web", "bad")]
    got = acts(filler, "Keep the shop fast. Never touch postgres.", cards)
    assert got == {"postgres": "leave", "shop": "protect"}


def worked():
    rows = [r for r in PAGE.read_text().splitlines() if re.match(r"\| \d", r)]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_most_worked_cases_are_read_right(filler):
    good = total = 0
    for _, sentence, workloads, standings, _ in worked():
        heads = [part.split(",")[0].split() for part in workloads.split(";")]
        cards = [
            Card(h[0], "", h[1], time_of(h[1]), "slo" in h, (Word.OK,) * 3, CALM)
            for h in heads
        ]
        said = "" if sentence.startswith("(none)") else sentence
        said = said.removesuffix("Window of poor quality.")
        answers, _ = filler.fill(stance_form(said, cards, True))
        reading = read_stances(answers, [c.name for c in cards])
        for got, want in zip(reading.standings, standings.split(), strict=True):
            good += got == want
            total += 1
    assert good / total >= WORKED, f"{good} of {total}"


def test_sentences_written_by_hand(filler):
    good = total = 0
    for s in handwritten(random.Random(1)):
        answers, _ = filler.fill(stance_form(s.sentence, s.cards, s.good))
        said = read_stances(answers, [c.name for c in s.cards])
        stances = following(said.standings, s.cards, s.good).stances
        want = right(s).stances
        good += sum(a == b for a, b in zip(stances, want, strict=True))
        total += len(want)
    assert good / total >= BY_HAND, f"{good} of {total}"


CALM = (Use.IDLE,) * 3
# What the shipped model reached when it was shipped, less a little; models/README.md.
WORKED = 0.8
BY_HAND = 0.8
