# SPDX-License-Identifier: MIT
"""What the tests of the loop share in the guest."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vm.agentlab import enable_controllers
from tests.vm.bpflab import OBJECTS
from tests.vm.judgelab import Scene

from vagus.native import Probes

# Long: `make soak` has them.
LONG = {
    "test_loop_engine.py",
    "test_loop_judge.py",
    "test_sched.py",
    # Want a kernel that was booted for them (vm/test.sh, soak).
    "test_lockdown.py",
    "test_kmod_lease.py::test_memory_moves_back_with_cpuset_mems",
}

# Of those files, what `make test` looks at all the same.
SHORT = {
    "test_sched.py::test_weights_are_kept",
    "test_sched.py::test_the_engine_yields_until_its_answer_is_late",
    "test_sched.py::test_yield_leaves_the_rest_to_others_but_never_starves",
    "test_sched.py::test_stance_of_a_thread_overrides_its_cgroup",
    "test_sched.py::test_stances_lapse_when_the_owner_hangs",
    "test_sched.py::test_hung_scheduler_is_ejected_and_told",
    "test_sched.py::test_full_mode_refuses_while_cpu_max_is_set",
}

# And this, with two CPUs that are two.
STRESS = {"test_sched.py::test_stress_without_stall"}

# Told right only by a clock that no other load of the host moves: they run in a guest
# with one CPU whose time counts instructions (vm/test.sh).
TIMED = {"test_loop_engine.py", "test_loop_judge.py", *SHORT}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is long, before tests are chosen by their marks."""
    for item in items:
        file = item.path.name
        names = {file, f"{file}::{item.name.split('[')[0]}"}
        if names & LONG and not names & (SHORT | STRESS):
            item.add_marker(pytest.mark.soak)
        if names & TIMED:
            item.add_marker(pytest.mark.timed)


@pytest.fixture
def scene(cgroup: Path, tmp_path: Path, loaded: str) -> Iterator[Scene]:
    (cgroup.parent / "cgroup.subtree_control").write_text("+cpuset")
    for folder in (cgroup.parent, cgroup):
        enable_controllers(folder)
    (cgroup / "cgroup.subtree_control").write_text("+cpuset")
    made = Scene(cgroup, tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def attached() -> Iterator[Probes]:
    """The eBPF programs, loaded and attached once a file: that takes seconds here."""
    with Probes(OBJECTS) as opened:
        yield opened


@pytest.fixture
def probes(attached: Probes) -> Probes:
    """The eBPF programs, following nobody, their ring empty."""
    attached.follow([])
    while attached.ring.drain():
        pass
    return attached
