# SPDX-License-Identifier: MIT
"""The runner of test parts: a part that fails is never lost among the others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATH = Path(__file__).parents[3] / "vm/abreast.py"


@pytest.fixture
def run(tmp_path):
    """Run parts in a checkout of the test's own; return status and output."""
    (tmp_path / "vm").mkdir()
    (tmp_path / "vm/abreast.py").write_bytes(PATH.read_bytes())

    def call(*parts, popen=False):
        argv = [sys.executable, tmp_path / "vm/abreast.py", *parts]
        piped = {"stdout": subprocess.PIPE, "text": True, "cwd": tmp_path}
        return (
            subprocess.Popen(argv, **piped) if popen else subprocess.run(argv, **piped)
        )

    return call


def test_all_parts_pass(run):
    done = run("one", "echo; echo '== 3 passed in 1s =='", "two", "echo 4 passed")
    assert done.returncode == 0
    assert "one: done, 3 passed in 1s" in done.stdout
    assert "two: done, 4 passed" in done.stdout


def test_closing_line_counts_tests_whatever_comes_after(run):
    said = "\\033[32m\\033[1m9 passed\\033[0m, 2 skipped in 6.62s (0:00:06)"
    done = run("vm", f"printf '{said}\\n'; echo Powering off.")
    assert "vm: done, 9 passed, 2 skipped in 6.62s" in done.stdout


def test_a_part_that_fails_fails_all_and_is_shown_whole(run):
    done = run("one", "echo 4 passed", "two", "echo the reason; exit 3")
    assert done.returncode == 1
    assert "two: FAILED" in done.stdout
    assert "---- two failed (3)" in done.stdout and "\nthe reason\n" in done.stdout


def test_a_part_that_is_killed_fails_all(run):
    assert run("one", "kill -9 $$", "two", "true").returncode == 1


def test_parts_run_at_the_same_time(run, tmp_path):
    """Each waits for what the other does."""
    wait = "until [ -e {} ]; do sleep 0.05; done"
    first = f"touch .output/a; {wait.format('.output/b')}"
    second = f"touch .output/b; {wait.format('.output/a')}"
    assert run("one", first, "two", second).returncode == 0


def test_nothing_is_left_when_it_is_stopped(run, tmp_path):
    part = run("one", "echo $$ > .output/pid; sleep 300 & wait", popen=True)
    path = tmp_path / ".output/pid"
    with part:
        while not (path.exists() and path.read_text()):
            assert part.poll() is None
            time.sleep(0.05)
        group = int(path.read_text())
        part.send_signal(signal.SIGTERM)
        assert part.wait(60) == 143
    with pytest.raises(ProcessLookupError):
        for _ in range(600):
            os.killpg(group, 0)
            time.sleep(0.05)
