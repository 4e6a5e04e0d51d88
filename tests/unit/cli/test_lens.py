# SPDX-License-Identifier: MIT
"""`vagus lens` without a kernel: places, drawings, refusals."""

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
