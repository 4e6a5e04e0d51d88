# SPDX-License-Identifier: MIT
"""Situations: sentence, workloads and words, drawn from a grammar, with meaning.

Every draw takes a random generator and a split: `train` and `held` use disjoint
templates; `novel` uses held templates with vocabulary that training never sees.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from train import wordings, wordings_wide, wordings_zh, wordings_zh_wide
from train.names import PEOPLE, THINGS, invented, program_name, workload_name
from train.right import Clause, Situation
from train.synonyms import reworded
from vagus.decide.prompt import ROLES, SLOTS, Card, Standing, plain, time_of
from vagus.flow import Use, Word

HELD_SHARE = 6  # one template in so many is held out
VALID_SHARE = 16  # of the others, one in so many is left for looking at errors
CONDITION = 0.07  # share of clauses that say when
REWORDED = 0.5  # share of templates some of whose words are exchanged, if known
EXCHANGED = 0.25  # share of such words
OTHER_NOUNS = 0.4  # share of groups called by what nouns.tsv has, in training
WIDE = {wordings: wordings_wide, wordings_zh: wordings_zh_wide}
WISHES = {wordings: "wishes.txt", wordings_zh: "wishes_zh.txt"}
KINDS = {
    "FIRST": (Standing.FIRST,),
    "FIRST_HARD": (Standing.FIRST_HARD,),
    "LATER": (Standing.LATER,),
    "LATER_HARD": (Standing.LATER_HARD,),
    "NEVER": (Standing.NEVER,),
    "PAIR": (Standing.FIRST, Standing.LATER),
    "MENTION": (None,),
}
KIND_WEIGHTS = (24, 10, 22, 10, 9, 25, 6)
AGREE = {  # singular, plural
    "is": ("is", "are"),
    "isnt": ("isn't", "aren't"),
    "was": ("was", "were"),
    "has": ("has", "have"),
    "does": ("does", "do"),
    "doesnt": ("doesn't", "don't"),
    "it": ("it", "they"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a clause is about: its words and whom they mean."""

    text: str
    plural: bool
    means: Clause  # wish not yet set


@dataclass(frozen=True, slots=True)
class Source:
    """What draws come from."""

    rng: random.Random
    split: str  # "train", "held", "novel"
    packages: Sequence[str]  # names of packages, of this split only
    chinese: float = 0.15  # share
    easy: bool = False  # few workloads, plain clauses by name: what is learned first
    synonyms: Mapping[str, Sequence[str]] = field(default_factory=dict)


def situation(source: Source) -> Situation:
    """Return one situation."""
    cards = draw_cards(source)
    zh = source.rng.random() < source.chinese
    sentence, clauses = draw_sentence(source, cards, wordings_zh if zh else wordings)
    return Situation(sentence, clauses, cards, source.rng.random() > 0.08)


# -- workloads -------------------------------------------------------------------


def draw_cards(source: Source, least: int = 1) -> tuple[Card, ...]:
    """Return the workloads of one situation, all with different names."""
    rng = source.rng
    count = max(least, rng.choice((1, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7, SLOTS)))
    count = rng.choice((2, 2, 3)) if source.easy else count
    drawn: dict[str, Card] = {}
    mood = rng.choices(("calm", "single", "wild"), (25, 45, 30))[0]
    focus = rng.randrange(3)
    while len(drawn) < count:
        role = rng.choice([r for roles in ROLES.values() for r in roles])
        name = plain(workload_name(rng, role, source.packages), 24)
        if source.easy and rng.random() < 0.7:
            name = rng.choice((*THINGS, *PEOPLE))
        time = time_of(role)
        if rng.random() < 0.06:
            time = rng.choice(list(ROLES))
        drawn[name] = Card(
            name,
            program_name(rng, role, source.packages),
            role,
            time,
            rng.random() < 0.12,
            *words(rng, mood, focus),
        )
    return tuple(drawn.values())


def words(
    rng: random.Random, mood: str, focus: int
) -> tuple[tuple[Word, Word, Word], tuple[Use, Use, Use]]:
    suffers, uses = [], []
    for r in range(3):
        hot = mood == "wild" or (mood == "single" and r == focus)
        odds = (35, 15, 22, 20, 8) if hot else (76, 16, 0, 0, 8)
        if mood == "single" and not hot:
            odds = (80, 12, 2, 1, 5)
        suffers.append(rng.choices(tuple(Word), odds)[0])
        odds = (15, 15, 30, 32, 8) if hot else (40, 25, 15, 14, 6)
        uses.append(rng.choices(tuple(Use), odds)[0])
    return (suffers[0], suffers[1], suffers[2]), (uses[0], uses[1], uses[2])


