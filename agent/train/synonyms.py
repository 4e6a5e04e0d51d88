# SPDX-License-Identifier: MIT
"""Words for words: WordNet's synonyms, of which the teacher says that they fit.

A small model that has read a wish in some words reads another wrong by one word that
it never saw.  So training says its wishes in other words now and then.  The database is
that of Debian's package wordnet-base (WordNet 3.0, Princeton University).
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from train.teacher import Teacher

PARTS = ("verb", "noun", "adj", "adv")
SENSES = 3  # of a word in a part of speech, the most usual ones
CONTEXTS = 3  # lines of ours in which a synonym is tried
LIKE = 0.92  # least likeness of the lines before and after, at the median
# Words that make the wish what it is, or hold the sentence together.
_KEPT = """
a an the i you he she it we they me my our your his her its their us them this that
these those who what which whose all any some every each no not nothing nobody none
never only always first last later now then before after until till when while if
unless as at by for from in into of off on onto or out over so than to too up with
without and but nor is are was were be been am do does did have has had can could will
would shall should may might must need there here more most less least very just even
still yet again also other others else rest same well back down about
"""
KEPT = frozenset(_KEPT.split())
WORD = re.compile(r"\{(\w+)s:([AB])\}|\{[^}]*\}|[a-z]+(?:['-][a-z]+)*")


class WordNet:
    """A folder of WordNet's database files: word -> its synonyms."""

    def __init__(self, folder: Path) -> None:
        """Read the indexes; OSError if they are not there."""
        self.data: dict[str, bytes] = {}
        self.senses: dict[str, dict[str, list[int]]] = {}
        for part in PARTS:
            self.data[part] = (folder / f"data.{part}").read_bytes()
            self.senses[part] = dict(_indexed((folder / f"index.{part}").read_text()))
        exceptions = (folder / "verb.exc").read_text().split("\n")
        self.irregular = {line.split()[-1] for line in exceptions if line}

    def synonyms(self, word: str) -> set[str]:
        """Return words that mean the same in one of its usual senses, in its form."""
        found = {x for part in PARTS for x in self._same(word, part)}
        for part, lemma, form in _lemmas(word):
            some = self._same(lemma, part)
            found |= {
                inflected(x, form)
                for x in some
                if form == "s" or x not in self.irregular
            }
        return found - {word}

    def _same(self, lemma: str, part: str) -> set[str]:
        words = set()
        for offset in self.senses[part].get(lemma, [])[:SENSES]:
            line = self.data[part][offset : offset + 2000].split(b"\n", 1)[0].decode()
            fields = line.split()
            count = int(fields[3], 16)
            words |= {fields[4 + 2 * i].split("(")[0] for i in range(count)}
        return {x for x in words if x.isalpha() and x.islower()} - {lemma}


def _indexed(text: str) -> Iterator[tuple[str, list[int]]]:
    """Yield each word of an index with its senses' places in the data file."""
    for line in text.split("\n"):
        if line and not line.startswith(" "):
            fields = line.split()
            yield fields[0], [int(x) for x in fields[-int(fields[2]) :]]


def _lemmas(word: str) -> Iterator[tuple[str, str, str]]:
    """Yield what a word may be a form of: part of speech, lemma, ending."""
    if word.endswith("s"):
        yield "verb", word[:-1], "s"
        yield "noun", word[:-1], "s"
    for form in ("ing", "ed"):
        if word.endswith(form):
            stem = word.removesuffix(form)
            yield "verb", stem, form
            yield "verb", stem + "e", form
            if stem[-1:] == stem[-2:-1]:
                yield "verb", stem[:-1], form


def inflected(lemma: str, form: str) -> str:
    """Return a regular form of a verb or noun: ending "s", "ing" or "ed"."""
    if form == "s":
        if re.search(r"([sxz]|ch|sh)$", lemma):
            return lemma + "es"
        return re.sub(r"([^aeiou])y$", r"\1ie", lemma) + "s"
    if form == "ed":
        lemma = re.sub(r"([^aeiou])y$", r"\1i", lemma)
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprtvz]", lemma):
        return lemma + lemma[-1] + form
    return re.sub(r"(?<![eoy])e$", "", lemma) + form


def fitting(
    net: WordNet, teacher: Teacher, lines: Iterable[str], unseen: Iterable[str] = ()
) -> dict[str, list[str]]:
    """Return synonyms of the lines' words that leave a line's meaning as it is.

    lines: expanded templates.  Each synonym is put into some lines with the word; the
    teacher's likeness of before and after decides.  No form of an unseen word is one.
    """
    stems = tuple(re.sub(r"(ing|ed|[eys])$", "", word) for word in unseen)
    where: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        for word in {m[1] or m[0] for m in WORD.finditer(line)}:
            if word not in KEPT and not word.startswith("{"):
                where[word].append(line)
    tried = []
    for word, some in sorted(where.items()):
        step = max(1, len(some) // CONTEXTS)
        for other in sorted(net.synonyms(word) - KEPT):
            if other.startswith(stems):
                continue
            tried += [(word, other, line) for line in some[::step][:CONTEXTS]]
    before = teacher.vectors([_plain(line) for _, _, line in tried])
    changed = [_plain(swapped(line, {word: other})) for word, other, line in tried]
    likeness = (before * teacher.vectors(changed)).sum(1).tolist()
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (word, other, _), like in zip(tried, likeness, strict=True):
        scores[word, other].append(like)
    table: dict[str, list[str]] = defaultdict(list)
    for (word, other), values in scores.items():
        if sorted(values)[len(values) // 2] >= LIKE:
            table[word].append(other)
    return dict(table)


def swapped(line: str, table: Mapping[str, str]) -> str:
    """Return a template with words exchanged, also in what agrees with a target."""

    def swap(found: re.Match[str]) -> str:
        if found[1]:
            other = table.get(found[1])
            same_ending = other and inflected(other, "s") == other + "s"
            return f"{{{other}s:{found[2]}}}" if same_ending else found[0]
        return table.get(found[0], found[0])

    return WORD.sub(swap, line)


def reworded(
    rng: random.Random, line: str, table: Mapping[str, Sequence[str]], share: float
) -> str:
    """Return a template with about this share of its known words exchanged."""
    words = {m[1] or m[0] for m in WORD.finditer(line)}
    known = sorted(word for word in words if word in table)
    some = [word for word in known if rng.random() < share]
    return swapped(line, {word: rng.choice(table[word]) for word in some})


def _plain(line: str) -> str:
    """Return a template as a sentence about somebody."""
    line = line.replace("{A}", "the shop").replace("{B}", "the backup")
    return re.sub(r"\{(\w+):[AB]\}", r"\1", line)
