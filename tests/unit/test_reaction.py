# SPDX-License-Identifier: MIT
"""How soon the loop answers what wakes it, and what it counts of that."""

import itertools
from pathlib import Path
from unittest.mock import Mock

import pytest
from msgspec.structs import replace
from tests.unit.test_loop import Bench, S, Scripted

from vagus.flow import Act, Event, Resource, Stance, Window
from vagus.judge import Judge
from vagus.loop import IN_VAIN
from vagus.urgency import CALM_TICKS

WAIT = Event(0, "ring", "runq", "shop", 7, 1, 1, "nginx", 3e7, "ns")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_first_wake_up_after_a_calm_is_answered_at_once(bench):
    """Those that follow, and call for nothing many times, are answered ever later."""
    bench.run(12)
    loop, machine = bench.loop, bench.machine
    loop.parts.used = lambda: 0
    machine.now += S // 10
    loop.reflex()
    for apart_ms in (0, *(IN_VAIN * [20]), 40, 80, 100, 100):
        loop._next_reflex = machine.now + S
        loop._woken({"sensor psi"})
        assert max(0, loop._next_reflex - machine.now) == apart_ms * 1_000_000
        machine.now = max(machine.now, loop._next_reflex)
        loop.reflex()
    machine.now += S // 10
    loop.reflex()  # nobody woke it
    machine.now += S // 10
    loop._woken({"sensor psi"})
    assert loop._next_reflex <= machine.now


def test_write_that_a_tick_made_answers_a_wake_up_too(bench):
    bench.run(1)
    bench.loop._woken({"sensor psi"})
    bench.machine.now += S // 50
    bench.loop.tick()
    counted = bench.records[-1].counters
    assert bench.records[-1].granted
    assert bench.loop.counters()["loop.reactions"] == counted["loop.reactions"] == 1
    assert counted["loop.reaction_p99_us"] == 20_000


def test_reflex_looks_less_often_while_nobody_suffers_and_a_wake_up_would_tell(bench):
    """A machine at rest does not pay for ten looks a second; trouble is told."""
    loop, machine = bench.loop, bench.machine

    def pace_ms() -> int:
        loop.reflex()
        return (loop._next_reflex - machine.now) // 1_000_000

    bench.run(6)
    loop.parts.used = lambda: 0
    assert loop.course.standing
    machine.load = 0.0
    bench.run(1)
    assert pace_ms() == 100  # nothing here could wake it
    machine.fileno = lambda: 7
    judge = Mock(asking=False, watching=False, targets=set)
    judge.withheld.return_value = frozenset()
    loop.parts.judge = judge
    machine.now += S // 10
    assert pace_ms() == 300
    machine.wait_pct = lambda: 15.0  # warm, which the law leaves as it is
    for _ in range(8):
        machine.now += S // 10
        assert pace_ms() == 300
    machine.now += S // 10
    assert loop.senses.fast(0).workloads["shop"].words["cpu"] == "warm"
    del machine.wait_pct
    judge.watching = True
    machine.now += S // 10
    assert pace_ms() == 100  # what is usual is learned before it is asked
    judge.asking, judge.watching = True, False
    machine.now += S // 10
    assert pace_ms() == 100  # and while it is, three looks are to end it soon
    loop.parts.judge = Judge()
    machine.load = 1.0
    machine.number = lambda name: 100.0  # what was done does not help any more
    paces = []
    for _ in range(5):  # a word needs more than one look
        machine.now += S // 10
        paces.append(pace_ms())
    assert paces[-1] == 100


def test_waits_of_those_who_are_to_wait_wake_nobody(bench):
    """The ring tells of whoever waits; of them nothing is to be done."""
    bench.run(6)
    loop, machine = bench.loop, bench.machine
    loop.parts.used = lambda: 0

    def looks(name: str, source: str = "ring") -> int:
        machine.now += S // 10
        loop.reflex()
        before, event = loop._counters["loop.reflexes"], replace(WAIT, workload=name)
        machine.events_waiting = [event]
        machine.now += S // 50
        loop._woken({f"sensor {source}"})
        loop.reflex()
        assert loop._next_reflex <= machine.now + S // 10
        return loop._counters["loop.reflexes"] - before

    assert looks("build") == 0
    assert looks("shop") == 1
    assert looks("", "psi") == 1  # pressure does not say whose it is
    loop._is_moving = True  # the next step is waited for
    before = loop._counters["loop.reflexes"]
    machine.events_waiting = [replace(WAIT, workload="build")]
    loop._woken({"sensor ring"})
    loop.reflex()
    assert loop._counters["loop.reflexes"] == before + 1
    assert not loop._is_moving
    loop.tick()
    assert [e.workload for e in bench.records[-1].events].count("build") == 2


