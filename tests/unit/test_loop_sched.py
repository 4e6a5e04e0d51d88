# SPDX-License-Identifier: MIT
"""The loop with the scheduler: who holds a CPU stance, and how it changes hands.

The kernel's part is stood in for; that it behaves so is tests/vm/test_loop_sched.py's.
"""

from pathlib import Path

import pytest
from tests.unit.apply.ext import Ext
from tests.unit.test_loop import POLICY, Bench, Machine, S, Scripted

from vagus.abi import SchedClass
from vagus.apply import sched
from vagus.flow import Act, Handle, Lease, LeaseEnd, Mode, Outcome, Resource, Stance
from vagus.orders import orders

WATCHDOG = (1025, "runnable task stall", "kworker/0:1[9] failed to run for 2.0s")
SYSRQ = (sched.EXIT_SYSRQ, "disabled by sysrq-S", "")


class Steered(Machine):
    """A machine on which classes decide who waits, where there are any."""

    ext = Ext()

    def wait_pct(self) -> float:
        classes = self.ext.classes(self.now)
        kinds = {kind for kind, _ in classes.values()}
        helped = kinds & {SchedClass.PROTECT, SchedClass.YIELD}
        return 100 * 0.02 if self.load and helped else super().wait_pct()


class Scheduled(Bench):
    """A loop whose policy asks for the scheduler, on a kernel that has it."""

    machine_type = Steered

    def __init__(self, root: Path, text: str = POLICY + "scheduler: auto\n") -> None:
        super().__init__(root, text)
        (root / "sched_ext").mkdir()
        self.ext = self.machine.ext = Ext()

    def classes(self) -> dict[int, tuple[int, int]]:
        """Return the classes of shop (1) and build (2) that are in force."""
        return self.ext.classes(self.machine.now)

    def granted(self) -> list[Lease]:
        return [lease for r in self.records for lease in r.granted]

    def ended(self) -> list[LeaseEnd]:
        return [end for r in self.records for end in r.ended]

    def said(self) -> list[str]:
        events = [e for r in self.records for e in r.events]
        return [event.detail for event in events if event.kind == "scheduler"]

    def weights(self) -> tuple[float, float]:
        return self.machine.number("shop"), self.machine.number("build")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scheduled:
    made = Scheduled(tmp_path)
    monkeypatch.setattr(sched, "BpfObject", made.ext.open)
    return made


def test_stances_become_classes_and_no_knob_is_written(bench):
    bench.run(6)
    assert bench.classes()[1][0] == SchedClass.PROTECT
    assert bench.classes()[2][0] == SchedClass.YIELD
    assert bench.weights() == (100, 100)
    assert {lease.setting.knob for lease in bench.granted()} == {"sched_ext"}
    assert all(lease.id < 0 and lease.old == "normal" for lease in bench.granted())
    assert bench.records[-1].cpu.handle is Handle.SCHED_EXT
    assert bench.reflex.applied() == {("shop", "cpu"), ("build", "cpu")}
    assert any("sched_ext: attached" in said for said in bench.said())


def test_policy_that_does_not_ask_for_it_gets_knobs(bench):
    bench.text = POLICY
    bench.loop.reload()
    bench.run(6)
    assert bench.ext.loaded == 0
    assert bench.machine.number("build") < 100
    assert "scheduler: off" in bench.records[-1].cpu.reason


def test_share_of_who_yields_is_the_policys(bench):
    bench.text += "reserve: {yield: 7.5%}\n"
    bench.loop.reload()
    bench.run(1)
    assert bench.ext.options["yield_share_pm"] == 75


def test_ejection_gives_the_stances_to_the_knobs_at_the_next_reflex(bench):
    bench.run(4)  # before the judge takes them off for a moment
    bench.ext.end(*WATCHDOG)
    bench.machine.now += S // 10
    bench.loop.reflex()
    assert bench.machine.number("shop") > 100 > bench.machine.number("build")
    bench.run(1)
    assert {end.cause for end in bench.ended()} == {"scheduler"}
    cpu = bench.records[-1].cpu
    assert (cpu.handle, cpu.ejections) == (Handle.CGROUP, 1)
    assert "runnable task stall" in cpu.reason
    assert "runnable task stall" in bench.said()[-1]
    assert bench.reflex.applied() == {("shop", "cpu"), ("build", "cpu")}


