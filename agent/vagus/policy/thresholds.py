# SPDX-License-Identifier: MIT
"""From which number which word holds; a workload's SLO moves its own.

Suffering: the word is the worst of its resource's signals.  Without an SLO the
defaults below hold; with one, `bad` starts at the SLO, `warm` at 70 % of it and
`critical` at three times it, so that there is time to act before it is broken.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from vagus.policy import fields as f
from vagus.policy.units import NS_PER

S = NS_PER["s"]
WARM_OF_SLO = 0.7
CRITICAL_OF_SLO = 3.0
# Which resource a number speaks of.
RESOURCE_OF = {
    "runq_p99_ns": "cpu",
    "runq_wait_pct": "cpu",
    "psi_cpu_some_pct": "cpu",
    "slo_p99_ns": "cpu",
    "io_p99_ns": "io",
    "psi_io_some_pct": "io",
    "psi_memory_some_pct": "memory",
    "reclaim_p99_ns": "memory",
    "major_faults_per_s": "memory",
}

_TIME = f.duration(1, 3600 * S, "the limit of")
_SHARE = f.percentage(0, 25600, "the limit of")
_SIZE = f.size(0, 1 << 50, "the limit of")
_RATE = f.number(0, 1_000_000_000, "the limit of")
Time = Annotated[int, _TIME, f.QUANTITY]
Percent = Annotated[float, _SHARE, f.QUANTITY]
Bytes = Annotated[int, _SIZE, f.QUANTITY]
Rate = Annotated[int, _RATE, f.QUANTITY]


class Levels(f.Part):
    """Where warm, bad and critical begin; equal is already the worse word."""

    warm: float = Field(description="From here on: warm.")
    bad: float = Field(description="From here on: bad.")
    critical: float = Field(description="From here on: critical.")

    @model_validator(mode="after")
    def _ordered(self) -> Levels:
        if not 0 < self.warm <= self.bad <= self.critical:
            raise f.wrong("warm, bad and critical must grow in this order")
        return self


class Times(Levels):
    """Levels of a latency."""

    warm: Time
    bad: Time
    critical: Time


class Percents(Levels):
    """Levels of a share of time."""

    warm: Percent
    bad: Percent
    critical: Percent


class Rates(Levels):
    """Levels of a count in a second."""

    warm: Rate
    bad: Rate
    critical: Rate


def _times(warm: str, bad: str, critical: str) -> Times:
    return Times.model_validate({"warm": warm, "bad": bad, "critical": critical})


def _percents(warm: str, bad: str, critical: str) -> Percents:
    return Percents.model_validate({"warm": warm, "bad": bad, "critical": critical})


class Suffers(f.Part):
    """How a workload suffers: one entry for each signal."""

    # A slice of the fair class is 3 ms here (base_slice_ns): a wait of some
    # slices is ordinary sharing, ten of them are felt.
    runq_p99: Times = Field(
        _times("4ms", "12ms", "50ms"),
        description="Waiting for a CPU, 99th percentile.",
    )
    runq_wait: Percents = Field(
        _percents("20%", "60%", "200%"),
        description="Time spent waiting for a CPU in a second, all tasks together.",
    )
    psi_cpu: Percents = Field(
        _percents("10%", "30%", "70%"),
        description="Time in which some task waits for a CPU.",
    )
    io_p99: Times = Field(
        _times("20ms", "60ms", "250ms"),
        description="Block requests, 99th percentile.",
    )
    psi_io: Percents = Field(
        _percents("10%", "30%", "70%"),
        description="Time in which some task waits for I/O.",
    )
    psi_memory: Percents = Field(
        _percents("2%", "10%", "40%"),
        description="Time in which some task waits for memory.",
    )
    reclaim_p99: Times = Field(
        _times("2ms", "10ms", "100ms"),
        description="Direct reclaim stalls, 99th percentile.",
    )
    major_faults: Rates = Field(
        Rates(warm=50, bad=300, critical=2000),
        description="Major page faults in a second.",
    )
    function: Percents = Field(
        _percents("70%", "100%", "300%"),
        description="Latency of an SLO's function, as a share of the SLO.",
    )


class Uses(f.Part):
    """Where light, busy and heavy use of one resource begin."""

    light: float = Field(description="From here on: light; below it is idle.")
    busy: float = Field(description="From here on: busy.")
    heavy: float = Field(description="From here on: heavy.")

    @model_validator(mode="after")
    def _ordered(self) -> Uses:
        if not 0 < self.light <= self.busy <= self.heavy:
            raise f.wrong("light, busy and heavy must grow in this order")
        return self


class ShareUses(Uses):
    """Levels of a share."""

    light: Percent
    busy: Percent
    heavy: Percent


class ByteUses(Uses):
    """Levels of bytes in a second."""

    light: Bytes
    busy: Bytes
    heavy: Bytes


class Takes(f.Part):
    """How much a workload takes of each resource."""

    cpu: ShareUses = Field(
        ShareUses.model_validate({"light": "1%", "busy": "15%", "heavy": "60%"}),
        description="Share of one CPU.",
    )
    io: ByteUses = Field(
        ByteUses.model_validate({"light": "16K", "busy": "2M", "heavy": "16M"}),
        description="Bytes read and written in a second.",
    )
    memory: ShareUses = Field(
        ShareUses.model_validate({"light": "1%", "busy": "10%", "heavy": "30%"}),
        description="Share of the machine's memory.",
    )


class Thresholds(f.Part):
    """From which number which word holds."""

    suffers: Suffers = Field(Suffers.plain(), description="How a workload suffers.")
    uses: Takes = Field(Takes.plain(), description="How much it takes.")

    def levels(self, slo: dict[str, float]) -> dict[str, tuple[float, float, float]]:
        """Return (warm, bad, critical) by the window's number keys.

        `slo` is Slo.numbers(), empty without one; its signals follow it.
        """
        given = self.suffers
        plain: dict[str, Levels] = {
            "runq_p99_ns": given.runq_p99,
            "runq_wait_pct": given.runq_wait,
            "psi_cpu_some_pct": given.psi_cpu,
            "io_p99_ns": given.io_p99,
            "psi_io_some_pct": given.psi_io,
            "psi_memory_some_pct": given.psi_memory,
            "reclaim_p99_ns": given.reclaim_p99,
            "major_faults_per_s": given.major_faults,
        }
        # An SLO says what matters of its resource; the guesses about it go.
        settled = {RESOURCE_OF[key] for key in slo}
        found = {
            key: (level.warm, level.bad, level.critical)
            for key, level in plain.items()
            if RESOURCE_OF[key] not in settled
        }
        for key, value in slo.items():
            found[key] = (WARM_OF_SLO * value, value, CRITICAL_OF_SLO * value)
        if "slo_p99_ns" in slo:
            part, one_pct = given.function, slo["slo_p99_ns"] / 100
            found["slo_p99_ns"] = (
                part.warm * one_pct,
                part.bad * one_pct,
                part.critical * one_pct,
            )
        return found
