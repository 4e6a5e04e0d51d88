# SPDX-License-Identifier: MIT
"""Window: samples of one interval -> numbers, words and uses of each workload.

What has no reading has no number, and a word without a number is `unknown`;
a workload that no source has seen doing anything is `idle` and `ok`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from vagus import abi
from vagus.flow import (
    Found,
    Identity,
    Quality,
    Resource,
    Role,
    Sample,
    SourceState,
    Use,
    Window,
    Word,
    WorkloadWindow,
)
from vagus.percentile import grown, percentiles
from vagus.policy.model import Policy
from vagus.policy.thresholds import RESOURCE_OF
from vagus.words import MARGIN, UNKNOWN, Held, level, telling, use, word, worst

# Signals of fewer values are noise; the word then rests on the others (PSI).
LEAST = {
    "runq_p99_ns": ("runq_count", 20),
    "runq_wait_pct": ("runq_count", 20),
    "io_p99_ns": ("io_count", 20),
    "reclaim_p99_ns": ("reclaim_count", 3),
}
# Which sources tell whether a workload suffers on a resource.
TELL = {"cpu": ("psi", "table"), "io": ("psi", "block"), "memory": ("psi", "table")}
SIGNALS = {one: [k for k, of in RESOURCE_OF.items() if of == one] for one in Resource}
# Sources that read what moved at every tick: their growth lies in this window.
PROMPT = ("table", "process", "block", "memory", "lens")
# Sources whose counters begin at zero with the agent: no first reading needed.
FROM_ZERO = ("process", "block", "memory")
# Stalls come in pieces, and one of 70 ms is no trouble: the share is taken over the
# shortest window that the kernel gives a trigger (WINDOW_MIN_US, kernel/sched/psi.c).
STALL_NS = 500_000_000
UNKNOWN_ROLE = Role("unknown", "unknown", "default")
Key = tuple[str, str]  # source, signal


class _Grown(msgspec.Struct):
    """What one signal did in this window."""

    by: float
    span_ns: int
    counts: list[int]


class _Track(msgspec.Struct):
    """What is remembered of one workload between windows."""

    cgroup_id: int = 0
    last: dict[Key, Sample] = {}
    idle_ns: int = 0  # last seen idle
    stalls: dict[str, list[Sample]] = {}  # PSI totals of the last STALL_NS
    words: dict[str, Held] = {}
    telling: dict[str, str] = {}  # resource -> the signal that makes its word
    uses: dict[str, Held] = {}


class Windower:
    """Builds windows; remembers the last reading of every counter."""

    def __init__(
        self,
        policy: Policy,
        clock: Callable[[], int] = time.monotonic_ns,
        stale_ns: int = 1 << 62,
    ) -> None:
        """Take thresholds and SLOs from the policy.

        After a pause of `stale_ns` between two windows it begins anew, rather
        than to tell of what happened meanwhile as if it were now.
        """
        self._stale_ns = stale_ns
        self._policy = policy
        self._clock = clock
        self._bounds = abi.hist_bounds_ns()
        self._levels: dict[str, Mapping[str, Sequence[float]]] = {}  # by entry
        self._tracks: dict[str, _Track] = {}
        self._lost: dict[str, int] = {}
        self._end_ns = 0
        self._found: Mapping[str, Found] | None = None  # the last one, unchanged
        self._named: tuple[str, ...] = ()

    def set_policy(self, policy: Policy) -> None:
        """Judge by other thresholds from now on; nothing is forgotten."""
        self._policy = policy
        self._levels.clear()

    def telling(self, workload: str) -> Mapping[str, str]:
        """Return, by resource, the number that made a workload's last word."""
        track = self._tracks.get(workload)
        return track.telling if track else {}

    def build(
        self,
        tick: int,
        samples: Iterable[Sample],
        found: Mapping[str, Found],
        roles: Mapping[str, Role],
        states: Mapping[str, SourceState],
    ) -> Window:
        """Return the window since the last call.

        Workloads are those that the policy names and those with a sample.
        """
        start, now = self._end_ns, self._clock()
        if now - start > self._stale_ns:
            self._tracks.clear()
            start = 0
        self._end_ns = now
        by_workload: dict[str, list[Sample]] = {}
        for sample in samples:
            by_workload.setdefault(sample.workload, []).append(sample)
        missing = {name: state.missing for name, state in states.items()}
        alive = frozenset(name for name, why in missing.items() if not why)
        machine = self._numbers("", by_workload.pop("", []), start, now, frozenset())
        named = self._present(found)
        workloads = {
            name: self._workload(
                one, by_workload.get(name, []), roles, alive, machine, start
            )
            for name in [*named, *sorted(by_workload.keys() - set(named))]
            if (one := found.get(name)) is not None
        }
        quality = Quality(
            self._lost_now(states), {name: why for name, why in missing.items() if why}
        )
        return Window(tick, start or now, now, workloads, machine, quality)

    def _present(self, found: Mapping[str, Found]) -> tuple[str, ...]:
        """Return who is always told; forget who went, where anybody did."""
        if found is not self._found:
            self._found = found
            self._named = tuple(name for name, one in found.items() if one.policy)
            for name in self._tracks.keys() - found.keys() - {""}:
                del self._tracks[name]
        return self._named

    def _workload(
        self,
        one: Found,
        samples: list[Sample],
        roles: Mapping[str, Role],
        alive: frozenset[str],
        machine: Mapping[str, float],
        start: int,
    ) -> WorkloadWindow:
        """Return one workload's part."""
        track = self._tracks.get(one.name)
        if track is None or track.cgroup_id != one.cgroup_id:
            track = self._tracks[one.name] = _Track(one.cgroup_id)
        numbers = self._numbers(one.name, samples, start, self._end_ns, alive)
        return WorkloadWindow(
            name=one.name,
            cgroup=one.cgroup,
            cgroup_id=one.cgroup_id,
            identity=one.identity if one.identity != Identity() else _identity(one),
            role=roles.get(one.name, UNKNOWN_ROLE),
            numbers=numbers,
            words=self._words(one, track, numbers, alive, bool(samples)),
            uses=self._uses(track, numbers, alive, machine, bool(samples)),
            programs=list(one.comms),
            pids=list(one.pids),
            policy=one.policy,
            by=one.by,
        )

    def _numbers(
        self,
        name: str,
        samples: Sequence[Sample],
        start: int,
        now: int,
        alive: frozenset[str],
    ) -> dict[str, float]:
        """Return the numbers of one workload, or of the machine ('')."""
        track = self._tracks.setdefault(name, _Track())
        gauges: dict[str, float] = {}
        moved: dict[str, list[tuple[str, _Grown]]] = {}
        for sample in samples:
            if sample.signal == "idle":
                track.idle_ns = sample.time_ns
            elif sample.kind == "gauge":
                gauges[sample.signal] = sample.value
                track.last[sample.source, sample.signal] = sample
            elif sample.source == "psi":
                if (pct := _stalled(track, sample)) is not None:
                    gauges[sample.signal.replace("_us", "_pct")] = pct
            elif sample.signal not in _COUNTED:
                continue  # half of them: no number is made of these
            elif (growth := _growth(track, sample, start, now)) is not None:
                moved.setdefault(sample.signal, []).append((sample.source, growth))
        if name and (known := track.last.get(("cgroup", "memory_bytes"))):
            gauges["memory_bytes"] = known.value
        numbers = dict(gauges)
        _rates(moved, numbers)
        self._percentiles(moved, numbers)
        if name and start:
            for source, key in (("table", "runq_count"), ("block", "io_count")):
                if source in alive:
                    numbers.setdefault(key, 0.0)
        return numbers

    def _percentiles(
        self, moved: Mapping[str, list[tuple[str, _Grown]]], numbers: dict[str, float]
    ) -> None:
        """Add p50, p99 and count of each histogram; several of one kind add up."""
        for signal, stem in _STEMS.items():
            tellers = moved.get(signal)
            rows = [growth for _, growth in tellers if growth.counts] if tellers else ()
            if not rows:
                continue
            counts = rows[0].counts
            if len(rows) > 1:
                columns = zip(*(row.counts for row in rows), strict=True)
                counts = [sum(column) for column in columns]
            total = sum(counts)
            numbers[f"{stem}_count"] = float(total)
            if total:
                p50, p99 = percentiles(counts, self._bounds, (0.5, 0.99))
                numbers[f"{stem}_p50_ns"], numbers[f"{stem}_p99_ns"] = p50, p99
            if signal == "runq_ns":
                waited = sum(100.0 * row.by / row.span_ns for row in rows)
                numbers["runq_wait_pct"] = waited

    def _words(
        self,
        one: Found,
        track: _Track,
        numbers: Mapping[str, float],
        alive: frozenset[str],
        seen: bool,
    ) -> dict[str, Word]:
        """Return how a workload suffers, each resource by its worst signal."""
        levels = self._levels.get(one.policy)
        if levels is None:
            levels = self._levels[one.policy] = self._policy.levels(one.policy)
        counted = enough(numbers)
        found = {}
        for resource in Resource:
            now, calm = suffering(counted, levels, resource)
            tells = telling(counted, levels, SIGNALS[resource])
            track.telling[resource.value] = tells
            if now == UNKNOWN and not seen and not alive.isdisjoint(TELL[resource]):
                now = calm = 0  # nothing moved, and somebody would have told
            held = track.words.setdefault(resource, Held())
            found[resource.value] = word(held.move(now, calm))
        return found

    def _uses(
        self,
        track: _Track,
        numbers: Mapping[str, float],
        alive: frozenset[str],
        machine: Mapping[str, float],
        seen: bool,
    ) -> dict[str, Use]:
        """Return how much a workload takes of each resource."""
        found = {}
        for resource, value in taken(numbers, machine).items():
            if value is None and not seen and "cgroup" in alive:
                value = 0.0
            now, calm = using(value, self._policy, resource)
            held = track.uses.setdefault(resource, Held())
            found[resource] = use(held.move(now, calm))
        return found

    def _lost_now(self, states: Mapping[str, SourceState]) -> dict[str, int]:
        """Return what each source lost since the last window."""
        lost = {}
        for name, state in states.items():
            since = state.lost - self._lost.get(name, 0)
            self._lost[name] = state.lost
            if since > 0:
                lost[name] = since
        return lost


