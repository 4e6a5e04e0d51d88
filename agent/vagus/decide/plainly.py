# SPDX-License-Identifier: MIT
"""The stance question in plain words, for models that do not know the signs.

The first text is the operator's turn and the rest the model's; the engine puts the
model's own chat template around them.  Blanks bear the same names, and their options
stand in the same order, as in prompt.py's form, so that answers can be put back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vagus.decide.grammar import Blank, Form, Part, Text
from vagus.decide.prompt import (
    NAME_BYTES,
    SENTENCE_BYTES,
    Card,
    Standing,
    plain,
    stance_form,
    stance_signs,
)
from vagus.flow import Resource

RULES = """You decide who is favoured on a Linux machine.
The operator says: "{sentence}"
Programs now ("suffers/uses" for cpu, io and memory):
{cards}
For each program say who it is to the operator: first (keep it fast), first! (at any
price), first~ (matters by its role), later (may wait), later! (may stop), later~ (may
wait by its role), plain (neither) or never (do not touch).
Then the trouble on cpu, io and memory: 0 none, 1 warm, 2 bad, 3 critical, counting
only programs that come first.
Then each program's stance: protect those first that suffer, on that resource; yield
those later that use it busy or heavy; leave everybody else. Strength 1 to 3."""


def plain_form(sentence: str, cards: Sequence[Card], good: bool) -> Form:
    """Return the question in words; as stance_form."""
    names = [plain(card.name, NAME_BYTES) or "unnamed" for card in cards]
    rows = "\n".join(
        f"{slot}. {name}: {_described(card)}"
        for slot, (name, card) in enumerate(zip(names, cards, strict=True), 1)
    )
    said = plain(sentence, SENTENCE_BYTES) or "nothing"
    question = RULES.format(sentence=said, cards=rows)
    if not good:
        question += " The readings are doubtful now: use strength 1 only."
    parts: list[Part] = [Text(question), Text("Who:\n")]
    standings = tuple(f" {standing};" for standing in Standing)
    for slot, name in enumerate(names, 1):
        parts += [Text(f"{slot}. {name}:"), Blank(f"standing{slot}", standings)]
        parts.append(Text("\n"))
    parts.append(Text("Trouble:\n"))
    for resource in Resource:
        levels = tuple(f" {level};" for level in range(4))
        parts += [Text(f"{resource}:"), Blank(f"trouble-{resource}", levels)]
        parts.append(Text("\n"))
    parts.append(Text("Stances:\n"))
    stances = tuple(
        f" {sign.strip('<>').replace(':', ' ')};" for sign in stance_signs()
    )
    for slot, name in enumerate(names, 1):
        parts += [Text(f"{slot}. {name}:"), Blank(f"stance{slot}", stances)]
        parts.append(Text("\n"))
    return tuple(parts)


def in_signs(
    answers: Mapping[str, str], form: Form, cards: Sequence[Card]
) -> dict[str, str]:
    """Return a plain form's answers as the answers of the form in signs."""
    options = {part.name: part.options for part in form if isinstance(part, Blank)}
    signs = {
        part.name: part.options
        for part in stance_form("", cards, True)
        if isinstance(part, Blank)
    }
    return {
        name: signs[name][options[name].index(answer)]
        for name, answer in answers.items()
    }


def _described(card: Card) -> str:
    rows = zip(Resource, card.suffers, card.uses, strict=True)
    words = ", ".join(f"{where} {suffers}/{uses}" for where, suffers, uses in rows)
    slo = ", has a service objective" if card.slo else ""
    return f"{card.role} ({card.time}{slo}), {words}"
