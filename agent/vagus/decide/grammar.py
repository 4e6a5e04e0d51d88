# SPDX-License-Identifier: MIT
"""Forms: what a model is asked, as fixed text with blanks of listed answers.

A form is its own grammar: the fixed parts are written for the model, each blank
takes one of its options and nothing else, so an answer is valid by construction
and can only speak of workloads that the form lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Words written for the model."""

    text: str


class Blank(msgspec.Struct, frozen=True, tag="blank"):
    """One of the options, chosen by the model; name is unique in its form.

    lead: nats by which an option must be likelier than others to be chosen.
    """

    name: str
    options: tuple[str, ...]
    lead: tuple[float, ...] = ()  # of each option; () is 0 for all


class Echo(msgspec.Struct, frozen=True, tag="echo"):
    """What was chosen for an earlier blank, written again."""

    name: str


class Fresh(msgspec.Struct, frozen=True, tag="fresh"):
    """A new text begins: the model reads nothing of what stands before."""


Part = Text | Blank | Echo | Fresh
Form = tuple[Part, ...]


def filled(form: Form, answers: Mapping[str, str]) -> str:
    """Return the form's texts, a line each; a blank without an answer reads '____'."""
    return "".join(piece for piece, _ in pieces(form, answers))


def pieces(form: Form, answers: Mapping[str, str]) -> Iterable[tuple[str, bool]]:
    """Return the form's texts in order, each with whether it was a blank."""
    for part in form:
        if isinstance(part, Fresh):
            yield "\n", False
        elif isinstance(part, Text):
            yield part.text, False
        elif isinstance(part, Blank):
            yield answers.get(part.name, "____"), True
        else:
            yield answers.get(part.name, "____"), False


def texts(form: Form) -> list[Form]:
    """Return the texts of a form, each by itself; an echo's blank may be in another."""
    out: list[list[Part]] = [[]]
    for part in form:
        if isinstance(part, Fresh):
            out.append([])
        else:
            out[-1].append(part)
    return [tuple(parts) for parts in out]


def valid(form: Form, answers: Mapping[str, str]) -> bool:
    """Tell whether every blank, and nothing else, has one of its options."""
    blanks = {part.name: part.options for part in form if isinstance(part, Blank)}
    return blanks.keys() == answers.keys() and all(
        answers[name] in options for name, options in blanks.items()
    )


def merged(parts: Sequence[Part]) -> Form:
    """Return the parts with neighbouring texts joined."""
    out: list[Part] = []
    for part in parts:
        last = out[-1] if out else None
        if isinstance(part, Text) and isinstance(last, Text):
            out[-1] = Text(last.text + part.text)
        else:
            out.append(part)
    return tuple(out)
