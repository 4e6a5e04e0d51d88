# SPDX-License-Identifier: MIT
"""`vagus events --follow`: what comes is shown once, as it comes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vagus.cli import events
from vagus.record.store import Recorder

AGENT = Path(__file__).parents[3] / "agent"
# The story's ticks 1 to 33 hold an exec and a wait (31) and two leases (32).
BEGUN = range(1, 34)


@pytest.fixture
def growing(tmp_path, tick_record):
    """A record that holds the beginning of the story, and who writes on in it."""
    path = tmp_path / "record.db"
    with Recorder(path) as recorder:

        def write(ticks):
            before = recorder.state().written
            for tick in ticks:
                assert recorder.put(tick_record(tick))
            while recorder.state().written < before + len(ticks):
                time.sleep(0.005)

        write(BEGUN)
        yield path, write


@pytest.fixture
def follow(vagus, growing, monkeypatch):
    """Follow the record while ticks are written, a batch before each look."""
    path, write = growing

    def run(*words, then=()):
        batches = iter(then)

        def pause(seconds):
            assert seconds == events.POLL_S
            batch = next(batches, None)
            if batch is None:
                raise KeyboardInterrupt
            write(batch)

        with monkeypatch.context() as patch:
            # The clock of the module alone: the writer's thread sleeps, too.
            patch.setattr(events, "time", Clock(pause))
            code, out, err = vagus("events", "-f", "--record", str(path), *words)
        assert (code, err) == (0, "")
        return out.splitlines()

    return run


class Clock:
    def __init__(self, sleep):
        self.sleep = sleep


def kinds(lines):
    return [json.loads(line)["kind"] for line in lines]


LATER = [range(34, 40), range(40, 42), [], range(42, 81)]
KNOWN, NEW = ["runq", "exec", "lease", "lease"], ["lease-end", "lease-end"]


def test_what_was_is_shown_first_and_what_comes_after_it_once(follow):
    assert kinds(follow("--json")) == KNOWN
    assert kinds(follow("--json", then=LATER)) == KNOWN + NEW


def test_only_one_header_and_one_line_an_event(follow):
    header, *lines = follow(then=LATER)
    assert header.startswith("TIME")
    assert len(lines) == len(KNOWN + NEW)
    assert not any(line.startswith("TIME") for line in lines)
    assert "12:01:19" in lines[-1] or "12:01:20" in lines[-1]
    csv_header, *rows = follow("-o", "csv", then=())
    assert csv_header.startswith("time,") and len(rows) == len(KNOWN + NEW)


def test_filter_and_unit_hold_for_what_comes(follow):
    said = follow("--json", "--filter", "lease-end detail~io.weight", then=LATER)
    assert kinds(said) == NEW[:1]
    said = follow("--json", "--unit", "shop", "--filter", "lease,lease-end")
    assert kinds(said) == ["lease", "lease-end"]


@pytest.mark.parametrize("words", [("-n", "0"), ("-t", "12:00:33")])
def test_what_was_not_asked_for_does_not_come_with_what_follows(follow, words):
    """Nothing is shown at first; then only what is new, not all there ever was."""
    assert kinds(follow("--json", *words, then=LATER)) == NEW


@pytest.mark.timeout(60)  # what waits for a line that does not come
def test_a_pipe_gets_lines_at_once_until_ctrl_c(growing):
    path, write = growing
    argv = [sys.executable, "-m", "vagus.cli.main", "events", "-f", "--json"]
    env = os.environ | {"PYTHONPATH": str(AGENT)}
    with subprocess.Popen(
        [*argv, "--record", path],
        stdout=subprocess.PIPE,
        env=env,
        text=True,
        # Whoever runs the tests in the background of a shell has ^C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            assert kinds(process.stdout.readline() for _ in KNOWN) == KNOWN
            write(range(34, 42))
            assert kinds([process.stdout.readline()]) == NEW[:1]
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=20)[0] == ""
        finally:
            process.kill()
    assert process.returncode == 0