def _stalled(track: _Track, sample: Sample) -> float | None:
    """Return a stall total as a share of time; None at the first reading.

    psi_show() brings the totals up to date at each read; only the averages are
    renewed every two seconds.  CPUs are weighed by their work: one may be ahead.
    """
    past = track.stalls.setdefault(sample.signal, [])
    if past and sample.value < past[-1].value:
        past.clear()  # it began anew
    while len(past) > 1 and sample.time_ns - past[1].time_ns >= STALL_NS:
        del past[0]
    past.append(sample)
    span_ns = sample.time_ns - max(past[0].time_ns, track.idle_ns)
    if span_ns <= 0:
        return None
    return min(100.0, (sample.value - past[0].value) / span_ns * 1e5)


def _growth(track: _Track, sample: Sample, start: int, now: int) -> _Grown | None:
    """Return how a counter grew since its last reading; None at the first."""
    key = (sample.source, sample.signal)
    before = track.last.get(key)
    track.last[key] = sample
    counts = sample.counts
    if before is None:
        if sample.source not in FROM_ZERO or not start:
            return None
        return _Grown(sample.value, max(1, now - start), list(counts))
    if sample.value < before.value or len(counts) != len(before.counts):
        return None  # it began anew
    since = start if sample.source in PROMPT and start else before.time_ns
    if track.idle_ns > since and sample.source not in PROMPT:
        since = track.idle_ns
    end = now if sample.source in PROMPT else sample.time_ns
    return _Grown(
        sample.value - before.value,
        max(1, end - since),
        grown(counts, before.counts) if counts else [],
    )