def test_readings_that_are_compared_are_not_of_shorter_times(bench):
    bench.run(6)
    loop, machine = bench.loop, bench.machine
    loop.parts.used = lambda: 0
    for asking, apart_ms in ((False, 0), (True, 80)):
        loop.parts.judge = Mock(asking=asking, watching=False, targets=set)
        loop.parts.judge.withheld.return_value = frozenset()
        machine.now += S // 10
        loop.reflex()
        machine.now += S // 50
        loop._woken({"sensor psi"})
        assert max(0, loop._next_reflex - machine.now) == apart_ms * 1_000_000


def test_agent_asks_for_more_of_the_cpu_only_while_somebody_suffers(bench):
    asked: list[bool] = []
    bench.loop.parts.urge = asked.append
    bench.machine.load = 0.0
    bench.run(CALM_TICKS + 2)
    assert asked == [False]
    bench.loop._woken({"sensor psi"})  # before it is known who suffers
    assert asked == [False, True]
    bench.run(CALM_TICKS + 2)
    assert asked == [False, True, False]
    bench.machine.wait_pct = lambda: 15.0
    bench.run(3)
    assert bench.loop.window.workloads["shop"].words["cpu"] == "warm"
    assert len(asked) == 3
    del bench.machine.wait_pct
    bench.machine.load = 1.0
    bench.run(2)
    assert asked[3:] == [True]


def test_nothing_is_calm_while_knobs_move(bench):
    """Step by step, although nobody suffers."""
    asked: list[bool] = []
    loop = bench.loop
    loop.parts.urge = asked.append
    bench.text = bench.text + "limits: {cpu.weight: {step: 3%}}\n"
    loop.reload()
    loop.parts.decider = Scripted(Stance("build", Act.YIELD, Resource.CPU, 2))
    bench.machine.wait_pct = lambda: 0.0
    bench.run(CALM_TICKS + 1)
    assert sum(len(r.granted) for r in bench.records) > 5
    assert asked == []
    bench.run(40)
    assert asked == [False]


def test_agent_that_has_to_wait_itself_asks_for_more(bench):
    asked: list[bool] = []
    loop, machine = bench.loop, bench.machine
    loop.parts.urge = asked.append
    machine.load = 0.0
    bench.run(CALM_TICKS + 2)
    window = loop.senses.window

    def waits(*args: object) -> Window:
        machine.now += 60_000_000
        return window(*args)

    loop.senses.window = waits
    bench.run(1)
    assert asked == [False, True]


def test_trouble_that_begins_is_answered_without_rest_for_a_while(bench):
    """Reflexes of 10 ms each: in the end they use a twentieth of a CPU."""
    loop, machine = bench.loop, bench.machine
    bench.run(6)
    spent = itertools.count(0, S // 100)
    loop.parts.used = lambda: next(spent)
    waits_ms = []
    for _ in range(160):
        loop._next_reflex = machine.now + S
        loop._woken({"sensor psi"})
        waits_ms.append(max(0, loop._next_reflex - machine.now) // 1_000_000)
        machine.now = max(machine.now, loop._next_reflex)
        loop.reflex()
    assert max(waits_ms[:50]) <= 100
    assert set(waits_ms[140:]) == {200}


@pytest.mark.parametrize(
    ("rests_ms", "did"), [(0, ["reflex", "tick"]), (200, ["tick"])]
)
def test_wake_up_is_answered_before_a_tick_that_is_due(
    bench, monkeypatch, rests_ms, did
):
    """A tick takes far longer than a reflex; but a loop that rests, rests."""
    loop, machine, done = bench.loop, bench.machine, []
    bench.run(6)
    for name in ("reflex", "tick"):
        monkeypatch.setattr(loop, name, lambda name=name: done.append(name))
    loop._reactions.woken(machine.now)
    loop._rested_ns = machine.now + rests_ms * 1_000_000

    def stops(seconds: float) -> set[str]:
        loop.stopping = True
        return set()

    loop.run(Mock(wait=stops, signals=list))
    assert done == did
