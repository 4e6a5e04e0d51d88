# SPDX-License-Identifier: MIT
"""The policy's `limits`: one narrower bound for each knob."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from vagus.policy import fields as f
from vagus.policy.knobs import HEADROOM, KNOBS, UNLIMITED, Bound, text

LEAST = "Smallest value that may be set."
MOST = "Largest value that may be set."
Share = Annotated[float | None, f.percentage(0, 1000, "the limit of"), f.QUANTITY]
Step = Annotated[float | None, f.percentage(1, 100, "the limit of"), f.QUANTITY]


class Limit(f.Part):
    """Bounds of one knob, in its own unit."""

    knob: ClassVar[str] = ""
    allow: bool = Field(True, description="Whether Vagus may set this knob at all.")
    min: float | None = Field(None, description=LEAST)
    max: float | None = Field(None, description=MOST)
    step_pct: Step = Field(
        None,
        alias="step",
        description="Largest change in one write, as a share of the old value.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Limit:
        if self.min is not None and self.max is not None and self.min > self.max:
            least, most = text(self.knob, self.min), text(self.knob, self.max)
            raise f.wrong(f"min {least} is over max {most}")
        return self

    def bound(self) -> Bound:
        """Return the bound; what is not given is the table's."""
        facts = KNOBS[self.knob]
        least = facts.least if self.min is None else self.min
        most = facts.most if self.max is None else self.max
        # Where one side is given beyond the other's default, that moves along.
        if self.max is None:
            most = max(least, most)
        elif self.min is None:
            least = min(least, most)
        step = UNLIMITED if self.step_pct is None else self.step_pct / 100
        return Bound(least, most, self.headroom(), step)

    def headroom(self) -> float:
        """Return the share above the working set; 0 for most knobs."""
        return 0.0

    def under(self, own: Limit) -> Limit:
        """Return these limits with what one workload's own say instead."""
        given = {name: getattr(own, name) for name in own.model_fields_set}
        least, most = given.get("min", self.min), given.get("max", self.max)
        if least is not None and most is not None and least > most:
            # One side was given beyond the other's: that moves along.
            given["min" if "max" in given else "max"] = None
        return self.model_copy(update=given)


class CpuWeight(Limit):
    """Share of CPU among siblings."""

    knob = "cpu.weight"
    min: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=LEAST
    )
    max: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=MOST
    )


class CpuIdle(Limit):
    """Run only when nobody else wants to: 0 or 1."""

    knob = "cpu.idle"
    min: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=LEAST
    )
    max: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=MOST
    )


class CpuMax(Limit):
    """Quota, as a share of CPUs: 50% or 2."""

    knob = "cpu.max"
    min: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=LEAST
    )
    max: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=MOST
    )


class IoWeight(Limit):
    """Share of disk time, where iocost is on."""

    knob = "io.weight"
    min: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=LEAST
    )
    max: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=MOST
    )


class IoMax(Limit):
    """Limit of a disk's bytes per second."""

    knob = "io.max"
    min: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=LEAST
    )
    max: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=MOST
    )


class MemoryLow(Limit):
    """Memory that reclaim spares."""

    knob = "memory.low"
    min: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=LEAST
    )
    max: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=MOST
    )


class MemoryHigh(Limit):
    """Memory from which on allocations are throttled."""

    knob = "memory.high"
    min: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=LEAST
    )
    max: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=MOST
    )
    headroom_pct: Share = Field(
        None,
        alias="headroom",
        description=f"How far above the working set it stays; {HEADROOM:.0%} if unset.",
    )

    def headroom(self) -> float:
        """Return the share above the working set."""
        return HEADROOM if self.headroom_pct is None else self.headroom_pct / 100


class WbtLatency(Limit):
    """Writeback throttling target of a disk, in microseconds."""

    knob = "wbt_lat_usec"
    min: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=LEAST
    )
    max: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=MOST
    )


class Nice(Limit):
    """Niceness of threads that share a cgroup with others."""

    knob = "nice"
    min: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=LEAST
    )
    max: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=MOST
    )


class SchedPolicy(Limit):
    """Scheduling policy of such threads: 0 other, 1 batch, 2 idle."""

    knob = "policy"
    min: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=LEAST
    )
    max: Annotated[float | None, f.knob_value(knob), f.QUANTITY] = Field(
        None, description=MOST
    )


class Limits(f.Part):
    """Bounds of each knob; never wider than the kernel's own."""

    cpu_weight: CpuWeight = Field(CpuWeight.plain(), alias="cpu.weight")
    cpu_idle: CpuIdle = Field(CpuIdle.plain(), alias="cpu.idle")
    cpu_max: CpuMax = Field(CpuMax.plain(), alias="cpu.max")
    io_weight: IoWeight = Field(IoWeight.plain(), alias="io.weight")
    io_max: IoMax = Field(IoMax.plain(), alias="io.max")
    memory_low: MemoryLow = Field(MemoryLow.plain(), alias="memory.low")
    memory_high: MemoryHigh = Field(MemoryHigh.plain(), alias="memory.high")
    wbt_lat_usec: WbtLatency = WbtLatency.plain()
    nice: Nice = Nice.plain()
    policy: SchedPolicy = SchedPolicy.plain()

    def bounds(self, own: Limits | None = None) -> dict[str, Bound]:
        """Return what may be set, by knob; a knob that is not allowed is left out.

        `own`: the limits of one workload, which go before these where they say more.
        """
        names = type(self).model_fields
        each: list[Limit] = [getattr(self, name) for name in names]
        if own is not None:
            each = [getattr(self, name).under(getattr(own, name)) for name in names]
        return {limit.knob: limit.bound() for limit in each if limit.allow}
