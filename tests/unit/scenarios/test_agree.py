# SPDX-License-Identifier: MIT
"""Comparing two runs: it can fail."""

import json

import agree


def run(path, medians):
    """Write a result file: medians with an interval of half either way."""
    rows = [
        {"scenario": "web", "variant": "named", "phase": "day", "arm": "llm"}
        | {"metric": f"m{i}", "median": m, "lo": m - 0.5, "hi": m + 0.5, "n": 3}
        for i, m in enumerate(medians)
    ]
    path.write_text(json.dumps({"rows": rows}))
    return str(path)


def test_runs_that_agree(tmp_path, capsys):
    one = run(tmp_path / "one", [10.0] * 10)
    other = run(tmp_path / "other", [10.4] * 9 + [11.0])
    assert agree.main([one, other]) == 0
    assert "9 of 10 rows agree (90 %" in capsys.readouterr().out


def test_runs_that_do_not(tmp_path, capsys):
    one = run(tmp_path / "one", [10.0] * 10)
    other = run(tmp_path / "other", [10.4] * 8 + [11.0] * 2)
    assert agree.main([one, other]) == 1
    assert "does not cover 11" in capsys.readouterr().out


def test_nothing_to_compare_is_no_agreement(tmp_path):
    one = run(tmp_path / "one", [])
    assert agree.main([one, one]) == 2
    assert agree.main([one]) == 2