# -- sentences -------------------------------------------------------------------


def draw_sentence(
    source: Source, cards: Sequence[Card], book: ModuleType
) -> tuple[str, tuple[Clause, ...]]:
    """Return an objective about these workloads, in words and in meaning."""
    rng = source.rng
    if rng.random() < 0.05:
        return "", ()
    count = rng.choices((1, 2, 3, 4), (30, 45, 20, 5))[0]
    count = rng.choice((1, 2)) if source.easy else count
    texts: list[str] = []
    clauses: list[Clause] = []
    for number in range(count):
        text, meant = _draw_clause(source, cards, clauses, book, number)
        texts.append(text)
        clauses += meant
    if rng.random() < 0.14 and not source.easy:
        chatter = _line(source, book, "CHATTER")
        texts.insert(rng.choice((0, len(texts))), chatter)
    return joined(rng, texts, book), tuple(clauses)


def joined(rng: random.Random, texts: Sequence[str], book: ModuleType) -> str:
    """Return the clauses as one text."""
    joins = book.JOIN.split("|")
    out = texts[0]
    same = rng.random() < 0.5
    join = rng.choice(joins)
    for text in texts[1:]:
        out += (join if same else rng.choice(joins)) + text
    return out + rng.choice((".", ".", "", "!"))


def _draw_clause(
    source: Source,
    cards: Sequence[Card],
    before: Sequence[Clause],
    book: ModuleType,
    number: int,
) -> tuple[str, list[Clause]]:
    """Return one clause; now and then one that takes back an earlier one."""
    rng = source.rng
    kind = rng.choices(tuple(KINDS), KIND_WEIGHTS)[0]
    named = {name for clause in before for name in clause.names}
    fix = bool(before) and rng.random() < 0.10 and bool(named) and not source.easy
    fresh = [card for card in cards if card.name not in named]
    pool = [card for card in cards if card.name in named] if fix else fresh
    pool = list(pool or cards)
    wishes = KINDS[kind]
    targets = [draw_target(source, cards, pool, book, number > 0) for _ in wishes]
    if len(wishes) == 2 and not _apart(targets[0], targets[1]):
        kind, wishes, targets = "FIRST", (Standing.FIRST,), targets[:1]
    text = _line(source, book, kind)
    if rng.random() < 0.05 and not source.easy:
        text = slip(rng, text)
    for letter, target in zip("AB", targets, strict=False):
        text = fill(text, letter, target)
    if fix and (start := rng.choice(book.FIX.split("|"))):
        text = f"{start}, {text}"
    if book is wordings and rng.random() < 0.05:
        text += f" {rng.choice(_reasons(source))}"
    if source.split in ("train", "valid") and rng.random() < CONDITION:
        text = _conditional(rng, text, book)
    pairs = zip(targets, wishes, strict=True)
    return text, [replace(target.means, wish=wish) for target, wish in pairs]


def _reasons(source: Source) -> Sequence[str]:
    wide = source.split in ("train", "valid")
    return wordings_wide.REASONS if wide else wordings.REASONS


def _conditional(rng: random.Random, text: str, book: ModuleType) -> str:
    """Return the clause with words that say when; they change nobody's standing."""
    when = rng.choice(WIDE[book].CONDITIONS)
    if rng.random() < 0.6 or book is wordings_zh:
        return f"{when}, {text}"
    return f"{text} {when}"


def _apart(one: Target, two: Target) -> bool:
    """Tell whether two targets of one clause mean different workloads."""
    a, b = one.means, two.means
    same = a.names & b.names or a.roles & b.roles or a.times & b.times
    mixed = bool(a.roles or a.times or a.rest) and bool(b.roles or b.times or b.rest)
    return not same and not mixed and not (a.rest and b.rest)


def draw_target(
    source: Source,
    cards: Sequence[Card],
    pool: Sequence[Card],
    book: ModuleType,
    later: bool,
) -> Target:
    """Return somebody to speak about, mostly from the pool, by name or by group."""
    rng = source.rng
    if source.easy:
        return _by_name(rng, rng.sample(list(pool), 1), book)
    by = rng.choices(
        ("name", "program", "role", "time", "rest", "absent"), (62, 7, 16, 5, 8, 2)
    )[0]
    if by == "role" and (target := _by_role(source, cards, pool, book)):
        return target
    if by == "time":
        times = rng.choice(tuple(book.TIME_NOUNS))
        noun = rng.choice(book.TIME_NOUNS[times].split("|"))
        return _group(noun, Clause(None, times=frozenset(times.split())))
    if by == "rest":
        return _by_rest(rng, cards, book, later)
    if by == "program" and (target := _by_program(rng, cards, pool)):
        return target
    if by == "absent":
        name = invented(rng)
        return Target(_around(rng, name, book), False, Clause(None, frozenset({name})))
    return _by_name(rng, pool, book)


