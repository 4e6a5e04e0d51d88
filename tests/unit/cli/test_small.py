# SPDX-License-Identifier: MIT
"""Units, times and tables."""

import pytest

from vagus.cli import units, when
from vagus.cli.paint import Cell, Paint, clip, table, width

S = 10**9


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"), (1, "1.0 ns"), (410_000, "410 µs"), (12_400_000, "12.4 ms"),
        (999_600, "1.0 ms"), (1.5e9, "1.5 s"), (250e9, "250 s"),
    ],
)  # fmt: skip
def test_duration(ns, text):
    assert units.duration(ns) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("cpu_pct", 62.5, "62 %"), ("cpu_pct", 0.42, "0.4 %"),
        ("memory_bytes", 64 * 2**20, "64.0 MiB"),
        ("read_bytes_per_s", 1536, "1.5 KiB/s"), ("forks_per_s", 12, "12/s"),
        ("runq_count", 123456, "123k"), ("io_p99_ns", float("nan"), "-"),
    ],
)  # fmt: skip
def test_quantity(name, value, text):
    assert units.quantity(name, value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (5, "5 s ago"), (180, "3 min ago"), (7200, "2 h ago"),
     (3 * 86400, "3 days ago"), (-5, "in 5 s")],
)  # fmt: skip
def test_ago(seconds, text):
    assert units.ago(1000 * S, (1000 + seconds) * S) == text


@pytest.fixture
def utc(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


NOON = 1_795_435_200 * S  # 2026-11-23 12:00:00 UTC


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", 0), ("3m ago", -180), ("3 minutes ago", -180), ("-90s", -90),
        ("2h", -7200), ("1h 30m ago", -5400), ("11:30", -1800), ("11:59:30", -30),
        ("13:00", -23 * 3600), ("yesterday 9:30", -(24 + 2.5) * 3600),
        ("today", -12 * 3600), ("yesterday", -36 * 3600),
        ("2026-11-23 11:00", -3600), ("2026-11-23T11:00:30", -3570),
        ("2026-11-22", -36 * 3600), ("1w", -7 * 86400),
    ],
)  # fmt: skip
def test_times_as_people_write_them(utc, text, seconds):
    assert when.moment_ns(text, NOON) == NOON + seconds * S


def test_longer_ago_than_there_is_time_is_the_beginning(utc):
    assert when.moment_ns("99999999d", NOON) == 0


@pytest.mark.parametrize(
    "text",
    ["noonish", "3 parsecs", "25:00", "9:30 tomorrow", "0001-01-01", "9999-01-01"],
)
def test_what_is_no_time(text):
    with pytest.raises(when.TimeError, match="write"):
        when.moment_ns(text, NOON)


def test_table_aligns_wide_and_hostile_names():
    rows = [["日本語", "1"], ["a\x1b[2J\nb", "23"], [Cell("x", "red"), "456"]]
    text = table(["NAME", ">N"], rows, Paint())
    lines = text.splitlines()
    assert "\x1b" not in text
    assert len({width(line) for line in lines}) == 1
    assert "a\\x1b[2J\\x0ab" in lines[2]
    assert "\x1b[31mx\x1b[0m" in table(["NAME", ">N"], rows, Paint(True))


def test_the_last_column_is_cut_to_the_terminal():
    text = table(["A", "B"], [["x", "y" * 100]], Paint(), 40)
    assert max(map(width, text.splitlines())) == 40
    assert clip("日本語", 4) == "日…"
