# SPDX-License-Identifier: MIT
"""Whole screens as a terminal shows them, and tables at the width of a terminal.

To keep new ones: VAGUS_GOLDEN=write pytest tests/unit/cli/test_snapshots.py
"""

import asyncio
import json

import pytest
from msgspec.structs import replace
from tests.unit.cli.terminal import begun, lines, settled

from vagus.cli import (
    backtest,
    common,
    decisions,
    doctor,
    drift,
    events,
    lens,
    off,
    plan,
    recheck,
    say,
)
from vagus.cli.board import Tracker, held
from vagus.cli.checks import Check, State
from vagus.cli.doctor import Report
from vagus.cli.live import Top
from vagus.cli.paint import Paint
from vagus.flow import (
    Act,
    Lease,
    Mode,
    Proposal,
    Refusal,
    Resource,
    Setting,
    Stance,
    Tried,
    Verdict,
)
from vagus.record.read import Reader

NOW_NS = 1_795_435_200 * 10**9 + 100 * 10**9
SHOP = Stance("shop", Act.PROTECT, Resource.CPU, 3)
BACKUP = Stance("backup", Act.YIELD, Resource.IO, 2)


def shown(story, tmp_path, size, board=None, *keys):
    async def run():
        app = Top(tmp_path / "none", story)
        async with app.run_test(size=size) as pilot:
            await begun(app, pilot)
            if board is not None:
                app._ended.set()  # nothing else is to be shown any more
                await app.workers.wait_for_complete()
                app.show(board, "")
                await settled(app, pilot, "quit")
            for key in keys:
                await pilot.press(key)
                await settled(app, pilot)
            return "\n".join(lines(app)) + "\n"

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def environment(vagus):
    """The fixed time and zone of the other tests."""


@pytest.fixture
def both(golden, capsys):
    """Compare an output with the ones kept, as text and as JSON."""

    def same(name, text, value):
        golden(f"{name}.txt", text)
        common.print_json(value)
        golden(f"{name}.json", capsys.readouterr().out)

    return same


@pytest.fixture
def busy(tick_record):
    """The moment of the story at which the shop suffers and leases are held."""
    tracker = Tracker()
    for tick in range(1, 35):
        tracker.follow(tick_record(tick), {1: 7_200, 2: 9_900})
    board = tracker.board()
    setting = Setting("build", "cpu.idle", "/build/cpu.idle", "1", "yield cpu 3")
    # A name as long as systemd's, and trouble on everything.
    line = replace(
        board.lines[0],
        name="systemd-journald-dev-log",
        words=dict.fromkeys(("cpu", "io", "memory"), "critical"),
    )
    board = replace(board, lines=[*board.lines, line])
    trouble = {"model.missed": 2, "model.starts": 2, "record.lost": 4}
    late = "the model did not answer within 150 ms"
    board = replace(board, counters=board.counters | trouble, fallback=late)
    more = held(Lease(9, setting, "0", "1", 10_000, 0), board.wall_ns)
    return replace(board, leases=[*board.leases, more])


@pytest.mark.parametrize("size", [(80, 24), (120, 30)])
def test_top(story, tmp_path, golden, busy, size):
    text = shown(story, tmp_path, size, busy)
    assert max(map(len, text.splitlines())) <= size[0]
    golden(f"live-{size[0]}x{size[1]}.txt", text)


def test_top_with_a_story_over_it(story, tmp_path, golden, busy):
    golden("live-story.txt", shown(story, tmp_path, (80, 24), busy, "down", "e"))


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_of_a_terminal(story, golden, columns):
    with Reader(story) as reader:
        entries = [decisions.entry(one, reader) for one in reader.decisions()]
        rows, _ = reader.events()
    text = decisions.listing(entries, NOW_NS, Paint(), columns)
    text += events.listing(rows, NOW_NS, Paint(), columns)
    assert max(map(len, text.splitlines())) <= columns
    golden(f"tables-{columns}.txt", text)


def test_doctor(both):
    checks = [
        Check("privilege", State.OK, "root, or as good as"),
        Check(
            "module", State.MISSING, "vagus.ko is not loaded", "load it: " + "x " * 39
        ),
        Check("units", State.OPTIONAL, "no io in system.slice", "set it"),
    ]
    counters = {"block.seen": 90, "block.lost": 0, "leases.granted": 2}
    missing = {"psi": "boot with psi=1"}
    found = Report(checks, counters, NOW_NS, missing)
    page = doctor.page(found, Paint(), 80, NOW_NS)
    assert max(map(len, page.splitlines())) <= 80
    both("doctor", page, found)


