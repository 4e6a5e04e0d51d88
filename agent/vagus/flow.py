# SPDX-License-Identifier: MIT
"""The values that flow between the stages: frozen, typed, ready for the record.

sense -> Sample -> window -> Window -> decide -> Proposal -> verify -> Verdict
-> apply -> Setting/Lease -> judge -> Effect -> record -> Record.
Stages share these and never import each other.  Times are CLOCK_MONOTONIC
nanoseconds unless a name says wall clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

import msgspec


class Word(StrEnum):
    """What a signal is called, from best to worst; unknown is a word too."""

    OK = "ok"
    WARM = "warm"
    BAD = "bad"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class Use(StrEnum):
    """How much of a resource a workload takes; unknown is a word too."""

    IDLE = "idle"
    LIGHT = "light"
    BUSY = "busy"
    HEAVY = "heavy"
    UNKNOWN = "unknown"


class Resource(StrEnum):
    """What a stance is about."""

    CPU = "cpu"
    IO = "io"
    MEMORY = "memory"


class Act(StrEnum):
    """What a stance wants for its workload."""

    PROTECT = "protect"
    YIELD = "yield"
    LEAVE = "leave"


class Mode(StrEnum):
    """How far Vagus may go."""

    OBSERVE = "observe"
    ADVISE = "advise"
    ENFORCE = "enforce"


class Handle(StrEnum):
    """By what CPU stances are held."""

    CGROUP = "cgroup"  # cgroup knobs and task leases
    SCHED_EXT = "sched_ext"  # classes in Vagus' own scheduler, which has all tasks
    PARTIAL = "sched_ext-partial"  # it has only who yields


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every value below."""


class Sample(Value, frozen=True):
    """One reading of one signal of one workload (or of the machine: '')."""

    source: str  # "table", "process", "block", "memory", "cgroup", "psi", "lens"
    workload: str
    signal: str  # with unit: "runq_ns" (a histogram), "psi_cpu_some_pct"
    kind: str  # "gauge", "counter" (cumulative) or "histogram" (cumulative)
    time_ns: int
    value: float = 0.0  # gauge, counter; for a histogram the sum
    counts: tuple[int, ...] = ()  # histogram: VAGUS_HIST_BUCKETS counts, mod 2^32


class Identity(Value, frozen=True):
    """What the machine says about a program, most trustworthy field first."""

    unit_description: str = ""  # systemd Description=, redacted
    synopsis: str = ""  # the package's own one-line description
    section: str = ""  # of the distribution that the package is in, "net"
    description: str = ""  # the beginning of the package's long one
    exe: str = ""
    comm: str = ""  # chosen by the process: may make it yield, never protect it
    args: str = ""  # first arguments, redacted; chosen by the process


class Found(Value, frozen=True):
    """A workload that discovery sees now."""

    name: str  # the policy's name, or one made from the cgroup's; safe to print
    cgroup: str  # path below the cgroup2 mount, "/shop.slice/shop.service"
    cgroup_id: int  # inode number of its directory
    policy: str = ""  # key in the policy's workloads; "" where not named there
    by: str = ""  # what matched: "cgroup", "unit", "comm", "exe", "user"
    also: tuple[str, ...] = ()  # later keys that match as well
    unit: str = ""  # systemd unit in the path, "shop.service"; "" outside systemd
    pids: tuple[int, ...] = ()  # process ids, oldest first; at most 64
    comms: tuple[str, ...] = ()  # escaped, as pids, without repetition; at most 4
    exe: str = ""  # of the first process, escaped
    uid: int = -1  # of the first process
    identity: Identity = Identity()


class Role(Value, frozen=True):
    """What a workload is for."""

    name: str  # "web", "database", "backup", "build", ...; see docs/stance.md
    time_sense: str  # "interactive", "service", "throughput", "deferrable"
    source: str  # "policy", "model", "default"


