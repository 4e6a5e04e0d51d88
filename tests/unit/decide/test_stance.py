# SPDX-License-Identifier: MIT
"""The llm decider, with the real engine and model."""

import os
import signal
import time

import pytest

from vagus.decide.engine import Engine, EngineState
from vagus.decide.hold import held
from vagus.decide.prompt import SLOTS
from vagus.decide.rules import Rules
from vagus.decide.stance import LlmDecider, card_of, choose, trusted_program
from vagus.flow import (
    Act,
    Identity,
    Quality,
    Resource,
    Role,
    Stance,
    Use,
    Window,
    Word,
    WorkloadWindow,
)
from vagus.policy.load import loads

SENTENCE = "Keep the shop fast. The backup and the build can wait."
POLICY = f"version: 1\nobjective: {SENTENCE!r}\nmode: enforce\ndecider: llm\n"
ROLES = {"shop": "web service", "backup": "backup deferrable"}
ROLES |= {"build": "build throughput"}


def load_of(name, cpu="ok", uses="busy", exe=""):
    role, time_sense = ROLES.get(name, "unknown unknown").split()
    return WorkloadWindow(
        name=name,
        cgroup=f"/system.slice/{name}.service",
        cgroup_id=1,
        identity=Identity(exe=exe),
        role=Role(role, time_sense, "policy"),
        numbers={},
        words={"cpu": Word(cpu), "io": Word.OK, "memory": Word.OK},
        uses={"cpu": Use(uses), "io": Use.IDLE, "memory": Use.IDLE},
    )


def window(*loads, tick=1, quality=None):
    return Window(tick, 0, 10**9, {w.name: w for w in loads}, {}, quality or Quality())


TROUBLE = window(load_of("shop", "bad"), load_of("backup"), load_of("build"))


class Clock:
    """A clock that stands still until it is moved."""

    now = 10**12

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def policy():
    return loads(POLICY)


@pytest.fixture
def decider(policy):
    one = LlmDecider(policy, Engine(), Rules(policy), clock=Clock())
    yield one
    one.close()


