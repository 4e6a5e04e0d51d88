# SPDX-License-Identifier: MIT
"""What the shipped model is asked, in its own words: values -> form -> values.

The model's language has *signs*, single tokens such as <w1> or <cpu:bad:heavy>,
between stretches of plain text.  Every sign contains '<', and plain() lets no '<'
through, so no operator, process or package can write a sign.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from functools import cache
from itertools import product

import msgspec

from vagus.decide.grammar import Blank, Echo, Form, Fresh, Part, Text, merged
from vagus.decide.groups import GROUPS
from vagus.flow import Act, Identity, Resource, Stance, Use, Word
from vagus.policy.roles import ROLES as POLICY_ROLES

SLOTS = 8  # workloads in one question; docs/stance.md
SENTENCE_BYTES = 400  # about 100 words; what follows is cut
NAME_BYTES = 28
PROGRAM_BYTES = 20
FIELD_BYTES = 100  # of an identity card
PACKAGE_BYTES = 240  # of it, what the package says of itself
NOTHING = "<none>"
OWN, OTHER = "<w1>", "<w2>"  # in a text about one workload
# Words that say what is wished: a workload called so is not linked to the sentence.
COMMON = re.compile(
    "a|all|and|any|anything|be|but|can|do|else|every|everything|except|fast|finish"
    "|first|for|from|if|in|is|it|keep|last|later|leave|let|matter|matters|may|must"
    "|never|no|not|of|on|only|or|other|others|over|priority|protect|rest|run|should"
    "|slow|so|than|that|the|then|to|touch|wait|what|when|whatever|while|who|with"
    "|yield|you"
)

ROLES: Mapping[str, tuple[str, ...]] = {**POLICY_ROLES, "unknown": ("unknown",)}


class Standing(StrEnum):
    """What a workload is to the operator; docs/stance.md, step 1."""

    FIRST = "first"
    FIRST_HARD = "first!"
    FIRST_ROLE = "first~"
    LATER = "later"
    LATER_HARD = "later!"
    LATER_ROLE = "later~"
    PLAIN = "plain"
    NEVER = "never"


# Whom these are said of is helped, at others' cost: not on a doubt.
HELPED = (Standing.FIRST, Standing.FIRST_HARD, Standing.FIRST_ROLE)
SURE = 1.0  # nats by which it must be likelier than all else


class Card(msgspec.Struct, frozen=True):
    """One workload as the model sees it."""

    name: str
    program: str  # file name; "" where it cannot be trusted
    role: str
    time: str
    slo: bool
    suffers: tuple[Word, Word, Word]  # cpu, io, memory
    uses: tuple[Use, Use, Use]


class Reading(msgspec.Struct, frozen=True):
    """A filled stance form, as values."""

    standings: list[Standing]
    trouble: tuple[int, int, int]  # cpu, io, memory: 0..3
    stances: list[Stance]


def stance_form(sentence: str, cards: Sequence[Card], good: bool) -> Form:
    """Return the questions for at most SLOTS workloads.

    Who each of them is is asked in a text of its own, in which it is the first slot
    and everybody else the second: whom a wish is about is for code to know.  The last
    text asks for the trouble and the stances, given who is who.
    """
    text = linked(sentence, cards)
    parts: list[Part] = []
    standings = tuple(f"<{standing}>" for standing in Standing)
    lead = tuple(SURE * (standing in HELPED) for standing in Standing)
    for slot, card in enumerate(cards, 1):
        who = f"<{card.role}><{card.time}>" + "<slo>" * card.slo + OWN
        asked = Text("<stance>" + seen_by(slot, text) + who)
        parts += [asked, Blank(f"standing{slot}", standings, lead), Fresh()]
    parts.append(Text("<now><good>" if good else "<now><poor>"))
    for slot, card in enumerate(cards, 1):
        parts += [Text(f"<w{slot}>"), Echo(f"standing{slot}"), Text(_words(card))]
    for resource in Resource:
        levels = tuple(f"<{resource}:{level}>" for level in range(4))
        parts.append(Blank(f"trouble-{resource}", levels))
    stances = stance_signs()
    for slot in range(1, len(cards) + 1):
        parts += [Text(f"<w{slot}>"), Blank(f"stance{slot}", stances)]
    return merged(parts)


def read_stances(answers: Mapping[str, str], names: Sequence[str]) -> Reading:
    """Return what a filled stance form says of these workloads, in order."""
    slots = range(1, len(names) + 1)
    levels = [int(answers[f"trouble-{resource}"][-2]) for resource in Resource]
    return Reading(
        [Standing(answers[f"standing{slot}"].strip("<>")) for slot in slots],
        (levels[0], levels[1], levels[2]),
        [
            stance_of(answers[f"stance{slot}"], name)
            for slot, name in zip(slots, names, strict=True)
        ],
    )


def role_form(identity: Identity) -> Form:
    """Return the question for a role and a time sense."""
    short = ", ".join(filter(None, (identity.section, identity.synopsis)))
    card = (
        ("<unit>", identity.unit_description, FIELD_BYTES),
        (
            "<synopsis>",
            ". ".join(filter(None, (short, identity.description))),
            PACKAGE_BYTES,
        ),
        ("<exe>", identity.exe, FIELD_BYTES),
        ("<comm>", identity.comm, FIELD_BYTES),
        ("<args>", identity.args, FIELD_BYTES),
    )
    text = "".join(sign + phrase(value, size) for sign, value, size in card if value)
    return (
        Text("<role>" + text + "<is>"),
        Blank("role", tuple(f"<{role}>" for role in role_names())),
        Blank("time", tuple(f"<{sense}>" for sense in ROLES)),
    )


def role_names() -> list[str]:
    """Return every role, unknown included."""
    return [role for roles in ROLES.values() for role in roles]


def time_of(role: str) -> str:
    """Return the role's usual time sense; unknown for an unknown role."""
    return next((sense for sense, roles in ROLES.items() if role in roles), "unknown")


