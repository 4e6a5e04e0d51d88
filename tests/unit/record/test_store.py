# SPDX-License-Identifier: MIT
"""What goes into the recorder comes out again, whatever happens in between."""

import contextlib
import os
import resource
import signal
import sqlite3
import time
from pathlib import Path

import msgspec
import pytest
from tests.unit.record import writing

from vagus.errors import RecordError
from vagus.flow import Mode
from vagus.record import schema
from vagus.record.read import Reader
from vagus.record.store import Recorder

AGENT = Path(__file__).parents[3] / "agent"


def wait_until(condition, seconds=10.0):
    """Poll a condition until it holds or time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_records_come_back_as_they_were_put(story, tick_record):
    with Reader(story) as reader:
        found = list(reader.between(0, 2**62))
    wanted = [tick_record(tick) for tick in range(1, 91)]
    secret = found[30].events[1].detail
    assert secret == "had to wait for restic --password=[redacted]"
    events = [
        msgspec.structs.replace(event, detail="") for event in wanted[30].events[1:]
    ]
    wanted[30] = msgspec.structs.replace(
        wanted[30], events=[wanted[30].events[0], *events]
    )
    found[30] = msgspec.structs.replace(
        found[30],
        events=[
            found[30].events[0],
            msgspec.structs.replace(found[30].events[1], detail=""),
        ],
    )
    for one, other in zip(found, wanted, strict=True):
        assert one == other


def test_reading_starts_anywhere(story, tick_record):
    with Reader(story) as reader:
        for tick in (1, 29, 60, 61, 62, 90):
            moment = reader.moment(tick)
            assert moment.window == tick_record(tick).window
            assert moment.counters == tick_record(tick).counters
        assert reader.moment(91) is None
        assert reader.latest().window.tick == 90


def test_leases_and_effects_know_their_decision(story):
    with Reader(story) as reader:
        first, second = reader.decisions()
        leases = reader.leases(decision=first.id)
        assert [(one.knob, one.old, one.value) for one in leases] == [
            ("cpu.weight", "100", "400"),
            ("io.weight", "default 100", "default 10"),
        ]
        assert [one.end.cause for one in leases] == ["off", "revoked"]
        assert [one.effect.outcome for one in reader.effects(first.id)] == [
            "kept",
            "reverted",
        ]
        assert reader.leases(decision=second.id) == []
        assert reader.live_leases() == []
        refused = reader.refused(first.id)
        assert [one.stage for one in refused] == ["verify", "apply"]


def in_mode(record, mode, decider, *granted):
    """Return a record with the decision of tick 32, made by another in a mode."""
    change = msgspec.structs.replace
    proposal = change(record.proposal, decider=decider)
    verdict = change(record.verdict, mode=mode)
    return change(record, proposal=proposal, verdict=verdict, granted=[*granted])


def test_advice_that_was_approved_is_not_who_wrote(tmp_path, tick_record):
    record = tick_record(32)
    with Recorder(tmp_path / "r.db") as recorder:
        recorder.put(in_mode(record, Mode.ADVISE, "llm"))
        recorder.put(in_mode(record, Mode.ENFORCE, "operator", *record.granted))
    with Reader(tmp_path / "r.db") as reader:
        assert [one.mode for one in reader.decisions()] == ["advise", "enforce"]
        assert {one.decision for one in reader.leases()} == {2}


def test_another_mode_is_another_decision_and_the_first_stays_as_it_was(
    tmp_path, tick_record
):
    record = tick_record(32)
    with Recorder(tmp_path / "r.db") as recorder:
        recorder.put(in_mode(record, Mode.ENFORCE, "llm", record.granted[0]))
        # What is held eases back: still the first one's doing.
        recorder.put(in_mode(record, Mode.ADVISE, "llm", record.granted[1]))
    with Reader(tmp_path / "r.db") as reader:
        assert [one.mode for one in reader.decisions()] == ["enforce", "advise"]
        assert {one.decision for one in reader.leases()} == {1}


def test_what_a_decision_let_stand_is_known_after_it_was_undone(tmp_path, tick_record):
    record = tick_record(32)
    undone = msgspec.structs.replace(record.verdict, allowed=[])
    with Recorder(tmp_path / "r.db") as recorder:
        recorder.put(record)
        recorder.put(msgspec.structs.replace(record, verdict=undone))
    with Reader(tmp_path / "r.db") as reader:
        assert reader.decision(1).allowed == []
        assert reader.allowed(1) == record.verdict.allowed
        assert reader.allowed(2) is None


def test_live_leases_are_those_without_an_end(tmp_path, tick_record):
    with Recorder(tmp_path / "r.db") as recorder:
        for tick in range(30, 45):
            recorder.put(tick_record(tick))
    with Reader(tmp_path / "r.db") as reader:
        assert [one.knob for one in reader.live_leases()] == ["cpu.weight"]
    with Recorder(tmp_path / "r.db") as recorder:
        recorder.put(tick_record(46))
    with Reader(tmp_path / "r.db") as reader:
        assert reader.live_leases() == []  # those of the agent that is gone


def test_reader_sees_what_a_living_agent_wrote(tmp_path, tick_record):
    with Recorder(tmp_path / "r.db") as recorder:
        recorder.put(tick_record(1))
        assert wait_until(lambda: recorder.state().written == 1)
        with Reader(tmp_path / "r.db") as reader:
            assert reader.latest().window.tick == 1
            recorder.put(tick_record(2))
            assert wait_until(lambda: reader.latest().window.tick == 2, 2.0)


def test_what_comes_all_the_time_is_committed_at_least_once_a_second(
    tmp_path, tick_record
):
    """What the writer waited for a CPU is the machine's doing and allowed on top."""
    with Recorder(tmp_path / "r.db") as recorder:
        began, waited_ns = time.monotonic(), writing.waited_ns(os.getpid())
        counts, tick = {0}, 0
        while time.monotonic() < began + 4:
            tick += 1
            recorder.put(tick_record(tick % 90))
            counts.add(recorder.state().written)
            time.sleep(0.02)
        waited_ns = writing.waited_ns(os.getpid()) - waited_ns
    assert len(counts) - 1 >= 4 - 1 - waited_ns / 1e9


