# SPDX-License-Identifier: MIT
"""What stops `vagus run` before it begins: one sentence, its code, its remedy."""

import os
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from vagus.cli import run as verb
from vagus.flow import Act, Mode, Resource, Stance
from vagus.policy.load import load, loads
from vagus.record.read import Reader

BASE = "version: 1\nmode: advise\n"


@pytest.fixture
def policy(tmp_path):
    def write(text):
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_a_wrong_policy_names_each_place(vagus, policy):
    code, _, err = vagus("run", "--policy", policy("version: 1\nmode: x\nfoo: 1\n"))
    assert code == 2
    assert "policy.yaml:2:7: mode: expected" in err
    assert "policy.yaml:3:1: foo:" in err


def test_no_policy_is_said(vagus, tmp_path):
    code, _, err = vagus("run", "--policy", str(tmp_path / "none.yaml"))
    assert code == 2 and "name a policy file" in err


def test_another_user_is_told_to_be_root(vagus, policy, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    code, _, err = vagus("run", "--policy", policy(BASE))
    assert code == 4 and "sudo" in err


def test_a_named_model_must_be_there(vagus, policy, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    path = policy(BASE + "decider: llm\nmodel: {path: /none.gguf}\n")
    code, _, err = vagus("run", "--policy", path)
    assert code == 5 and "/none.gguf" in err and "--no-model" in err


def test_the_first_line_says_what_begins(policy, tmp_path):
    import argparse

    path = tmp_path / "p.yaml"
    args = argparse.Namespace(
        policy=path, no_model=True, no_record=True, record=tmp_path / "r.db"
    )
    said = verb.started(args, loads(BASE + "decider: llm\n"))
    assert "advise, decided by rules" in said and "record none" in said


def test_the_daemon_keeps_windows_and_the_policy_text(tmp_path, tick_record):
    daemon_module = pytest.importorskip("vagus.cli.daemon", reason="needs bindings")
    policy = loads(BASE)
    daemon = daemon_module.Daemon(tmp_path / "r.db", tmp_path / "socket", policy)
    try:
        for tick in (31, 32):
            one = replace(tick_record(tick), policy=policy.text_hash)
            daemon.put(one)
            daemon.publish(one)
    finally:
        daemon.close()
    with Reader(tmp_path / "r.db") as reader:
        assert reader.policy(policy.text_hash) == BASE
        assert reader.latest().window.tick == 32
    assert not (tmp_path / "socket").exists()
    protect = Stance("shop", Act.PROTECT, Resource.CPU, 2)
    assert protect in daemon.allowed("1")
    assert daemon.allowed("9") is None and daemon.allowed("x") is None
    said = tick_record(32).proposal
    assert daemon.number(said, Mode.ENFORCE) == 1
    # Not on record yet: rather none than another's number.
    assert daemon.number(said, Mode.ADVISE) == 0
    assert daemon.number(replace(said, stances=[protect]), Mode.ENFORCE) == 0


def test_the_text_on_record_is_the_one_in_force(tmp_path, tick_record):
    """An edit that nobody asked to load is not what decided anything."""
    from vagus.cli.daemon import Daemon

    path = tmp_path / "policy.yaml"
    path.write_text(BASE)
    first = load(path)
    path.write_text(BASE + "# edited, not loaded\n")
    daemon = Daemon(tmp_path / "r.db", None, first)
    daemon.put(replace(tick_record(1), policy=first.text_hash))
    second = load(path)
    path.write_text("no: policy")
    course = SimpleNamespace(policy=second)
    parts = SimpleNamespace(reflex=None)
    daemon.rule(SimpleNamespace(course=course, parts=parts))
    for tick in (2, 3):
        daemon.put(replace(tick_record(tick), policy=second.text_hash))
    daemon.close()
    with Reader(tmp_path / "r.db") as reader:
        for one in (first, second):
            assert loads(reader.policy(one.text_hash)).text_hash == one.text_hash


def test_the_record_is_kept_as_the_policy_says(tmp_path, tick_record):
    from vagus.cli.daemon import Daemon

    text = BASE + "record: {age: 2h, size: 5M, secrets: ['corp-[0-9]+']}\n"
    path = tmp_path / "r.db"
    daemon = Daemon(path, None, loads(text))
    limits = daemon.recorder._limits
    assert (limits.age_s, limits.size_bytes) == (7200.0, 5 << 20)
    one = tick_record(31)
    detail = "corp-4711 --password=hunter2 and more"
    event = replace(one.events[0], detail=detail)
    daemon.put(replace(one, events=[event]))
    daemon.close()
    with Reader(path) as reader:
        (found,), _ = reader.events()
    assert found.event.detail == "[redacted] --password=[redacted] and more"


def test_redaction_can_be_left_out(tmp_path, tick_record):
    from vagus.cli.daemon import Daemon

    policy = loads(BASE + "record: {redact: false}\n")
    daemon = Daemon(tmp_path / "r.db", None, policy)
    daemon.put(tick_record(31))
    daemon.close()
    with Reader(tmp_path / "r.db") as reader:
        details = [row.event.detail for row in reader.events()[0]]
    assert any("hunter2" in detail for detail in details)


@pytest.mark.parametrize("pattern", ["(", "a*"])
def test_a_pattern_that_cannot_be_is_refused(vagus, policy, pattern):
    path = policy(BASE + f"record: {{secrets: ['{pattern}']}}\n")
    code, out, _ = vagus("policy", "check", path)
    assert code == 2 and "record.secrets" in out


def test_a_record_that_takes_nothing_is_shown_to_who_watches(tmp_path, tick_record):
    from vagus.cli.daemon import Daemon

    daemon = Daemon(tmp_path / "r.db", None, loads(BASE))
    shown = []
    daemon.server = SimpleNamespace(
        publish=lambda record, left_ms: shown.append(record), close=lambda: None
    )
    daemon.publish(tick_record(1))
    assert shown[-1].counters["record.lost"] == 0
    assert shown[-1].window.quality.missing == {}
    daemon.recorder._trouble = "database or disk is full"
    daemon.publish(tick_record(2))
    assert "disk is full" in shown[-1].window.quality.missing["record"]
    daemon.server = None
    daemon.close()
