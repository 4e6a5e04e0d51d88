# SPDX-License-Identifier: MIT
"""Sense and window in one: all sources of one agent, read together.

Joins discovery, sensors and windowers; keeps events until they are recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from vagus.flow import Event, Found, Role, Sample, Sensor, SourceState, Window
from vagus.parts import Parts
from vagus.policy.lint import covers
from vagus.policy.model import Policy

# What the reflex reads between ticks: nothing that costs more than a mapped page
# and a few small files.
FAST = ("table", "psi")
# Whose wake-up is a reflex.  The eBPF ring is not among them: it wakes for every
# program that a compiler starts, and is drained once a tick.
WAKING = ("ring", "psi")
# Whose records wait in a ring, and may be read late.
RINGS = ("ring", "process")
# Events of one source, kind and workload kept for one record; more are counted.
# In trouble every wait is an outlier, and a thousand of them say no more.
EVENTS_ALIKE = 12
EVENTS_MAX = 500


class Senses:
    """What the agent knows of its machine, and since when."""

    def __init__(self, parts: Parts) -> None:
        """Read nothing yet."""
        self.parts = parts
        self.found: dict[str, Found] = {}
        self._known: Mapping[str, Found] | None = None
        self._about: dict[str, Found] = {}  # the part of them looked at between ticks
        self.dropped = 0  # events that fitted into no record
        self._events: list[Event] = []
        self._contested: set[tuple[str, str, str]] = set()
        self._alike: Counter[tuple[str, str, str]] = Counter()
        self._touched: list[int] = []  # cgroups in which a program started

    def window(self, tick: int, policy: Policy) -> Window:
        """Read every source; return the window since the last one."""
        self._find(policy)
        samples, states = self._read(self.parts.sensors)
        self._take_events(self.parts.sensors)
        roles = self._roles(policy)
        return self.parts.windower.build(tick, samples, self.found, roles, states)

    def heard(self, about: Collection[str] | None) -> bool:
        """Take what the waking sensors tell; say if it is of these (None: of any)."""
        told = self._take_events(s for s in self.parts.sensors if s.name in WAKING)
        return bool(told) if about is None else not told.isdisjoint(about)

    def fast(self, tick: int, about: Collection[str] | None = None) -> Window:
        """Read the fast sources alone; return the window since this was last done.

        `about`: whom alone to look at, None for everybody.  Who was left out before
        begins anew: nothing is told of what went on meanwhile as if it were now.
        """
        found: Mapping[str, Found] = self.found
        if about is not None:
            some = {name: one for name, one in found.items() if name in about}
            # The same object for as long as it is the same: windows go by that.
            found = self._about = self._about if self._about == some else some
        self.parts.narrow(about)
        samples, states = self._read(s for s in self.parts.sensors if s.name in FAST)
        self.parts.narrow(None)
        return self.parts.fast.build(tick, samples, found, {}, states)

    def begin_anew(self) -> None:
        """Let sensors that were exchanged follow from the beginning."""
        self.found, self._known = {}, None

    def important(self, policy: Policy) -> set[str]:
        """Return who must not get worse by the policy's word."""
        return {
            name
            for name, one in self.found.items()
            if (entry := policy.workloads.get(one.policy))
            and (entry.slo or entry.protect)
        }

    def note(self, kind: str, detail: str) -> None:
        """Put an event of the agent's own among the others."""
        now = self.parts.clock()
        event = Event(now, "agent", kind, "", 0, 0, 0, "vagus", 0.0, "", detail)
        self._events.append(event)

    def take_events(self) -> list[Event]:
        """Return the events since the last call."""
        events, self._events = self._events, []
        self._alike.clear()
        return events

    def counters(self) -> dict[str, int]:
        """Return what every source has seen and lost."""
        states = {sensor.name: sensor.state() for sensor in self.parts.sensors}
        states[self.parts.finder.name] = self.parts.finder.state()
        counted: dict[str, int] = {}
        for name, state in states.items():
            counted |= {f"{name}.seen": state.seen, f"{name}.lost": state.lost}
            if name in RINGS:
                counted[f"{name}.late"] = state.late
        return counted

    def _find(self, policy: Policy) -> None:
        """Take in comings and goings of workloads, and who they are."""
        touched, self._touched = self._touched, []
        finder = self.parts.finder
        finder.poll(touched)
        # A new policy may have changed them between two polls.
        if finder.found is self._known:
            return
        self._known = finder.found
        self.found = {
            name: replace(one, identity=self.parts.describe(one))
            for name, one in finder.found.items()
        }
        for sensor in self.parts.sensors:
            sensor.follow(finder.follow())
        self._tell_conflicts(policy)

    def _tell_conflicts(self, policy: Policy) -> None:
        """Tell, once, of whom several of the policy's workloads claim."""
        contested = set()
        for one in self.found.values():
            entries = policy.workloads
            first = entries[one.policy].match if one.policy in entries else None
            rest = [n for n in one.also if n in entries]
            rest = [n for n in rest if first and not covers(entries[n].match, first)]
            contested |= {(one.cgroup, one.policy, name) for name in rest}
        for cgroup, name, other in sorted(contested - self._contested):
            told = f"{cgroup} is {name} by the policy; {other} matches it as well"
            self.note("policy", f"{told}, and comes later")
        self._contested = contested

    def _read(
        self, sensors: Iterable[Sensor]
    ) -> tuple[list[Sample], dict[str, SourceState]]:
        samples: list[Sample] = []
        states = {}
        for sensor in sensors:
            samples += sensor.read()
            states[sensor.name] = sensor.state()
        return samples, states

    def _take_events(self, sensors: Iterable[Sensor]) -> set[str]:
        """Take in what sensors tell; return of whom that is."""
        told = set()
        for sensor in sensors:
            for event in sensor.events():
                if event.kind == "exec":
                    self._touched.append(event.cgroup_id)
                self._keep(event)
                told.add(event.workload)
        return told

    def _keep(self, event: Event) -> None:
        """Keep an event for the record, unless there are enough of its like."""
        alike = (event.source, event.kind, event.workload)
        self._alike[alike] += 1
        if self._alike[alike] > EVENTS_ALIKE or len(self._events) >= EVENTS_MAX:
            self.dropped += 1
        else:
            self._events.append(event)

    def _roles(self, policy: Policy) -> dict[str, Role]:
        """Return each workload's role: the policy's word, else what is known."""
        roles = {}
        for name, one in self.found.items():
            entry = policy.workloads.get(one.policy)
            role = entry.known_role() if entry else None
            if self.parts.roles is not None:
                role = self.parts.roles.role(one.identity, role)
            if role is not None:
                roles[name] = role
        return roles
