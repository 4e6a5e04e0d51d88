# SPDX-License-Identifier: MIT
"""The past, stepped through, recomputed, and tried under another policy."""

import contextlib
import json
import sqlite3
import time
import zlib
from datetime import datetime

import msgspec
import pytest

from vagus.course import Course
from vagus.decide.engine import Engine
from vagus.decide.rules import Rules
from vagus.decide.stance import LlmDecider
from vagus.flow import Quality
from vagus.policy.load import loads
from vagus.record import pack, schema
from vagus.record.read import Reader
from vagus.record.store import Recorder

POLICY = """\
version: 1
objective: "Keep the shop fast. Backups can wait."
mode: enforce
decider: rules
workloads:
  shop: {match: {unit: shop.service}, role: web, slo: {run_queue_p99: 2ms}}
  backup: {match: {unit: backup.service}, role: backup}
never_touch: [postgres]
"""
HOUR = datetime(2026, 11, 23, 12, 0)


@pytest.fixture
def past(tmp_path, tick_record):
    return decided(tmp_path, tick_record, POLICY)


def decided(tmp_path, tick_record, text, between=False):
    """Sixty ticks of the story, decided and verified by the real code.

    With `between`, each answer comes before the next window is made.
    """
    policy = loads(text)
    course, decider = Course(policy), Rules(policy)
    path = tmp_path / "past.db"
    with Recorder(path) as recorder:
        recorder.put_policy(1, policy.text_hash, text)
        for tick in range(1, 61):
            base = tick_record(tick)
            loads_ = {
                name: msgspec.structs.replace(
                    load,
                    policy=name,
                    by="unit",
                    numbers=load.numbers | {"runq_count": 100.0},
                )
                for name, load in base.window.workloads.items()
                if name != "postgres"
            }
            window = msgspec.structs.replace(base.window, workloads=loads_)
            if not between:
                course.refresh(window.end_ns, HOUR)
                course.consider(decider, window, window.end_ns + 1_234_567)
            proposal, verdict, basis = course.take_fresh()
            if between:
                course.refresh(window.end_ns, HOUR)
                course.consider(decider, window, window.end_ns + 1_234_567)
            recorder.put(
                msgspec.structs.replace(
                    base,
                    window=window,
                    proposal=proposal,
                    verdict=verdict,
                    basis=basis,
                    policy=policy.text_hash,
                    granted=[],
                    ended=[],
                    failed=[],
                    effects=[],
                )
            )
    return path


def test_every_verdict_comes_out_again(vagus, past):
    code, out, _ = vagus("replay", "--check", "--record", str(past), "--json")
    found = json.loads(out)
    assert code == 0
    assert found["verdicts"] >= 2
    assert found["skipped"] == 0 and found["differences"] == []


def test_a_policy_with_what_looks_like_secrets_is_replayed(
    vagus, tmp_path, tick_record
):
    text = POLICY + "record: {secrets: ['shop-\\d+']}\n"
    text = text.replace("[postgres]", f"[postgres, auth, {'0123456789abcdef' * 4}]")
    path = str(decided(tmp_path, tick_record, text))
    code, out, _ = vagus("replay", "--check", "--record", path)
    assert code == 0 and " 0 differ\n" in out.splitlines(True)[0]
    code, out, _ = vagus("backtest", "--record", path, "--json")
    assert code == 0 and json.loads(out)["agree_pct"] == 100.0


def test_a_policy_that_a_secret_was_taken_out_of_is_not_tried(
    vagus, tmp_path, tick_record
):
    text = POLICY.replace("wait.", "wait. password=hunter2")
    path = decided(tmp_path, tick_record, text)
    with Reader(path) as reader:
        assert "hunter2" not in reader.policy(loads(text).text_hash)
    code, out, _ = vagus("replay", "--check", "--record", str(path))
    assert code == 0 and "0 verdicts recomputed" in out
    assert "because a secret was taken out of the policy" in out
    code, out, _ = vagus("replay", "--check", "--record", str(path), "--json")
    assert json.loads(out)["altered"] == json.loads(out)["skipped"] >= 2
    code, _, err = vagus("backtest", "--record", str(path))
    assert code == 2 and "a secret was taken out" in err and "--policy" in err


def test_what_an_older_vagus_redacted_as_one_text_is_not_tried(vagus, past):
    migration = next(one for one in schema.MIGRATIONS if "altered" in one)
    with contextlib.closing(sqlite3.connect(past)) as db:
        db.execute("UPDATE policies SET text = 'record: {secrets: [redacted]}}'")
        db.execute("ALTER TABLE policies DROP COLUMN altered")
        db.executescript(migration)
    code, out, _ = vagus("replay", "--check", "--record", str(past))
    assert code == 0 and "because a secret was taken out of the policy" in out


