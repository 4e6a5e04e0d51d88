# SPDX-License-Identifier: MIT
"""Nothing that a process chose gets through to a terminal."""

from hypothesis import given, settings
from hypothesis import strategies as st

from vagus.text import args, comm, escape

raw = st.one_of(st.binary(max_size=400), st.text(max_size=200))


@settings(deadline=None)  # a busy machine is no failure
@given(raw, st.integers(1, 100))
def test_escaped_text_is_printable_and_cut(text, limit):
    shown = escape(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    shown.encode()  # no lone surrogate is left


@settings(deadline=None)  # a busy machine is no failure
@given(raw)
def test_escaping_twice_changes_nothing(text):
    once = escape(text, 4000)
    assert escape(once, 4000) == once


def test_shown_as_expected():
    assert escape("plain ü 漢") == "plain ü 漢"
    assert escape(b"\x1b[2J\xff\n") == "\\x1b[2J\\xff\\x0a"
    assert escape("a\u202eb\u2028") == "a\\u202eb\\u2028"
    assert escape("x" * 70, 10) == "x" * 9 + "…"
    assert comm(b"redis\0junk") == "redis"
    assert args(b"sh\0-c\0echo \x07\0") == "sh -c echo \\x07"


def test_a_huge_argv_is_not_read_whole():
    assert len(args(b"A" * 131072)) == 96
