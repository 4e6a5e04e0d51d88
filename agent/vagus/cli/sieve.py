# SPDX-License-Identifier: MIT
"""`--filter` of `vagus events`: words that an event must match, all of them.

runq,block                these kinds
value>10ms                more than; also >= < <= = !=, with a unit or without
program=nginx  unit=shop  the same text, or a pattern: program=post*
detail~restic             has this in it
pid=4711                  the process, or the thread
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Sequence

from vagus.errors import VagusError
from vagus.flow import Event

KINDS = (
    *("exec", "exit", "fork", "runq", "block", "reclaim", "oom", "lost"),
    *(
        "lens",
        "lease",
        "lease-end",
        "policy",
        "policy-refused",
        "order",
        "stand-down",
        "decider-broke",
        "scheduler",
        "sense",
    ),
)
SCALES = {
    "ns": 1.0,
    "us": 1e3,
    "µs": 1e3,
    "ms": 1e6,
    "s": 1e9,
    "": 1.0,
    "k": 1024.0,
    "m": 1024.0**2,
    "g": 1024.0**3,
    "b": 1.0,
}
_TERM = re.compile(r"(?P<field>[a-z]+)(?P<how>!=|>=|<=|[=<>~])(?P<what>.+)")
_NUMBER = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-zµ]*)")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_TEXTS: dict[str, Callable[[Event], str]] = {
    "kind": lambda event: event.kind,
    "unit": lambda event: event.workload,
    "program": lambda event: event.comm,
    "source": lambda event: event.source,
    "detail": lambda event: event.detail,
}

Test = Callable[[Event], bool]


class FilterError(VagusError):
    """A filter that cannot be read; exit code 64, as for any wrong usage."""

    exit_code = 64


class Sieve:
    """What a filter asks for: kinds, for the record, and tests of each event."""

    def __init__(self, text: str) -> None:
        """Read a filter; FilterError with what can be written instead."""
        self.kinds: tuple[str, ...] = ()
        self._tests: list[Test] = []
        for term in text.split():
            if found := _TERM.fullmatch(term):
                self._tests.append(_test(found["field"], found["how"], found["what"]))
            else:
                self.kinds += _kinds(term)

    def passes(self, event: Event) -> bool:
        """Say whether an event matches every word."""
        return all(test(event) for test in self._tests)


def _kinds(term: str) -> tuple[str, ...]:
    kinds = tuple(filter(None, term.split(",")))
    for kind in kinds:
        if kind not in KINDS:
            raise FilterError(
                f"'{kind}' is no kind of event; write one of {', '.join(KINDS)},"
                " or value>10ms, program=nginx, unit=shop, detail~text, pid=1"
            )
    return kinds


def _test(field: str, how: str, what: str) -> Test:
    if field == "value" and how in _COMPARE:
        return _value(_COMPARE[how], what)
    if field == "pid" and how in ("=", "!="):
        return _pid(what, how == "=")
    if field in _TEXTS and how in ("=", "!=", "~"):
        return _text(_TEXTS[field], how, what)
    known = ", ".join([*_TEXTS, "value", "pid"])
    raise FilterError(
        f"'{field}{how}{what}' cannot be asked; fields are {known};"
        " texts take = != ~, pid = !=, value also < <= > >="
    )


def _value(compare: Callable[[float, float], bool], what: str) -> Test:
    found = _NUMBER.fullmatch(what.lower())
    if found is None or found["unit"] not in SCALES:
        raise FilterError(f"'{what}' is no value; write 10ms, 1.5s, 64K or a number")
    limit = float(found["number"]) * SCALES[found["unit"]]
    # A lease's end or an exec has no value to speak of.
    return lambda event: bool(event.unit) and compare(event.value, limit)


def _pid(what: str, is_wanted: bool) -> Test:
    if not what.isdecimal():
        raise FilterError(f"'{what}' is no process number")
    number = int(what)
    return lambda event: (number in (event.tgid, event.tid)) is is_wanted


def _text(of: Callable[[Event], str], how: str, what: str) -> Test:
    if how == "~":
        wanted = what.casefold()
        return lambda event: wanted in of(event).casefold()
    patterns: Sequence[str] = what.split(",")
    is_wanted = how == "="
    return lambda event: (
        any(fnmatch.fnmatchcase(of(event), one) for one in patterns) is is_wanted
    )