def alter(path, window):
    """Take the shop out of a window."""
    db = schema.open_writer(path)
    data = db.execute("SELECT data FROM windows WHERE id = ?", (window,)).fetchone()[0]
    row = msgspec.msgpack.decode(pack.unsqueeze(data), type=pack.Row)
    row.names = [name for name in row.names or ["shop", "backup"] if name != "shop"]
    altered = pack._squeeze(msgspec.msgpack.encode(row))
    db.execute("UPDATE windows SET data = ? WHERE id = ?", (altered, window))
    db.close()


def test_an_altered_window_is_named_by_its_verdict(vagus, past):
    with Reader(past) as reader:
        tick = next(
            one.window.tick
            for one in reader.between(0, 2**62)
            if one.verdict and one.verdict.allowed
        )
    alter(past, tick)
    code, out, _ = vagus("replay", "--check", "--record", str(past))
    assert code == 1
    assert f"tick {tick} " in out
    assert "shop unknown" in out  # the verdict itself differs: shop is not there


def test_an_answer_between_two_ticks_is_checked_with_its_own_window(
    vagus, tmp_path, tick_record
):
    """Also where that is just before the range; skipped where it is lost."""
    path = decided(tmp_path, tick_record, POLICY, between=True)
    with Reader(path) as reader:
        found = [one for one in reader.between(0, 2**62) if one.verdict]
    assert all(one.basis.tick == one.window.tick - 1 for one in found)
    one = next(one for one in found if one.verdict.allowed)
    tick = one.basis.tick
    at = datetime.fromtimestamp(one.wall_ns / 1e9).strftime("%Y-%m-%d %H:%M:%S")
    replay = ("replay", "--check", "--record", str(path), "--json", "-t", at)
    code, out, _ = vagus(*replay)
    assert code == 0 and json.loads(out)["skipped"] == 0
    assert json.loads(out)["differences"] == []
    # The window it was made from, now without whom it is about.
    alter(path, tick)
    code, out, _ = vagus(*replay)
    assert code == 1 and [d["tick"] for d in json.loads(out)["differences"]] == [tick]
    lose(path, tick)
    for words in (replay, replay[:-2]):
        code, out, _ = vagus(*words)
        assert code == 0 and json.loads(out)["skipped"] == 1


