# SPDX-License-Identifier: MIT
"""Types of policy fields: parsed from what people write, checked, described.

Each refuses with a whole sentence; load.py puts file, line and field before it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from vagus.policy import knobs, units

MS_NS = 1_000_000
NAME_LIMIT = 32
TEXT_LIMIT = 2_000  # characters of an objective; a model reads the first 400 bytes
PATTERN_LIMIT = 256  # a cgroup's name is at most 255 bytes (NAME_MAX)
_NAME = re.compile(r"[^\W_][\w.-]*")


class Part(BaseModel):
    """Base of every part of a policy: frozen, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def plain(cls) -> Self:
        """Return the part with every default."""
        return cls.model_validate({})


def wrong(sentence: str) -> PydanticCustomError:
    """Return an error whose message is shown as it stands."""
    return PydanticCustomError("vagus", "{sentence}", {"sentence": sentence})


def parsed(
    parse: Callable[[object], Any],
    least: float,
    most: float,
    text: Callable[[float], str],
    why: str,
) -> BeforeValidator:
    """Return a validator that parses a quantity and holds it within bounds."""

    def read(raw: object) -> object:
        try:
            value = parse(raw)
        except ValueError as error:
            raise wrong(str(error)) from None
        if not least <= value <= most:
            side = "under" if value < least else "over"
            bound = text(least if value < least else most)
            raise wrong(f"{units.show(raw).strip(chr(39))} is {side} {why} {bound}")
        return value

    return BeforeValidator(read)


def nearest(wanted: str, known: Iterable[str]) -> str:
    """Return '; did you mean X?' where something alike is known, else nothing."""
    close = difflib.get_close_matches(wanted[:64], list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def duration(least_ns: int, most_ns: int, why: str) -> BeforeValidator:
    """Return a validator for durations, giving nanoseconds."""
    return parsed(units.duration_ns, least_ns, most_ns, units.duration_text, why)


def duration_ms(least_ns: int, most_ns: int, why: str) -> BeforeValidator:
    """Return a validator for durations, giving whole milliseconds."""

    def text(value_ms: float) -> str:
        return units.duration_text(value_ms * MS_NS)

    def parse(raw: object) -> int:
        return units.duration_ns(raw) // MS_NS

    return parsed(parse, least_ns // MS_NS, most_ns // MS_NS, text, why)


def size(least: int, most: int, why: str) -> BeforeValidator:
    """Return a validator for sizes, giving bytes."""
    return parsed(units.size_bytes, least, most, units.size_text, why)


def clock() -> BeforeValidator:
    """Return a validator for a time of day, giving minutes since midnight."""

    def read(raw: object) -> int:
        found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", str(raw))
        if found is None:
            raise wrong(f"expected a time of day such as 22:00, not {units.show(raw)}")
        return int(found[1]) * 60 + int(found[2])

    return BeforeValidator(read)


def percentage(least: float, most: float, why: str) -> BeforeValidator:
    """Return a validator for percentages, giving the number before the sign."""
    return parsed(units.percent, least, most, units.percent_text, why)


def number(least: int, most: int, why: str) -> BeforeValidator:
    """Return a validator for whole numbers."""
    return parsed(units.whole, least, most, lambda value: f"{value:g}", why)


def knob_value(knob: str) -> BeforeValidator:
    """Return a validator for one bound of a knob, within the kernel's own."""
    facts = knobs.KNOBS[knob]
    readers: dict[str, Callable[[object], Any]] = {
        "": units.whole,
        "us": units.whole,
        "cpus": units.cpus,
        "bytes": units.size_bytes,
        "bytes/s": units.size_bytes,
    }
    parse = readers[facts.unit]

    def read(raw: object) -> float:
        try:
            value = float(parse(raw))
        except ValueError as error:
            raise wrong(str(error)) from None
        shown = units.show(raw).strip("'")
        if value > facts.kernel_max:
            most = knobs.text(knob, facts.kernel_max)
            raise wrong(f"{shown} is over the kernel's {most} ({facts.source})")
        if value < facts.kernel_min:
            least = knobs.text(knob, facts.kernel_min)
            raise wrong(f"{shown} is under the kernel's {least} ({facts.source})")
        return value

    return BeforeValidator(read)


def _name(raw: str) -> str:
    """Hold a workload's name to what is safe to print, quote and type."""
    if not _NAME.fullmatch(raw):
        raise wrong(
            f"{units.show(raw)} is no name: letters and digits of any script,"
            " and . _ - after the first"
        )
    if len(raw) > NAME_LIMIT:
        raise wrong(f"a name has at most {NAME_LIMIT} characters, not {len(raw)}")
    return raw


def _text(limit: int, what: str) -> Callable[[str], str]:
    """Return a check of free text."""

    def check(raw: str) -> str:
        if len(raw) > limit:
            raise wrong(f"{what} has at most {limit} characters, not {len(raw)}")
        if any(not c.isprintable() and c not in "\n\t" for c in raw):
            raise wrong(f"{what} has a character that cannot be printed")
        return raw

    return check


def _pattern(raw: object) -> object:
    """Hold a pattern to something that can match; numbers are taken as text."""
    text = str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw
    if not isinstance(text, str):
        raise wrong(f"expected a name or pattern, not {units.show(raw)}")
    if not text.strip():
        raise wrong("is empty and would match nothing")
    if text != text.strip():
        raise wrong(f"{units.show(text)} has blanks around it and would match nothing")
    return _text(PATTERN_LIMIT, "a pattern")(text)


def _listed(raw: object) -> object:
    """Take a single entry as a list of one."""
    return raw if isinstance(raw, list | tuple | dict) or raw is None else (raw,)


QUANTITY = WithJsonSchema({"type": ["string", "number"]})
CLOCK = WithJsonSchema(
    {"type": "string", "pattern": r"^([01]?[0-9]|2[0-3]):[0-5][0-9]$"}
)
Name = Annotated[str, AfterValidator(_name)]
Sentence = Annotated[str, AfterValidator(_text(TEXT_LIMIT, "an objective"))]
Path = Annotated[str, AfterValidator(_text(4096, "a path"))]
Pattern = Annotated[
    str, BeforeValidator(_pattern), WithJsonSchema({"type": ["string", "integer"]})
]
Patterns = Annotated[
    tuple[Pattern, ...],
    BeforeValidator(_listed),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": ["string", "integer"]},
                {"type": "array", "items": {"type": ["string", "integer"]}},
            ]
        }
    ),
]
