# SPDX-License-Identifier: MIT
"""What arms know of an agent before they begin."""

import arms
from msgspec.structs import replace
from tests.unit.conftest import POLICY, START_WALL_NS, record

from vagus.record.store import Recorder


def test_agent_is_warm_when_it_has_seen_windows_and_read(tmp_path):
    path, last = tmp_path / "record.db", arms.WINDOWS
    assert not arms.warm(path, reads=False)
    write(path, [0] * (last - 1))
    assert not arms.warm(path, reads=False)
    write(path, [0])
    assert arms.warm(path, reads=False) and not arms.warm(path, reads=True)
    write(path, [7])
    assert arms.warm(path, reads=True)


def write(path, calls):
    """Put as many windows on record as there are counts of answered calls."""
    with Recorder(path, version="0.1.0") as recorder:
        recorder.put_policy(START_WALL_NS, "policy-1", POLICY)
        for tick, count in enumerate(calls, 1):
            told = record(tick)
            counters = told.counters | {"model.calls": count}
            assert recorder.put(replace(told, counters=counters))


def test_throttle_is_an_arm_of_its_own_file():
    assert arms.plugged("throttle").__name__ == "enter"
