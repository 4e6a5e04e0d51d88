# SPDX-License-Identifier: MIT
"""docs/stance.md and right.py say the same."""

import re
from pathlib import Path

import pytest

from train.right import Clause, Situation, right, standing
from vagus.decide.follow import following
from vagus.decide.prompt import Card, Standing, time_of
from vagus.flow import Use, Word

PAGE = Path(__file__).parents[3] / "docs/stance.md"


def rows():
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def card(text):
    """'shop web slo, cpu bad busy, io ok heavy' -> Card."""
    head, *rest = [part.split() for part in text.strip().split(",")]
    suffers, uses = [Word.OK] * 3, [Use.IDLE] * 3
    for resource, word, use in rest:
        at = ("cpu", "io", "memory").index(resource)
        suffers[at], uses[at] = Word(word), Use(use)
    name, role = head[:2]
    return Card(name, "", role, time_of(role), "slo" in head, (*suffers,), (*uses,))


def said(stance):
    if stance.act == "leave":
        return "leave"
    return f"{stance.act} {stance.resource} {stance.strength}"


def test_there_are_enough_cases_and_some_say_do_nothing():
    assert len(rows()) >= 30
    calm = [row for row in rows() if set(row[4].split("; ")) == {"leave"}]
    assert len(calm) >= 4


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_stances_of_the_worked_cases(row):
    _, sentence, workloads, standings, stances = row
    cards = [card(text) for text in workloads.split(";")]
    reading = following(
        [Standing(word) for word in standings.split()], cards, "poor" not in sentence
    )
    assert [said(stance) for stance in reading.stances] == stances.split("; ")


def named(wish, *names):
    return Clause(wish, frozenset(names))


def group(wish, *roles):
    return Clause(wish, roles=frozenset(roles))


SHOP, BUILD = card("shop web"), card("build build")
FIRST, LATER = Standing.FIRST, Standing.LATER


@pytest.mark.parametrize(
    ("clauses", "shop", "build"),
    [
        ((), Standing.FIRST_ROLE, Standing.LATER_ROLE),
        ((named(FIRST, "shop"),), FIRST, Standing.LATER_ROLE),
        ((named(FIRST, "build"),), Standing.PLAIN, FIRST),
        ((named(LATER, "build"),), Standing.FIRST_ROLE, LATER),
        ((named(FIRST, "shop"), named(LATER, "shop")), LATER, Standing.LATER_ROLE),
        ((named(LATER, "shop"), named(FIRST, "shop")), FIRST, Standing.LATER_ROLE),
        ((named(FIRST, "shop"), group(LATER, "web")), FIRST, Standing.LATER_ROLE),
        ((group(LATER, "web"), named(FIRST, "shop")), FIRST, Standing.LATER_ROLE),
        ((Clause(LATER, rest=True), group(FIRST, "build")), LATER, FIRST),
        (
            (named(Standing.NEVER, "shop"), named(FIRST, "shop")),
            Standing.NEVER,
            Standing.LATER_ROLE,
        ),
        (
            (Clause(LATER, rest=True, excepted=frozenset({"shop"})),),
            Standing.FIRST_ROLE,
            LATER,
        ),
        ((named(None, "build"),), Standing.FIRST_ROLE, Standing.LATER_ROLE),
        ((named(FIRST, "printer"),), Standing.PLAIN, Standing.LATER_ROLE),
    ],
)
def test_standing_follows_the_rules_of_step_1(clauses, shop, build):
    assert (standing(SHOP, clauses), standing(BUILD, clauses)) == (shop, build)


def test_reversing_the_sentence_reverses_the_stances():
    shop = card("shop web, cpu bad busy")
    build = card("build build, cpu bad busy")
    there = right(
        Situation("", (named(FIRST, "shop"), named(LATER, "build")), (shop, build))
    )
    back = right(
        Situation("", (named(LATER, "shop"), named(FIRST, "build")), (shop, build))
    )
    assert [said(s) for s in there.stances] == ["protect cpu 2", "yield cpu 2"]
    assert [said(s) for s in back.stances] == ["yield cpu 2", "protect cpu 2"]