# Histograms, and how the numbers made of them begin.
_STEMS = {"runq_ns": "runq", "io_ns": "io", "reclaim_ns": "reclaim", "slo_ns": "slo"}
# counter -> (number, factor on growth per nanosecond); sources by preference
_RATES: tuple[tuple[str, str, float], ...] = (
    ("cpu_usage_us", "cpu_pct", 1e5),
    ("preempted_by_other", "preempted_by_other_per_s", 1e9),
    ("read_bytes", "read_bytes_per_s", 1e9),
    ("write_bytes", "write_bytes_per_s", 1e9),
    ("major_faults", "major_faults_per_s", 1e9),
    ("refaults", "refaults_per_s", 1e9),
    ("forks", "forks_per_s", 1e9),
    ("execs", "execs_per_s", 1e9),
)
# Counters and histograms that a number is made of.
_COUNTED = {*_STEMS, *(signal for signal, _, _ in _RATES), "oom_kills"}


def _rates(
    moved: Mapping[str, list[tuple[str, _Grown]]], numbers: dict[str, float]
) -> None:
    """Add the rates; where two sources tell the same, the cgroup's own counts."""
    for signal, number, factor in _RATES:
        tellers = moved.get(signal)
        if tellers:
            _, growth = min(tellers, key=lambda one: one[0] != "cgroup")
            numbers[number] = growth.by / growth.span_ns * factor
    if "oom_kills" in moved:
        numbers["oom_kills"] = max(growth.by for _, growth in moved["oom_kills"])


