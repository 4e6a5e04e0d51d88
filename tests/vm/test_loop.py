# SPDX-License-Identifier: MIT
"""The loop against the real module: what it sets, and how that ends."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vm.agentlab import Agent, enable_controllers

pytestmark = pytest.mark.needs("kmod")
TTL_S = 3
NEVER = "{{warm: {0}, bad: {0}, critical: {0}}}".format
NO_TROUBLE = (
    f"thresholds: {{suffers: {{psi_cpu: {NEVER('900%')},"
    f" runq_wait: {NEVER('9000%')}, runq_p99: {NEVER('100s')}}}}}"
)
BOTH = "{shop: protect cpu 2, batch: yield cpu 2}"
POLICY = """\
version: 1
mode: enforce
decider: static
workloads:
  shop: {{match: {{cgroup: "{base}/shop"}}}}
  batch: {{match: {{cgroup: "{base}/batch"}}}}
static: {{shop: protect cpu 2, batch: yield cpu 2}}
budget: {{lease: 3s, cooldown: 0s, actions_per_minute: 100}}
decide: {{min_interval: 100ms}}
"""


class Pair(Agent):
    """An agent with two cgroups to act on, by static stances."""

    def __init__(self, base: Path, work: Path) -> None:
        super().__init__(base, work)
        for name in ("shop", "batch"):
            (base / name).mkdir()
        (base / "shop/cpu.weight").write_text("300")

    def write(self, **changes: str) -> None:
        """Write the policy, with lines exchanged."""
        lines = [
            next((f"{k}: {v}" for k, v in changes.items() if line.startswith(k)), line)
            for line in POLICY.format(base=self.cgroup).splitlines()
        ]
        self.policy.write_text("\n".join(lines) + "\n")

    def begin(self, *options: str, **changes: str) -> None:
        """Write the policy and start."""
        self.write(**changes)
        self.start(*options)

    def weights(self) -> tuple[str, str]:
        """Return both weights."""
        return self.knob("shop/cpu.weight"), self.knob("batch/cpu.weight")

    def holds(self) -> bool:
        """Say whether both stances are in the knobs."""
        return self.weights() == ("1000", "20")

    def is_free(self) -> bool:
        """Say whether both knobs are as they were."""
        return self.weights() == ("300", "100")


@pytest.fixture
def agent(cgroup: Path, tmp_path: Path, loaded: str) -> Iterator[Pair]:
    enable_controllers(cgroup.parent)
    enable_controllers(cgroup)
    made = Pair(cgroup, tmp_path)
    yield made
    made.stop()


def test_stance_reaches_the_knob_and_the_record(agent):
    agent.begin()
    agent.wait(agent.holds)
    agent.wait(lambda: any(record.granted for record in agent.records()))
    record = next(r for r in agent.records() if r.granted)
    assert {(g.setting.workload, g.old, g.value) for g in record.granted} == {
        ("shop", "300", "1000"),
        ("batch", "100", "20"),
    }
    assert record.verdict is not None and len(record.verdict.allowed) == 2
    agent.wait(lambda: agent.records()[-1].counters["leases.renewed"] > 0)
    assert agent.holds()


@pytest.mark.timed
def test_killed_agent_leaves_nothing_behind(agent):
    agent.begin()
    agent.wait(agent.holds)
    agent.signal(signal.SIGKILL)
    took_s = agent.wait(agent.is_free, pause_s=0.01)
    assert took_s < 1, f"{took_s:.2f} s until the knobs were back"


@pytest.mark.timed
def test_stopped_agent_loses_its_leases_within_their_time(agent):
    agent.begin()
    agent.wait(agent.holds)
    agent.signal(signal.SIGSTOP)
    took_s = agent.wait(agent.is_free, pause_s=0.01)
    assert took_s <= TTL_S + 0.5
    agent.signal(signal.SIGCONT)
    agent.wait(agent.holds)
    ends = [end for record in agent.records() for end in record.ended]
    assert {(end.end, end.cause) for end in ends} == {("restored", "deadline")}


@pytest.mark.timed
def test_wake_up_is_answered_by_a_write_within_50_ms(agent):
    """A step of 3 % makes one stance many writes, while three want the only CPU.

    Nobody is in trouble by the policy, so that the judge asks nothing meanwhile.
    It is the first seconds that count: a reflex takes 12 ms of this CPU, and once it
    has used up what it may (SPARE_NS) it rests, so that some wait for 200 ms.
    """
    (agent.base / "batch/cpu.weight").write_text("10000")
    agent.begin(static=f"{BOTH}\nlimits: {{cpu.weight: {{step: 3%}}}}\n{NO_TROUBLE}")
    for name in ("shop", "batch", "batch"):
        agent.run_in(name, sys.executable, "-c", "while True: pass")

    def counted(name: str) -> int:
        records = agent.records()
        return records[-1].counters[f"loop.{name}"] if records else 0

    agent.wait(lambda: counted("reactions") >= 40)
    p99_ms = counted("reaction_p99_us") / 1000
    print(f"reaction, of {counted('reactions')}: p99 {p99_ms:.1f} ms")
    assert p99_ms <= 50  # 273 ms without SPARE_NS


@pytest.mark.once
def test_terminated_agent_gives_back_and_records_it(agent):
    agent.begin()
    agent.wait(agent.holds)
    agent.signal(signal.SIGTERM)
    assert agent.process.wait(20) == 0
    assert agent.is_free()
    ends = agent.records()[-1].ended
    assert {(end.end, end.cause) for end in ends} == {("restored", "revoked")}


def test_unloaded_module_ends_leases_and_not_the_agent(agent, loaded):
    agent.begin()
    agent.wait(agent.holds)
    subprocess.run(["rmmod", "vagus"], check=True)
    try:
        assert agent.is_free()
        agent.more(3)
        missing = agent.records()[-1].window.quality.missing
        assert {"table", "ring"} <= missing.keys()
        assert "vagus" in missing["table"]
    finally:
        subprocess.run(["insmod", loaded], check=True)
    agent.wait(agent.holds)
    agent.wait(lambda: "table" not in agent.records()[-1].window.quality.missing)


@pytest.mark.once
def test_without_the_module_nothing_is_set_and_that_is_said(agent, loaded):
    subprocess.run(["rmmod", "vagus"], check=True)
    try:
        agent.begin()
        agent.more(4)
        assert agent.is_free()
        assert agent.records()[-1].verdict or any(r.verdict for r in agent.records())
        assert "vagus.ko is not loaded" in agent.log.read_text()
    finally:
        subprocess.run(["insmod", loaded], check=True)


def test_administrator_wins_and_is_left_alone(agent):
    agent.begin()
    agent.wait(agent.holds)
    (agent.base / "shop/cpu.weight").write_text("555")
    agent.wait(lambda: any(e.end == "lost" for r in agent.records() for e in r.ended))
    agent.more(6)
    assert agent.knob("shop/cpu.weight") == "555"
    assert agent.knob("batch/cpu.weight") == "20"
    assert any(f.code == "lost" for r in agent.records() for f in r.failed)


@pytest.mark.once
def test_reload_takes_a_valid_policy_and_keeps_the_old_over_a_wrong_one(agent):
    agent.begin()
    agent.wait(agent.holds)
    agent.policy.write_text("version: 1\nmood: enforce\n")
    agent.signal(signal.SIGHUP)
    agent.wait(
        lambda: any(
            event.kind == "policy-refused" and "policy.yaml:2:1" in event.detail
            for record in agent.records()
            for event in record.events
        )
    )
    assert agent.holds()
    agent.write(static="{batch: yield cpu 3}")
    agent.signal(signal.SIGHUP)
    agent.wait(lambda: agent.knob("batch/cpu.idle") == "1")
    agent.wait(lambda: agent.knob("shop/cpu.weight") == "300")


@pytest.mark.once
def test_off_ends_everything_and_the_agent_only_advises(agent):
    from vagus.kmod import Module

    agent.begin()
    agent.wait(agent.holds)
    with Module() as module:
        assert module.off() == 2
    assert agent.is_free()
    agent.more(5)
    assert agent.is_free()


@pytest.mark.once
def test_modes_below_enforce_set_nothing(agent):
    agent.begin(mode="advise")
    agent.wait(lambda: any(r.verdict for r in agent.records()))
    agent.more(3)
    assert agent.is_free()
    verdict = next(r.verdict for r in agent.records() if r.verdict)
    assert len(verdict.allowed) == 2 and verdict.mode == "advise"


@pytest.mark.needs("model")
@pytest.mark.once
def test_shipped_model_reads_the_sentence_in_the_guest(agent):
    sentence = "Keep the shop fast. The batch can wait."
    decider = f'llm\nobjective: "{sentence}"\nmodel: {{deadline: 60s}}'
    agent.begin("--model", decider=decider)

    def answers():
        proposals = [r.proposal for r in agent.records() if r.proposal]
        return [one for one in proposals if one.decider == "llm"]

    agent.wait(answers, 240)  # a slow guest loads it for a while; rules step in then
    said = answers()[0]
    assert said.fallback == ""
    assert said.model and "keep the" in said.prompt
    assert said.cause.startswith("shop comes first, batch may wait")
