# SPDX-License-Identifier: MIT
"""Roles decided by reading, and wishes kept as text: every line is as it should be."""

import dataclasses
import random
import re

import pytest

from train import wordings, wordings_zh
from train.corpus import Program, packages, read_program
from train.programs import READ, USUAL, by_reading
from train.split import GUESSED, Guessed, pool
from train.tasks import KINDS, wishes
from vagus.policy.roles import NAMES


def test_every_line_is_a_program_once_and_a_role_of_ours():
    rows = [line.split("\t") for line in READ.read_text("utf-8").splitlines()]
    assert len(rows) > 6000 and rows == sorted(rows)
    assert {role for _, role in rows} == {*NAMES, "-"}
    assert len({package for package, _ in rows}) == len(rows)
    assert by_reading() | USUAL == by_reading()


@pytest.mark.parametrize(
    ("known", "role", "read"),
    [({}, "", False), ({"rogue": "scan"}, "scan", True), ({"rogue": ""}, "", True)],
)
def test_only_who_was_read_has_a_role(known, role, read):
    program = read_program({"Package": "rogue", "Tag": "use::gameplaying"}, known)
    assert (program.role, program.read) == (role, read)


def test_who_was_read_to_have_no_role_is_not_guessed_at():
    names = ("one", "two", "three")  # families of the training side or not
    some = [Program(name, name, "", "", read=True) for name in names]
    rest = [Program(name, name, "", "", read=False) for name in names]
    sides = [pool([*some, *rest], out=held) for held in (False, True)]
    assert sorted(p.package for side in sides for p in side.unlabelled) == sorted(names)
    assert not any(p.read for side in sides for p in side.unlabelled)


def test_guesses_are_drawn_as_they_are_likely_beside_what_was_read():
    read = Program("read", "one", "", "scan", read=True)
    unread = Program("unread", "two", "", "", read=False)
    guesses = Guessed([unread], ["game", "build"], [[0.25, 0.75]])
    side = dataclasses.replace(pool([read], out=False), guessed=guesses)
    rng = random.Random(1)
    drawn = [side.with_role(rng) for _ in range(4000)]
    shares = {
        role: sum(one == (p, role) for one in drawn) / len(drawn)
        for p, role in ((read, "scan"), (unread, "game"), (unread, "build"))
    }
    wanted = {"scan": 1 - GUESSED, "game": GUESSED / 4, "build": GUESSED * 3 / 4}
    assert shares == pytest.approx(wanted, abs=0.03)
    alone = dataclasses.replace(side, guessed=None)
    assert {alone.with_role(rng) for _ in range(50)} == {(read, "scan")}


def test_of_a_package_in_two_lists_the_first_counts(tmp_path):
    for name, told in (("a", "tells of one thing"), ("b", "tells quite another thing")):
        (tmp_path / f"{name}_Packages").write_text(f"Package: x\nDescription: {name}\n")
        (tmp_path / f"{name}_i18n_Translation-en").write_text(
            f"Package: x\nDescription-en: {name}\n It {told}.\n"
        )
    (found,) = packages(tmp_path)
    assert (found.synopsis, found.about) == ("a", ("It tells of one thing.",))


def test_a_description_is_told_in_sentences_beside_the_synopsis(tmp_path):
    (tmp_path / "x_Packages").write_text(
        "Package: restic\nDescription: backup program\nSection: utils\n\n"
        "Package: bare\nDescription: tells no more\n"
    )
    (tmp_path / "x_i18n_Translation-en").write_text(
        "Package: restic\nDescription-en: backup program\n"
        " Restic is a program that does backups right.  It is\n"
        " fast, or so they say.\n .\n Another paragraph about verifying data.\n"
    )
    told, bare = packages(tmp_path)
    assert (told.synopsis, bare.synopsis) == ("backup program", "tells no more")
    assert told.about == (
        "Restic is a program that does backups right.",
        "It is fast, or so they say.",
        "Another paragraph about verifying data.",
    )
    assert bare.about == ()


@pytest.mark.parametrize("book", [wordings, wordings_zh])
def test_a_wish_is_about_as_many_as_its_kind_says(book):
    kinds = wishes(book)
    assert kinds.keys() == {*KINDS, "CHATTER"}
    for kind, lines in kinds.items():
        about = {"PAIR": "AB", "CHATTER": ""}.get(kind, "A")
        for line in lines:
            named = {letter for letter in "AB" if f"{{{letter}}}" in line}
            assert named == set(about), line
            assert line.count("[") == line.count("]"), line
        assert len(set(lines)) == len(lines)
        assert not re.search(r"[A-Z]", re.sub(r"\{[^}]*\}", "", "".join(lines)))
