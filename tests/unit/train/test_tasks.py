# SPDX-License-Identifier: MIT
"""The grammar of objectives: disjoint splits, nothing unfilled, meaning kept."""

import random
import re

import pytest

from train import wordings, wordings_zh
from train.tasks import (
    KINDS,
    WIDE,
    Source,
    _line,
    expand,
    held_back,
    situation,
    templates,
    wishes,
)

PACKAGES = ["restic", "quagga", "tinyproxy"]


@pytest.mark.parametrize("split", ["train", "valid", "held", "novel"])
def test_every_draw_is_filled_and_names_are_distinct(split, scaled):
    source = Source(random.Random(1), split, PACKAGES, 0.3)
    for _ in range(scaled(2000)):
        drawn = situation(source)
        assert not set("{}[]|#") & set(drawn.sentence), drawn.sentence
        names = [card.name for card in drawn.cards]
        assert len(set(names)) == len(names) <= 8


SPLITS = ("train", "valid", "held")


def test_templates_are_split_and_all_sides_have_all_kinds():
    for book in (wordings, wordings_zh):
        for kind in (*KINDS, "CHATTER"):
            train, valid, out = (set(templates(book, kind, s)) for s in SPLITS)
            assert train and out and not train & out and not valid & (train | out)
            more = [*book.MORE.get(kind, ()), *WIDE[book].WIDE.get(kind, ())]
            more += wishes(book)[kind]
            assert train | valid | out == {*getattr(book, kind), *more}
            assert set(templates(book, kind, "novel")) == out


def test_training_never_says_what_a_held_out_template_can_say(scaled):
    """Templates written differently could still spell out the same sentence."""
    for book in (wordings, wordings_zh):
        rng = random.Random(4)
        ours = Source(rng, "train", PACKAGES)
        for kind in KINDS:
            lists = {**WIDE[book].LISTS, **book.LISTS}
            held = {
                expand(rng, line, lists)
                for line in templates(book, kind, "held")
                for _ in range(scaled(100))
            }
            assert all(held_back(book).fullmatch(text) for text in held)
            said = {_line(ours, book, kind) for _ in range(scaled(1000))}
            assert len(said) > 30 and not said & held


def test_vocabulary_of_the_novel_split_is_in_no_template():
    for book in (wordings, wordings_zh):
        wide = WIDE[book]
        lines = [line for kind in KINDS for line in getattr(book, kind)]
        lines += [
            line for part in (book.MORE, wide.WIDE) for x in part.values() for line in x
        ]
        lines += [line for kind in wishes(book).values() for line in kind]
        lists = [*book.LISTS.values(), *wide.LISTS.values()]
        text = re.sub(r"[|\[\],;?!]", " ", " ".join([*lines, *lists]))
        spoken = text.split() if book is wordings else text
        for name, words in book.NOVEL.items():
            for word in filter(None, words.split("|")):
                assert word.strip() not in spoken, (name, word)


def test_same_seed_same_situations():
    one, two = (
        [situation(Source(random.Random(5), "train", PACKAGES)) for _ in range(20)]
        for _ in range(2)
    )
    assert one == two
