# SPDX-License-Identifier: MIT
"""A recorded story that the record's and the CLI's tests share.

A shop suffers from its backup from tick 30 on; at tick 32 the model protects the
one and lets the other yield, and wants to touch postgres, which the policy
forbids; at tick 40 the judge keeps one stance and reverts the other; at tick 80
the operator ends everything.  Times are fixed, so outputs can be compared whole.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vagus.flow import (
    Act,
    Cost,
    CpuHandle,
    Effect,
    Event,
    Handle,
    Identity,
    Lease,
    LeaseEnd,
    Mode,
    Outcome,
    Proposal,
    Quality,
    Record,
    Refusal,
    Resource,
    Role,
    Setting,
    Stance,
    Use,
    Verdict,
    Window,
    Word,
    WorkloadWindow,
)
from vagus.record.store import Recorder

SECOND_NS = 1_000_000_000
START_WALL_NS = 1_795_435_200 * SECOND_NS  # 2026-11-23 12:00:00 UTC
START_NS = 5_000 * SECOND_NS

POLICY = 'version: 1\nobjective: "Keep the shop fast. Backups can wait."\n'

PROTECT = Stance("shop", Act.PROTECT, Resource.CPU, 2)
YIELD = Stance("backup", Act.YIELD, Resource.IO, 3)
FORBIDDEN = Stance("postgres", Act.YIELD, Resource.MEMORY, 1)

PROMPT = """objective: Keep the shop fast. Backups can wait.
shop (nginx: web server): cpu critical, io ok, memory ok
backup (restic: backup program): cpu ok, io warm, memory ok
postgres (database): cpu ok, io ok, memory ok"""
ANSWER = '{"stances":[["shop","protect","cpu",2],["backup","yield","io",3]]}'


def load(name: str, tick: int) -> WorkloadWindow:
    """One workload of the story at one tick."""
    suffers = name == "shop" and 30 <= tick < 36
    busy = {"shop": 62.5, "backup": 31.0, "postgres": 1.5}[name]
    numbers = {
        "cpu_pct": busy + (tick % 7) / 8,
        "runq_p50_ns": 1_100_000.0 if suffers else 40_000.0,
        "runq_p99_ns": 12_400_000.0 + tick * 1000 if suffers else 410_000.0,
        "io_p99_ns": 2_000_000.0,
        "memory_bytes": 64.0 * 2**20,
    }
    synopsis = {"shop": "web server", "backup": "backup program"}.get(name, "database")
    comm = {"shop": "nginx", "backup": "restic"}.get(name, "postgres")
    return WorkloadWindow(
        name=name,
        cgroup=f"/system.slice/{name}.service",
        cgroup_id=100 + len(name),
        identity=Identity(synopsis=synopsis, exe=f"/usr/bin/{comm}", comm=comm),
        role=Role("web" if name == "shop" else synopsis, "service", "model"),
        numbers=numbers,
        words={
            "cpu": Word.CRITICAL if suffers else Word.OK,
            "io": Word.OK,
            "memory": Word.OK,
        },
        uses={"cpu": Use.BUSY, "io": Use.HEAVY, "memory": Use.LIGHT},
        programs=[comm],
        pids=[1000 + len(name)],
    )


def lease(number: int, workload: str, knob: str, old: str, value: str) -> Lease:
    """A lease of the story, granted at tick 32."""
    why = "protect cpu 2" if workload == "shop" else "yield io 3"
    path = f"/system.slice/{workload}.service/{knob}"
    setting = Setting(workload, knob, path, value, why)
    return Lease(number, setting, old, value, 10_000, START_NS + 32 * SECOND_NS)


def end(one: Lease, tick: int, cause: str) -> LeaseEnd:
    """The end of a lease of the story."""
    time_ns = START_NS + tick * SECOND_NS - 300_000_000
    path, old = one.setting.path, one.old
    return LeaseEnd(one.id, path, old, one.value, "restored", cause, time_ns, 84_000)


WEIGHT = lease(1, "shop", "cpu.weight", "100", "400")
BANDWIDTH = lease(2, "backup", "io.weight", "default 100", "default 10")


KNOBS = CpuHandle(Handle.CGROUP, "as the policy says (scheduler: off)")
BACK = CpuHandle(Handle.CGROUP, "the kernel ended the scheduler: watchdog", 1, 9)


def record(tick: int) -> Record:
    """One tick of the story."""
    window = Window(
        tick=tick,
        start_ns=START_NS + (tick - 1) * SECOND_NS,
        end_ns=START_NS + tick * SECOND_NS,
        workloads={name: load(name, tick) for name in ("shop", "backup", "postgres")},
        machine={"psi_cpu_some_pct": 48.0 if 30 <= tick < 36 else 2.0},
        quality=Quality(lost={"ring": 3}) if tick == 31 else Quality(),
    )
    extras = {31: _outlier, 32: _decision, 40: _effects, 50: _second, 80: _end}
    return Record(
        wall_ns=START_WALL_NS + tick * SECOND_NS,
        window=window,
        cost=Cost(0.4, 48 << 20, 3.0 if tick == 32 else 0.0, 210 << 20),
        policy="policy-1",
        counters={
            "module.seen": tick * 10,
            "module.lost": 3 if tick >= 31 else 0,
            "process.seen": tick * 2,
            "block.seen": tick,
            "model.calls": int(tick >= 32) + int(tick >= 50),
            "leases.granted": 2 if tick >= 32 else 0,
            "leases.renewed": max(0, min(tick, 80) - 33),
            "leases.restored": 0 if tick < 41 else 1 if tick < 80 else 2,
        },
        cpu=KNOBS if tick < 60 else BACK,
        **extras.get(tick, lambda _: {})(tick),
    )


def _outlier(tick: int) -> dict:
    time_ns = START_NS + tick * SECOND_NS - 250_000_000
    detail = "had to wait for restic --password=hunter2"
    return {
        "events": [
            Event(time_ns, "module", "runq", "shop", 104, 1004, 1004, "nginx",
                  15_200_000.0, "ns", "backup"),
            Event(time_ns, "process", "exec", "backup", 106, 1006, 1006,
                  "evil\\x1b[2J", 1.0, "", detail),
        ]
    }  # fmt: skip


def _decision(tick: int) -> dict:
    proposal = Proposal(
        decider="llm",
        stances=[PROTECT, YIELD, FORBIDDEN],
        cause="The shop waits for the CPU while the backup runs.",
        took_ms=38.2,
        model="sha256:0123456789abcdef",
        prompt=PROMPT,
        answer=ANSWER,
    )
    refusal = Refusal(
        "never_touch",
        "postgres is on the policy's list never_touch",
        "postgres",
        Resource.MEMORY,
    )
    verdict = Verdict([PROTECT, YIELD], [refusal], Mode.ENFORCE)
    kernel = Refusal("EBUSY", "another owner holds io.max", "backup", Resource.IO)
    return {
        "proposal": proposal,
        "verdict": verdict,
        "granted": [WEIGHT, BANDWIDTH],
        "failed": [kernel],
    }


def _effects(tick: int) -> dict:
    kept = Effect(
        PROTECT,
        "shop.runq_p99_ns",
        12_430_000.0,
        410_000.0,
        90_000.0,
        Outcome.KEPT,
        "the shop waits less, and waited again when the lease was withdrawn",
    )
    reverted = Effect(
        YIELD,
        "shop.io_p99_ns",
        2_000_000.0,
        2_010_000.0,
        150_000.0,
        Outcome.REVERTED,
        "no difference beyond the noise",
    )
    return {"effects": [kept, reverted], "ended": [end(BANDWIDTH, tick, "revoked")]}


def _second(tick: int) -> dict:
    proposal = Proposal(
        decider="rules",
        stances=[PROTECT],
        cause="The policy protects the shop.",
        took_ms=0.2,
        fallback="the model did not answer within 150 ms",
    )
    return {"proposal": proposal, "verdict": Verdict([PROTECT], [])}


def _end(tick: int) -> dict:
    return {"ended": [end(WEIGHT, tick, "off")]}


@pytest.fixture(scope="session")
def tick_record() -> Callable[[int], Record]:
    """Make the record of one tick of the story."""
    return record


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A record of 90 ticks of the story, written by the real recorder."""
    path = tmp_path_factory.mktemp("story") / "record.db"
    with Recorder(path, version="0.1.0") as recorder:
        recorder.put_policy(START_WALL_NS, "policy-1", POLICY)
        for tick in range(1, 91):
            assert recorder.put(record(tick))
    assert recorder.state().written == 90
    yield path
