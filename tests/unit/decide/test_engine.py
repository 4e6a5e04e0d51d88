# SPDX-License-Identifier: MIT
"""The engine's process on its leash, with the real model."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from vagus.decide.engine import LATE_S, SHIPPED, Engine, Filled, fill_now
from vagus.decide.grammar import Blank, Fresh, Text, valid
from vagus.decide.prompt import Card, role_form, stance_form
from vagus.decide.wire import LENGTH, Answer
from vagus.errors import ModelError, ModelMissing
from vagus.flow import Identity, Use, Word

pytestmark = pytest.mark.needs("model")
CALM = ((Word.OK,) * 3, (Use.IDLE,) * 3)
FORM = stance_form("keep a fast", [Card("a", "", "web", "service", False, *CALM)], True)


def wait_for(engine, done, seconds=20.0):
    end = time.monotonic() + seconds
    while not done and time.monotonic() < end:
        time.sleep(0.002)
        engine.pump()
    return done


def test_fills_a_form_validly_and_tells_which_model():
    with Engine() as engine:
        answers = fill_now(engine, FORM)
        assert valid(FORM, answers)
        state = engine.state()
        assert state.calls == 1 and state.missed == state.failed == 0
        assert state.model.startswith("sha256:") and state.rss_bytes > 1 << 20
        assert engine.native


def test_same_question_same_answer_with_and_without_the_kept_prefix():
    other = role_form(Identity(synopsis="fast web server"))
    with Engine() as engine:
        first = fill_now(engine, FORM)
        fill_now(engine, other)
        assert fill_now(engine, FORM) == first == fill_now(engine, FORM)


def test_a_fresh_text_is_answered_as_if_nothing_stood_before_it():
    other = role_form(Identity(synopsis="fast web server"))
    alone, before = FORM[:2], (*other, Fresh(), *FORM[:2])
    with Engine() as engine:
        answers = fill_now(engine, before)
        assert answers["standing1"] == fill_now(engine, alone)["standing1"]
        assert answers["role"] == fill_now(engine, other)["role"]


def test_one_at_a_time_in_order_and_urgent_first():
    order = []
    with Engine() as engine:
        fill_now(engine, FORM)  # loaded
        os.kill(engine.state().pid, signal.SIGSTOP)  # until all are asked
        for name in "ab":
            engine.submit(FORM, 5000, lambda _, name=name: order.append(name))
        engine.submit(FORM, 5000, lambda _: order.append("urgent"), urgent=True)
        os.kill(engine.state().pid, signal.SIGCONT)
        end = time.monotonic() + 20
        while len(order) < 3 and time.monotonic() < end:
            engine.pump()
        assert order == ["a", "urgent", "b"]


def test_an_answer_is_late_while_it_should_be_there_and_is_not():
    now, done = [0.0], list[Filled]()
    with Engine(clock=lambda: now[0]) as engine:
        while not engine.ready:
            engine.pump()
        assert not engine.late
        os.kill(engine.state().pid, signal.SIGSTOP)
        engine.submit(FORM, 20_000, done.append)
        assert not engine.late
        now[0] += 2 * LATE_S
        assert engine.late
        os.kill(engine.state().pid, signal.SIGCONT)
        wait_for(engine, done)
        assert not done[0].why and not engine.late


def test_a_stuck_child_is_killed_at_the_deadline_and_replaced():
    done: list[Filled] = []
    with Engine() as engine:
        fill_now(engine, FORM)
        old = engine.state().pid
        os.kill(old, signal.SIGSTOP)
        start = time.monotonic()
        engine.submit(FORM, 200, done.append)
        wait_for(engine, done)
        assert 0.2 <= time.monotonic() - start < 2.0
        assert "200 ms" in done[0].why
        assert not Path(f"/proc/{old}").exists()
        assert valid(FORM, fill_now(engine, FORM))
        assert engine.state().missed == 1 and engine.state().starts == 2


def test_a_killed_child_is_reported_and_replaced():
    done: list[Filled] = []
    with Engine() as engine:
        fill_now(engine, FORM)
        os.kill(engine.state().pid, signal.SIGSTOP)
        engine.submit(FORM, 20_000, done.append)
        os.kill(engine.state().pid, signal.SIGKILL)
        wait_for(engine, done)
        assert "ended" in done[0].why
        assert valid(FORM, fill_now(engine, FORM))


def speak_for(pid: int, said: bytes) -> None:
    """Say something on the socket of the engine's process, as if it were it."""
    argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    there = int(argv[argv.index(b"vagus.decide.engine_child") + 1])
    handle = os.pidfd_open(pid)
    pidfd_getfd = 438  # the same number everywhere
    here = ctypes.CDLL(None, use_errno=True).syscall(pidfd_getfd, handle, there, 0)
    os.close(handle)
    with socket.socket(fileno=here) as peer:
        peer.sendall(said)


