# SPDX-License-Identifier: MIT
"""The agent's own cgroup: only what is its own, and never an exception."""

from pathlib import Path

import pytest

from vagus.apply import own

PID = 77


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    root, proc = tmp_path / "cg", tmp_path / "proc"
    (root / "vagus.service").mkdir(parents=True)
    (proc / str(PID)).mkdir(parents=True)
    (proc / str(PID) / "cgroup").write_text("0::/vagus.service\n")
    (root / "vagus.service/cgroup.procs").write_text(f"{PID}\n")
    return root, proc


def test_settle_divides_its_own_cgroup(roots):
    mine = own.settle(*roots, PID, 20.0)
    folder = roots[0] / "vagus.service"
    assert mine.folder == folder and not mine.reason
    assert (folder / "agent/cgroup.procs").read_text() == str(PID)
    assert (folder / "engine/cpu.max").read_text() == "2000 10000"
    assert (folder / "agent/cpu.weight").read_text() == "10000"
    assert own.place_engine(mine, 99)
    assert (folder / "engine/cgroup.procs").read_text() == "99"


def test_its_share_is_small_while_nobody_suffers(roots):
    mine = own.settle(*roots, PID, 20.0)
    weight = roots[0] / "vagus.service/cpu.weight"
    assert weight.read_text() == "400"
    for is_urgent, text in ((False, "20"), (True, "400")):
        own.urge(mine, is_urgent)
        assert weight.read_text() == text
    own.urge(own.Own(reason="not its own"), True)  # nothing to set


@pytest.mark.parametrize(
    ("cap_pct", "text"),
    [
        (1, "2000 200000"),
        (20, "2000 10000"),
        (100, "2000 2000"),
        (400, "4000 1000"),
    ],
)
def test_the_engine_runs_in_short_turns_within_the_kernels_bounds(cap_pct, text):
    assert own.cpu_max(cap_pct) == text


def test_settle_leaves_a_cgroup_with_others_alone(roots):
    (roots[0] / "vagus.service/cgroup.procs").write_text(f"{PID}\n1234\n")
    mine = own.settle(*roots, PID, 20.0)
    assert mine.folder is None and "other processes" in mine.reason
    assert not (roots[0] / "vagus.service/agent").exists()
    assert not own.place_engine(mine, 99)


@pytest.mark.parametrize("text", ["0::/\n", "1:cpu:/x\n", ""])
def test_settle_never_touches_the_root(roots, text):
    (roots[1] / str(PID) / "cgroup").write_text(text)
    assert own.settle(*roots, PID, 20.0).folder is None


def test_settle_that_may_not_is_a_reason(roots):
    (roots[0] / "vagus.service/cgroup.procs").unlink()
    assert "cannot be divided" in own.settle(*roots, PID, 20.0).reason
