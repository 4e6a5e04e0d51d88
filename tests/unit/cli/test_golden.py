# SPDX-License-Identifier: MIT
"""Every read-only verb's whole output, as text and as JSON.

To keep new outputs: VAGUS_GOLDEN=write pytest tests/unit/cli/test_golden.py
"""

import json

import pytest
from msgspec.structs import replace
from tests.unit.cli.test_server import Agent

from vagus.record.store import Recorder

OUTPUTS = {
    "explain-1": ["explain", "1"],
    "explain-2": ["explain", "2"],
    "explain-full": ["explain", "1", "--full"],
    "decisions": ["decisions"],
    "decisions-backup": ["decisions", "--unit", "backup"],
    "decisions-none": ["decisions", "-t", "now"],
    "events": ["events"],
    "events-csv": ["events", "-o", "csv"],
    "events-runq": ["events", "--filter", "runq"],
    "top": ["top", "--once"],
    "plan-recorded": ["plan"],
    "record-ls": ["record", "ls"],
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_text(vagus, golden, name):
    code, out, err = vagus(*OUTPUTS[name])
    assert (code, err) == (0, "")
    golden(f"{name}.txt", out)
    assert "\x1b" not in out


@pytest.mark.parametrize(
    "name",
    ["explain-1", "decisions", "events-runq", "top", "plan-recorded", "record-ls"],
)
def test_json(vagus, golden, name):
    code, out, _ = vagus(*OUTPUTS[name], "--json")
    assert code == 0
    json.loads(out)
    golden(f"{name}.json", out)


ORDERS = {
    "mode": ["mode", "advise"],
    "undo": ["undo", "1"],
    "mute": ["mute", "shop", "--for", "5m"],
    "say": ["say", "The backup can wait.", "--yes"],
}


@pytest.mark.parametrize("verb", ORDERS)
def test_an_order_prints_the_agents_answer_and_what_it_was_told(tmp_path, vagus, verb):
    """What the orders themselves do is tests/unit/test_orders.py's."""
    given = []

    def order(args):
        given.append(dict(args))
        return "done as told"

    with Agent(tmp_path / "socket", {verb: order}):
        words = [*ORDERS[verb], "--socket", str(tmp_path / "socket")]
        assert vagus(*words) == (0, "done as told\n", "")
        code, out, _ = vagus(*words, "--json")
    printed = json.loads(out)
    assert code == 0 and printed.pop("answer") == "done as told"
    if verb == "say":
        assert printed == {"plan": None}
    else:
        assert printed == {"order": verb, **given[1]}


def test_a_story_fits_one_screen_of_80_columns(vagus):
    for number in ("1", "2"):
        _, out, _ = vagus("explain", number)
        assert max(map(len, out.splitlines())) <= 80
        assert out.count("\n") <= 40


@pytest.mark.parametrize("what", ["backup", "backup.service", "1006", "#1", "postgres"])
def test_a_story_is_found_by_unit_and_process(vagus, what):
    _, out, _ = vagus("explain", what)
    assert out.startswith("decision 1 ")


def test_a_number_that_is_a_decision_and_a_process_says_how_to_ask(
    vagus, tmp_path, tick_record
):
    path = tmp_path / "r.db"
    with Recorder(path) as recorder:
        for tick in (32, 50):
            one = tick_record(tick)
            shop = replace(one.window.workloads["shop"], pids=[1])
            loads = one.window.workloads | {"shop": shop}
            window = replace(one.window, workloads=loads)
            recorder.put(replace(one, window=window))
    _, out, _ = vagus("explain", "1", "--record", str(path))
    assert out.startswith("decision 1 ")
    said = "1 is a process of shop, too: vagus explain pid:1"
    assert out.splitlines()[-1] == said
    _, out, _ = vagus("explain", "pid:1", "--record", str(path))
    assert out.startswith("decision 2 ") and "pid:" not in out
    for words in (["#1"], ["2"], ["shop"], ["1", "--json"]):
        _, out, _ = vagus("explain", *words, "--record", str(path))
        assert "pid:" not in out
    code, _, err = vagus("explain", "pid:4194305", "--record", str(path))
    assert code == 6 and "no recorded workload with a process 4194305" in err


def test_the_latest_decision_of_a_workload_is_told(vagus):
    _, out, _ = vagus("explain", "shop")
    assert out.startswith("decision 2 ")


def test_colour_is_for_terminals_only(monkeypatch):
    from vagus.cli.paint import paint_for

    class Terminal:
        def isatty(self):
            return True

    assert paint_for(Terminal(), {"TERM": "xterm"}).is_on
    assert not paint_for(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}).is_on
    assert not paint_for(Terminal(), {"TERM": "dumb"}).is_on
    with open("/dev/null") as file:
        assert not paint_for(file, {"TERM": "xterm"}).is_on