def message(answer: Answer) -> bytes:
    raw = msgspec.json.encode(answer)
    return LENGTH.pack(len(raw)) + raw


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"\xff" * 64, "does not speak its protocol"),
        (LENGTH.pack(5) + b"\x00\xff{]\n", "does not speak its protocol"),
        (LENGTH.pack(2) + b"[]", "does not speak its protocol"),
        (message(Answer(2, {"a": "rm -rf /"}, 1.0, 1)), "not one that was offered"),
    ],
)
def test_garbage_from_the_engine_is_no_answer_and_it_goes_on(said, why):
    done: list[Filled] = []
    with Engine() as engine:
        fill_now(engine, FORM)
        os.kill(engine.state().pid, signal.SIGSTOP)
        engine.submit(FORM, 20_000, done.append)
        speak_for(engine.state().pid, said)
        wait_for(engine, done)
        assert why in done[0].why and not done[0].answers
        os.kill(engine.state().pid, signal.SIGCONT)  # the old one or the next
        assert valid(FORM, fill_now(engine, FORM))


def test_the_agent_never_imports_llama_cpp():
    code = (
        "import sys; import vagus.decide.stance, vagus.decide.role;"
        "assert 'llama_cpp' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment())


def test_submitting_does_not_wait():
    with Engine() as engine:  # not even for the load
        start = time.perf_counter()
        engine.submit(FORM, 60_000, lambda _: None)
        engine.pump()
        assert time.perf_counter() - start < 0.05


def test_no_file_is_a_clear_sentence(tmp_path):
    with pytest.raises(ModelMissing, match=r"no model at .*correct model\.path"):
        Engine(tmp_path / "no.gguf")


def test_a_file_that_is_no_model_is_a_clear_sentence(tmp_path):
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"GGUF" + b"\0" * 100)
    with Engine(wrong) as engine, pytest.raises(ModelError, match="cannot load"):
        fill_now(engine, FORM, 20_000)


def test_a_form_that_is_too_long_is_refused_and_the_next_one_filled():
    long = (Text(" word" * 3000), Blank("b", ("<leave>", "<end>")))
    with Engine() as engine:
        with pytest.raises(ModelError, match="do not fit"):
            fill_now(engine, long)
        assert valid(FORM, fill_now(engine, FORM))


def test_closing_ends_the_child():
    with Engine() as engine:
        pid = engine.state().pid
    assert not Path(f"/proc/{pid}").exists()
    assert engine.fileno() == -1
    done: list[Filled] = []
    engine.submit(FORM, 100, done.append)
    assert "closed" in done[0].why


def test_the_child_ends_when_its_agent_is_killed():
    code = (
        "import sys, time; from vagus.decide.engine import Engine;"
        "e = Engine(); print(e.state().pid, flush=True); time.sleep(60)"
    )
    agent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=_environment()
    )
    assert agent.stdout is not None
    with agent, agent.stdout as out:
        child = int(out.readline())
        agent.kill()
    end = time.monotonic() + 20
    while _running(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _running(child)


def _running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _environment():
    return os.environ | {"PYTHONPATH": str(SHIPPED.parent.parent.parent)}
