# SPDX-License-Identifier: MIT
"""Stances, effects and signals in the few words that every verb uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from vagus.cli import units
from vagus.flow import Act, CpuHandle, Handle, Stance

# What a line shows first, in this order, where a workload has it.
SHOWN = (
    "slo_p99_ns",
    "runq_p99_ns",
    "cpu_pct",
    "psi_cpu_some_pct",
    "io_p99_ns",
    "read_bytes_per_s",
    "write_bytes_per_s",
    "psi_io_some_pct",
    "memory_bytes",
    "psi_memory_some_pct",
    "major_faults_per_s",
)


def stance(one: Stance, *, with_workload: bool = True) -> str:
    """Return 'shop: protect cpu 2', or without the workload."""
    what = "leave alone"
    if one.act is not Act.LEAVE:
        what = f"{one.act.value} {one.resource.value} {one.strength}"
    return f"{one.workload}: {what}" if with_workload else what


def together(many: Sequence[Stance]) -> str:
    """Return 'backup, build: yield cpu 3; shop: protect cpu 3; 5 others: ...'."""
    by_act: dict[str, list[str]] = {}
    left = [one.workload for one in many if one.act is Act.LEAVE]
    for one in many:
        if one.act is not Act.LEAVE:
            said = stance(one, with_workload=False)
            by_act.setdefault(said, []).append(one.workload)
    parts = [f"{', '.join(who)}: {said}" for said, who in by_act.items()]
    if not parts:
        return "leave everything alone"
    if left:
        who = ", ".join(left) if len(left) < 3 else f"{len(left)} others"
        parts.append(f"{who}: leave alone")
    return "; ".join(parts)


def stances(many: Sequence[Stance]) -> str:
    """Return all stances in one line, or 'leave everything'."""
    return ", ".join(stance(one) for one in many) or "leave everything"


def handle(cpu: CpuHandle) -> str:
    """Return by what CPU stances are held, and why: 'sched_ext: attached'."""
    by = "cgroup knobs" if cpu.handle is Handle.CGROUP else cpu.handle.value
    times = "once" if cpu.ejections == 1 else f"{cpu.ejections} times"
    often = f"; ejected {times}" if cpu.ejections else ""
    return f"{by}: {cpu.reason}{often}"


class Change(Protocol):
    """What an effect says of its signal; flow.Effect, or a board's."""

    @property
    def signal(self) -> str:
        """The signal, 'shop.runq_p99_ns'."""

    @property
    def before(self) -> float | None:
        """In the signal's unit."""

    @property
    def after(self) -> float | None:
        """In the signal's unit."""

    @property
    def noise(self) -> float | None:
        """In the signal's unit."""


def parts(signal: str) -> tuple[str, str]:
    """Return workload and signal of 'shop runq_p99_ns' or 'shop.runq_p99_ns'."""
    workload, _, name = signal.rpartition(" " if " " in signal else ".")
    return workload, name


def level(effect: Change) -> str:
    """Return 'shop run queue p99 12.4 ms': what it was before."""
    workload, signal = parts(effect.signal)
    before = effect.before
    value = units.DASH if before is None else units.quantity(signal, before)
    return " ".join(filter(None, (workload, units.signal(signal), value)))


def change(effect: Change) -> str:
    """Return 'shop run queue p99 12.4 ms -> 410 µs (noise 90.0 µs)'."""
    _, signal = parts(effect.signal)
    after, noise = (
        units.DASH if value is None else units.quantity(signal, value)
        for value in (effect.after, effect.noise)
    )
    return f"{level(effect)} -> {after} (noise {noise})"


def numbers(values: Mapping[str, float], most: int = 4) -> str:
    """Return the most telling numbers of a workload in one line."""
    chosen = [key for key in SHOWN if values.get(key)]
    return ", ".join(
        f"{units.signal(key)} {units.quantity(key, values[key])}"
        for key in chosen[:most]
    )


def model(name: str) -> str:
    """Return a short name of a model's hash."""
    return name.removeprefix("sha256:")[:12]