class Quality(Value, frozen=True):
    """How far a window can be trusted."""

    lost: dict[str, int] = {}  # records lost, by source, in this window
    missing: dict[str, str] = {}  # sources without data, with the reason

    @property
    def good(self) -> bool:
        """True where nothing was lost and every source spoke."""
        return not self.lost and not self.missing


class WorkloadWindow(Value, frozen=True):
    """One workload over one interval, as numbers and as words."""

    name: str
    cgroup: str  # path below the cgroup2 mount, "/shop.slice/shop.service"
    cgroup_id: int
    identity: Identity
    role: Role
    numbers: dict[str, float]  # signal with unit -> value
    words: dict[str, Word]  # how it suffers: "cpu", "io", "memory" -> word
    uses: dict[str, Use]  # how much it takes: "cpu", "io", "memory" -> word
    programs: list[str] = []  # command names, most CPU first; at most 4
    pids: list[int] = []  # thread ids for task leases; at most 64
    policy: str = ""  # as in Found
    by: str = ""  # as in Found


class Window(Value, frozen=True):
    """All workloads over one interval."""

    tick: int
    start_ns: int
    end_ns: int
    workloads: dict[str, WorkloadWindow]  # by name; only those where it matters
    machine: dict[str, float]  # machine-wide numbers: psi, cpu busy
    quality: Quality = Quality()


class Stance(Value, frozen=True):
    """Who is favoured or yields, on what, how hard."""

    workload: str
    act: Act
    resource: Resource = Resource.CPU
    strength: int = 1  # 1..3; 0 with leave


class Proposal(Value, frozen=True):
    """The stances a decider wants, with its cause."""

    decider: str  # "llm", "rules", "bandit", "static", "none", "random"
    stances: list[Stance]
    cause: str  # one sentence
    took_ms: float = 0.0
    model: str = ""  # hash of the model file, where there was one
    prompt: str = ""
    answer: str = ""  # raw
    fallback: str = ""  # why the wanted decider did not answer
    objective: str = ""  # the sentence it answers; "" where none was read


class Refusal(Value, frozen=True):
    """A stance or setting that verification did not let through."""

    code: str  # stable: "never_touch", "budget", "cooldown", ...
    sentence: str
    workload: str
    resource: Resource | None = None


class Verdict(Value, frozen=True):
    """What verification allows of a proposal."""

    allowed: list[Stance]  # everything that may stand from now on, in `mode`
    refused: list[Refusal]
    mode: Mode = Mode.ENFORCE
    advised: list[Stance] = []  # with ENFORCE: of workloads that are only advised


class Tried(Value, frozen=True):
    """A sentence that is only tried: what it would lead to."""

    sentence: str
    until_ns: int  # CLOCK_MONOTONIC; the decider is asked about it no longer
    proposal: Proposal | None = None  # None until the decider has answered
    verdict: Verdict | None = None
    mode: Mode = Mode.ENFORCE  # in which it would stand


class Basis(Value, frozen=True):
    """What a verdict was made from besides its proposal, so it can be made again."""

    tick: int  # of the window that was looked at
    now_ns: int
    local: str  # ISO 8601: which hours of the policy held
    policy: str  # hash of the policy's text
    wishes: str  # JSON of wishes.Wishes
    state: str  # JSON of verify.VerifyState, before


class Setting(Value, frozen=True):
    """One knob value that the reflex wants held."""

    workload: str
    knob: str  # "cpu.weight", "io.max", "nice", ...
    # A class has no file; its path is the cgroup's, with /sched_ext behind it.
    path: str  # file below its file system's mount point, or "task:TID"
    value: str
    why: str  # "protect cpu 2"


class Lease(Value, frozen=True):
    """A setting that the kernel holds until its deadline."""

    id: int  # the kernel's number; below zero: a class in the sched_ext scheduler
    setting: Setting
    old: str
    value: str  # as read back
    ttl_ms: int
    granted_ns: int


