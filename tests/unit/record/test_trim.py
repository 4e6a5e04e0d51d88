# SPDX-License-Identifier: MIT
"""Retention: by age and by size, whole windows, the rest stays readable."""

import time

import msgspec
import pytest

from vagus.record import schema
from vagus.record.read import Reader
from vagus.record.store import Recorder
from vagus.record.trim import Limits, trim, used_bytes

S = 10**9
START = time.time_ns() // S * S - 1200 * S
END = START + 1200 * S


@pytest.fixture
def long(tmp_path, tick_record):
    """Twenty minutes of windows, one a second."""
    path = tmp_path / "r.db"
    with Recorder(path, queue_records=2000) as recorder:
        recorder.put_policy(START, "policy-1", "version: 1")
        for tick in range(1200):
            one = tick_record(tick % 90 + 1)
            wall_ns = START + tick * S
            assert recorder.put(msgspec.structs.replace(one, wall_ns=wall_ns))
    return path


def run(path, limits, wall_ns):
    db = schema.open_writer(path)
    steps = 1
    while trim(db, limits, wall_ns):
        steps += 1
    used = used_bytes(db)
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    db.close()
    return steps, used


def test_what_is_too_old_goes_and_the_rest_can_be_read(long):
    run(long, Limits(age_s=600), END)
    with Reader(long) as reader:
        walls = [(moment.wall_ns - START) // S for moment in reader.moments()]
        assert walls[-1] == 1199
        assert 540 <= walls[0] <= 600  # the minute of the cut stays whole
        assert walls == list(range(walls[0], 1200))
        for table, rows in reader.summary().rows.items():
            assert rows > 0, table
        assert all(one.decision in range(1, 100) for one in reader.leases())
        assert min(one.wall_ns for one in reader.decisions()) >= START + walls[0] * S


def test_what_is_too_much_goes(long):
    _, before = run(long, Limits(), END)
    limit = before * 3 // 4  # the empty tables alone take a good part of this one
    _, after = run(long, Limits(size_bytes=limit), END)
    assert after <= limit
    with Reader(long) as reader:
        walls = [(moment.wall_ns - START) // S for moment in reader.moments()]
        assert walls == list(range(walls[0], 1200))


def test_the_recorder_itself_lets_go_of_what_is_too_old(long, tick_record):
    with Recorder(long, limits=Limits(age_s=600)) as recorder:
        one = tick_record(1)
        recorder.put(msgspec.structs.replace(one, wall_ns=time.time_ns()))
        end = time.monotonic() + 20
        while _oldest(long) < START + 500 * S and time.monotonic() < end:
            time.sleep(0.05)
    assert _oldest(long) >= START + 500 * S


def _oldest(path):
    with Reader(path) as reader:
        return next(reader.moments()).wall_ns


def test_nothing_to_do_changes_nothing(long):
    assert run(long, Limits(), END)[0] == 1
    with Reader(long) as reader:
        assert reader.summary().rows["windows"] == 1200


def test_an_empty_record_is_left_alone(tmp_path):
    path = tmp_path / "r.db"
    Recorder(path).close()
    assert run(path, Limits(), END)[0] == 1


def test_everything_may_be_too_old(long):
    run(long, Limits(age_s=1), END + 10_000_000 * S)
    with Reader(long) as reader:
        assert reader.latest() is not None  # the last minute is kept
        assert len(list(reader.moments())) <= 61
