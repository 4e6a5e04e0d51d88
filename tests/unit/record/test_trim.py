# SPDX-License-Identifier: MIT
"""Retention: by age and by size, whole windows, the rest stays readable."""

import contextlib
import hashlib
import sqlite3
import time

import msgspec
import pytest
from msgspec.structs import replace

from vagus.flow import Identity
from vagus.record import schema
from vagus.record.read import Reader
from vagus.record.redact import redactor
from vagus.record.store import Recorder
from vagus.record.trim import Limits, trim, used_bytes

S = 10**9
START = time.time_ns() // S * S - 1200 * S
END = START + 1200 * S
KEEP = redactor(builtin=False)


@contextlib.contextmanager
def writing(path, **options):
    """A recorder that is closed when it has written all, however slow the disk is."""
    with Recorder(path, queue_records=2000, **options) as recorder:
        yield recorder
        while recorder.state().waiting:
            time.sleep(0.01)


@pytest.fixture
def long(tmp_path, tick_record):
    """Twenty minutes of windows, one a second."""
    path = tmp_path / "r.db"
    with writing(path) as recorder:
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


def churn(tick_record, tick, old=""):
    """One second in which a workload's process is another one."""
    one = tick_record(tick % 90 + 1)
    shop = one.window.workloads["shop"]
    args = f"{old}job {tick} " + hashlib.sha256(f"{tick}".encode()).hexdigest() * 30
    shop = replace(shop, identity=Identity(args=args), cgroup_id=tick + 1000)
    loads = one.window.workloads | {"shop": shop}
    window = replace(one.window, workloads=loads)
    return replace(one, wall_ns=START + tick * S, window=window)


def faces(path):
    db = sqlite3.connect(path)
    with contextlib.closing(db):
        return [data for (data,) in db.execute("SELECT data FROM faces")]


def test_faces_of_what_came_and_went_go_with_their_windows(tmp_path, tick_record):
    path = tmp_path / "r.db"
    with writing(path, redactor=KEEP) as recorder:
        for tick in range(1200):
            assert recorder.put(churn(tick_record, tick, "secret " * (tick < 300)))
    assert sum(b"secret" in one for one in faces(path)) == 300
    _, before = run(path, Limits(), END)
    # By age: what a process was called does not outlive its windows.
    _, after = run(path, Limits(age_s=600), END)
    assert after < before * 2 / 3
    assert not any(b"secret" in one for one in faces(path))
    with Reader(path) as reader:
        found = [one.window.workloads["shop"].cgroup_id for one in reader.moments()]
    assert found[-1] == 2199 and 540 <= found[0] - 1000 <= 600
    assert found == list(range(found[0], 2200))
    # By size: faces are most of this file, and the history is no shorter for it.
    _, fitted = run(path, Limits(size_bytes=after * 3 // 4), END)
    assert after // 2 <= fitted <= after * 3 // 4
    with Reader(path) as reader:
        assert len(list(reader.moments())) > 300


def test_a_face_stays_as_long_as_a_window_needs_it(tmp_path, tick_record):
    """Said once, in the first row of all; every key row says it again."""
    path = tmp_path / "r.db"
    with writing(path) as recorder:
        for tick in range(200):
            one = tick_record(tick % 20 + 1)
            assert recorder.put(replace(one, wall_ns=START + tick * S))
    run(path, Limits(age_s=30), START + 199 * S)
    with Reader(path) as reader:
        moments = list(reader.moments())
    assert len(moments) <= 91
    assert moments[-1].window == tick_record(199 % 20 + 1).window
    assert len(faces(path)) == 3


def test_faces_that_an_older_vagus_left_behind_go_too(tmp_path, tick_record):
    path = tmp_path / "r.db"
    with Recorder(path) as recorder:
        for tick in range(70):
            assert recorder.put(churn(tick_record, tick))
    db = schema.open_writer(path)
    db.execute("DROP TABLE face_uses")
    rows = [(f"left behind {n}".encode(),) for n in range(12_000)]
    db.executemany("INSERT INTO faces (data) VALUES (?)", rows)
    db.executescript(next(one for one in schema.MIGRATIONS if "face_uses" in one))
    db.close()
    with writing(path) as recorder:
        for tick in range(70, 200):
            assert recorder.put(churn(tick_record, tick))
    run(path, Limits(age_s=60), START + 199 * S)
    assert len(faces(path)) < 130
    with Reader(path) as reader:
        assert [one.window.workloads["shop"].cgroup_id for one in reader.moments()]


def test_what_is_left_can_be_read_however_little_fits(long):
    """Its key row is never taken from a window."""
    run(long, Limits(size_bytes=1), END)
    with Reader(long) as reader:
        assert [(one.wall_ns - START) // S for one in reader.moments()][-1] == 1199


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