def test_a_record_may_be_called_anything(tmp_path, tick_record):
    path = tmp_path / "a ?b#c%20ü.db"
    with Recorder(path) as recorder:
        recorder.put(tick_record(1))
    with Reader(path) as reader:
        assert reader.latest().window.tick == 1
    assert all(one.name.startswith(path.name) for one in tmp_path.iterdir())


def test_overflow_is_counted_and_shown(tmp_path, tick_record):
    with Recorder(tmp_path / "r.db", queue_records=4) as recorder:
        lock = sqlite3.connect(tmp_path / "r.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")  # nothing can be written meanwhile
        started = time.monotonic()
        recorder.put(tick_record(0))
        time.sleep(0.8)  # the writer is now waiting for the lock
        kept = sum(recorder.put(tick_record(tick)) for tick in range(1, 20))
        assert time.monotonic() - started < 1.5, "put() waited"
        assert kept < 19
        assert recorder.state().lost == 19 - kept
        lock.execute("ROLLBACK")
        lock.close()
        assert wait_until(lambda: recorder.state().waiting == 0)
        recorder.put(tick_record(20))
    with Reader(tmp_path / "r.db") as reader:
        assert reader.summary().skipped == 19 - kept


def test_full_disk_degrades_to_memory_and_recovers(tmp_path, tick_record):
    """RLIMIT_FSIZE stands for a full disk: writes fail, then work again."""
    path, warnings = tmp_path / "r.db", []
    with Recorder(path, warn=warnings.append) as recorder:
        recorder.put(tick_record(1))
        assert wait_until(lambda: recorder.state().written == 1)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        full = path.with_name("r.db-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (full, hard))
        try:
            for tick in range(2, 40):
                recorder.put(tick_record(tick))
            assert wait_until(lambda: recorder.state().trouble)
            assert recorder.state().written == 1
            assert recorder.state().waiting == 38
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert wait_until(lambda: recorder.state().written == 39)
        assert recorder.state().trouble == ""
    assert "takes nothing" in warnings[0] and "written again" in warnings[1]
    with Reader(path) as reader:
        ticks = [moment.window.tick for moment in reader.moments()]
        assert ticks == list(range(1, 40))
        assert reader.summary().rows["sessions"] == 1
        assert [one.decision for one in reader.leases()] == [1, 1]


def test_memory_is_bounded_while_the_disk_is_full(tmp_path, tick_record):
    path = tmp_path / "r.db"
    with Recorder(path, memory_records=5, warn=lambda _: None) as recorder:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            for tick in range(1, 21):
                recorder.put(tick_record(tick))
            assert wait_until(lambda: recorder.state().lost == 15)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with Reader(path) as reader:
        ticks = [moment.window.tick for moment in reader.moments()]
        assert ticks == [16, 17, 18, 19, 20]
        assert reader.summary().skipped == 15


def test_a_burst_beyond_what_memory_keeps_is_written_whole(tmp_path, tick_record):
    with Recorder(tmp_path / "r.db", memory_records=50, queue_records=1000) as recorder:
        for tick in range(500):
            assert recorder.put(tick_record(tick % 90))
    assert recorder.state().written == 500 and recorder.state().lost == 0


def test_one_bad_record_does_not_cost_the_others(tmp_path, tick_record):
    good = tick_record(2)
    bad = msgspec.structs.replace(good, policy="\udc80")
    warnings = []
    with Recorder(tmp_path / "r.db", warn=warnings.append) as recorder:
        for one in (tick_record(1), bad, tick_record(3)):
            recorder.put(one)
    assert recorder.state().lost == 1 and len(warnings) == 1
    with Reader(tmp_path / "r.db") as reader:
        assert [one.window.tick for one in reader.moments()] == [1, 3]
        assert [one.window for one in reader.moments()][1] == tick_record(3).window


@pytest.mark.timeout(1500)
def test_kill_9_loses_at_most_two_seconds(tmp_path, scaled):
    """Kill the writer at random moments of its cycle, on one growing file.

    What its threads waited for a CPU is the machine's doing and is allowed on top.
    """
    path, note = tmp_path / "r.db", tmp_path / "note"
    over_s = []
    for round_ in range(scaled(10)):
        writer = writing.start(path, note)
        began_ns, waited_ns = writing.last_ns(note), writing.waited_ns(writer.pid)
        time.sleep(0.03 + 0.72 * (round_ % 7))
        waited_ns = writing.waited_ns(writer.pid) - waited_ns
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        with Reader(path) as reader:
            latest = reader.latest()
            # Killed before its first commit, it has lost all since it began.
            since_ns = max(began_ns, latest.wall_ns if latest else 0)
            lost_s = (writing.last_ns(note) - since_ns) / 1e9
            over_s.append(lost_s - 2.0 - waited_ns / 1e9)
            assert sum(1 for _ in reader.moments()) >= bool(latest)
        db = schema.open_writer(path)
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        db.close()
    assert max(over_s) < 0.0, over_s


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "other.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE mine (x)")
    db.commit()
    db.close()
    for opener in (Recorder, Reader):
        with pytest.raises(RecordError, match="not a record of Vagus"):
            opener(path)
    with contextlib.closing(sqlite3.connect(path)) as db:  # and left as it is
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    path = tmp_path / "text.db"
    path.write_text("not a database at all, but long enough to be read as one" * 30)
    for opener in (Recorder, Reader):
        with pytest.raises(RecordError, match="not a"):
            opener(path)


