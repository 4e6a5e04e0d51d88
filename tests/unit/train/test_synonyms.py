# SPDX-License-Identifier: MIT
"""Words for words: WordNet's own files read, forms kept, what does not fit left out."""

import random

import numpy as np
import pytest

from train.synonyms import WordNet, fitting, inflected, reworded, swapped

# Offsets count bytes; lines as in WordNet 3.0: offset, file, kind, count, words.
SETS = {
    "verb": (("throttle", ("throttle", "restrain", "bound", "Bound_Up")),),
    "noun": (("throttle", ("throttle", "accelerator")),),
    "adj": (("quick", ("quick", "speedy")),),
    "adv": (),
}


@pytest.fixture
def net(tmp_path):
    for part, sets in SETS.items():
        data, index = "  1 a licence\n", "  1 a licence\n"
        for lemma, words in sets:
            at = len(data)
            named = " ".join(f"{word} 0" for word in words)
            data += f"{at:08d} 30 x {len(words):02x} {named} 000 | what it means\n"
            index += f"{lemma} x 1 0 1 1 {at:08d}\n"
        (tmp_path / f"data.{part}").write_text(data)
        (tmp_path / f"index.{part}").write_text(index)
    (tmp_path / "verb.exc").write_text("bound bind\nheld hold\n")
    return WordNet(tmp_path)


def test_synonyms_keep_the_form_of_the_word(net):
    assert net.synonyms("throttle") == {"restrain", "bound", "accelerator"}
    assert net.synonyms("throttling") == {"restraining", "bounding"}
    assert net.synonyms("throttled") == {"restrained", "bounded"}
    assert net.synonyms("unheard") == set()
    net.irregular.add("restrain")
    assert net.synonyms("throttled") == {"bounded"}


@pytest.mark.parametrize(
    ("lemma", "form", "text"),
    [
        ("stop", "ing", "stopping"),
        ("free", "ing", "freeing"),
        ("delay", "s", "delays"),
        ("hurry", "ed", "hurried"),
        ("push", "s", "pushes"),
    ],
)
def test_regular_forms(lemma, form, text):
    assert inflected(lemma, form) == text


class Likes:
    """A teacher for whom texts with one word are far from all others."""

    def __init__(self, bad):
        self.bad = bad

    def vectors(self, texts):
        return np.array([[0.0, 1.0] if self.bad in x else [1.0, 0.0] for x in texts])


def test_what_changes_the_meaning_or_must_stay_unseen_is_left_out(net):
    lines = ["throttle {A}", "be quick with {A}"]
    everything = {"throttle": ["accelerator", "bound", "restrain"], "quick": ["speedy"]}
    assert fitting(net, Likes("nothing"), lines) == everything
    fewer = fitting(net, Likes("accelerator"), lines, ["bounding", "speedy"])
    assert fewer == {"throttle": ["restrain"]}


def test_targets_and_their_agreement_stay():
    table = {"needs": "x", "need": "require", "fast": "speedy", "push": "press"}
    assert swapped("{A} {need:A} {is:A} fast", table) == "{A} {need:A} {is:A} speedy"
    assert swapped("{needs:A} {pushs:B}", table) == "{requires:A} {pushs:B}"
    assert swapped("breakfast for {A}", table) == "breakfast for {A}"


def test_a_share_of_the_known_words_is_exchanged():
    rng, table = random.Random(1), {"keep": ["hold"], "fast": ["quick", "speedy"]}
    said = {reworded(rng, "keep {A} fast", table, 0.5) for _ in range(100)}
    assert len(said) == 6 and "keep {A} fast" in said and "hold {A} quick" in said
    assert reworded(rng, "keep {A} fast", table, 0.0) == "keep {A} fast"
