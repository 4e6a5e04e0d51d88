# SPDX-License-Identifier: MIT
"""Which events a filter lets through."""

import json
import re
from pathlib import Path

import pytest

import vagus
from vagus.cli.sieve import KINDS


def kinds(vagus, text):
    _, out, _ = vagus("events", "--filter", text, "--json")
    return [(one["kind"], one["workload"]) for one in map(json.loads, out.splitlines())]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("runq", [("runq", "shop")]),
        ("runq,exec", [("runq", "shop"), ("exec", "backup")]),
        ("value>15ms lease,runq", [("runq", "shop"), ("lease", "shop"),
                                   ("lease", "backup")]),
        ("value>=15.2ms value<1s", [("runq", "shop")]),
        ("value<1ms", [("lease-end", "backup"), ("lease-end", "shop")]),
        ("program=nginx", [("runq", "shop")]),
        ("program=ng* unit=backup", []),
        ("detail~RESTIC", [("exec", "backup")]),
        ("unit!=shop lease", [("lease", "backup")]),
        ("pid=1006", [("exec", "backup")]),
        ("kind=lease*", [("lease", "shop"), ("lease", "backup"),
                         ("lease-end", "backup"), ("lease-end", "shop")]),
    ],
)  # fmt: skip
def test_a_filter_lets_through(vagus, text, wanted):
    assert kinds(vagus, text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bogus", "no kind of event"),
        ("value>soon", "no value"),
        ("value~3", "cannot be asked"),
        ("color=red", "fields are"),
        ("pid=x", "no process number"),
    ],
)
def test_what_is_no_filter_is_said(vagus, text, said):
    code, out, err = vagus("events", "--filter", text)
    assert code == 64 and out == "" and said in err and err.count("\n") == 1


def test_the_newest_are_counted_after_the_filter(vagus):
    _, out, _ = vagus("events", "--filter", "value>1ms", "-n", "1", "--json")
    assert json.loads(out)["workload"] == "backup"


def test_help_tells_what_can_be_written(vagus):
    _, out, _ = vagus("events", "--help")
    assert "value>10ms" in out and "detail~" in out


def test_every_kind_that_the_agent_notes_can_be_asked_for():
    folder = Path(vagus.__file__).parent
    text = "".join(file.read_text() for file in folder.rglob("*.py"))
    noted = set(re.findall(r"\.note\(\s*\"([a-z-]+)\"", text))
    assert {"policy", "scheduler"} <= noted <= set(KINDS)
