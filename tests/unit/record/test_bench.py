# SPDX-License-Identifier: MIT
"""What the benchmark of the record prints, on a small record."""

import pytest
from tests.unit.record import bench


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("explain_command_ms", 99.9, "bar 100 ms: met"),
        ("explain_command_ms", 180.0, "bar 100 ms: NOT MET"),
        ("hour_dump_ms", 1000, "bar 1000 ms: met"),
        ("hour_whole_ms", 9000, "9000"),
        ("hour_dump_ms", 1001, "bar 1000 ms: NOT MET"),
        ("windows", 60, "60"),
    ],
)
def test_a_figure_stands_beside_its_bar(name, value, said):
    assert bench.line(name, value).endswith(said)


def test_every_bar_has_its_figure(story):
    found = bench.read(story)
    assert found.keys() >= bench.BARS_MS.keys()
    assert found["hour_dump_windows"] == found["hour_whole_windows"] == 90
