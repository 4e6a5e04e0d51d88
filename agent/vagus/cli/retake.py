# SPDX-License-Identifier: MIT
"""`vagus replay --check`, the reflex's part: take its steps again, and compare.

A step follows from a window, what the reflex saw of the machine and what it held and
remembered; all of it is on record for every step that wrote something, so the same
law must want the same settings.
"""

from __future__ import annotations

from collections import deque

import msgspec

from vagus.apply.step import again
from vagus.cli import units
from vagus.flow import Record, Setting, Step, Window

BEFORE = 10  # windows back that a step may have looked at


class Misstep(msgspec.Struct, frozen=True):
    """One step that came out another way."""

    tick: int  # of the window that it looked at
    time: str  # ISO 8601, local
    wall_ns: int
    recorded: list[Setting]
    again: list[Setting]


class Steps(msgspec.Struct, frozen=True):
    """What taking the steps again gave, as --json prints it."""

    taken: int = 0
    skipped: int = 0  # without their window, or of another version of the law
    differences: list[Misstep] = []


class Walker:
    """Takes the steps of records again, in order."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._windows: deque[Window] = deque(maxlen=BEFORE)
        self._taken = self._skipped = 0
        self._differences: list[Misstep] = []

    def follow(self, record: Record) -> None:
        """Take the steps of the next record."""
        self._windows.append(record.window)
        for step in record.steps:
            settings = self._again(step)
            if settings is None:
                self._skipped += 1
                continue
            self._taken += 1
            if settings != step.settings:
                time = units.iso(record.wall_ns)
                self._differences.append(
                    Misstep(step.tick, time, record.wall_ns, step.settings, settings)
                )

    def _again(self, step: Step) -> list[Setting] | None:
        window = next((w for w in self._windows if w.tick == step.tick), None)
        if window is None:
            return None
        try:
            return again(step, window)
        except msgspec.DecodeError:  # written by another version
            return None

    def found(self) -> Steps:
        """Return what was found so far."""
        return Steps(self._taken, self._skipped, self._differences)


def lines(found: Steps) -> list[str]:
    """Say what was found."""
    told = []
    for one in found.differences:
        told.append(f"tick {one.tick} ({one.time}): the reflex's step differs")
        for name, settings in (("recorded  ", one.recorded), ("recomputed", one.again)):
            told.append(f"  {name}  {_settings(settings)}")
    if found.taken or found.skipped:
        skipped = f", {found.skipped} not to be taken again" if found.skipped else ""
        count = len(found.differences)
        told.append(
            f"{found.taken} steps of the reflex taken again, {count} differ{skipped}"
        )
    return told


def _settings(settings: list[Setting]) -> str:
    each = (f"{s.workload} {s.knob} = {s.value}" for s in settings)
    return "; ".join(each) or "nothing"