def _by_name(rng: random.Random, pool: Sequence[Card], book: ModuleType) -> Target:
    count = min(len(pool), rng.choices((1, 2, 3), (66, 28, 6))[0])
    names = [card.name for card in rng.sample(list(pool), count)]
    texts = [_around(rng, name, book) for name in names]
    means = Clause(None, frozenset(names))
    return Target(listed(rng, texts, book), len(names) > 1, means)


def _by_program(
    rng: random.Random, cards: Sequence[Card], pool: Sequence[Card]
) -> Target | None:
    named = {card.name for card in cards}
    shown = [card.program for card in pool if card.program]
    shown = [program for program in shown if plain(program, 20) not in named]
    if not shown:
        return None
    program = rng.choice(shown)
    meant = frozenset(card.name for card in cards if card.program == program)
    form = rng.choice(("{n}", "the {n} process", "the {n} program", "{n}", "all {n}"))
    return Target(form.format(n=program), False, Clause(None, meant))


def _by_role(
    source: Source, cards: Sequence[Card], pool: Sequence[Card], book: ModuleType
) -> Target | None:
    rng, split = source.rng, source.split
    known = [card.role for card in pool if card.role in book.ROLE_NOUNS]
    if not known:
        return None
    role = rng.choice(known)
    nouns = book.ROLE_NOUNS[role].split("|")
    if split == "train" and rng.random() < OTHER_NOUNS:
        nouns = other_nouns(book).get(role, nouns)
    noun = rng.choice(nouns)
    spoken = f" {plain(noun.lstrip('#'), 60)} "
    if any(f" {card.name} " in spoken for card in cards):
        return None  # somebody bears that name: it would mean them
    target = _group(noun, Clause(None, roles=frozenset({role})))
    if book is wordings and target.plural and rng.random() < 0.15:
        out = rng.choice(list(pool)).name
        text = f"{target.text} {rng.choice(('except', 'but', 'apart from'))} {out}"
        means = replace(target.means, excepted=frozenset({out}))
        return Target(text, True, means)
    return target


def _by_rest(
    rng: random.Random, cards: Sequence[Card], book: ModuleType, later: bool
) -> Target:
    every = rng.choice(book.EVERYTHING.split("|"))
    if rng.random() < 0.4:
        out = rng.sample([card.name for card in cards], 1)
        text = rng.choice(book.EXCEPT.split("|"))
        names = listed(rng, [_around(rng, name, book) for name in out], book)
        text = text.format(all=every, X=names)
        return Target(text, False, Clause(None, rest=True, excepted=frozenset(out)))
    text = rng.choice(book.REST.split("|")) if later else every
    return Target(text, text.endswith("s"), Clause(None, rest=True))


def _group(noun: str, means: Clause) -> Target:
    return Target(noun.lstrip("#"), noun.startswith("#"), means)


def _around(rng: random.Random, name: str, book: ModuleType) -> str:
    if book is wordings_zh:
        return rng.choice((" {n} ", "{n}", "{n}服务", "{n}任务", "{n}")).format(n=name)
    return rng.choice(book.AROUND_NAME).format(n=name)


def listed(rng: random.Random, texts: Sequence[str], book: ModuleType) -> str:
    """Return 'a, b and c'."""
    if len(texts) == 1:
        return texts[0]
    last = rng.choice(("和", "与", "、") if book is wordings_zh else AND)
    return ", ".join(texts[:-1]) + last + texts[-1]


AND = (" and ", " and ", " and ", " as well as ", " & ", ", ")


# -- templates -------------------------------------------------------------------


