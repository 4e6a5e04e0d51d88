# SPDX-License-Identifier: MIT
"""The loop with injected time, sensors and a stand-in for the module.

What the real kernel does with leases is tests/vm/test_loop.py's.
"""

import errno
import itertools
import json
import os
import signal
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from vagus.apply.classes import Classes
from vagus.apply.ground import Surveyor
from vagus.apply.leases import Holder
from vagus.apply.reflex import Reflex
from vagus.apply.sched import SchedExt
from vagus.cost import CostMeter
from vagus.decide.rules import Rules
from vagus.errors import ModuleMissing, PolicyError
from vagus.flow import (
    Act,
    Event,
    Found,
    LeaseEnd,
    Mode,
    Outcome,
    Proposal,
    Record,
    Resource,
    Sample,
    SourceState,
    Stance,
    Window,
)
from vagus.kmod import Grant, Granted
from vagus.loop import Loop
from vagus.parts import Parts
from vagus.policy.load import loads
from vagus.policy.model import Policy
from vagus.wake import Waker
from vagus.window import Windower

S = 1_000_000_000
POLICY = """
version: 1
mode: enforce
decider: rules
workloads:
  shop: {match: {cgroup: /shop}, role: web, slo: {psi_cpu: 20%}}
  build: {match: {cgroup: /build}, role: build}
budget: {cooldown: 0s, actions_per_minute: 100}
"""


class Machine:
    """A machine of two workloads; weights decide who waits."""

    def __init__(self, root: Path) -> None:
        self.root, self.now = root, 100 * S
        self.load = 1.0  # of the build
        self.ids = 0
        self.gone = False
        self.live: dict[int, tuple[Path, str]] = {}
        self.ends: list[LeaseEnd] = []
        self.totals: dict[tuple[str, str], float] = {}
        self.events_waiting: list[Event] = []
        for name in ("shop", "build"):
            folder = root / name
            folder.mkdir()
            (folder / "cpu.weight").write_text("100\n")
            (folder / "cpu.idle").write_text("0\n")
            (folder / "cgroup.procs").write_text("1\n")

    def number(self, name: str) -> float:
        """Return a workload's weight as it is in the file."""
        if (self.root / name / "cpu.idle").read_text().strip() == "1":
            return 0.3
        return float((self.root / name / "cpu.weight").read_text())

    def wait_pct(self) -> float:
        """Return how much of the time the shop waits: its want less its share."""
        if not self.load:
            return 0.0
        share = self.number("shop") / (self.number("shop") + self.number("build"))
        return 100 * max(0.02, 0.8 - share)

    # --- as the module

    def grant(self, grants: Sequence[Grant]) -> list[Granted]:
        self._alive()
        answers = []
        for grant in grants:
            path = Path(os.readlink(f"/proc/self/fd/{grant.fd}"))
            known = [i for i, (p, _) in self.live.items() if p.parent == path.parent]
            old = self.live[known[0]][1] if known else path.read_text().strip()
            if not known:
                self.ids += 1
            id_ = known[0] if known else self.ids
            path.write_text(grant.value)
            self.live[id_] = (path, old)
            answers.append(Granted(id_, old, grant.value, 0, "", 0, str(path)))
        return answers

    def renew(self, ids: Iterable[int], ttl_ms: int) -> dict[int, int]:
        self._alive()
        return {i: 0 if i in self.live else -errno.ENOENT for i in ids}

    def revoke(self, ids: Iterable[int], cause: str = "revoked") -> object:
        self._alive()
        for id_ in ids:
            path, old = self.live.pop(id_)
            path.write_text(old)
            end = LeaseEnd(id_, str(path), old, old, "restored", cause, self.now, 0)
            self.ends.append(end)
        return {}

    def ended(self) -> list[LeaseEnd]:
        ends, self.ends = self.ends, []
        return ends

    def info(self) -> object:
        self._alive()
        return {}

    def _alive(self) -> None:
        if self.gone:
            raise ModuleMissing("vagus.ko is not loaded: run `modprobe vagus`")

    # --- as a sensor

    name = "psi"

    def follow(self, workloads: object) -> None:
        self.followed = workloads

    def read(self) -> list[Sample]:
        made = [self._grown("shop", "psi_cpu_some_us", self.wait_pct())]
        made += [self._grown("build", "psi_cpu_some_us", 5.0)]
        for name, pct in (("shop", 60.0), ("build", 90.0 * self.load)):
            made.append(self._grown(name, "cpu_usage_us", pct, "cgroup"))
        return made

    def _grown(
        self, name: str, signal_: str, pct: float, source: str = "psi"
    ) -> Sample:
        last_ns, total = self.totals.get((name, signal_), (self.now, 0.0))
        total += pct / 100 * (self.now - last_ns) / 1e3
        self.totals[name, signal_] = (self.now, total)
        return Sample(source, name, signal_, "counter", self.now, total)

    def events(self) -> list[Event]:
        events, self.events_waiting = self.events_waiting, []
        return events

    def state(self) -> SourceState:
        return SourceState(1, 0)

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


