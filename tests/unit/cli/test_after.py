# SPDX-License-Identifier: MIT
"""What followed a decision: said once, and true of an agent that was killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from vagus.cli import after
from vagus.cli.board import from_record
from vagus.flow import Act, Effect, Outcome, Resource, Stance
from vagus.record.alive import boot_id, lives
from vagus.record.found import EffectRow
from vagus.record.read import Reader
from vagus.wording import effect

AGENT = Path(__file__).parents[3] / "agent"
S = 10**9
SHOP = Stance("shop", Act.PROTECT, Resource.CPU, 3)
BACKUP = Stance("backup", Act.YIELD, Resource.CPU, 3)
BUILD = Stance("build", Act.YIELD, Resource.CPU, 3)
TARGET = ("shop", "runq_p99_ns")


def judged(at_s, outcome, told, *stances) -> list[EffectRow]:
    """Rows as the judge makes them, in its own words."""
    levels = (11.44e6, 4.7e6, 0.7e6)
    found: list[Effect] = [
        effect(one, len(stances) - 1, TARGET, levels, outcome, told) for one in stances
    ]
    return [EffectRow(at_s * S, 1, one) for one in found]


def texts(effects):
    return [
        [one if isinstance(one, str) else one.text for one in row]
        for row in after.rows(effects, [], 10**18)
    ]


def test_three_stances_on_one_trial_are_one_line():
    effects = judged(1, Outcome.PENDING, "applied", BACKUP, BUILD, SHOP)
    ((_, word, said),) = texts(effects)
    assert word == "on trial"
    assert said == (
        "backup, build: yield cpu 3; shop: protect cpu 3:"
        " shop run queue p99 11.4 ms before"
    )


def test_what_pended_is_not_told_once_it_is_settled_and_repeats_are_counted():
    told = "shop runq p99 9.30 ms while it was withdrawn"
    effects = judged(1, Outcome.PENDING, "applied", BACKUP, SHOP)
    for at_s in (9, 300, 900):
        effects += judged(at_s, Outcome.KEPT, told, BACKUP, SHOP)
    ((_, word, said),) = texts(effects)
    assert word == "kept"
    assert said == (
        "backup: yield cpu 3; shop: protect cpu 3 (3 times): shop run queue p99"
        " 11.4 ms -> 4.7 ms (noise 700 µs); 9.30 ms while it was withdrawn"
    )


def test_stances_that_fared_otherwise_have_lines_of_their_own():
    effects = judged(9, Outcome.KEPT, "x", SHOP)
    effects += judged(9, Outcome.REVERTED, "no difference, y", BACKUP)
    assert [row[1] for row in texts(effects)] == ["kept", "reverted"]


WRITER = """
import importlib.util, os, signal, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("story", sys.argv[2])
story = importlib.util.module_from_spec(spec)
spec.loader.exec_module(story)
from vagus.record.store import Recorder
recorder = Recorder(Path(sys.argv[1]))
for tick in range(30, 36):
    recorder.put(story.record(tick))
while recorder.state().written < 6:
    time.sleep(0.02)
print("written", flush=True)
time.sleep(60)
"""


@pytest.fixture
def agent(tmp_path):
    """An agent that holds leases, and its record."""
    path = tmp_path / "r.db"
    story = Path(__file__).parents[1] / "conftest.py"
    argv = [sys.executable, "-c", WRITER, str(path), str(story)]
    env = {**os.environ, "PYTHONPATH": str(AGENT)}
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"written\n"
        yield path, child
        child.kill()


def test_a_killed_agent_holds_nothing_any_more(vagus, agent):
    path, child = agent
    _, out, _ = vagus("explain", "1", "--record", str(path))
    assert "held" in out and "vagus undo 1" in out
    assert len(from_record(path).leases) == 2
    child.kill()
    child.wait()
    _, out, _ = vagus("explain", "1", "--record", str(path))
    assert "UNDO     nothing is held: the kernel restored it" in out
    assert "the agent ended, the kernel gave it back" in " ".join(out.split())
    assert "vagus undo" not in out
    assert from_record(path).leases == []
    with Reader(path) as reader:
        assert not reader.agent_lives()


def test_another_boot_or_a_zombie_is_no_living_agent(tmp_path):
    assert lives(boot_id(), os.getpid())
    assert not lives("another boot", os.getpid())
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not lives(boot_id(), child.pid)


def test_a_replaced_lease_shows_every_value(story):
    with Reader(story) as reader:
        first = reader.leases(decision=1)[0]
    second = replace(first, value="800")
    assert [len(one) for one in after.steps([first, second])] == [2]
