# SPDX-License-Identifier: MIT
"""However a lease ends, the knob is back where it was."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.vm import kmodlab

from vagus.kmod import Module

pytestmark = pytest.mark.needs("root", "kmod")


@pytest.fixture(scope="module")
def cases() -> Iterator[list[kmodlab.Case]]:
    with kmodlab.matrix() as made:
        yield made


@pytest.mark.parametrize("how", kmodlab.EXITS)
def test_every_knob_is_back_after(
    how: str, cases: list[kmodlab.Case], loaded: str
) -> None:
    results = kmodlab.run_exit(cases, how)
    assert not [f"{r.case}: {r.words}" for r in results if not r.held]
    assert not [r.case for r in results if not r.restored]


def test_memory_high_is_back_though_more_is_in_use(loaded: str, cgroup: Path) -> None:
    kmodlab.enable_controllers()
    with kmodlab.swap_on(Path("/var/tmp/vagus-high.swap"), 256):
        seen_ms, done_ms = kmodlab.high_under_use_ms(cgroup)
    print(f"memory.high: back after {seen_ms:.0f} ms, reclaimed after {done_ms:.0f} ms")


@pytest.mark.timed
@pytest.mark.parametrize(
    ("file", "value", "count", "limit_ms"),
    [("cpu.weight", "50", 1000, 1000), ("cpuset.cpus", "0", 100, 5000)],
)
def test_all_are_back_soon_after_the_owner_was_killed(
    loaded: str,
    scaled: Callable[[int], int],
    file: str,
    value: str,
    count: int,
    limit_ms: float,
) -> None:
    count = min(1000, scaled(count // 5))
    if file == "cpuset.cpus" and os.uname().release.startswith("6."):
        pytest.skip("an unset cpuset cannot be leased on 6.12: see test_kmod_refuse")
    path = kmodlab.CGROUPS / f"mass-{os.getpid()}"
    took_ms, restored = kmodlab.mass_restore_ms(path, count, file, value)
    print(f"{count} x {file}: {took_ms:.0f} ms")
    assert restored == count
    assert took_ms <= limit_ms * kmodlab.SLOWNESS


def test_forked_child_keeps_leases_no_longer_than_their_deadline(
    loaded: str, cgroup: Path
) -> None:
    # It cannot be told from its parent: it has the very same socket.
    kmodlab.enable_controllers()
    weight = cgroup / "cpu.weight"
    case = kmodlab.Case("cpu.weight", "50", weight)
    owner = kmodlab.Owner([case.spec(3000 * kmodlab.SLOWNESS)])
    child = owner.tell("fork")
    start = time.monotonic()
    try:
        owner.end()
        assert weight.read_text() == "50\n"
        assert kmodlab.wait_until(lambda: weight.read_text() == "100\n") >= 0
        assert time.monotonic() - start < 4 * kmodlab.SLOWNESS
        assert Path(f"/proc/{child}").exists()
    finally:
        os.kill(child, 9)


def test_program_started_by_the_owner_does_not_keep_leases(
    loaded: str, cgroup: Path
) -> None:
    kmodlab.enable_controllers()
    weight = cgroup / "cpu.weight"
    pid = os.fork()
    if pid == 0:
        # Leaves a program behind that has inherited what can be inherited.
        with Module() as module:
            kmodlab.hold(module, weight, "50")
            os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "10")
            os._exit(0)
    os.waitpid(pid, 0)
    assert kmodlab.wait_until(lambda: weight.read_text() == "100\n", 5) >= 0