class Finder:
    """Knows both workloads."""

    name = "discover"

    def __init__(self) -> None:
        self.everything = self.found = {
            name: Found(name, f"/{name}", number, policy=name, by="cgroup")
            for number, name in enumerate(("shop", "build"), start=1)
        }
        self.touched: list[int] = []

    def poll(self, touched: Sequence[int] = ()) -> bool:
        self.touched += touched
        return False

    def follow(self) -> dict[str, tuple[str, int]]:
        return {n: (one.cgroup, one.cgroup_id) for n, one in self.found.items()}

    def set_policy(self, policy: Policy) -> None:
        by_cgroup = {str(w.match.cgroup)[1:]: n for n, w in policy.workloads.items()}
        self.found = {
            by_cgroup[unit]: replace(
                self.everything[unit], name=by_cgroup[unit], policy=by_cgroup[unit]
            )
            for unit in self.everything
        }

    def fileno(self) -> int:
        return -1

    def state(self) -> SourceState:
        return SourceState(0, 0)

    def close(self) -> None:
        pass


class Bench:
    """A loop on a machine, and time that passes when told."""

    machine_type = Machine

    def __init__(self, root: Path, text: str = POLICY) -> None:
        self.machine, self.text = self.machine_type(root), text
        self.records: list[Record] = []
        self.attached = 0
        policy = loads(text)

        def clock() -> int:
            return self.machine.now

        def scheduler(mode: str, yield_pct: float) -> SchedExt:
            sysfs, path = root / "sched_ext", root / "sched.bpf.o"
            return SchedExt(
                path,
                mode=mode,
                yield_share_pct=yield_pct,
                cgroups=root,
                sysfs=sysfs,
                clock=clock,
            )

        classes = Classes(scheduler, clock)
        self.reflex = Reflex(Surveyor(root, root, root, clock), clock, classes)
        self.loop = Loop(
            Parts(
                policy=policy,
                finder=Finder(),
                sensors=[self.machine],
                windower=Windower(policy, clock),
                fast=Windower(policy, clock),
                decider=Rules(policy),
                reflex=self.reflex,
                cost=CostMeter(lambda: 0, clock=clock),
                put=self.records.append,
                publish=lambda record: None,
                reload=lambda: loads(self.text),
                rewire=Rules,
                spare=Rules,
                attach=self._attach,
                clock=clock,
                wall=clock,
            )
        )

    def _attach(self) -> str:
        self.attached += 1
        if self.machine.gone:
            return "vagus.ko is not loaded"
        machine, root = self.machine, self.machine.root
        holder = Holder(machine, root, root, 10_000, 600 * S, lambda: machine.now)
        self.reflex.attach(holder)
        return ""

    def run(self, seconds: int, reflexes: int = 9) -> None:
        """Let time pass, with the reflex between the ticks."""
        for _ in range(seconds):
            for _ in range(reflexes):
                self.machine.now += S // 10
                if self.loop.course.standing:
                    self.loop.reflex()
            self.machine.now += S - reflexes * S // 10
            self.loop.tick()

    def outcomes(self) -> list[Outcome]:
        return [e.outcome for r in self.records for e in r.effects]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_loop_protects_who_suffers_and_records_each_step(bench):
    bench.run(6)
    assert bench.machine.number("shop") > 100
    assert bench.machine.number("build") < 100
    assert bench.machine.wait_pct() < 10
    decided = [r for r in bench.records if r.proposal]
    assert decided[0].proposal.decider == "rules"
    granted = [lease for r in bench.records for lease in r.granted]
    assert {lease.setting.workload for lease in granted} == {"shop", "build"}
    assert all(lease.old == "100" for lease in granted)


def test_reflex_looks_at_whom_the_stances_are_for(bench):
    looked, fast = [], bench.loop.senses.fast
    asked: list[Collection[str] | None] = []
    bench.loop.parts.narrow = asked.append
    bench.loop.senses.fast = lambda *about: looked.append(fast(*about)) or looked[-1]
    bench.run(6)
    assert {s.act for s in bench.loop.course.standing} == {Act.PROTECT, Act.YIELD}
    assert set(looked[-1].workloads) == {"shop"}
    assert asked[-2:] == [{"shop"}, None]
    # Where nobody is protected it is for all: a yield may be for whoever suffers.
    bench.loop.parts.decider = Scripted(Stance("build", Act.YIELD, Resource.CPU, 2))
    bench.machine.now += S
    bench.loop.tick()
    bench.run(4)
    assert set(looked[-1].workloads) == {"shop", "build"}


