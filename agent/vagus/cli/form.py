# SPDX-License-Identifier: MIT
"""What a model was told and answered, for people.

The shipped model speaks in signs, `<w1>` for a workload and `<cpu:ok:busy>` for how
it is, and fills blanks in its prompt; any other prompt is shown as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

BLANK = "____"  # as decide/grammar.py writes what the model is to fill in
_SIGN = re.compile(r"<([^<>]{1,64})>")
_WORKLOAD = re.compile(r"<w(\d+)>")
_CARD = re.compile(r"((?:<[^<>]{1,64}>)*)<w(\d+)>" + BLANK)
_STATE = re.compile(r"<w(\d+)>" + BLANK + r"((?:<[a-z]+:[^<>]{1,64}>)+)")


def told(prompt: str, names: Sequence[str], chosen: Sequence[str] = ()) -> list[str]:
    """Return a prompt in lines: the sentence, then who is who and how each is.

    `names` of the workloads in the prompt's order; only those `chosen` are told of,
    all where none is.
    """
    if BLANK not in prompt:
        return prompt.splitlines()
    who, _, now = prompt.partition("<now>")
    cards = {found[2]: _plain(found[1]) for found in _CARD.finditer(who)}
    states = {found[1]: _plain(found[2]) for found in _STATE.finditer(now)}
    sentence = re.sub(r"^<[a-z]+>", "", _CARD.sub("", who))
    lines = [_plain(_named(sentence, names))]
    for number, card in cards.items():
        name = _name(number, names)
        if not chosen or name in chosen:
            lines.append(f"{name} ({card}): {states.get(number, '')}")
    return [line for line in lines if line]


def answered(
    prompt: str, answer: str, names: Sequence[str], chosen: Sequence[str] = ()
) -> list[str]:
    """Return what was filled in, by workload; the machine's own part first."""
    parts = [re.escape(part) for part in prompt.split(BLANK)]
    filled = re.fullmatch("(.*?)".join(parts), answer, re.DOTALL)
    if BLANK not in prompt or filled is None:
        return answer.splitlines()
    by_name: dict[str, list[str]] = {}
    for before, fill in zip(prompt.split(BLANK), filled.groups(), strict=False):
        found = re.search(r"<w(\d+)>$", before)
        name = _name(found[1], names) if found else ""
        said = by_name.setdefault(name, [])
        if (text := _plain(fill)) and text not in said:
            said.append(text)
    return _grouped(by_name, chosen)


def _grouped(said: dict[str, list[str]], chosen: Sequence[str]) -> list[str]:
    """Return one line for all workloads of which the same was said."""
    lines, together = [], dict[str, list[str]]()
    for name, fills in said.items():
        text = ", ".join(fills)
        if not name:
            lines.append(f"trouble: {text}")
        elif not chosen or name in chosen:
            together.setdefault(text, []).append(name)
    return lines + [f"{', '.join(names)}: {text}" for text, names in together.items()]


def _named(text: str, names: Sequence[str]) -> str:
    """Put names in place of the signs for workloads."""
    return _WORKLOAD.sub(lambda sign: f" {_name(sign[1], names)}", text)


def _name(number: str, names: Sequence[str]) -> str:
    at = int(number[:6]) - 1
    return names[at] if 0 <= at < len(names) else f"w{number}"


def _plain(text: str) -> str:
    """Return text without signs' brackets and blanks."""
    text = _SIGN.sub(lambda sign: f" {sign[1].replace(':', ' ')}, ", text)
    text = text.replace(BLANK, "")
    text = re.sub(r"\s+([,.;!?])", r"\1", re.sub(r"\s+", " ", text))
    return text.strip(" ,")