class Step(Value, frozen=True):
    """One step of the reflex that wrote something, so that it can be taken again."""

    tick: int  # of the window that it looked at
    given: bytes  # MessagePack of apply.step.Given
    settings: list[Setting]  # all that the law wanted held, in order


class LeaseEnd(Value, frozen=True):
    """How a lease ended, told by the kernel."""

    id: int
    path: str
    old: str
    now: str
    end: str  # "restored", "lost", "gone", "failed"
    cause: str  # "deadline", "revoked", "off", "owner", "unload", "scheduler"
    time_ns: int
    took_ns: int


class Outcome(StrEnum):
    """What the judge found."""

    PENDING = "pending"
    KEPT = "kept"
    COINCIDENT = "coincident"
    REVERTED = "reverted"


class Effect(Value, frozen=True):
    """Before and after one applied stance."""

    stance: Stance
    signal: str  # the objective's signal with unit
    before: float
    after: float
    noise: float  # A/A floor, same unit
    outcome: Outcome
    sentence: str


class Cost(Value, frozen=True):
    """What the agent itself used in one window."""

    cpu_pct: float
    rss_bytes: int
    engine_cpu_pct: float = 0.0
    engine_rss_bytes: int = 0


class Event(Value, frozen=True):
    """A rare event from a ring, or of a lease, for the record and the CLI."""

    time_ns: int
    source: str
    kind: str  # "exec", "exit", "runq", "block", "oom", "lease-end", ...
    workload: str
    cgroup_id: int
    tgid: int
    tid: int
    comm: str  # escaped
    value: float
    unit: str
    detail: str = ""


class CpuHandle(Value, frozen=True):
    """By what CPU stances are held now, and why by that."""

    handle: Handle  # of who yields; who is protected has knobs in partial mode
    reason: str  # one sentence
    ejections: int = 0  # times that the kernel ended the scheduler
    retry_ns: int = 0  # CLOCK_MONOTONIC of the next attempt; 0: none by itself


class Record(Value, frozen=True):
    """Everything about one tick."""

    wall_ns: int
    window: Window
    proposal: Proposal | None = None
    verdict: Verdict | None = None
    basis: Basis | None = None  # of the verdict
    granted: list[Lease] = []
    steps: list[Step] = []  # that granted them
    ended: list[LeaseEnd] = []
    failed: list[Refusal] = []  # settings that the kernel refused
    effects: list[Effect] = []
    events: list[Event] = []
    cost: Cost | None = None
    policy: str = ""  # hash of the policy text in force
    counters: dict[str, int] = {}  # per source: seen, lost, calls, granted...
    cpu: CpuHandle | None = None  # by what CPU stances are held


class SourceState(Value, frozen=True):
    """What a sensor has to say of itself, since it was opened."""

    seen: int  # events or reads
    lost: int  # counted by the kernel or the reader, never guessed
    missing: str = ""  # why there is no data, with the remedy; "" when it works
    late: int = 0  # of those seen, told more than 2 s after they happened


class Sensor(Protocol):
    """One source of samples; owns its descriptors, closed by close()."""

    name: str

    def follow(self, workloads: Mapping[str, tuple[str, int]]) -> None:
        """Watch these workloads: name -> (cgroup path, cgroup id)."""

    def read(self) -> list[Sample]:
        """Return what can be read now; never raises for a vanished cgroup."""

    def events(self) -> list[Event]:
        """Return rare events since the last call."""

    def state(self) -> SourceState:
        """Return counters since open."""

    def fileno(self) -> int:
        """Return a descriptor to poll for wake-ups, or -1."""

    def close(self) -> None:
        """Give everything back."""


class Decider(Protocol):
    """Anything that proposes stances; never blocks the loop."""

    name: str

    def consider(self, window: Window, objective: str) -> None:
        """Look at a window; start thinking if something changed."""

    def answer(self) -> Proposal | None:
        """Return the proposal if one is ready (or its deadline passed)."""

    def fileno(self) -> int:
        """Return a descriptor to poll for an answer, or -1."""

    def close(self) -> None:
        """End what was started."""
