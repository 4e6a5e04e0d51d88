# SPDX-License-Identifier: MIT
"""`vagus lens` without a kernel: places, drawings, refusals, how many at a time."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vagus import abi
from vagus.cli import lens
from vagus.cli.main import main


def test_a_unit_is_found_wherever_it_is(tmp_path):
    (tmp_path / "a.slice/shop.service").mkdir(parents=True)
    assert lens.place("shop", None, tmp_path) == "/a.slice/shop.service"
    assert lens.place(None, "a.slice", tmp_path) == "/a.slice"
    assert lens.place(None, None, tmp_path) == "/"
    with pytest.raises(lens.NoWorkload, match=r"no\.service has no cgroup"):
        lens.place("no", None, tmp_path)
    with pytest.raises(lens.NoWorkload, match="no cgroup /b"):
        lens.place(None, "b", tmp_path)


def test_a_histogram_is_drawn_by_octave():
    counts = [0] * abi.HIST_BUCKETS
    counts[abi.hist_bucket(1_000_000)] = 99
    counts[abi.hist_bucket(8_000_000)] = 1
    first, *bars = lens.histogram(counts)
    assert first.startswith("100 times   p50 ")
    assert len(bars) == 4
    assert bars[0].count("█") == lens.BAR
    assert lens.histogram([0] * abi.HIST_BUCKETS) == ["nothing happened"]


def test_beyond_the_ends_only_the_bound_is_told():
    counts = [0] * abi.HIST_BUCKETS
    counts[0], counts[-1] = 50, 50
    first, *_ = lens.histogram(counts)
    assert "p50 under 4.1 µs   p99 over 1.1 s" in first


def test_json_has_what_a_script_needs():
    counts = [0] * abi.HIST_BUCKETS
    counts[abi.hist_bucket(1_000_000)] = 7
    told = lens.document("runq", counts, [], 3)
    assert (told["count"], told["lost"]) == (7, 3)
    assert told["p50_ns"] == told["p99_ns"] == pytest.approx(1e6, rel=0.12)
    assert len(told["from_ns"]) == len(told["counts"]) == abi.HIST_BUCKETS
    nothing = lens.document("runq", [0] * abi.HIST_BUCKETS, [], 0)
    assert (nothing["count"], nothing["p99_ns"]) == (0, None)


def test_stacks_are_shown_and_escaped():
    (head, *frames) = lens.stack_lines(
        [{"ns": 2_000_000, "comm": "a\x1b", "frames": ["io_schedule", "read"]}]
    )
    assert "2" in head and "a\\x1b" in head
    assert [frame.strip() for frame in frames] == ["io_schedule", "read"]


def test_a_function_needs_a_name(capsys):
    assert main(["lens", "func"]) == 64
    assert "--symbol" in capsys.readouterr().err


def test_a_bad_time_is_refused(capsys, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert main(["lens", "runq", "--for", "soon"]) in (3, 64)
    assert capsys.readouterr().err.startswith("vagus: ")


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Let `vagus lens` run in this test, with a lens that says one line and stays."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("vagus.sense.lens.BCC", tmp_path)
    counts = [0] * abi.HIST_BUCKETS
    counts[abi.hist_bucket(1_000_000)] = 7
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{json.dumps({'counts': counts, 'sum': 7})}'\n")
    python.chmod(0o755)
    monkeypatch.setattr("vagus.sense.lens.PYTHON", python)
    monkeypatch.setattr(lens, "PLACES", tmp_path / "run/vagus")
    return lens.PLACES


def test_no_more_than_a_few_run_at_a_time(typed, capsys):
    with contextlib.ExitStack() as others:
        for _ in range(lens.MOST):
            assert main(["lens", "runq", "--json"]) == 0
            others.enter_context(lens.one_of_few(typed))
        capsys.readouterr()
        assert main(["lens", "runq", "--json"]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"vagus: {lens.MOST} lenses run already")
    assert main(["lens", "runq", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 7


HOLD = """
import sys, time
from pathlib import Path
from vagus.cli import lens
with lens.one_of_few(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_place_of_one_that_was_killed_is_free(typed, monkeypatch):
    monkeypatch.setattr(lens, "MOST", 1)
    code = HOLD.replace("with lens", "lens.MOST = 1\nwith lens", 1)
    agent = str(Path(__file__).parents[3] / "agent")
    with subprocess.Popen(
        [sys.executable, "-c", code, typed],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": agent},
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(lens.TooMany), lens.one_of_few(typed):
            pass
        other.send_signal(signal.SIGKILL)
    with lens.one_of_few(typed):
        pass


def test_a_lens_ends_when_who_asked_for_it_is_killed(tmp_path):
    """As lens_bcc.py itself sees to it, before it compiles anything."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); import lens_bcc, time\n"
        "lens_bcc.die_with_parent(int(sys.argv[2])); print(os.getpid(), flush=True)\n"
        "time.sleep(60)"
    )
    folder = Path(lens.__file__).parents[1] / "sense"
    asks = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([*sys.argv[1:], str(os.getpid())]); time.sleep(60)"
    )
    argv = [sys.executable, "-c", asks, sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as agent:
        pid = int(agent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        agent.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert not alive(pid)


def alive(pid):
    """Say whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
