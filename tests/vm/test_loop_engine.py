# SPDX-License-Identifier: MIT
"""A model that hangs or dies costs an answer, not the agent."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vm.agentlab import Agent, enable_controllers

pytestmark = pytest.mark.needs("kmod", "model")
POLICY = """\
version: 1
objective: "Keep the shop fast. The build can wait."
mode: enforce
decider: llm
workloads:
  shop: {{match: {{cgroup: "{base}/shop"}}, role: web, slo: {{psi_cpu: 30%}}}}
  build: {{match: {{cgroup: "{base}/build"}}, role: build}}
budget: {{lease: 5s, cooldown: 0s, actions_per_minute: 100}}
model: {{deadline: 3s}}
decide: {{min_interval: 1s}}
"""
BUSY = "while True: pass"


@pytest.fixture
def agent(cgroup: Path, tmp_path: Path, loaded: str) -> Iterator[Agent]:
    enable_controllers(cgroup.parent)
    enable_controllers(cgroup)
    made = Agent(cgroup, tmp_path)
    for name in ("shop", "build"):
        (cgroup / name).mkdir()
    made.policy.write_text(POLICY.format(base=made.cgroup))
    yield made
    made.stop()


def engine_of(agent: Agent) -> int:
    """Return the process that the agent's model runs in, 0 without one."""
    assert agent.process is not None
    children = Path(f"/proc/{agent.process.pid}/task/{agent.process.pid}/children")
    for child in children.read_text().split():
        if b"engine_child" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    return 0


def counted(agent: Agent, name: str) -> int:
    """Return a counter of the last record."""
    records = agent.records()
    return records[-1].counters.get(name, 0) if records else 0


def test_engine_that_hangs_is_replaced_and_rules_decide_meanwhile(agent):
    agent.start("--model")
    agent.run_in("shop", sys.executable, "-c", BUSY)
    agent.wait(lambda: counted(agent, "model.calls") > 0, 240)
    os.kill(engine_of(agent), signal.SIGSTOP)
    for _ in range(4):
        agent.run_in("build", sys.executable, "-c", BUSY)
    agent.wait(
        lambda: any(
            r.proposal and "did not answer" in r.proposal.fallback
            for r in agent.records()
        ),
        240,
    )
    fallen = next(r for r in agent.records() if r.proposal and r.proposal.fallback)
    assert fallen.proposal.decider == "rules"
    before = counted(agent, "model.calls")
    agent.wait(lambda: counted(agent, "model.calls") > before, 240)
    assert counted(agent, "model.missed") >= 1
    assert counted(agent, "model.starts") >= 2


def test_engine_that_is_killed_comes_back_and_leases_stay(agent):
    agent.start("--model")
    agent.run_in("shop", sys.executable, "-c", BUSY)
    for _ in range(4):
        agent.run_in("build", sys.executable, "-c", BUSY)
    agent.wait(lambda: counted(agent, "model.calls") > 0, 240)
    agent.wait(lambda: int(agent.knob("build/cpu.weight")) < 100, 240)
    os.kill(engine_of(agent), signal.SIGKILL)
    agent.wait(lambda: counted(agent, "model.starts") >= 2, 60)
    assert int(agent.knob("build/cpu.weight")) < 100
    agent.more(3)
