# SPDX-License-Identifier: MIT
"""The loop with the scheduler: what the kernel has then, and how that ends."""

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vm.agentlab import CHECKOUT, enable_controllers
from tests.vm.test_loop import TTL_S, Pair

from vagus.abi import SchedClass
from vagus.apply.sched import EJECTIONS_MAX
from vagus.flow import CpuHandle, Handle
from vagus.record.store import Recorder

needs = pytest.mark.needs("kmod", "scx", "bpf")
SYSFS = Path("/sys/kernel/sched_ext")
# The scheduler goes when nobody renews for this long (apply/sched.py).
SILENCE_S = 5
PROTECT, YIELD = (SchedClass.PROTECT, 2), (SchedClass.YIELD, 2)


class Steering(Pair):
    """An agent whose policy asks for the scheduler."""

    scheduler = "auto"

    def write(self, **changes: str) -> None:
        super().write(**changes)
        text = self.policy.read_text() + f"scheduler: {self.scheduler}\n"
        self.policy.write_text(text)

    def begin(self, *options: str, **changes: str) -> None:
        self.write(**changes)
        self.start(*options)

    def classes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return (class, strength) of shop and batch, as the kernel has them now."""
        shop, batch = ((self.base / n).stat().st_ino for n in ("shop", "batch"))
        found = dumped()
        return found.get(shop, (-1, 0)), found.get(batch, (-1, 0))

    def steers(self) -> bool:
        """Say whether both stances are classes."""
        return is_on() and self.classes() == (PROTECT, YIELD)


def is_on() -> bool:
    """Say whether a scheduler is loaded."""
    return (SYSFS / "state").read_text().strip() == "enabled"


def dumped() -> dict[int, tuple[int, int]]:
    """Return the classes in force by cgroup id, read from outside the agent."""
    argv = ["bpftool", "-j", "map", "dump", "name", "sched_cgroups"]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        return {}
    found = {}
    for entry in json.loads(done.stdout):
        key, value = (bytes(int(b, 16) for b in entry[k]) for k in ("key", "value"))
        deadline_ns, kind, strength = struct.unpack("=QII", value)
        if deadline_ns > time.monotonic_ns():
            found[struct.unpack("=Q", key)[0]] = (kind, strength)
    return found


def vagus(*words: str) -> str:
    """Run a verb as a person does, and return what it printed."""
    argv = [sys.executable, "-m", "vagus.cli.main", *words]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "agent")}
    done = subprocess.run(argv, capture_output=True, text=True, env=env)
    return done.stdout + done.stderr


def last(agent: Steering) -> CpuHandle:
    """Return the handle of the newest window."""
    found = agent.records()[-1].cpu
    assert found is not None
    return found


@pytest.fixture
def agent(cgroup: Path, tmp_path: Path, loaded: str) -> Iterator[Steering]:
    enable_controllers(cgroup.parent)
    enable_controllers(cgroup)
    made = Steering(cgroup, tmp_path)
    yield made
    made.stop()


def test_stances_are_held_by_what_this_kernel_has(agent):
    """By classes on 7.3; on 6.12 by knobs, and it is said why."""
    agent.begin()
    agent.wait(agent.steers if SYSFS.exists() else agent.holds)
    agent.more(2)
    cpu = last(agent)
    said = [
        e.detail for r in agent.records() for e in r.events if e.kind == "scheduler"
    ]
    held = {g.setting.knob for r in agent.records() for g in r.granted}
    if SYSFS.exists():
        assert agent.is_free() and held == {"sched_ext"}
        assert (cpu.handle, cpu.reason) == (Handle.SCHED_EXT, "attached")
    else:
        assert held == {"cpu.weight"} and cpu.handle is Handle.CGROUP
        assert "CONFIG_SCHED_CLASS_EXT" in cpu.reason
    assert cpu.reason in said[-1]


@needs
@pytest.mark.timed
def test_killed_agent_leaves_the_kernels_own_scheduler(agent):
    agent.begin()
    agent.wait(agent.steers)
    agent.signal(signal.SIGKILL)
    took_s = agent.wait(lambda: not is_on(), pause_s=0.01)
    assert took_s < 1, f"{took_s:.2f} s until default scheduling was back"


@needs
@pytest.mark.soak
def test_stopped_agent_loses_classes_and_then_the_scheduler(agent):
    agent.begin()
    agent.wait(agent.steers)
    agent.signal(signal.SIGSTOP)
    took_s = agent.wait(lambda: not dumped(), pause_s=0.05)
    assert took_s <= TTL_S + 0.5
    took_s += agent.wait(lambda: not is_on(), pause_s=0.05)
    assert took_s <= SILENCE_S + 1
    agent.signal(signal.SIGCONT)
    agent.wait(agent.steers)
    ends = [end for record in agent.records() for end in record.ended if end.id < 0]
    assert {(end.end, end.cause) for end in ends} == {("restored", "scheduler")}


@needs
@pytest.mark.soak
def test_terminated_agent_gives_back_and_records_it(agent):
    agent.begin()
    agent.wait(agent.steers)
    agent.signal(signal.SIGTERM)
    assert agent.process.wait(20) == 0
    assert not is_on()
    ends = agent.records()[-1].ended
    assert {(end.end, end.cause) for end in ends} == {("restored", "revoked")}


def ejected_s() -> list[float]:
    """Return when the kernel ended a scheduler that hung, by its log."""
    lines = subprocess.run(["dmesg"], capture_output=True, text=True).stdout
    found = re.findall(r"\[ *([\d.]+)\].*sched_ext: .*disabled \(.*stall", lines)
    return [float(text) for text in found]


@needs
@pytest.mark.soak
def test_ejected_scheduler_is_told_and_knobs_take_over(agent, tmp_path):
    """Each time; while it hangs so does the test: the kernel's log has the times."""
    already = len(ejected_s())
    agent.begin("--hang")
    agent.wait(lambda: agent.records() and "not tried" in last(agent).reason)
    agent.wait(agent.holds)
    cpu, ejections = last(agent), ejected_s()[already:]
    assert (cpu.handle, cpu.ejections) == (Handle.CGROUP, EJECTIONS_MAX)
    assert "stall" in cpu.reason and len(ejections) == EJECTIONS_MAX
    granted = [lease for r in agent.records() for lease in r.granted if lease.id > 0]
    for at_s in ejections:
        after = [lease.granted_ns / 1e9 - at_s for lease in granted]
        took_s = sorted(s for s in after if s > 0)[:2]  # of shop and batch
        assert took_s[-1] < 1, f"{took_s} s from the ejection to the knobs"
    path = tmp_path / "record.db"
    with Recorder(path) as recorder:
        for record in agent.records():
            recorder.put(record)
    told = vagus("doctor", "--record", str(path))
    assert "by cgroup knobs: the kernel ended the scheduler" in told, told


