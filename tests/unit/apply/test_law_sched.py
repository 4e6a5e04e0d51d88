# SPDX-License-Identifier: MIT
"""The law where the scheduler can hold CPU stances."""

import pytest
from tests.unit.apply.test_law import ANY, BACKUP, PATHS, SHOP, Machine, ground, window

from vagus.apply.aims import View
from vagus.flow import Act, Handle, Resource, Stance
from vagus.policy.knobs import SCHED_EXT, Bound

MAY = ANY | {SCHED_EXT: Bound(-3, 3)}
PROTECT = Stance("shop", Act.PROTECT, strength=3)
YIELD = Stance("backup", Act.YIELD, strength=2)
SHARED = PATHS | {"backup": SHOP}


def view(handle: Handle = Handle.SCHED_EXT, **changes: object) -> View:
    """Return what the law looks at; the policy allows the scheduler."""
    seen = window(pids=[7, 8])
    return View(seen, ground(**changes), MAY, handle=handle)


def written(machine: Machine, *stances: Stance) -> dict[str, str]:
    """Return path -> value of what one step writes."""
    return {s.path: s.value for s in machine.tick(*stances)}


def test_both_are_classes_and_nothing_else():
    machine = Machine(view())
    assert written(machine, PROTECT, YIELD) == {
        f"{BACKUP}/sched_ext": "yield 2",
        f"{SHOP}/sched_ext": "protect 3",
    }


def test_other_resources_are_knobs_as_ever():
    machine = Machine(view())
    machine.tick(Stance("shop", Act.PROTECT, Resource.MEMORY, 2))
    assert {slot[0] for slot in machine.held} == {"memory.low"}


def test_policy_that_does_not_ask_for_it_is_kept():
    machine = Machine(View(window(), ground(), ANY, handle=Handle.SCHED_EXT))
    machine.tick(PROTECT)
    assert SCHED_EXT not in {slot[0] for slot in machine.held}


def test_threads_of_a_shared_cgroup_have_classes_of_their_own():
    machine = Machine(view(cgroups=SHARED))
    assert written(machine, PROTECT) == {"task:7": "protect 3", "task:8": "protect 3"}


def test_cgroup_that_contains_another_workload_has_a_class():
    inner = PATHS | {"backup": f"{SHOP}/backup"}
    assert written(Machine(view(cgroups=inner)), PROTECT) == {
        f"{SHOP}/sched_ext": "protect 3"
    }
    assert not written(Machine(view(Handle.CGROUP, cgroups=inner)), PROTECT)


def test_partial_mode_leaves_threads_and_the_protected_to_knobs():
    machine = Machine(view(Handle.PARTIAL))
    found = written(machine, PROTECT, YIELD)
    assert found[f"{BACKUP}/sched_ext"] == "yield 2"
    assert f"{BACKUP}/cpu.weight" not in found
    assert found[f"{SHOP}/cpu.weight"] == "5000"
    shared = written(Machine(view(Handle.PARTIAL, cgroups=SHARED)), YIELD)
    assert SCHED_EXT not in {path.rpartition("/")[2] for path in shared}
    assert shared.keys() == {"task:7", "task:8"}


@pytest.mark.parametrize("where", [BACKUP, "/system.slice"])
def test_partial_mode_leaves_who_has_a_quota_to_knobs(where):
    """The scheduler keeps no cpu.max, and does not take such threads."""
    knobs = ground().knobs | {f"{where}/cpu.max": "80000 100000"}
    found = written(Machine(view(Handle.PARTIAL, knobs=knobs)), YIELD)
    assert f"{BACKUP}/sched_ext" not in found
    assert f"{BACKUP}/cpu.weight" in found


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(
    ("before", "after"),
    [(Handle.CGROUP, Handle.SCHED_EXT), (Handle.SCHED_EXT, Handle.CGROUP)],
)
def test_stance_changes_hands_in_one_step(before, after, full):
    machine = Machine(view(before))
    machine.tick(PROTECT, YIELD)
    machine.view = view(after)
    machine.tick(PROTECT, YIELD, full=full)
    is_class = {knob == SCHED_EXT for knob, _ in machine.held}
    assert is_class == {after is Handle.SCHED_EXT}
    whose = {lease.setting.workload for lease in machine.held.values()}
    assert whose == {"shop", "backup"}


def test_class_that_is_no_longer_asked_for_goes_back_a_strength_a_step():
    machine = Machine(view())
    machine.tick(PROTECT)
    seen = []
    while machine.held and len(seen) < 20:
        machine.tick()
        seen += [lease.value for lease in machine.held.values()]
    assert seen[-2:] == ["protect 2", "protect 1"]


def test_weaker_stance_is_reached_step_by_step_and_a_stronger_one_at_once():
    machine = Machine(view())
    machine.tick(YIELD)
    assert written(machine, Stance("backup", Act.YIELD, strength=3)) == {
        f"{BACKUP}/sched_ext": "yield 3"
    }
    assert written(machine, Stance("backup", Act.YIELD, strength=1)) == {
        f"{BACKUP}/sched_ext": "yield 2"
    }
