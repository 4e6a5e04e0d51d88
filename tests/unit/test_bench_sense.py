# SPDX-License-Identifier: MIT
"""What the benchmarks of sensing print and keep; the agent's own, for a moment."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.vm import bench_sense

AGENT = {"idle_cpu_pct": 0.5, "cpu_pct_at_50k": 4.0, "rss_mb": 50.0}
# What the issue of sensing names, at the last value that is met.
MET = {
    "overhead_pct": 1.0,
    "agent": {"idle_cpu_pct": 1.0, "cpu_pct_at_50k": 5.0, "rss_mb": 60.0},
    "drain_per_s": {"vagus": 50.0, "bcc": 1.0},
    "window_ms": {"10": 1.0, "100": 9.0, "1000": 9.0, "4000": 2.0},
    "unaccounted_loss": 0,
}
MISSED = {
    "overhead_pct": 1.01,
    "agent": {"idle_cpu_pct": 1.01, "cpu_pct_at_50k": 5.01, "rss_mb": 60.1},
    "drain_per_s": {"vagus": 49.9, "bcc": 1.0},
    "window_ms": {"10": 1.0, "100": 1.0, "1000": 1.0, "4000": 2.01},
    "unaccounted_loss": 1,
}


@pytest.mark.parametrize("key", MET)
def test_a_figure_stands_beside_its_aim(key):
    for numbers, verdict in ((MET, "met"), (MISSED, "NOT MET")):
        lines = bench_sense.judged({key: numbers[key]})
        assert lines
        for line in lines:
            assert line.split("  ")[1].strip() == verdict, line
            assert line.endswith(")") and "at " in line


def test_benches_add_to_one_file_and_print(tmp_path, capsys):
    out = tmp_path / "bench/sense.json"
    bench_sense.publish(out, agent=AGENT, unaccounted_loss=0)
    bench_sense.publish(out, drain_per_s={"vagus": 500.0, "bcc": 20.0})
    bench_sense.publish(out, agent=AGENT | {"rss_mb": 70.0})
    assert json.loads(out.read_text()) == {
        "agent": AGENT | {"rss_mb": 70.0},
        "unaccounted_loss": 0,
        "drain_per_s": {"vagus": 500.0, "bcc": 20.0},
    }
    said = capsys.readouterr().out.splitlines()
    assert "  NOT MET  drain by bcc's callbacks, times: 25.00 (at least 50)" in said
    (last,) = [line for line in said if "NOT MET" in line and "MB" in line]
    assert "70.00 (at most 60)" in last


def test_a_whole_agent_is_measured_and_loses_nothing():
    script = Path(bench_sense.__file__).with_name("bench_agent.py")
    found = json.loads(subprocess.check_output([sys.executable, script, "2"]))
    assert found["agent"].keys() == AGENT.keys()
    rings = found["agent_rings"]
    assert rings["made"] == rings["seen"] > 50_000
    busy, watching = found["agent_phases"]["busy"], found["agent_phases"]["watching"]
    assert busy["loop.reflexes_per_s"] > 0 == watching["loop.reflexes_per_s"]
    assert busy["loop.wakes_per_s"] > 10
    assert found["agent"]["cpu_pct_at_50k"] > found["agent"]["idle_cpu_pct"] > 0