def answer_of(decider, seconds=30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if proposal := decider.answer():
            return proposal
        time.sleep(0.002)
    raise AssertionError("no proposal came")


@pytest.mark.needs("model")
def test_proposes_for_every_workload_and_says_with_which_model(decider):
    decider.consider(TROUBLE, SENTENCE)
    proposal = answer_of(decider)
    assert proposal.decider == "llm" and not proposal.fallback
    assert {s.workload for s in proposal.stances} == {"shop", "backup", "build"}
    assert proposal.model.startswith("sha256:") and proposal.took_ms > 0
    assert proposal.cause and "<w1>" in proposal.prompt and "____" in proposal.prompt
    assert "____" not in proposal.answer


@pytest.mark.needs("model")
def test_asks_only_when_something_changed_and_not_too_often(decider):
    decider.consider(TROUBLE, SENTENCE)
    first = answer_of(decider)
    calls = decider._engine.state().calls
    decider.consider(TROUBLE, SENTENCE)
    assert decider.answer() is None  # too early
    decider._clock.now += 10**10
    decider.consider(TROUBLE, SENTENCE)  # unchanged: said again, not asked again
    again = decider.answer()
    assert again == first or all(s.act is Act.LEAVE for s in first.stances)
    assert decider._engine.state().calls == calls
    decider._clock.now += 10**10
    decider.consider(TROUBLE, "The shop can wait.")
    answer_of(decider)
    assert decider._engine.state().calls == calls + 1


@pytest.mark.needs("model")
def test_trouble_that_begins_is_told_at_once_but_once_an_interval(decider):
    calm = window(load_of("shop"), load_of("backup"), load_of("build"))
    decider.consider(calm, SENTENCE)
    assert all(s.act is Act.LEAVE for s in answer_of(decider).stances)
    decider.consider(TROUBLE, SENTENCE)  # no time has passed
    assert any(s.act is Act.PROTECT for s in answer_of(decider).stances)
    calls = decider._engine.state().calls
    more = window(load_of("shop", "bad"), load_of("backup", "bad"), load_of("build"))
    decider.consider(more, SENTENCE)
    assert decider._engine.state().calls == calls and not decider._open
    decider._clock.now += 10**10
    decider.consider(more, SENTENCE)
    answer_of(decider)
    assert decider._engine.state().calls == calls + 1


@pytest.mark.needs("model")
def test_a_new_sentence_is_read_at_once(decider):
    decider.consider(TROUBLE, SENTENCE)
    answer_of(decider)
    decider.consider(TROUBLE, "The shop can wait.")  # no time has passed
    assert answer_of(decider).objective == "The shop can wait."


@pytest.mark.needs("model")
def test_a_miss_falls_back_to_rules_and_says_why(policy):
    model = policy.model.model_copy(update={"deadline_ms": 1000})
    hurried = policy.model_copy(update={"model": model})
    one = LlmDecider(hurried, Engine(), Rules(hurried), clock=Clock())
    try:
        one.consider(TROUBLE, SENTENCE)
        answer_of(one)
        os.kill(one._engine.state().pid, signal.SIGSTOP)
        one._clock.now += 10**10
        one.consider(TROUBLE, "Now the build comes first.")
        proposal = answer_of(one)
        assert proposal.decider == "rules" and "1000 ms" in proposal.fallback
        one._clock.now += 10**10
        one.consider(TROUBLE, "Now the build comes first.")
        assert answer_of(one).decider == "llm"
    finally:
        one.close()


def test_without_a_model_rules_decide_visibly(policy):
    one = LlmDecider(policy, None, Rules(policy), "there is no model at /x: train one")
    one.consider(TROUBLE, SENTENCE)
    proposal = one.answer()
    assert proposal.decider == "rules"
    assert proposal.fallback == "there is no model at /x: train one"
    assert one.fileno() == -1


def test_at_most_eight_workloads_those_in_trouble_first():
    loads = [load_of(f"n{i:02}", uses="idle") for i in range(30)]
    loads += [load_of("hurt", "critical", "idle"), load_of("greedy", uses="heavy")]
    chosen = choose(window(*loads))
    assert len(chosen) == SLOTS and {"hurt", "greedy"} <= set(chosen)


@pytest.mark.parametrize(
    ("exe", "program"),
    [
        ("/usr/sbin/nginx", "nginx"),
        ("/usr/bin/python3.13", ""),
        ("/tmp/nginx", ""),
        ("/home/eve/shop", ""),
        ("/usr/bin/../../tmp/shop", ""),
        ("", ""),
    ],
)
def test_only_an_installed_program_is_named_to_the_model(exe, program, policy):
    assert trusted_program(exe) == program
    assert card_of(load_of("x", exe=exe), policy).program == program


def protect(name, strength=2):
    return Stance(name, Act.PROTECT, Resource.CPU, strength)


def give(name, strength=2):
    return Stance(name, Act.YIELD, Resource.CPU, strength)


def leave(name):
    return Stance(name, Act.LEAVE, strength=0)


@pytest.mark.parametrize(
    ("before", "now", "use", "after"),
    [
        ([protect("a"), give("b")], [leave("a"), leave("b")], "heavy", "same"),
        ([protect("a"), give("b")], [leave("a"), leave("b")], "light", "now"),
        ([protect("a"), give("b")], [protect("a", 1), give("b", 1)], "busy", "same"),
        ([protect("a", 1), give("b", 1)], [protect("a"), give("b")], "busy", "now"),
        ([protect("a"), give("b")], [give("a"), protect("b")], "busy", "now"),
        ([], [leave("a"), leave("b")], "heavy", "now"),
    ],
)
def test_holding(before, now, use, after):
    seen = window(load_of("a"), load_of("b", uses=use))
    assert held(before, now, seen) == (before if after == "same" else now)


@pytest.mark.needs("model")
def test_engine_state_counts(decider):
    decider.consider(TROUBLE, SENTENCE)
    answer_of(decider)
    state = decider._engine.state()
    assert isinstance(state, EngineState) and state.calls == 1 and state.load_ms > 0