def stance_signs() -> tuple[str, ...]:
    """Return the sign of every possible stance."""
    acts = product((Act.PROTECT, Act.YIELD), Resource, (1, 2, 3))
    return ("<leave>", *(f"<{act}:{where}:{hard}>" for act, where, hard in acts))


def stance_sign(stance: Stance) -> str:
    """Return the sign of a stance."""
    if stance.act is Act.LEAVE:
        return "<leave>"
    return f"<{stance.act}:{stance.resource}:{stance.strength}>"


def stance_of(sign: str, workload: str) -> Stance:
    """Return the stance that a sign stands for."""
    if sign == "<leave>":
        return Stance(workload, Act.LEAVE, strength=0)
    act, resource, strength = sign.strip("<>").split(":")
    return Stance(workload, Act(act), Resource(resource), int(strength))


def signs() -> list[str]:
    """Return the model's whole sign language, in token order."""
    fixed = "stance by slo now good poor role unit synopsis exe comm args is end none"
    words = [
        f"<{resource}:{suffers}:{uses}>"
        for resource, suffers, uses in product(Resource, Word, Use)
    ]
    names = [f"<{name}>" for name in fixed.split()]
    names += [f"<w{slot}>" for slot in range(1, SLOTS + 1)]
    names += [f"<{standing}>" for standing in Standing]
    names += [f"<{role}>" for role in role_names() if role != "unknown"]
    names += [f"<{sense}>" for sense in ROLES]
    names += [f"<{where}:{level}>" for where, level in product(Resource, range(4))]
    return [*names, *words, *stance_signs()]


