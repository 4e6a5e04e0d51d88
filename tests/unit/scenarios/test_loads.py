# SPDX-License-Identifier: MIT
"""A load that died, or could not keep up, fails the run."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import guest
import loads
import pytest

OPENLOOP = Path(__file__).parents[2] / "scenarios/openloop.py"


def test_dead_load_generator_fails_the_run(tmp_path):
    out, rate = tmp_path / "out", 100
    # Nobody listens: every request is refused, and still reported, on schedule.
    argv = ["--port", "1", "--rate", str(rate), "--seconds", "60", "--out", out]
    process = subprocess.Popen([sys.executable, OPENLOOP, *argv])
    while not out.exists() or not out.read_text():
        time.sleep(0.05)
    start = time.monotonic()
    threading.Timer(1.5, process.kill).start()
    process.wait()
    time.sleep(max(0, start + 3 - time.monotonic()))
    rows = guest.between(out, start, start + 3)
    loads.alive(guest.between(out, start, start + 1), rate, 1, "shop")
    with pytest.raises(loads.DeadLoad, match="load generator died"):
        loads.alive(rows, rate, 3, "shop")


def test_pgbench_log_is_read_from_the_schedule():
    # Done at 1000.5 s of the wall clock, 20 ms after it was due.
    text = "0 1 20000 0 1000 500000 3000\n"
    assert loads.pgbench_rows(text, 900.0, 100.5, 50.0) == [
        (pytest.approx(100.48), pytest.approx(20.0), True)
    ]


def test_what_pgbench_never_sent_counts_as_it_waited():
    text = "0 1 5000 0 1000 0 0\n1 1 5000 0 1000 10000 0\n"
    rows = loads.pgbench_rows(text, 900.0, 110.0, 10.0)
    unsent = [ms for _, ms, ok in rows if not ok]
    assert len(rows) > 80 and len(unsent) > 80
    assert max(unsent) == pytest.approx(9900, rel=0.02)


def test_empty_pgbench_log_is_a_dead_load():
    assert loads.pgbench_rows("", 0.0, 10.0, 5.0) == []
    with pytest.raises(loads.DeadLoad):
        loads.alive([], 5.0, 10.0, "db")