@needs
@pytest.mark.soak
def test_quota_of_somebody_leaves_the_protected_to_knobs(agent):
    (agent.base / "other").mkdir()
    (agent.base / "other/cpu.max").write_text("90000 100000")
    agent.begin()
    agent.wait(lambda: agent.knob("shop/cpu.weight") == "1000")
    agent.more(2)
    cpu = last(agent)
    assert cpu.handle is Handle.PARTIAL and "cpu.max is set in" in cpu.reason
    assert agent.knob("batch/cpu.weight") == "100"
    # One that has a cpu.max itself would be free of it.
    (agent.base / "batch/cpu.max").write_text("80000 100000")
    agent.wait(lambda: agent.knob("batch/cpu.weight") == "20")


@needs
@pytest.mark.soak
def test_off_ends_the_scheduler_of_an_agent_that_hangs(agent):
    agent.begin()
    agent.wait(agent.steers)
    agent.signal(signal.SIGSTOP)
    told = vagus("off", "--socket", str(agent.policy.parent / "none"))
    assert not is_on(), told
    assert "the kernel's own is back" in told
    agent.signal(signal.SIGCONT)
    agent.more(5)
    assert not is_on() and agent.is_free()


@needs
@pytest.mark.soak
def test_observing_agent_schedules_nothing(agent):
    agent.begin()
    agent.wait(agent.steers)
    agent.write(mode="observe")
    agent.signal(signal.SIGHUP)
    agent.wait(lambda: not is_on())
    assert agent.is_free()


@needs
@pytest.mark.soak
def test_unloaded_module_ends_the_scheduler_too(agent, loaded):
    agent.begin()
    agent.wait(agent.steers)
    subprocess.run(["rmmod", "vagus"], check=True)
    try:
        took_s = agent.wait(lambda: not is_on())
        assert took_s < 5
    finally:
        subprocess.run(["insmod", loaded], check=True)
    agent.wait(agent.steers)