def lose(path, window):
    """Take a window out, as where the recorder had to drop it."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM windows WHERE id = ?", (window,))
        db.commit()


def test_the_past_is_stepped_through_as_top_showed_it(vagus):
    code, out, _ = vagus("replay", "--changes")
    assert code == 0
    assert out.count("tick ") == 4  # decision, effects, decision, end
    assert "protect cpu 2" in out
    code, out, _ = vagus("replay", "-t", "12:00:31", "--until", "12:00:33", "--json")
    assert [json.loads(line)["tick"] for line in out.splitlines()] == [31, 32, 33]
    for words in ([], ["--check"], ["--json"]):
        code, out, err = vagus("replay", "-t", "now", *words)
        assert code == 6 and "record ls" in err and out == ""


@pytest.fixture
def backtest(vagus, tmp_path):
    """Try a text, or the recorded policy, on a record; return the report."""

    def call(path, text="", *words):
        other = tmp_path / "other.yaml"
        other.write_text(text)
        named = ("--policy", str(other)) if text else ()
        code, out, err = vagus("backtest", "--record", str(path), *named, *words)
        assert code == 0, err
        return json.loads(out) if "--json" in words else out

    return call


def test_another_policy_is_tried_on_the_past(backtest, past):
    found = backtest(past, "", "--json")
    assert found["windows"] == 60
    assert found["agree_pct"] == 100.0  # the same decider and policy, the same past
    assert found["was_s"] == found["would_s"] != {}
    other = POLICY.replace("[postgres]", "[postgres, backup]")
    out = backtest(past, other)
    assert "%" in out and "WOULD HAVE" in out
    assert "decider" not in out.splitlines()[-1]
    assert backtest(past, "", "--decider", "none", "--json")["would_s"] == {}


@pytest.mark.parametrize(
    "change",
    [
        ("run_queue_p99: 2ms", "run_queue_p99: 50ms"),  # it never suffered by this
        ("mode: enforce", "mode: advise"),
        ("mode: enforce", "mode: observe"),
        ("never_touch", "quiet: [{from: '11:00', to: '13:00'}]\nnever_touch"),
    ],
)
def test_the_past_is_judged_by_the_other_policys_words_hours_and_mode(
    backtest, past, change
):
    found = backtest(past, POLICY.replace(*change), "--json")
    assert found["would_s"] == {} and found["was_s"] != {}
    assert found["agree_pct"] < 100.0


def test_thresholds_of_the_other_policy_count(backtest, past):
    text = POLICY.replace("slo: {run_queue_p99: 2ms}", "protect: true")
    high = "{warm: 1h, bad: 1h, critical: 1h}"
    other = text + f"thresholds: {{suffers: {{runq_p99: {high}}}}}\n"
    assert backtest(past, text, "--json")["would_s"] != {}
    assert backtest(past, other, "--json")["would_s"] == {}


def test_what_was_only_advised_did_not_stand(backtest, tmp_path, tick_record):
    text = POLICY.replace("mode: enforce", "mode: advise")
    path = decided(tmp_path, tick_record, text)
    found = backtest(path, POLICY, "--json")
    assert found["was_s"] == {} and found["would_s"] != {}
    assert found["agree_pct"] < 100.0 and found["mode"] == "enforce"


def test_a_back_test_says_what_it_does_not_do_again(backtest, past):
    out = backtest(past, POLICY.replace("decider: rules", "decider: llm"))
    *_, before, last = out.splitlines()
    assert "match" in before and "role" in before
    assert "llm" in last and "rules decided" in last
    other = ("--decider", "static")
    out = backtest(past, POLICY.replace("decider: rules", "decider: llm"), *other)
    assert "match" in out.splitlines()[-1]


@pytest.fixture
def asked(tmp_path, tick_record):
    """Some ticks of the story, decided by the shipped model."""
    policy = loads(POLICY.replace("decider: rules", "decider: llm"))
    course = Course(policy)
    path = tmp_path / "asked.db"
    with (
        Recorder(path) as recorder,
        contextlib.closing(LlmDecider(policy, Engine(), Rules(policy))) as decider,
    ):
        recorder.put_policy(1, policy.text_hash, POLICY)
        deadline = time.monotonic() + 60
        # At rest, and where the shop begins to suffer: two questions.
        for tick in (28, 31):
            answered = False
            while not answered and time.monotonic() < deadline:
                base = tick_record(tick)
                window = msgspec.structs.replace(base.window, quality=Quality())
                course.refresh(window.end_ns, HOUR)
                course.consider(decider, window, window.end_ns + 7)
                proposal, verdict, basis = course.take_fresh()
                made = {"proposal": proposal, "verdict": verdict, "basis": basis}
                made |= {"window": window, "policy": policy.text_hash}
                lists = ("granted", "ended", "failed", "effects")
                empty: dict[str, list[object]] = {key: [] for key in lists}
                recorder.put(msgspec.structs.replace(base, **made, **empty))
                answered = bool(proposal and not proposal.fallback)
                time.sleep(0.1)
            assert answered
    return path


@pytest.mark.needs("model")
def test_the_model_answers_the_recorded_questions_as_it_did(vagus, asked):
    code, out, _ = vagus("replay", "--check", "--record", str(asked), "--json")
    found = json.loads(out)["replies"]
    assert found["asked"] >= 1 and found["differences"] == [], out
    assert code == 0
    db = schema.open_writer(asked)
    rows = db.execute("SELECT id, window, answer FROM decisions").fetchall()
    number, window, answer = next(row for row in rows if zlib.decompress(row[2]))
    text = zlib.decompress(answer).decode()
    assert "<leave>" in text or "<yield" in text or "<protect" in text
    altered = zlib.compress((text + "<leave>").encode())
    db.execute("UPDATE decisions SET answer = ? WHERE id = ?", (altered, number))
    db.close()
    code, out, _ = vagus("replay", "--check", "--record", str(asked))
    assert code == 1 and "the answer differs" in out
    assert f"tick {window} " in out or "tick " in out
    code, out, _ = vagus("replay", "--check", "--record", str(asked), "--no-model")
    assert code == 0 and "whose model file is not here" in out


def test_a_dump_says_nothing_twice(vagus):
    _, out, _ = vagus("record", "dump", "-t", "12:00:30", "--until", "12:00:37")
    found = [json.loads(line)["window"] for line in out.splitlines()]
    assert [one["tick"] for one in found] == list(range(30, 38))
    assert set(found[0]["workloads"]) == {"shop", "backup", "postgres"}
    assert all(
        one["workloads"].keys() <= {"shop", "backup", "postgres"} for one in found
    )
    assert "face" in found[0]["workloads"]["shop"]
    assert not any("face" in one["workloads"].get("shop", {}) for one in found[1:])
    words = ["-t", "12:00:30", "--until", "12:00:37", "--whole"]
    _, whole, _ = vagus("record", "dump", *words)
    assert len(whole) > 2 * len(out)
    assert len(whole.splitlines()) == len(found)
