# SPDX-License-Identifier: MIT
"""Arguments that a hostile program was given: from the ring to every output."""

import csv
import io
import json
import sqlite3
import struct

import pytest
from msgspec.structs import replace

from vagus import abi
from vagus.abi import EventType
from vagus.decide.identity import Describer
from vagus.native import Ring
from vagus.record.redact import redactor
from vagus.record.store import Recorder
from vagus.sense.rings import KEPT, drain

HOSTILE = {
    "control": b"a\x07\x08\x0b\r\x7f\x00\nb",
    "terminal": b"\x1b[2J\x1b]0;owned\x07\xc2\x9b31m",
    "invalid": b"\xff\xfe\x80\xed\xa0\x80 not utf-8",
    "direction": "a\u202egpj.exe\u2066\u200b".encode(),
    "lines": b'x\n{"kind": "oom"}\nTIME  KIND\n12:00 oom',
    "sql": b"'); DROP TABLE events; --",
    "csv": b'=1+1,"x",\ny',
    "long": b"\x1b" * 131_072,
}


def one_exec(argument: bytes) -> Ring:
    """Return a ring with one exec, its arguments cut as the kernel cuts them."""
    args = (b"/bin/evil\0" + argument + b"\0")[: abi.ARGS_LEN]
    comm = argument[:15]
    body = struct.pack("<QQIIIIQQ16s", 9, 7, EventType.EXEC, 0, 2, 3, 1, 0, comm)
    body += struct.pack(f"<II{abi.ARGS_LEN}s", 0, len(args), args)
    memory = bytearray(2 * 4096 + 2 * 4096)
    memory[8192 : 8192 + 8 + len(body)] = struct.pack("<II", len(body), 0) + body
    struct.pack_into("<Q", memory, 4096, 8 + len(body))
    return Ring.memory(memory, batch=KEPT)


@pytest.fixture(params=HOSTILE)
def told(request, tick_record, tmp_path):
    """Put one such exec on record; return the record's path."""
    argument = HOSTILE[request.param]
    with one_exec(argument) as ring:
        events, _ = drain(ring, "process", lambda _: "evil")
    path = tmp_path / "record.db"
    with Recorder(path) as recorder:
        recorder.put(replace(tick_record(1), events=events))
    return path


def test_every_output_shows_it_escaped_and_cut(vagus, told):
    words = ("events", "--record", str(told))
    code, text, err = vagus(*words)
    assert (code, err) == (0, "")
    header, line = text.splitlines()
    assert line.isprintable() and "exec" in line
    _, text, _ = vagus(*words, "--json")
    (one,) = map(json.loads, text.splitlines())
    _, text, _ = vagus(*words, "-o", "csv")
    (row,) = csv.DictReader(io.StringIO(text))
    for detail, comm in ((one["detail"], one["comm"]), (row["detail"], row["comm"])):
        assert (detail + comm).isprintable() and (detail + comm).encode()
        assert detail.startswith("/bin/evil") and len(detail) <= 97
        assert len(comm) <= 16
    assert one["detail"] == row["detail"]
    assert header.startswith("TIME")


def test_the_record_keeps_it_as_text_and_stays_whole(told):
    db = sqlite3.connect(told)
    ((count,),) = db.execute("SELECT count(*) FROM events").fetchall()
    ((type_, detail),) = db.execute("SELECT typeof(detail), detail FROM events")
    ((check,),) = db.execute("PRAGMA integrity_check").fetchall()
    db.close()
    assert (count, type_, check) == (1, "text", "ok")
    assert detail.isprintable()


@pytest.mark.parametrize("name", HOSTILE)
def test_an_identity_card_shows_it_escaped_and_cut(tmp_path, name):
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cmdline").write_bytes(b"evil\0" + HOSTILE[name] + b"\0")
    card = Describer(tmp_path, redactor().text).arguments(7)
    assert card and card.isprintable() and len(card) <= 120 and card.encode()
