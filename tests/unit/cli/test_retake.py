# SPDX-License-Identifier: MIT
"""Steps of the reflex, taken again from the record of a loop that ran."""

import json
import zlib

import msgspec
import pytest
from tests.unit.test_loop import POLICY, Bench

from vagus.apply.step import Given
from vagus.policy.load import loads
from vagus.record import schema
from vagus.record.store import Recorder


@pytest.fixture
def path(tmp_path):
    """The record of a loop that acted, judged, and let go."""
    bench = Bench(tmp_path)
    bench.run(40)
    bench.machine.load = 0.0
    bench.run(120)
    path = tmp_path / "past.db"
    with Recorder(path) as recorder:
        recorder.put_policy(1, loads(POLICY).text_hash, POLICY)
        for record in bench.records:
            recorder.put(record)
    return path


def test_every_step_that_wrote_comes_out_again(vagus, path):
    code, out, _ = vagus("replay", "--check", "--record", str(path), "--json")
    found = json.loads(out)["steps"]
    assert code == 0, out
    assert found["taken"] > 10 and found["skipped"] == 0 and found["differences"] == []


def test_an_altered_reading_is_named_by_the_step_it_leads_to(vagus, path):
    db = schema.open_writer(path)
    rows = db.execute("SELECT rowid, tick, given FROM steps ORDER BY rowid").fetchall()
    row, tick, data = rows[0]
    given = msgspec.msgpack.decode(zlib.decompress(data), type=Given)
    cgroups = {name: f"{path}.other" for name, path in given.ground.cgroups.items()}
    ground = msgspec.structs.replace(given.ground, cgroups=cgroups)
    altered = msgspec.msgpack.encode(msgspec.structs.replace(given, ground=ground))
    db.execute(
        "UPDATE steps SET given = ? WHERE rowid = ?", (zlib.compress(altered), row)
    )
    db.close()
    code, out, _ = vagus("replay", "--check", "--record", str(path))
    assert code == 1
    assert f"tick {tick} " in out and "the reflex's step differs" in out
    assert ".other/cpu.weight" not in out.split("recomputed")[0]


def test_a_step_of_another_version_is_told_and_is_no_difference(vagus, path):
    db = schema.open_writer(path)
    db.execute("UPDATE steps SET given = ?", (zlib.compress(b"\x80"),))
    db.close()
    code, out, _ = vagus("replay", "--check", "--record", str(path))
    assert code == 0 and "not to be taken again" in out