def test_scheduler_takes_the_stances_back_after_its_time(bench):
    bench.run(6)
    bench.ext.end(*WATCHDOG)
    bench.run(sched.BACKOFF_NS // S - 2)
    assert bench.ext.attached is None
    bench.run(4)
    assert bench.classes().keys() == {1, 2}
    assert bench.weights() == (100, 100)
    assert {slot[0] for slot in bench.reflex.held} == {"sched_ext"}


def test_repeated_ejection_is_the_end_of_it_and_knobs_hold_each_time(bench):
    bench.run(4)  # before the judge takes them off for a moment
    for number in range(sched.EJECTIONS_MAX):
        if number:
            bench.run((sched.BACKOFF_NS << (number - 1)) // S + 2)
        bench.ext.end(*WATCHDOG)
        bench.run(1)
        assert bench.machine.number("build") < 100, number
    assert "not tried again" in bench.records[-1].cpu.reason
    bench.run(100)
    assert bench.ext.attached is None


def test_withdrawn_stance_is_not_held_meanwhile_and_kept_if_it_helped(bench):
    bench.run(40)
    assert Outcome.KEPT in bench.outcomes()
    assert Outcome.REVERTED not in bench.outcomes()
    ends = [end for end in bench.ended() if end.cause == "revoked"]
    assert ends and all(end.now != "normal" == end.old for end in ends)


def test_kernel_without_sched_ext_is_told_and_knobs_do_the_same(bench):
    (bench.machine.root / "sched_ext").rmdir()
    bench.run(6)
    assert bench.machine.number("shop") > 100 > bench.machine.number("build")
    assert "CONFIG_SCHED_CLASS_EXT" in bench.records[-1].cpu.reason
    assert any("CONFIG_SCHED_CLASS_EXT" in said for said in bench.said())


def test_partial_mode_takes_who_yields_and_knobs_who_is_protected(bench):
    bench.text = POLICY + "scheduler: partial\n"
    bench.loop.reload()
    bench.run(6)
    assert bench.records[-1].cpu.handle is Handle.PARTIAL
    held = {lease.setting.workload: slot for slot, lease in bench.reflex.held.items()}
    assert held == {
        "shop": ("cpu.weight", "/shop"),
        "build": ("sched_ext", "/build/sched_ext"),
    }
    assert bench.machine.number("build") == 100


def test_orders_that_end_everything_end_the_scheduler_too(bench):
    told = orders(bench.loop, lambda number: None)
    bench.run(6)
    told["mode"]({"mode": "observe"})
    bench.run(1)
    assert bench.ext.attached is None and not bench.reflex.held
    told["mode"]({"mode": "enforce"})
    bench.run(6)
    assert bench.ext.attached
    told["undo"]({"id": "all"})
    assert bench.ext.attached is None
    bench.run(3)
    assert bench.weights() == (100, 100)


def test_undone_stance_is_no_class(bench):
    stance = Stance("build", Act.YIELD, strength=2)
    told = orders(bench.loop, {"7": [stance]}.get)
    bench.run(6)
    told["undo"]({"id": "7"})
    bench.run(5)
    assert bench.classes()[2][0] == SchedClass.NORMAL
    assert bench.machine.number("build") == 100


def test_administrator_ends_the_scheduler_and_the_agent_only_advises(bench):
    bench.run(6)
    bench.ext.end(*SYSRQ)
    bench.run(3)
    assert bench.loop.course.policy.mode is Mode.ADVISE
    assert bench.weights() == (100, 100) and not bench.reflex.held
    orders(bench.loop, lambda number: None)["mode"]({"mode": "enforce"})
    bench.run(4)
    assert bench.machine.number("build") < 100
    assert bench.ext.attached is None


def test_unloaded_module_ends_the_classes_too(bench):
    bench.run(6)
    bench.machine.gone = True
    bench.run(2)
    assert bench.ext.attached is None and not bench.reflex.held
    bench.machine.gone = False
    bench.run(6)
    assert bench.ext.attached


def test_hung_agent_renews_in_time_and_not_after(bench):
    bench.run(6)
    bench.machine.now += 10 * S  # the lease of this bench
    assert bench.classes() == {}
    bench.run(1)
    assert bench.classes().keys() == {1, 2}
    for _ in range(30):
        bench.run(1)
        assert bench.classes().keys() == {1, 2}


def test_own_cpu_idle_is_no_administrators_when_the_scheduler_takes_over(bench):
    bench.loop.parts.decider = Scripted(Stance("build", Act.YIELD, Resource.CPU, 3))
    bench.run(8)
    assert bench.classes()[2] == (SchedClass.YIELD, 3)
    bench.ext.end(*WATCHDOG)
    bench.run(2)
    assert (bench.machine.root / "build/cpu.idle").read_text() == "1"
    bench.machine.now += sched.BACKOFF_NS
    bench.loop.reflex()
    assert bench.classes()[2] == (SchedClass.YIELD, 3)
    for _ in range(3):
        bench.run(1)
        assert bench.reflex.applied() == {("build", "cpu")}


def test_administrators_cpu_idle_is_left_alone(bench):
    (bench.machine.root / "build/cpu.idle").write_text("1")
    bench.loop.parts.decider = Scripted(
        Stance("build", Act.YIELD), Stance("shop", Act.PROTECT)
    )
    bench.run(3)
    assert bench.classes()[1][0] == SchedClass.PROTECT
    assert bench.classes()[2][0] == SchedClass.NORMAL
