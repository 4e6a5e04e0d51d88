# SPDX-License-Identifier: MIT
"""The machine loses power while the record is written."""

import shutil
import tempfile
from pathlib import Path

import pytest
from tests.vm.powercut import cuts

# Uneven, so that the writer is met in every part of its cycle.
PAUSES_S = (0.11, 0.53, 0.29, 0.83, 0.37, 0.71, 0.05, 0.97)


@pytest.fixture
def memory():
    """A folder in memory."""
    path = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


@pytest.mark.timed
@pytest.mark.timeout(1500)
def test_a_power_cut_loses_at_most_two_seconds_and_corrupts_nothing(memory, scaled):
    told = cuts(memory, scaled(4), PAUSES_S)
    print("lost:", ", ".join(f"{lost_s:.2f} s" for lost_s, _ in told))
    assert [said for _, said in told] == ["ok"] * len(told)
    assert max(lost_s for lost_s, _ in told) < 2.0