def test_who_was_not_looked_at_is_told_of_anew(bench):
    bench.loop.tick()
    for about in (None, None, {"shop"}, {"shop"}):
        bench.machine.now += S // 10
        window = bench.loop.senses.fast(1, about)
    assert "psi_cpu_some_pct" in window.workloads["shop"].numbers
    bench.machine.now += S // 10
    both = bench.loop.senses.fast(1).workloads
    assert "psi_cpu_some_pct" in both["shop"].numbers
    assert "psi_cpu_some_pct" not in both["build"].numbers


def test_loop_judges_what_it_did_kept(bench):
    bench.run(40)
    assert Outcome.KEPT in bench.outcomes()
    assert Outcome.REVERTED not in bench.outcomes()
    assert bench.machine.wait_pct() < 10


def test_loop_lets_go_when_the_load_is_gone(bench):
    bench.run(30)
    bench.machine.load = 0.0
    bench.run(120)
    assert bench.machine.number("shop") == 100
    assert bench.machine.number("build") == 100
    assert not bench.reflex.held


def test_loop_no_knob_flips_more_than_twice_a_minute(bench):
    turns: dict[str, list[tuple[int, float]]] = {"shop": [], "build": []}
    for second in range(300):
        bench.machine.load = float(second % 20 < 10)
        bench.run(1)
        for name, seen in turns.items():
            value = bench.machine.number(name)
            if not seen or seen[-1][1] != value:
                seen.append((second, value))
    for name, seen in turns.items():
        values = [value for _, value in seen]
        flips = [
            seen[i + 1][0]
            for i in range(1, len(values) - 1)
            if (values[i] - values[i - 1]) * (values[i + 1] - values[i]) < 0
        ]
        worst = max((sum(0 <= f - g < 60 for f in flips) for g in flips), default=0)
        assert worst <= 2, (name, seen)


def test_loop_without_a_module_advises_and_takes_it_when_it_comes(bench):
    bench.machine.gone = True
    bench.run(8)
    assert bench.machine.number("shop") == 100
    assert any(r.verdict and r.verdict.allowed for r in bench.records)
    assert bench.loop.planned
    assert bench.reflex.missing
    assert bench.attached <= 3
    bench.machine.gone = False
    bench.run(5)
    assert bench.machine.number("build") < 100


def test_loop_goes_on_when_the_module_is_unloaded(bench):
    bench.run(6)
    bench.machine.gone = True
    bench.run(3)
    assert "vagus.ko is not loaded" in bench.reflex.missing
    assert len(bench.records) == 9
    assert not bench.reflex.held


def test_loop_observe_asks_nobody(tmp_path):
    bench = Bench(tmp_path, POLICY.replace("mode: enforce", "mode: observe"))
    bench.run(6)
    assert all(r.proposal is None for r in bench.records)
    assert bench.machine.number("shop") == 100


def test_loop_advise_decides_and_sets_nothing(tmp_path):
    bench = Bench(tmp_path, POLICY.replace("mode: enforce", "mode: advise"))
    bench.run(6)
    assert any(r.verdict and r.verdict.allowed for r in bench.records)
    assert bench.machine.number("shop") == 100


def test_loop_reload_wrong_policy_changes_nothing(bench):
    bench.run(3)
    bench.text = "version: 1\nmoode: enforce\n"
    said = bench.loop.reload()
    assert "2:1" in said
    assert bench.loop.course.policy.mode is Mode.ENFORCE
    bench.run(1)
    assert [e.kind for e in bench.records[-1].events] == ["policy-refused"]


def test_loop_reload_takes_effect_at_the_next_tick(bench):
    bench.run(5)
    assert bench.machine.number("build") < 100
    bench.text = POLICY + "never_touch: [build]\n"
    bench.loop.reload()
    bench.run(1)
    assert bench.machine.number("build") == 100
    assert any(refusal.code == "never_touch" for refusal in bench.records[-1].failed)


def test_loop_reload_that_exchanges_names_is_followed(bench):
    bench.run(6)
    assert bench.machine.number("shop") > 100 > bench.machine.number("build")
    cgroups = (
        bench.text.replace("/shop", "/?")
        .replace("/build", "/shop")
        .replace("/?", "/build")
    )
    bench.text = cgroups
    bench.loop.reload()
    bench.loop.parts.decider = Scripted(Stance("shop", Act.PROTECT, Resource.CPU, 2))
    bench.run(2)
    assert bench.machine.number("build") == 1000


def test_loop_proposal_said_again_is_no_new_decision(bench):
    bench.run(60)
    decisions = [r for r in bench.records if r.proposal]
    assert len(decisions) < 12


def test_loop_execs_are_shown_to_discovery(bench):
    event = Event(0, "process", "exec", "shop", 7, 1, 1, "nginx", 0.0, "")
    bench.machine.events_waiting = [event]
    bench.run(2)
    assert 7 in bench.loop.parts.finder.touched


