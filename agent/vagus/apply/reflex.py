# SPDX-License-Identifier: MIT
"""Apply: stances and windows -> leases, by the law, within the bound on flips.

Owns the holder of leases while there is a module, and the scheduler's classes.
Without a module nothing is set, no class either, so that unloading it ends
everything: the settings that the law wants are still known, as advice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from vagus.apply.aims import View
from vagus.apply.classes import Classes
from vagus.apply.flips import Moves, bounded
from vagus.apply.ground import Ground, Surveyor
from vagus.apply.law import Key, LawState, Slot, enforce, key_of
from vagus.apply.law import slot as slot_of
from vagus.apply.leases import Holder
from vagus.apply.step import taken
from vagus.errors import KernelError
from vagus.flow import (
    Act,
    CpuHandle,
    Found,
    Handle,
    Lease,
    LeaseEnd,
    Mode,
    Refusal,
    Resource,
    Setting,
    Stance,
    Step,
    Window,
)
from vagus.policy.knobs import SCHED_EXT, Bound
from vagus.policy.model import Policy

# Looks at settings once more on their way to the kernel: (allowed, refused).
Gate = Callable[[list[Setting]], tuple[list[Setting], list[Refusal]]]
# A refusal that stands is told again after this many full steps, not every time.
TELL_AGAIN = 60


class Acted(msgspec.Struct, frozen=True):
    """What one step did."""

    granted: list[Lease] = []
    refused: list[Refusal] = []
    wanted: list[Setting] = []
    step: Step | None = None  # where something was granted


class Reflex:
    """Turns stances into held settings; a context manager for what is held."""

    def __init__(
        self, surveyor: Surveyor, clock: Callable[[], int], classes: Classes
    ) -> None:
        """Start without a module; see attach()."""
        self._surveyor, self._clock = surveyor, clock
        self._aside = surveyor.another()  # for what is only planned
        self._classes, self._handle = classes, Handle.CGROUP
        self._ids: dict[str, int] = {}  # workload -> cgroup id
        self._ground = Ground()
        self._state = LawState()
        self._history: dict[Slot, Moves] = {}
        self._flips_per_minute = 2
        self._told: dict[tuple[str, str, Resource | None], int] = {}
        self._holder: Holder | None = None
        self._past: dict[str, int] = {}
        self._checked: list[Setting] = []
        self._passed: tuple[list[Setting], list[Refusal]] = ([], [])
        self.missing = "no module was asked for"
        self.flips_refused = 0

    @property
    def ground(self) -> Ground:
        """Return what the machine looked like at the last survey."""
        return self._ground

    @property
    def held(self) -> Mapping[Slot, Lease]:
        """Return the live leases by slot."""
        if self._holder is None:
            return {}
        return {**self._holder.held, **self._classes.held}

    @property
    def left_ms(self) -> dict[int, int]:
        """Return for how long the kernel holds each lease, if nobody renews it."""
        deadlines = self._classes.deadlines_ns()
        if self._holder is not None:
            deadlines |= self._holder.deadlines_ns()
        now = self._clock()
        return {id_: max(0, at - now) // 1_000_000 for id_, at in deadlines.items()}

    @property
    def counters(self) -> dict[str, int]:
        """Return what became of leases, since the start."""
        counted = dict(self._past)
        for name, count in (self._holder.counters if self._holder else {}).items():
            counted[name] = counted.get(name, 0) + count
        return counted | {"flips_refused": self.flips_refused}

    @property
    def scheduler(self) -> dict[str, int]:
        """Return what the scheduler counts; empty where it does not run."""
        return self._classes.counters()

    @property
    def cpu(self) -> CpuHandle:
        """Return by what CPU stances are held, and why by that."""
        return self._classes.state()

    def told_off(self) -> bool:
        """Say, once, that an administrator ended the scheduler by hand (sysrq-S)."""
        return self._classes.told_off()

    def fileno(self) -> int:
        """Return a descriptor that is readable when leases ended, or -1."""
        return self._holder.fileno() if self._holder else -1

    def attach(self, holder: Holder) -> None:
        """Hold settings from now on."""
        self._holder, self.missing = holder, ""
        self._classes.ttl_ms = holder.ttl_ms

    def detach(self, reason: str) -> None:
        """Go on without a module: it is gone, and gave everything back itself."""
        self._classes.release("unload")
        if self._holder is not None:
            self._holder.drop()
            self._past, self._holder = self.counters, None
        self._holder, self.missing = None, reason

    def retime(self, ttl_ms: int, leave_alone_ns: int) -> None:
        """Take a new policy's times; live leases follow at their next renewal."""
        self._classes.ttl_ms = ttl_ms
        if self._holder is not None:
            self._holder.ttl_ms = ttl_ms
            self._holder.leave_alone_ns = leave_alone_ns

    def choose(self, policy: Policy) -> None:
        """Follow the policy in by what CPU stances are held, and in the bounds."""
        self._flips_per_minute = policy.budget.flips_per_minute
        self._classes.choose(policy.scheduler, policy.reserve.yield_pct)
        if Mode.ENFORCE not in policy.modes():
            self._classes.rest()

    def begin_anew(self) -> None:
        """Forget how knobs have moved: the operator's new word is no oscillation."""
        self._history = {}
        self._state = msgspec.structs.replace(self._state, watches={})

    def applied(self) -> set[Key]:
        """Return the stances with a live lease, as (workload, resource)."""
        return {key_of(lease.setting) for lease in self.held.values()}

    def tired(self) -> set[Key]:
        """Return the stances whose knobs flipped within the minute.

        To take one off for a moment is two flips, which is all a knob has.
        """
        now = self._clock()
        return {
            key_of(lease.setting)
            for slot, lease in self.held.items()
            if slot in self._history and self._history[slot].flipped(now)
        }

    def survey(self, stances: Sequence[Stance], found: Mapping[str, Found]) -> None:
        """Look at the machine where these stances, and what is held, could touch it."""
        remembered = [entry.stance for entry in self._state.standing.values()]
        cgroups = {name: one.cgroup for name, one in found.items()}
        self._ids = {name: one.cgroup_id for name, one in found.items()}
        self._ground = self._surveyor.survey([*stances, *remembered], cgroups)

    def act(
        self,
        stances: Sequence[Stance],
        window: Window,
        bounds: dict[str, Bound],
        gate: Gate,
        *,
        fast: Window | None = None,
        withdrawn: Collection[Key] = (),
        own: dict[str, dict[str, Bound]] | None = None,
    ) -> Acted:
        """Take one step of the law; `fast` makes it one that only tightens.

        `own`: the bounds of workloads that have some of their own.

        A module that is gone is noticed here: `missing` then says so.
        """
        handle = self._handled(stances, withdrawn)
        view = View(window, self._ground, bounds, fast, handle, own or {})
        full = fast is None
        held, before = self.held, self._state
        law = enforce(stances, view, held, before, full=full, withdrawn=withdrawn)
        self._state = law.state
        wanted, stopped = self._gated(law.settings, gate, full)
        told = [*law.refused, *stopped]
        if self._holder is None:
            return Acted(refused=self._new(told, full), wanted=wanted)
        if handle is not self._handle:
            self._history, self._handle = {}, handle  # to hand over is no oscillation
        relaxed = self._may_stay(law.relaxed, held, gate)
        now, most = self._clock(), self._flips_per_minute
        flips = bounded(wanted, held, self._history, now, most, relaxed)
        self._history = flips.history
        self.flips_refused += len(flips.refused)
        try:
            classes = [s for s in flips.settings if s.knob == SCHED_EXT]
            others = [s for s in flips.settings if s.knob != SCHED_EXT]
            # Classes first: what they take over is let go by the holder.
            classed = self._classes.hold(classes, self._ids)
            granted, refused = self._holder.hold(others)
            refused += self._holder.renew()
            if full and self._classes.held:
                self._holder.look()
        except KernelError as error:
            self.detach(str(error))
            return Acted(wanted=wanted)
        new = self._new([*told, *flips.refused], full)
        step, new_leases = None, classed + granted
        if new_leases:
            leases = held.values()
            step = taken(stances, view, leases, before, withdrawn, law.settings)
        return Acted(new_leases, refused + new, wanted, step)

    def dry(
        self,
        stances: Sequence[Stance],
        found: Mapping[str, Found],
        window: Window,
        bounds: dict[str, Bound],
        own: dict[str, dict[str, Bound]] | None = None,
    ) -> tuple[list[Setting], Ground]:
        """Return what a step would want held by these stances; nothing comes of it.

        On the CPU by the handle of now: no scheduler is started to plan for one.
        """
        cgroups = {name: one.cgroup for name, one in found.items()}
        ground = self._aside.survey(stances, cgroups)
        view = View(window, ground, bounds, None, self._handle, own or {})
        return enforce(stances, view, self.held, self._state).settings, ground

    def _handled(self, stances: Sequence[Stance], withdrawn: Collection[Key]) -> Handle:
        """Return by what CPU stances can be held now; the scheduler only if needed."""
        if self._holder is None:
            return Handle.CGROUP
        return self._classes.handle(
            any(
                s.resource is Resource.CPU
                and s.act is not Act.LEAVE
                and (s.workload, s.resource) not in withdrawn
                for s in stances
            )
        )

    def _gated(
        self, settings: list[Setting], gate: Gate, full: bool
    ) -> tuple[list[Setting], list[Refusal]]:
        """Check settings; between full steps the same ones need no second look."""
        if full or settings != self._checked:
            self._passed, self._checked = gate(settings), settings
        return self._passed

    def _may_stay(
        self, relaxed: list[Slot], held: Mapping[Slot, Lease], gate: Gate
    ) -> set[Slot]:
        """Return which of these may be held some time longer, by the last gate."""
        if not relaxed:
            return set()
        allowed, _ = gate([held[key].setting for key in relaxed])
        return {slot_of(setting.knob, setting.path) for setting in allowed}

    def ended(self) -> list[LeaseEnd]:
        """Return how leases ended since the last call."""
        classes = self._classes.ended()
        if self._holder is None:
            return classes
        try:
            return classes + self._holder.ended()
        except KernelError as error:
            self.detach(str(error))
            return classes + self._classes.ended()

    def release(self) -> None:
        """Give everything back, newest first, and forget what was wanted."""
        self._state = LawState()
        self._classes.release()
        if self._holder is None:
            return
        try:
            self._holder.release()
        except KernelError as error:
            self.detach(str(error))

    def _new(self, refusals: Collection[Refusal], full: bool) -> list[Refusal]:
        """Leave out what was told a moment ago."""
        told = {k: n - full for k, n in self._told.items() if n - full > 0}
        new = []
        for refusal in refusals:
            key = (refusal.code, refusal.workload, refusal.resource)
            if key not in told:
                new.append(refusal)
                told[key] = TELL_AGAIN
        self._told = told
        return new
