# SPDX-License-Identifier: MIT
"""What a policy says of one workload: which it is, what it is for, what it needs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from vagus.flow import Mode, Role
from vagus.policy import fields as f
from vagus.policy.limits import Limits
from vagus.policy.roles import NAMES, time_sense
from vagus.policy.units import NS_PER, show

S = NS_PER["s"]
TimeSense = Literal["interactive", "service", "throughput", "deferrable"]


class Match(f.Part):
    """Which cgroups belong to a workload; every given line must hold."""

    cgroup: f.Pattern | None = Field(
        None,
        description="Glob on the cgroup's name, or on its whole path where it has a"
        " '/': shop.service, /batch.slice/restic-*. A glob without a leading '/'"
        " does not look below a unit, where the unit itself chooses the names.",
    )
    unit: f.Pattern | None = Field(
        None,
        description="Glob on the systemd unit's name; shop means shop.service.",
    )
    comm: f.Patterns = Field(
        (),
        description="Command names, any of them. A process chooses its own, so a"
        " workload known by this alone may yield but is never protected.",
    )
    exe: f.Pattern | None = Field(
        None, description="Glob on the executable's path, such as /usr/bin/restic."
    )
    user: f.Pattern | None = Field(
        None, description="User name or number that the processes run as."
    )

    @model_validator(mode="after")
    def _something(self) -> Match:
        if not (self.cgroup or self.unit or self.comm or self.exe or self.user):
            raise f.wrong("needs at least one of cgroup, unit, comm, exe, user")
        return self


class Function(f.Part):
    """A function whose latency a lens measures."""

    exe: f.Path = Field(description="Program or library that has the function.")
    symbol: f.Pattern = Field(
        description="The function's symbol, or two USDT probes:"
        " usdt:query__start..query__done."
    )
    p99_ns: Annotated[int, f.duration(1, 3600 * S, "the limit of"), f.QUANTITY] = Field(
        alias="p99", description="Its 99th percentile should stay under this."
    )


_SLO_TIME = f.duration(1, 3600 * S, "the limit of")
_SLO_SHARE = f.percentage(0.1, 100, "the limit of")


class Slo(f.Part):
    """Numbers that a workload must keep; being over one is `bad`."""

    run_queue_p99_ns: Annotated[int | None, _SLO_TIME, f.QUANTITY] = Field(
        None,
        alias="run_queue_p99",
        description="99th percentile of waiting for a CPU.",
    )
    io_p99_ns: Annotated[int | None, _SLO_TIME, f.QUANTITY] = Field(
        None, alias="io_p99", description="99th percentile of a block request."
    )
    psi_cpu_some_pct: Annotated[float | None, _SLO_SHARE, f.QUANTITY] = Field(
        None, alias="psi_cpu", description="Share of time that some task waits for CPU."
    )
    psi_io_some_pct: Annotated[float | None, _SLO_SHARE, f.QUANTITY] = Field(
        None, alias="psi_io", description="Share of time that some task waits for I/O."
    )
    psi_memory_some_pct: Annotated[float | None, _SLO_SHARE, f.QUANTITY] = Field(
        None,
        alias="psi_memory",
        description="Share of time that some task waits for memory.",
    )
    function: Function | None = Field(
        None, description="Latency of a function, measured by a lens."
    )

    def numbers(self) -> dict[str, float]:
        """Return the given limits by the window's number keys."""
        found = {
            "runq_p99_ns": self.run_queue_p99_ns,
            "io_p99_ns": self.io_p99_ns,
            "psi_cpu_some_pct": self.psi_cpu_some_pct,
            "psi_io_some_pct": self.psi_io_some_pct,
            "psi_memory_some_pct": self.psi_memory_some_pct,
            "slo_p99_ns": self.function.p99_ns if self.function else None,
        }
        return {key: float(value) for key, value in found.items() if value is not None}


class Workload(f.Part):
    """A workload that the operator names."""

    match: Match = Field(description="Which cgroups it is; by default unit NAME.")
    role: str | None = Field(
        None, description="What it is for, one of the roles in docs/stance.md."
    )
    time_sense: TimeSense | None = Field(
        None, description="interactive, service, throughput or deferrable."
    )
    slo: Slo | None = Field(None, description="Numbers that it must keep.")
    protect: bool = Field(
        False, description="Never let it yield, whatever the objective says."
    )
    mode: Mode | None = Field(
        None, description="observe, advise or enforce for this workload alone."
    )
    limits: Limits | None = Field(
        None, description="Bounds of its own; they go before the policy's limits."
    )

    @field_validator("role")
    @classmethod
    def _known(cls, role: str | None) -> str | None:
        if role is not None and role not in NAMES:
            raise f.wrong(f"{show(role)} is no role{f.nearest(role, NAMES)}")
        return role

    def known_role(self) -> Role | None:
        """Return the role that the policy gives; None where it gives none."""
        if self.role is None and self.time_sense is None:
            return None
        name = self.role or "unknown"
        return Role(name, self.time_sense or time_sense(name), "policy")