def test_loop_keeps_a_few_events_of_a_kind_and_counts_the_rest(bench):
    wait = Event(0, "ring", "runq", "shop", 7, 1, 1, "nginx", 3e7, "ns")
    oom = Event(0, "memory", "oom", "shop", 7, 1, 1, "nginx", 5.0, "pages")
    bench.machine.events_waiting = [wait] * 1000 + [oom]
    bench.run(1, reflexes=0)
    kinds = [event.kind for event in bench.records[-1].events]
    assert kinds.count("oom") == 1 and 1 < kinds.count("runq") < 50
    dropped = bench.records[-1].counters["loop.events_dropped"]
    assert dropped == 1001 - len(kinds)


def test_loop_counters_name_every_source(bench):
    bench.run(5)
    counters = bench.records[-1].counters
    assert counters["psi.seen"] == 1
    assert counters["leases.granted"] >= 2
    assert counters["decider.proposals"] >= 1
    assert counters["loop.ticks"] == 5
    json.dumps(counters)


def test_loop_ends_with_everything_given_back(bench):
    bench.run(6)
    bench.loop.stopping = True
    with Waker() as waker:
        bench.loop.run(waker)
    assert bench.machine.number("shop") == 100
    assert {end.cause for end in bench.records[-1].ended} == {"revoked"}


def test_loop_signals_end_it_and_reload_it(bench):
    bench.text = "version: 2\n"
    calls = []

    class Impatient(Waker):
        def wait(self, seconds: float) -> set[str]:
            calls.append(seconds)
            number = {1: signal.SIGHUP, 2: signal.SIGTERM}.get(len(calls))
            if number:
                os.kill(os.getpid(), number)
            return super().wait(0)

    with Impatient() as waker:
        bench.loop.run(waker)
    assert len(calls) == 2
    assert [e.kind for r in bench.records for e in r.events] == ["policy-refused"]


class Scripted:
    """A decider that says what a test wants."""

    name = "scripted"

    def __init__(self, *stances: Stance) -> None:
        self.proposal: Proposal | None = Proposal("rules", list(stances), "a test")

    def consider(self, window: Window, objective: str) -> None:
        self.objective = objective

    def answer(self) -> Proposal | None:
        ready, self.proposal = self.proposal, None
        return ready

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


class Broken(Scripted):
    """A decider that is wrong about something."""

    def consider(self, window: Window, objective: str) -> None:
        raise KeyError("a workload that nobody knows")

    def close(self) -> None:
        raise ValueError("not even that")


def test_loop_outlives_a_decider_that_breaks(bench):
    bench.loop.parts.decider = Broken()
    bench.run(6)
    assert len(bench.records) == 6
    assert bench.machine.number("build") < 100
    proposal = next(r.proposal for r in bench.records if r.proposal)
    assert proposal.decider == "rules"
    assert "scripted broke: KeyError" in proposal.fallback
    assert any(e.kind == "decider-broke" for r in bench.records for e in r.events)


def test_loop_reverts_a_harmful_stance_and_quarantines_it(bench):
    wrong = Stance("build", Act.PROTECT, Resource.CPU, 2)
    bench.machine.load = 1.0
    bench.loop.parts.decider = Scripted(wrong)
    (bench.machine.root / "build/cpu.weight").write_text("10\n")
    bench.run(25)
    assert Outcome.REVERTED in bench.outcomes()
    assert bench.machine.number("build") == 10
    assert bench.loop.course.standing == []
    refused = [f.code for r in bench.records if r.verdict for f in r.verdict.refused]
    assert "quarantine" in refused


def test_loop_off_from_outside_makes_it_advise(bench):
    bench.run(5)
    bench.machine.revoke(list(bench.machine.live), "off")
    bench.run(5)
    assert bench.machine.number("shop") == 100
    assert bench.loop.course.policy.mode is Mode.ADVISE


def test_policy_error_is_told_with_its_place(bench):
    bench.text = "version: [\n"
    with pytest.raises(PolicyError):
        loads(bench.text)
    assert "the policy in force stays" in bench.loop.reload()


def test_loop_looks_more_often_while_something_is_withdrawn(bench):
    """A reflex of 50 ms rests twenty times as long, or four times."""
    spent = itertools.count(0, S // 20)
    bench.loop.parts.used = lambda: next(spent)
    rests = {False: set(), True: set()}
    for _ in range(20):
        bench.run(1, reflexes=1)
        asking = bench.loop.parts.judge.asking
        if bench.loop.course.standing:
            bench.loop.reflex()
            rests[asking].add(bench.loop._next_reflex - bench.machine.now)
    assert rests == {False: {S}, True: {S // 5}}