def plain(text: str, limit: int) -> str:
    """Return text that says the same and cannot contain a sign.

    Lower case, words apart by one space, at most `limit` bytes of UTF-8, no
    control characters, no '<' or '>', Chinese characters each a word of its own.
    """
    text = unicodedata.normalize("NFKC", text[: 4 * limit]).casefold()
    text = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    text = re.sub(r"([\u3400-\u9fff])", r" \1 ", text)
    text = re.sub(r"(?<=\w)[.](?=\w)", " ", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    text = " ".join(line if line[-1] in ".,;!?" else f"{line} ," for line in lines)
    text = re.sub(r"\s[-\u2013\u2014]+\s", " , ", text)
    text = _UNSPEAKABLE.sub(" ", text)
    words = " ".join(text.split()).encode()[:limit].decode(errors="ignore")
    return words.rstrip(" ,")


def linked(sentence: str, cards: Sequence[Card]) -> str:
    """Return the sentence with each workload's name, program or group as its slots.

    Names win over programs and both over groups ("the databases"), longer ones over
    shorter; what several workloads are becomes all their slots.  The model reads
    what is said of whom.
    """
    text = phrase(sentence, SENTENCE_BYTES)
    slots: dict[str, str] = {}
    for kind, limit in (("name", NAME_BYTES), ("program", PROGRAM_BYTES)):
        found: dict[str, str] = {}
        for slot, card in enumerate(cards, 1):
            word = plain(getattr(card, kind), limit)
            if _linkable(word):
                found[word] = found.get(word, "") + f"<w{slot}>"
        slots = found | slots
    slots = _groups(text, cards, slots) | slots
    slots = {word: them for word, them in slots.items() if word in text}
    if not any(slots.values()) or text == NOTHING:
        return text
    words = "|".join(re.escape(word) for word in sorted(slots, key=len, reverse=True))
    return re.sub(rf" ?(?<!\w)({words})(?!\w)", lambda m: slots[m[1]] or m[0], text)


def seen_by(slot: int, text: str) -> str:
    """Return a linked sentence with one workload's slot as OWN, others as OTHER."""

    def called(found: re.Match[str]) -> str:
        them = re.findall(r"\d", found[0])
        mine = str(slot) in them
        return OWN * mine + OTHER * (len(them) > mine)

    return re.sub(r"(?:<w\d>)+", called, text)


def _groups(text: str, cards: Sequence[Card], taken: Collection[str]) -> dict[str, str]:
    """Return the slots of each noun for a role in a text; "" if nobody has the role.

    So "database backups" are no databases where nobody makes backups.  No noun counts
    with a word in it that is somebody's name: "the web server" may mean him.
    """
    names = {word for name in taken for word in name.split()}
    found: dict[str, str] = {}
    for role in GROUPS:
        having = [slot for slot, card in enumerate(cards, 1) if card.role == role]
        slots = "".join(f"<w{slot}>" for slot in having)
        for word in _nouns(role):
            if word in text and names.isdisjoint(word.split()):
                found[word] = slots
    return found


@cache
def _nouns(role: str) -> tuple[str, ...]:
    """Return what operators call workloads of a role, as it reads in a sentence."""
    return tuple(plain(noun, SENTENCE_BYTES) for noun in GROUPS.get(role, ()))


def _linkable(name: str) -> bool:
    """Tell whether a name can stand for its workload and takes no wish away."""
    words = name.split()
    if len(words) > 1 and words[-1] == "a":  # team-a
        words.pop()
    harmless = not any(COMMON.fullmatch(word) for word in words)
    return harmless and (len(name) > 1 or (bool(name) and not name.isascii()))


def phrase(text: str, limit: int) -> str:
    """Return plain text with the space before it that word tokens begin with."""
    words = plain(text, limit)
    return f" {words}" if words else NOTHING


_QUOTES = str.maketrans({0x2018: "'", 0x2019: "'", 0x3001: ",", 0x3002: "."})
_UNSPEAKABLE = re.compile(r"[^\w,.;!?'()&+%]|_")


def _words(card: Card) -> str:
    rows = zip(Resource, card.suffers, card.uses, strict=True)
    return "".join(f"<{where}:{suffers}:{uses}>" for where, suffers, uses in rows)