@cache
def templates(book: ModuleType, kind: str, split: str) -> tuple[str, ...]:
    """Return the templates of a kind that a split may use, chosen by their text.

    The oldest lines of a book are split into held-out ones and others; all that was
    written later is for training, but for a few that serve for validation.
    """
    lines = sorted(getattr(book, kind), key=_digest)
    cut = max(1, len(lines) // HELD_SHARE)
    if split in ("held", "novel"):
        return tuple(lines[:cut])
    wide = [*WIDE[book].WIDE.get(kind, ()), *wishes(book).get(kind, ())]
    ours = [*lines[cut:], *book.MORE.get(kind, ()), *wide]
    valid = [line for line in ours if _digest(line)[-1] % VALID_SHARE == 0]
    return tuple(valid if split == "valid" else [x for x in ours if x not in valid])


@cache
def wishes(book: ModuleType) -> dict[str, list[str]]:
    """Return the templates of the text file beside a book, by kind."""
    kinds: dict[str, list[str]] = {}
    text = (Path(__file__).parent / WISHES[book]).read_text("utf-8")
    for line in filter(None, text.splitlines()):
        if kind := re.fullmatch(r"\[([A-Z_]+)\]", line):
            kinds[kind[1]] = lines = []
        elif not line.startswith("#"):
            lines.append(line)
    return kinds


@cache
def other_nouns(book: ModuleType) -> dict[str, list[str]]:
    """Return more nouns for roles, some of which may mean something else."""
    nouns: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "nouns.tsv").read_text("utf-8").splitlines():
        role, noun = line.split("\t")
        if noun.isascii() is (book is wordings):
            nouns.setdefault(role, []).append(noun)
    return nouns


def _digest(line: str) -> bytes:
    return sha256(line.encode()).digest()


def _line(source: Source, book: ModuleType, kind: str) -> str:
    """Return an expanded template of the source's split."""
    lists = _lists(source, book)
    lines = templates(book, kind, source.split)
    if not lines:  # of a rare kind none may serve for validation
        lines = templates(book, kind, "train")
    while True:
        line = expand(source.rng, source.rng.choice(lines), lists)
        if source.synonyms and source.rng.random() < REWORDED:
            line = reworded(source.rng, line, source.synonyms, EXCHANGED)
        if source.split in ("held", "novel") or not held_back(book).fullmatch(line):
            return line


def sample_lines(rng: random.Random, count: int = 4) -> list[str]:
    """Return every English training template, its choices made in some ways."""
    source = Source(rng, "train", ())
    return sorted(
        {
            expand(rng, line, _lists(source, wordings))
            for kind in KINDS
            for line in templates(wordings, kind, "train")
            for _ in range(count)
        }
    )


def _lists(source: Source, book: ModuleType) -> dict[str, str]:
    """Return the lists of words that templates name, as the split may use them."""
    lists = dict(book.LISTS)
    if source.split == "novel":
        lists |= book.NOVEL
    elif source.split != "held" and source.rng.random() < 0.8:
        lists |= WIDE[book].LISTS
    return WIDE[book].LISTS | lists


@cache
def held_back(book: ModuleType) -> re.Pattern[str]:
    """Return a pattern of all that held-out templates can say, whatever the lists.

    Templates written differently can spell out the same sentence; training redraws.
    """
    lists = [book.LISTS, WIDE[book].LISTS, book.NOVEL]

    def words(found: re.Match[str]) -> str:
        known = "|".join(one[found[1]] for one in lists if found[1] in one)
        return (
            f"(?:{'|'.join(map(re.escape, known.split('|')))})" if known else found[0]
        )

    patterns = []
    for kind in (*KINDS, "CHATTER"):
        for line in templates(book, kind, "held"):
            text = re.sub(r"([.?*+()])", r"\\\1", line)
            text = text.replace("[", "(?:").replace("]", ")")
            text = re.sub(r"\{(\w+)\}", words, text)
            patterns.append(re.sub(r"\{(\w+(?::\w+)?)\}", r"\\{\1\\}", text))
    return re.compile("|".join(patterns))


def expand(rng: random.Random, line: str, lists: Mapping[str, str]) -> str:
    """Return a template with its choices made; whom it is about stays open."""

    def pick(found: re.Match[str]) -> str:
        return rng.choice(found[1].split("|"))

    while "[" in line:
        line = re.sub(r"\[([^\[\]]*)\]", pick, line)
    return re.sub(
        r"\{(\w+)\}",
        lambda m: rng.choice(lists[m[1]].split("|")) if m[1] in lists else m[0],
        line,
    )


def fill(text: str, letter: str, target: Target) -> str:
    """Return the text with one target put in, verbs agreeing."""
    text = text.replace("{" + letter + "}", target.text)
    return re.sub(
        r"\{(\w+):" + letter + r"\}", lambda m: _agree(m[1], target.plural), text
    )


def _agree(verb: str, plural: bool) -> str:
    if verb in AGREE:
        return AGREE[verb][plural]
    return (
        verb.removesuffix("s")
        if plural and verb != "goes"
        else ("go" if plural else verb)
    )


def slip(rng: random.Random, text: str) -> str:
    """Return the text with a letter missing, doubled or exchanged in one word."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    if not long:
        return text
    i = rng.choice(long)
    word, at = words[i], rng.randrange(1, len(words[i]) - 1)
    words[i] = rng.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        )
    )
    return " ".join(words)
