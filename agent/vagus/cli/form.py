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
_SLOTS = re.compile(r"((?:<w\d+>)+)")
# A line that asks who one workload is, <w1> to itself; the last is about all of them.
_ASKED = re.compile(r"<stance>(<none>|.*?)((?:(?!<w\d)<[^<>]{1,64}>){2,3})<w1>" + BLANK)
_STATE = re.compile(r"<w(\d+)>" + BLANK + r"((?:<[a-z]+:[^<>]{1,64}>)+)")


def told(prompt: str, names: Sequence[str], chosen: Sequence[str] = ()) -> list[str]:
    """Return a prompt in lines: the sentence, then who is who and how each is.

    `names` of the workloads in the prompt's order; only those `chosen` are told of,
    all where none is.
    """
    *lines, now = prompt.split("\n")
    asked = [found for line in lines if (found := _ASKED.fullmatch(line))]
    if not asked or len(asked) != len(lines):
        return prompt.splitlines()
    states = {found[1]: _plain(found[2]) for found in _STATE.finditer(now)}
    out = [_plain(_sentence([found[1] for found in asked], names))]
    for slot, found in enumerate(asked, 1):
        name = _name(str(slot), names)
        if not chosen or name in chosen:
            out.append(f"{name} ({_plain(found[2])}): {states.get(str(slot), '')}")
    return [line for line in out if line]


def _sentence(seen: Sequence[str], names: Sequence[str]) -> str:
    """Return the sentence with names, out of how it reads for each workload."""
    out = ""
    for same in zip(*map(_SLOTS.split, seen), strict=False):
        if _SLOTS.fullmatch(same[0]):
            meant = [slot for slot, text in enumerate(same, 1) if "<w1>" in text]
            out += "".join(f" {_name(str(slot), names)}" for slot in meant)
        else:
            out += same[0].replace("<none>", "")
    return out


def answered(
    prompt: str, answer: str, names: Sequence[str], chosen: Sequence[str] = ()
) -> list[str]:
    """Return what was filled in, by workload; the machine's own part first."""
    parts = [re.escape(part) for part in prompt.split(BLANK)]
    filled = re.fullmatch("(.*?)".join(parts), answer, re.DOTALL)
    if BLANK not in prompt or filled is None:
        return answer.splitlines()
    by_name: dict[str, list[str]] = {}
    row = 1
    for before, fill in zip(prompt.split(BLANK), filled.groups(), strict=False):
        row += before.count("\n")
        found = re.search(r"<w(\d+)>$", before)
        asks = before.rpartition("\n")[2].startswith("<stance>")
        name = _name(str(row) if asks else found[1], names) if found else ""
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


def _name(number: str, names: Sequence[str]) -> str:
    at = int(number[:6]) - 1
    return names[at] if 0 <= at < len(names) else f"w{number}"


def _plain(text: str) -> str:
    """Return text without signs' brackets and blanks."""
    text = _SIGN.sub(lambda sign: f" {sign[1].replace(':', ' ')}, ", text)
    text = text.replace(BLANK, "")
    text = re.sub(r"\s+([,.;!?])", r"\1", re.sub(r"\s+", " ", text))
    return text.strip(" ,")
