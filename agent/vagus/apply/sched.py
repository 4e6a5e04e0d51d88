# SPDX-License-Identifier: MIT
"""CPU stances through the sched_ext scheduler: a class at the next decision.

A lease by nature: the scheduler goes with this process, and each stance carries
a deadline that the scheduler itself looks at, so a hung agent's lapse too; the
scheduler goes after it.  What the kernel ends is tried again later and later, and
at last not at all.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

import msgspec

from vagus.abi import HIST_BUCKETS, SLOTS_MAX, SchedClass, hist_bounds_ns
from vagus.apply.sched_partial import Movers
from vagus.errors import FeatureMissing, KernelError, VagusError
from vagus.flow import Act, CpuHandle, Handle, Resource, Stance
from vagus.native import BpfObject
from vagus.percentile import percentiles

NS_PER_MS = 1_000_000
# After an ejection the scheduler is tried again after this, doubled each time.
BACKOFF_NS = 10_000_000_000
# It is left alone for good when the kernel has ejected it so often.
EJECTIONS_MAX = 3
# A cpu.max that stood in the way is looked for again after this.
REFUSED_NS = 60_000_000_000
# The scheduler goes by itself when nobody has renewed for this long (or for the
# time of a stance, where that is more): a hung agent schedules nobody.
SILENCE_NS = 5_000_000_000
# It is given back when there was nothing to hold for this long.
LINGER_NS = 20_000_000_000
# Stances are renewed when less than this part of their time is left.
RENEW_BELOW = 0.6
# In partial mode new threads are looked for this often.
MOVE_NS = 1_000_000_000
# After an end that was nobody's fault it is tried again after this.
AGAIN_NS = 1_000_000_000
# enum scx_exit_kind of Linux kernel/sched/ext_internal.h: the scheduler went by
# itself; the kernel ended it, since a CPU came or went; sysrq-S.
EXIT_ITSELF, EXIT_KERNEL, EXIT_SYSRQ = 65, 66, 67
# enum scx_ops_flags, likewise: those of sched.bpf.c (built-in idle tracking, and
# exiting and migration-disabled tasks come to it), and only who asks for SCHED_EXT.
FLAGS, SWITCH_PARTIAL = 1 | 4 | 16, 8
OPS = "vagus_ops"
ONE = struct.pack("=I", 0)
CLASSES = {Act.PROTECT: SchedClass.PROTECT, Act.YIELD: SchedClass.YIELD}
# Its cap is not kept under this scheduler: whoever does not yield comes before it.
# But who is protected and takes all there is would keep it from ever answering that
# somebody else comes first now: when it is late, the agent goes with the protected.
# All of it: a loop that waits for the CPU counts in what its engine's weight is beside.
ENGINE = Stance("", Act.YIELD, strength=1)
LATE = Stance("", Act.PROTECT, strength=3)
NO_SCHED_EXT = (
    "this kernel has no sched_ext (CONFIG_SCHED_CLASS_EXT, Linux 6.12 and later):"
    " cgroup knobs and task leases do the same stances"
)


class ClassStat(msgspec.Struct, frozen=True):
    """One class over all CPUs since the scheduler was attached."""

    ran_ns: int
    direct: int  # sent to an idle CPU, or put next on a busy one
    queued: int
    preempted: int  # lost the CPU before the slice was over
    kicks: int  # CPUs taken from a lower class
    floors: int  # times run only because of the minimum share
    waits: int
    wait_sum_ns: int
    wait_hist: tuple[int, ...]  # HIST_BUCKETS counts
    wait_max_ns: int


def limited(cgroups: Path, except_id: int = 0) -> list[str]:
    """Return the cgroups in which somebody has set cpu.max; paths below the mount.

    `except_id`: of a cgroup that does not count.
    """
    found = []
    for path in sorted(cgroups.glob("**/cpu.max")):
        try:
            text = path.read_text()
            is_spared = path.parent.stat().st_ino == except_id
        except OSError:
            continue
        if not text.startswith("max") and not is_spared:
            found.append("/" + str(path.parent.relative_to(cgroups)))
    return found


class SchedExt:
    """Holds CPU stances through the scheduler as long as the kernel lets it.

    >>> with SchedExt(objects / "sched.bpf.o") as sched:
    ...     covered = sched.hold(stances, {"shop": 4711}, ttl_ms=3000)
    ...     sched.state().handle
    """

    def __init__(
        self,
        path: Path,
        *,
        mode: str = "auto",
        yield_share_pct: float = 2.0,
        engine: int = 0,
        agent: int = 0,
        is_late: Callable[[], bool] = lambda: False,
        options: Mapping[str, int] | None = None,
        cgroups: Path = Path("/sys/fs/cgroup"),
        sysfs: Path = Path("/sys/kernel/sched_ext"),
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take the object; `mode`: auto, full, or partial (yielding only).

        `yield_share_pct`: of the machine, guaranteed to all that yield; `engine`:
        cgroup id of the agent's own engine, whose cpu.max stands in nobody's way:
        under this scheduler it yields instead, until `is_late` says that an answer
        of it is; `agent`: that of both; `options`: const volatile values of the
        object.  Nothing is loaded yet.
        """
        self._path, self._mode, self._clock = path, mode, clock
        self._cgroups, self._sysfs = cgroups, sysfs
        self._options = {"yield_share_pm": round(yield_share_pct * 10)}
        self._options |= {"engine_cgroup": engine} | dict(options or {})
        self._engine, self._agent, self._is_late = engine, agent, is_late
        self._object: BpfObject | None = None
        self._loaded: tuple[BpfObject, bool] | None = None  # and whether it is partial
        self._movers: Movers | None = None  # only in partial mode
        self._asked: object = None  # what hold() was asked for last
        self._renew_ns = 0
        self.deadline_ns = 0  # of the stances, if nobody renews them
        self._used_ns = clock()
        self.was_off = False  # an administrator ended it: nothing is to be held
        self._held: dict[str, dict[bytes, bytes]] = {}
        self._generation = 0
        self._ejections = 0
        self._retry_ns = 0
        self._ended = False  # for good
        self._reason = "nothing to hold yet"

    def __enter__(self) -> Self:
        """Return self; hold() attaches."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Give every task back to the kernel's own scheduler."""
        if self._object:
            self._reason = "nothing to hold"
        if self._movers:
            self._movers.close()
        if self._object:
            self._object.close()
        if self._loaded:
            self._loaded[0].close()
        self._object = self._movers = self._loaded = None
        self._asked, self._held = None, {}

    # ---------------------------------------------------------------- stances

    def hold(
        self,
        stances: Iterable[Stance],
        cgroup_ids: Mapping[str, int],
        ttl_ms: int,
        threads: Mapping[int, Stance] | None = None,
    ) -> list[Stance]:
        """Hold exactly these for `ttl_ms`; return those that are in force.

        `cgroup_ids`: every tracked workload's, so that one without a stance does
        not inherit its parent's; `threads`: by thread id in the initial
        namespace, for workloads that share a cgroup.  What is not returned (all
        of it where sched_ext cannot be used, see state()) needs another knob.
        Call it before half of `ttl_ms` is over.
        """
        wanted = [s for s in stances if s.resource is Resource.CPU]
        wanted = [s for s in wanted if s.act in CLASSES and s.workload in cgroup_ids]
        by_thread = {
            tid: s for tid, s in (threads or {}).items() if s.resource is Resource.CPU
        }
        if not self.ready(bool(wanted or by_thread)):
            return []
        if self._movers:
            wanted = [s for s in wanted if s.act is Act.YIELD]
            may_take = self._movers.may_take
            wanted = [s for s in wanted if may_take(cgroup_ids[s.workload])]
        ours = self._ours()
        asked = (wanted, dict(cgroup_ids), by_thread, ttl_ms, ours)
        now, ttl_ns = self._clock(), ttl_ms * NS_PER_MS
        if asked == self._asked and now < self._renew_ns:
            return wanted
        self._asked, self._renew_ns = asked, now + int(ttl_ns * (1 - RENEW_BELOW))
        self.deadline_ns = now + ttl_ns
        try:
            self._write(wanted, cgroup_ids, by_thread, now + ttl_ns, ours)
            self._bump(now + max(ttl_ns, SILENCE_NS))
        except VagusError as error:
            self._refused(error)
            return []
        return wanted

    def _write(
        self,
        wanted: Iterable[Stance],
        cgroup_ids: Mapping[str, int],
        by_thread: Mapping[int, Stance],
        deadline: int,
        ours: Mapping[int, Stance],
    ) -> None:
        """Bring the maps, or the policies of threads, to these stances."""
        if self._movers:
            self._renew_ns = min(self._renew_ns, self._clock() + MOVE_NS)
            self._movers.move({s.workload: cgroup_ids[s.workload] for s in wanted})
            return
        tracked = {i: _entry(None, deadline) for i in cgroup_ids.values()}
        tracked |= {i: _entry(s, deadline) for i, s in ours.items()}
        by_cgroup = {cgroup_ids[s.workload]: _entry(s, deadline) for s in wanted}
        self._put("sched_cgroups", "=Q", tracked | by_cgroup)
        entries = {tid: _entry(s, deadline) for tid, s in by_thread.items()}
        self._put("sched_threads", "=I", entries)

    def _ours(self) -> dict[int, Stance]:
        """Return the agent's own stances, by cgroup id."""
        if not self._engine:
            return {}
        if self._agent and self._is_late():
            return {self._agent: LATE, self._engine: LATE}
        return {self._engine: ENGINE}

    def ready(self, is_wanted: bool) -> bool:
        """Attach where that is wanted and nothing speaks against it; say if it is.

        Without anything wanted it is given back after a while.
        """
        now = self._clock()
        self._look()
        if is_wanted:
            self._used_ns = now
            return self._attached()
        if self._object and now - self._used_ns > LINGER_NS:
            self.close()
        return self._object is not None

    def _put(self, name: str, key: str, entries: Mapping[int, bytes]) -> None:
        """Bring one map to these entries; what is too many is left out."""
        assert self._object
        target, before = self._object.map(name), self._held.get(name, {})
        packed = dict(list(entries.items())[:SLOTS_MAX])
        after = {struct.pack(key, k): value for k, value in packed.items()}
        for gone in before.keys() - after.keys():
            target.drop(gone)
        for entry, value in after.items():
            target.put(entry, value)
        self._held[name] = after

    def _bump(self, deadline_ns: int) -> None:
        """Tell the scheduler to look again, and to go after the deadline."""
        assert self._object
        self._generation += 1
        value = struct.pack("=QQ", self._generation, deadline_ns)
        self._object.map(".data.sched_word").put(ONE, value)

    # -------------------------------------------------------- attach and eject

    def _attached(self) -> bool:
        """Attach where nothing speaks against it; say whether it is."""
        if self._object:
            return True
        if self._ended or self._clock() < self._retry_ns:
            return False
        try:
            self._attach()
        except VagusError as error:
            self._refused(error)
        return self._object is not None

    def _refused(self, error: VagusError) -> None:
        """Go without the scheduler for a while, or for good."""
        self.close()
        self._reason = str(error)
        self._ended = isinstance(error, FeatureMissing)
        self._retry_ns = self._clock() + REFUSED_NS

    def prepare(self) -> None:
        """Load without attaching, which is quick then; errors are told later."""
        with contextlib.suppress(VagusError):
            if self._sysfs.is_dir() and not self._object and not self._loaded:
                is_partial, _ = self._partial()
                self._loaded = (self._load(is_partial), is_partial)

    def _partial(self) -> tuple[bool, list[str]]:
        """Return whether only yielding threads can be taken, and whose is why."""
        stopped_by = limited(self._cgroups, self._engine)
        is_partial = self._mode == "partial" or (self._mode == "auto" and stopped_by)
        if stopped_by and not is_partial:
            more = f" and {len(stopped_by) - 3} more" if len(stopped_by) > 3 else ""
            raise KernelError(
                f"cpu.max is set in {', '.join(stopped_by[:3])}{more}, which the"
                " sched_ext scheduler does not keep"
            )
        return bool(is_partial), stopped_by

    def _load(self, is_partial: bool) -> BpfObject:
        """Return the object, loaded and verified."""
        loading = BpfObject(self._path)
        try:
            for name, value in self._options.items():
                loading.set_option(name, value)
            if is_partial:
                loading.set_option("partial", 1)
                loading.set_ops(OPS, "flags", FLAGS | SWITCH_PARTIAL)
            loading.start()
        except VagusError:
            loading.close()
            raise
        return loading

    def _attach(self) -> None:
        """Load and attach; raise FeatureMissing where it never will."""
        if not self._sysfs.is_dir():
            raise FeatureMissing(NO_SCHED_EXT)
        is_partial, stopped_by = self._partial()
        if self._loaded and self._loaded[1] != is_partial:
            self.close()
        loaded = self._loaded[0] if self._loaded else self._load(is_partial)
        self._object, self._loaded, self._generation = loaded, None, 0
        self._bump(self._clock() + SILENCE_NS)
        try:
            loaded.attach_ops(OPS)
        except KernelError as error:
            raise KernelError(self._why_not(error)) from error
        self._movers = Movers(self._cgroups) if is_partial else None
        self._reason = "attached"
        if is_partial and stopped_by:
            self._reason = (
                f"attached for yielding only: cpu.max is set in {stopped_by[0]}"
            )

    def _why_not(self, error: KernelError) -> str:
        """Return why the kernel did not take the scheduler, as it says it."""
        _, reason, message = self._told()
        if reason or message:
            return f"the kernel refused the scheduler: {reason}: {message}"
        try:
            other = (self._sysfs / "root/ops").read_text().strip()
        except OSError:
            return str(error)
        return f"another sched_ext scheduler is loaded: {other}"

    def _told(self) -> tuple[int, str, str]:
        """Return kind, reason and message of the end; kind 0 while it runs."""
        assert self._object
        value = self._object.map("sched_exit").get(ONE) or bytes(272)
        kind, _, reason, message = struct.unpack("=Qq64s192s", value)
        return kind, _text(reason), _text(message)

    def _look(self) -> None:
        """Notice an ejection."""
        if self._object is None:
            return
        kind, reason, message = self._told()
        if not kind:
            return
        self.close()
        self._reason = f"the kernel ended the scheduler: {reason}: {message}".rstrip(
            ": "
        )
        if "cpu.max" in message:
            self._retry_ns = self._clock() + REFUSED_NS
        elif kind in (EXIT_ITSELF, EXIT_KERNEL):
            self._retry_ns = self._clock() + AGAIN_NS
            who = "scheduler ended itself" if kind == EXIT_ITSELF else "kernel ended it"
            self._reason = f"the {who}: {message}; tried again at once"
        elif kind == EXIT_SYSRQ:
            self._ended = self.was_off = True
            self._reason = "the administrator ended the scheduler (sysrq-S)"
        else:
            self._ejections += 1
            self._retry_ns = self._clock() + (BACKOFF_NS << (self._ejections - 1))
            self._ended = self._ejections >= EJECTIONS_MAX
        if self._ended:
            self._reason += "; not tried again"

    def state(self) -> CpuHandle:
        """Return the handle in use and why; notices an ejection."""
        self._look()
        handle = Handle.CGROUP
        if self._object:
            handle = Handle.PARTIAL if self._movers else Handle.SCHED_EXT
        retry = 0 if self._ended or self._object else self._retry_ns
        return CpuHandle(handle, self._reason, self._ejections, retry)

    def stats(self) -> dict[str, ClassStat]:
        """Return the counters by class: "yield", "normal", "protect"."""
        if self._object is None:
            return {}
        words = 8 + HIST_BUCKETS
        found = self._object.map("sched_stats", words).read_percpu()
        stats = {}
        for key, value in found.items():
            name = SchedClass(struct.unpack("=I", key)[0]).name.lower()
            parts = [*value[:8], value[8:words], value[words]]
            fields = zip(ClassStat.__struct_fields__, parts, strict=True)
            stats[name] = msgspec.convert(dict(fields), ClassStat)
        return stats

    def counters(self) -> dict[str, int]:
        """Return what tells how the scheduler works, by class; waits since it began."""
        counted = {}
        for name, stat in self.stats().items():
            for key in ("direct", "queued", "preempted", "kicks", "floors"):
                counted[f"{name}_{key}"] = getattr(stat, key)
            if stat.waits:
                waits = percentiles(stat.wait_hist, hist_bounds_ns(), (0.5, 0.99))
                for key, wait_ns in zip(("p50", "p99"), waits, strict=True):
                    counted[f"{name}_wait_{key}_us"] = round(wait_ns / 1000)
        return counted


def _entry(stance: Stance | None, deadline_ns: int) -> bytes:
    """Pack a struct vagus_sched_stance; None is normal."""
    if stance is None or stance.act not in CLASSES:
        return struct.pack("=QII", deadline_ns, SchedClass.NORMAL, 0)
    kind = CLASSES[stance.act]
    return struct.pack("=QII", deadline_ns, kind, stance.strength)


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode(errors="replace")