def test_plan(both):
    setting = Setting("shop", "cpu.weight", "/shop/cpu.weight", "5000", "protect cpu 3")
    refusal = Refusal("budget", "12 actions in this minute are enough", "backup")
    found = plan.Plan(Mode.ADVISE, "Keep the shop fast.", [SHOP], [refusal], [setting])
    found = replace(found, decision=7)
    both("plan", plan.page(found, Paint(), 80), found)


def test_plan_of_which_a_part_is_only_advised(both):
    held = Setting("shop", "cpu.weight", "/shop/cpu.weight", "5000", "protect cpu 3")
    would = Setting("backup", "io.weight", "/backup/io.weight", "10", "yield io 2")
    found = plan.Plan(
        *(Mode.ENFORCE, "Keep the shop fast.", [SHOP], [], [held, would]),
        decision=7,
        advised=[BACKUP],
    )
    both("plan-advised", plan.page(found, Paint(), 80), found)


def test_say(both):
    told = Proposal("rules", [BACKUP], "The backup may wait.", 1.5, fallback="too late")
    refusal = Refusal("never_touch", "postgres is on the list", "postgres")
    verdict = Verdict([BACKUP], [refusal])
    found = Tried("The backup can wait.", 0, told, verdict)
    both("say", say.page(found, Paint(), 80), {"plan": found, "answer": ""})


def test_off(both):
    found = [
        off.Result(0, 0, False),
        off.Result(1, 0, True),
        off.Result(5, 2, True),
        off.Result(2, 0, True, scheduler=True),
    ]
    both("off", "\n".join(map(off.sentence, found)) + "\n", found)


def test_verify(both):
    def one(state, actual, *lost):
        return drift.Drift(
            *(state, "shop", "cpu.weight", "/shop/cpu.weight", "400", actual),
            *("nobody" if lost else "lease 3", "protect cpu 2", *lost),
        )

    found = [one("as held", "400"), one("drifted", "555"), one("gone", "")]
    found.append(one("lost", "555", 60 * 10**9, 660 * 10**9))
    both("verify", drift.listing(found, Paint(), 100, 100 * 10**9), found)


def test_backtest(both):
    refused = ["postgres is on the policy's list never_touch"]
    change = backtest.Change("t", NOW_NS, 7, [SHOP], [BACKUP], refused)
    found = backtest.Report(
        3600, "rules", 91.5, {"shop: protect cpu 3": 3600.0},
        {"shop: protect cpu 3": 3600.0, "backup: yield io 2": 300.0}, [change],
        "enforce", ["rules decided here"],
    )  # fmt: skip
    both("backtest", backtest.page(found, NOW_NS, Paint(), 80, 20), found)


def test_check(both):
    was, again = Verdict([SHOP], []), Verdict([], [Refusal("unknown", "x", "shop")])
    difference = recheck.Difference(31, "12:00:31", NOW_NS, was, again)
    found = recheck.Result(9, 1, [difference])
    both("check", recheck.text(found), found)


def test_lens(golden):
    counts = [0] * len(lens_bounds())
    counts[20:32] = [1, 2, 40, 300, 250, 90, 30, 8, 4, 2, 1, 1]
    stack = {"ns": 12_400_000, "comm": "dd", "frames": ["schedule", "io_schedule"]}
    text = [*lens.histogram(counts), *lens.stack_lines([stack])]
    golden("lens.txt", "\n".join(text) + "\n")


def lens_bounds():
    from vagus import abi

    return abi.hist_bounds_ns()


def test_replay_and_dump(vagus, golden):
    _, out, _ = vagus("replay", "--changes")
    golden("replay-changes.txt", out)
    words = ["record", "dump", "-t", "12:00:40", "--until"]
    _, out, _ = vagus(*words, "12:00:40", "--whole")
    assert json.loads(out)["window"]["tick"] == 40
    golden("dump-whole.json", out)
    _, out, _ = vagus(*words, "12:00:43")
    golden("dump.json", out)