def _identity(one: Found) -> Identity:
    """Return what discovery alone knows of a program."""
    return Identity(exe=one.exe, comm=one.comms[0] if one.comms else "")


def enough(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers without those that are made of too few values."""
    return {
        key: value
        for key, value in numbers.items()
        if key not in LEAST or numbers.get(LEAST[key][0], 0) >= LEAST[key][1]
    }


def suffering(
    counted: Mapping[str, float],
    levels: Mapping[str, Sequence[float]],
    resource: Resource,
) -> tuple[int, int]:
    """Return how bad a resource is by its numbers: plain, and with margin."""
    if resource == Resource.MEMORY and counted.get("oom_kills", 0) > 0:
        return 3, 3
    return worst(counted, levels, SIGNALS[resource])


def taken(
    numbers: Mapping[str, float], machine: Mapping[str, float]
) -> dict[str, float | None]:
    """Return how much is taken of each resource; None where that is not known."""
    moved = _sum(numbers, "read_bytes_per_s", "write_bytes_per_s")
    if moved is None and numbers.get("io_count") == 0:
        moved = 0.0  # no io controller, but no request was seen either
    return {
        "cpu": numbers.get("cpu_pct"),
        "io": moved,
        "memory": _share(numbers, machine),
    }


def using(value: float | None, policy: Policy, resource: str) -> tuple[int, int]:
    """Return the level of a use: plain, and with margin."""
    if value is None:
        return UNKNOWN, UNKNOWN
    steps = getattr(policy.thresholds.uses, resource)
    bounds = (steps.light, steps.busy, steps.heavy)
    return level(value, bounds), level(value, bounds, MARGIN)


def _sum(numbers: Mapping[str, float], *keys: str) -> float | None:
    """Return the sum of the numbers that are there; None where none is."""
    there = [numbers[key] for key in keys if key in numbers]
    return sum(there) if there else None


def _share(numbers: Mapping[str, float], machine: Mapping[str, float]) -> float | None:
    """Return a workload's memory as a share of the machine's, percent."""
    total = machine.get("memory_total_bytes")
    if not total or "memory_bytes" not in numbers:
        return None
    return 100.0 * numbers["memory_bytes"] / total