def test_a_record_is_for_its_owner_and_the_group_alone(tmp_path, tick_record):
    with Recorder(tmp_path / "r.db") as recorder:
        recorder.put(tick_record(1))
        assert wait_until(lambda: recorder.state().written == 1)
        modes = {one.name: one.stat().st_mode & 0o137 for one in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("r.db", "r.db-wal", "r.db-shm"), 0)


def test_a_newer_record_is_refused(tmp_path):
    path = tmp_path / "new.db"
    Recorder(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    for opener in (Recorder, Reader):
        with pytest.raises(RecordError, match="newer Vagus"):
            opener(path)


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(RecordError, match="cannot be written"):
        Recorder(tmp_path)  # a directory
    with pytest.raises(RecordError, match="no record"):
        Reader(tmp_path / "missing.db")


def test_an_older_record_is_migrated_and_read(tmp_path, tick_record, monkeypatch):
    path = tmp_path / "old.db"
    with monkeypatch.context() as older:
        older.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        schema.open_writer(path).close()
    with pytest.raises(RecordError, match="vagus record vacuum"):
        Reader(path)
    with Recorder(path) as recorder:
        recorder.put(tick_record(32))
    with Reader(path) as reader:
        assert reader.summary().schema == len(schema.MIGRATIONS)
        assert reader.decision(1).proposal == tick_record(32).proposal
