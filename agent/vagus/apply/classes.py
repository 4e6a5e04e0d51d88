# SPDX-License-Identifier: MIT
"""Settings of the knob `sched_ext` -> classes in the scheduler, as leases.

Leases by nature: the scheduler goes with the agent, and every class carries a
deadline that the scheduler looks at itself.  They have numbers below zero, since
those of the kernel's own leases are above.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from vagus.apply import knobs
from vagus.apply.aims import slot
from vagus.apply.sched import SchedExt
from vagus.flow import (
    Act,
    CpuHandle,
    Handle,
    Lease,
    LeaseEnd,
    Resource,
    Setting,
    Stance,
)

Slot = tuple[str, str]
# From the policy's word (auto, partial) and the share of who yields, in percent.
Make = Callable[[str, float], SchedExt]
UNWANTED = CpuHandle(Handle.CGROUP, "as the policy says (scheduler: off)")


class Classes:
    """Holds classes while the policy wants the scheduler and the kernel has it."""

    def __init__(self, make: Make, clock: Callable[[], int]) -> None:
        """Take how a scheduler is made; none is before choose()."""
        self._make, self._clock = make, clock
        self._sched: SchedExt | None = None
        self._chosen = ("off", 0.0)
        self._held: dict[Slot, Lease] = {}
        self._ends: list[LeaseEnd] = []
        self._number = 0
        self.ttl_ms = 0

    @property
    def held(self) -> Mapping[Slot, Lease]:
        """Return the live classes by slot."""
        return self._held

    def deadlines_ns(self) -> dict[int, int]:
        """Return until when the scheduler keeps each class, if nobody renews it."""
        at = self._sched.deadline_ns if self._sched else 0
        return {lease.id: at for lease in self._held.values()}

    def told_off(self) -> bool:
        """Say, once, that an administrator ended the scheduler by hand."""
        if self._sched is None or not self._sched.was_off:
            return False
        self._sched.was_off = False
        return True

    def choose(self, scheduler: str, yield_pct: float) -> None:
        """Follow the policy; another word of it begins anew, whatever was ejected."""
        if (scheduler, yield_pct) == self._chosen:
            return
        self.release()
        self._chosen = (scheduler, yield_pct)
        self._sched = None
        if scheduler != "off":
            self._sched = self._make(scheduler, yield_pct)
            self._sched.prepare()

    def state(self) -> CpuHandle:
        """Return the handle in use and why that one."""
        return self._sched.state() if self._sched else UNWANTED

    def handle(self, is_wanted: bool) -> Handle:
        """Return by what stances can be held now; attaches where that is wanted.

        Where the kernel has ended the scheduler, all classes end here.
        """
        if self._sched is None:
            return Handle.CGROUP
        self._sched.ready(is_wanted)
        handle = self._sched.state().handle
        if handle is Handle.CGROUP:
            self._end(list(self._held), "scheduler")
        return handle

    def hold(self, settings: Sequence[Setting], ids: Mapping[str, int]) -> list[Lease]:
        """Hold exactly these; return what is new.  `ids`: cgroup ids by workload."""
        if self._sched is None:
            return []
        wanted = {slot(s.knob, s.path): s for s in settings if s.workload in ids}
        stances = {key: _stance(setting) for key, setting in wanted.items()}
        whole = [s for (_, path), s in stances.items() if not _tid(path)]
        threads = {t: s for (_, path), s in stances.items() if (t := _tid(path))}
        self._sched.hold(whole, ids, self.ttl_ms, threads)
        if self._sched.state().handle is Handle.CGROUP:
            self._end(list(self._held), "scheduler")
            return []
        self._end(self._held.keys() - wanted.keys(), "revoked")
        return [
            self._keep(key, setting)
            for key, setting in wanted.items()
            if self._relabelled(key, setting)
        ]

    def _relabelled(self, key: Slot, setting: Setting) -> bool:
        """Say whether a value is new; where it is not, note for whom and why it is."""
        lease = self._held.get(key)
        if lease is None or lease.value != setting.value:
            return True
        if lease.setting != setting:
            self._held[key] = Lease(
                lease.id, setting, lease.old, lease.value, self.ttl_ms, lease.granted_ns
            )
        return False

    def _keep(self, key: Slot, setting: Setting) -> Lease:
        before = self._held.pop(key, None)
        if before is None:
            self._number -= 1
        self._held[key] = Lease(
            before.id if before else self._number,
            setting,
            knobs.NORMAL,
            setting.value,
            self.ttl_ms,
            self._clock(),
        )
        return self._held[key]

    def _end(self, keys: Collection[Slot], cause: str) -> None:
        """Note that these have ended, newest first."""
        for key in [key for key in reversed(self._held) if key in keys]:
            lease, now = self._held.pop(key), self._clock()
            path, was = lease.setting.path, lease.value
            self._ends.append(
                LeaseEnd(lease.id, path, lease.old, was, "restored", cause, now, 0)
            )

    def ended(self) -> list[LeaseEnd]:
        """Return how classes ended since the last call."""
        ends, self._ends = self._ends, []
        return ends

    def release(self, cause: str = "revoked") -> None:
        """Give all tasks back to the kernel's own scheduler."""
        if self._sched is not None:
            self._sched.close()
        self._end(list(self._held), cause)

    def rest(self) -> None:
        """Give everything back where the scheduler runs; nothing may be done."""
        if self.state().handle is not Handle.CGROUP:
            self.release()

    def counters(self) -> dict[str, int]:
        """Return what tells how the scheduler works; empty where it does not run."""
        return self._sched.counters() if self._sched else {}


def _stance(setting: Setting) -> Stance:
    """Return what the scheduler is told for a setting such as "protect 2"."""
    act, _, strength = setting.value.partition(" ")
    return Stance(setting.workload, Act(act), Resource.CPU, int(strength))


def _tid(path: str) -> int:
    """Return the thread that a setting is for; 0 where it is a cgroup's."""
    return int(path.removeprefix("task:")) if path.startswith("task:") else 0
