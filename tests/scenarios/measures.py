# SPDX-License-Identifier: MIT
"""From what was played to numbers: the metrics of every arm, scenario by scenario.

Reads the folders that play.py wrote; pure but for that.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import itertools

import told
from loads import TIMEOUT_S
from scene import Scene
from stats import Floor, Interval, Play, floor, interval, percentile, plain

NOT_ENOUGH = 10_000  # samples under which no p99.9 is said
SETTLED = 2.0  # times what it is alone
# A real-time task that was woken later than this was kept waiting by the emulated
# machine; that second and the next, which has the backlog, are left out.
STALLED_MS = 50.0
# What has a noise floor of its own, as every share of the CPU has, and of which of
# them it is one of logarithms.
FLOORS = ("p50", "p99", "violation", "work")
LOGS = ("p50", "p99", "work")
Row = Mapping[str, Any]


class Rejected(Exception):
    """The measurement proves nothing; the reason says why."""


@dataclass(frozen=True)
class Second:
    """One measured second: the protected's latencies, everybody's use."""

    ms: Sequence[float]
    answered: int
    cpu_pct: Mapping[str, float]
    work: Mapping[str, float]  # neighbour -> work done, in its own unit
    start_s: float = 0.0


@dataclass(frozen=True)
class Arm:
    """One arm in one boot and phase."""

    name: str
    phase: str
    boot: int
    row: Row
    seconds: Sequence[Second]
    folder: Path
    told: Mapping[str, float] = field(default_factory=dict)


def version_of(folder: Path) -> str:
    """Return the state of the code that was played."""
    stamp = folder / "version"
    return stamp.read_text().strip() if stamp.exists() else "unknown"


def boots_of(folders: Sequence[Path]) -> list[tuple[Path, Mapping[str, Any]]]:
    """Read the folders of one scenario and variant, and what the host said of them."""
    found = []
    for folder in folders:
        boot = json.loads((folder / "play.json").read_text())
        about = folder / "about.json"
        said = json.loads(about.read_text()) if about.exists() else {}
        found.append((folder, boot | said))
    return found


def arms_of(scene: Scene, boots: Sequence[tuple[Path, Mapping[str, Any]]]) -> list[Arm]:
    """Return every arm of every boot."""
    return [
        arm_of(scene, number, row, folder)
        for number, (folder, boot) in enumerate(boots)
        for row in boot["rows"]
    ]


def arm_of(scene: Scene, boot: int, row: Row, folder: Path) -> Arm:
    """Return one arm, with what its agent's record tells."""
    seconds = seconds_of(scene, row)
    said: Mapping[str, float] = {}
    if row["record"]:
        path = folder / row["record"]
        said = told.told(path, row["begin_s"], row["start_s"], row["end_s"])
    return Arm(row["arm"], row["phase"], boot, row, seconds, folder, said)


def seconds_of(scene: Scene, row: Row) -> list[Second]:
    """Cut the measured span at the readings; leave out where the machine stalled."""
    found = []
    readings, begin = row["readings"], row["begin_s"]
    before = False
    for one, other in itertools.pairwise(readings):
        stalled = other.get("late_ms", 0.0) > STALLED_MS
        skip, before = stalled or before, stalled
        if skip:
            continue
        start, end = one["time_s"], other["time_s"]
        mine = _within(row["requests"][row["protected"]], start - begin, end - begin)
        work = {
            key: _work(scene, key, row, (one, other)) / (end - start)
            for key in one["of"]
            if key in scene.services and key != row["protected"]
        }
        cpu = {
            key: (other["of"][key]["cpu_usec"] - one["of"][key]["cpu_usec"])
            / 1e4
            / (end - start)
            for key in one["of"]
        }
        answered = sum(ok for _, _, ok in mine)
        latency = [ms for _, ms, _ in mine]
        found.append(Second(latency, answered, cpu, work, start))
    return found


def _within(requests: Sequence[Any], start: float, end: float) -> list[Any]:
    return [request for request in requests if start <= request[0] < end]


def _work(scene: Scene, key: str, row: Row, between: tuple[Any, Any]) -> float:
    """Return what a neighbour did between two readings, in its own unit."""
    one, other = between
    kind = scene.services[key].work
    if kind == "requests":
        begin = row["begin_s"]
        span = (one["time_s"] - begin, other["time_s"] - begin)
        return float(sum(ok for _, _, ok in _within(row["requests"][key], *span)))
    if kind == "lines":
        times = row["work"][key]
        return float(sum(one["time_s"] <= t < other["time_s"] for t in times))
    name = {"cpu": "cpu_usec", "io": "wbytes"}[kind]
    return float(other["of"][key][name] - one["of"][key][name])


# ------------------------------------------------------------------- statistics


def latencies(seconds: Sequence[Any]) -> list[float]:
    """Return all latencies of these seconds."""
    return [ms for second in seconds for ms in second.ms]


def quantile(share: float) -> Callable[[Sequence[Any]], float]:
    """Return the statistic: a percentile of latency."""
    return lambda seconds: percentile(latencies(seconds), share)


def isolation(seconds: Sequence[Any], alone: Sequence[Any]) -> float:
    """Return the statistic: p99 over p99 alone."""
    return quantile(0.99)(seconds) / quantile(0.99)(alone)


def violations(slo_ms: float) -> Callable[[Sequence[Any]], float]:
    """Return the statistic: seconds whose p99 is over the SLO."""
    return lambda seconds: float(
        sum(percentile(second.ms, 0.99) > slo_ms for second in seconds)
    )


def used(key: str) -> Callable[[Sequence[Any]], float]:
    """Return the statistic: a service's share of the CPU."""
    return lambda seconds: mean([second.cpu_pct.get(key, 0.0) for second in seconds])


def worked(seconds: Sequence[Any], expert: Sequence[Any]) -> float:
    """Return the statistic: the neighbours' work over the expert's, mean of ratios."""
    over = work_of(expert)
    return mean(
        [mean([s.work[key] for s in seconds]) / over[key] for key in over if over[key]]
    )


def given_back(seconds: Sequence[Any], expert: Sequence[Any]) -> float:
    """Return the statistic: the same, had the neighbours the agent's CPU as well."""
    theirs = sum(used(key)(seconds) for key in work_of(expert))
    return worked(seconds, expert) * (1 + used("vagus")(seconds) / theirs)


def mean(values: Sequence[float]) -> float:
    """Return the mean; NaN where there is nothing."""
    return float(np.mean(values)) if len(values) else math.nan


def work_of(seconds: Sequence[Any]) -> dict[str, float]:
    """Return each neighbour's work a second."""
    names = {key for second in seconds for key in second.work}
    return {key: mean([s.work[key] for s in seconds]) for key in sorted(names)}


def settle_s(arm: Arm, alone_ms: float) -> float:
    """Return when the protected was well again: 2 s with p90 near what it is alone.

    Seconds since the neighbours were started; 0 where it never was unwell, NaN where
    it was so to the end.
    """
    requests = arm.row["requests"][arm.row["protected"]]
    length = arm.row["end_s"] - arm.row["begin_s"]
    suffered = False
    for start in np.arange(0.0, length - 2.0, 0.1):
        span = [ms for _, ms, _ in _within(requests, start, start + 2.0)]
        is_well = bool(span) and percentile(span, 0.9) <= SETTLED * alone_ms
        if is_well and suffered:
            return float(start)
        suffered = suffered or not is_well
    return math.nan if suffered else 0.0


def violated_s(arm: Arm, slo_ms: float) -> float:
    """Return the seconds over the SLO since the neighbours began, all of them."""
    requests = arm.row["requests"][arm.row["protected"]]
    length = arm.row["end_s"] - arm.row["begin_s"]
    spans = [_within(requests, start, start + 1.0) for start in range(int(length))]
    return float(sum(percentile([ms for _, ms, _ in s], 0.99) > slo_ms for s in spans))


def withdrawals(arm: Arm) -> list[tuple[float, float]]:
    """Return when the agent had let a knob go for a moment, and what that led to.

    A second before and two after belong to it: a backlog drains slowly.
    """
    if not arm.row["record"]:
        return []
    path, row = arm.folder / arm.row["record"], arm.row
    spans = told.withdrawn(path, row["begin_s"], row["end_s"])
    return [(start - 1, end + 2) for start, end in spans]


def held_ms(arm: Arm) -> list[float]:
    """Return the protected's latencies while no knob was withdrawn."""
    return latencies(calm(arm).seconds)


def calm(arm: Arm) -> Arm:
    """Return an arm without the seconds in which a knob was withdrawn."""
    gone = withdrawals(arm)
    return dataclasses.replace(
        arm, seconds=[one for one in arm.seconds if not touches(gone, one.start_s)]
    )


def asked(arm: Arm) -> Arm:
    """Return an arm with the seconds before its span in which a knob was withdrawn.

    Of them only the latencies are known.
    """
    gone, begin = withdrawals(arm), arm.row["begin_s"]
    requests = arm.row["requests"][arm.row["protected"]]
    before = []
    for start in range(int(arm.row["start_s"] - begin)):
        if touches(gone, begin + start):
            ms = [ms for _, ms, _ in _within(requests, start, start + 1)]
            before.append(Second(ms, len(ms), {}, {}, begin + start))
    return dataclasses.replace(arm, seconds=[*before, *arm.seconds])


def touches(spans: Sequence[tuple[float, float]], start_s: float) -> bool:
    """Tell whether a second touches one of these spans."""
    return any(start < start_s + 1 and end > start_s for start, end in spans)


def inferring_ms(arm: Arm) -> list[float]:
    """Return the protected's latencies in windows in which the engine worked."""
    if not arm.row["record"]:
        return []
    begin = arm.row["begin_s"]
    requests = arm.row["requests"][arm.row["protected"]]
    found: list[float] = []
    for start, end in told.inferring(arm.folder / arm.row["record"]):
        start = max(start, arm.row["start_s"])
        end = min(end, arm.row["end_s"])
        found += [ms for _, ms, _ in _within(requests, start - begin, end - begin)]
    return found


# ---------------------------------------------------------------------- results


@dataclass(frozen=True)
class Result:
    """All metrics of one phase of a scenario in one variant: (arm, metric) -> it."""

    scene: Scene
    phase: str
    arms: Sequence[Arm]
    found: Mapping[tuple[str, str], Interval]
    noise: Mapping[str, Floor]  # of the scenario

    def names(self) -> list[str]:
        """Return the arms' names, as they were first played; alone first."""
        return list(dict.fromkeys(arm.name for arm in self.arms))

    def of(self, name: str) -> list[Arm]:
        """Return the plays of one arm."""
        return [arm for arm in self.arms if arm.name == name]

    def median(self, arm: str, metric: str) -> float:
        """Return a median; NaN where that was not measured."""
        seen = self.found.get((arm, metric))
        return seen.median if seen else math.nan


def plays(
    arms: Sequence[Arm],
    statistic: Callable[..., float],
    beside: Callable[[Arm], Sequence[Any]] = lambda arm: (),
) -> list[Play]:
    """Return arms as plays of one statistic; `beside`: what each is compared with."""
    return [Play(arm.seconds, statistic, beside(arm)) for arm in arms]


def floors(played: Sequence[tuple[Scene, Arm]]) -> dict[str, Floor]:
    """Return the noise floors of a scenario: of latencies, work and shares of CPU.

    The same thing is an arm in a scenario and phase; of an arm without a decider the
    variants are the same as well, which hide things from deciders only.
    """
    same: dict[tuple[Any, ...], list[Arm]] = defaultdict(list)
    experts: dict[tuple[str, str], list[Second]] = defaultdict(list)
    for scene, arm in played:
        where = (scene.name, arm.phase)
        state = (scene.variant if arm.row["record"] else "", version_of(arm.folder))
        same[where, arm.name, state, scene.slo_ms].append(arm)
        experts[where] += arm.seconds if arm.name == "expert" else ()
    cells: dict[str, list[list[Play]]] = defaultdict(list)
    for (where, name, _, slo_ms), arms in same.items():
        statistics: list[tuple[str, Callable[..., float]]] = [
            ("p50", quantile(0.5)),
            ("p99", quantile(0.99)),
            ("violation", violations(slo_ms)),
        ]
        if name != "alone":
            # A fixed divisor: two plays have it in common.
            work = functools.partial(worked, expert=experts[where])
            statistics.append(("work", work))
        keys = {key for arm in arms for second in arm.seconds for key in second.cpu_pct}
        statistics += [(f"cpu {key}", used(key)) for key in sorted(keys)]
        for kind, statistic in statistics:
            cells[kind].append(plays(arms, statistic))
    return {
        kind: floor(cells[kind], kind in LOGS)
        for kind in dict.fromkeys((*FLOORS, *cells))
    }


def result_of(
    scene: Scene, phase: str, arms: Sequence[Arm], noise: Mapping[str, Floor]
) -> Result:
    """Return the metrics of one phase."""
    mine = [arm for arm in arms if arm.phase == phase]
    alone = {arm.boot: arm.seconds for arm in mine if arm.name == "alone"}
    expert = [s for arm in mine if arm.name == "expert" for s in arm.seconds]
    found: dict[tuple[str, str], Interval] = {}
    for name in dict.fromkeys(arm.name for arm in mine):
        group = [arm for arm in mine if arm.name == name]
        for metric, value in _metrics(scene, group, alone, expert, noise):
            found[name, metric] = value
    return Result(scene, phase, mine, found, noise)


def _metrics(
    scene: Scene,
    group: Sequence[Arm],
    alone: Mapping[int, Sequence[Any]],
    expert: Sequence[Any],
    noise: Mapping[str, Floor],
) -> list[tuple[str, Interval]]:
    """Return every metric of one arm."""
    p99 = noise["p99"]
    found = _suffered(scene, group, alone, noise)
    minds = [[calm(arm) for arm in group], [asked(arm) for arm in group]]
    for mind in minds if any(map(withdrawals, group)) else ():
        # Another run may have that question in its span, or before it.
        if all(arm.seconds for arm in mind):
            other = dict(_suffered(scene, mind, alone, noise))
            found = [(name, one.reaching(other[name])) for name, one in found]
    pooled = [second for arm in group for second in arm.seconds]
    if len(latencies(pooled)) >= NOT_ENOUGH:
        found.append(("p999_ms", interval([Play(pooled, quantile(0.999))], p99)))
    theirs = work_of(expert)
    if theirs and all(theirs.values()) and group[0].name != "alone":
        ratio = plays(group, worked, lambda arm: expert)
        found.append(("work_ratio", interval(ratio, noise["work"])))
        if {scene.services[key].work for key in theirs} == {"cpu"} and _agent(group):
            back = plays(group, given_back, lambda arm: expert)
            found.append(("work_back_ratio", interval(back, noise["work"])))
    for key in sorted({key for s in pooled for key in s.cpu_pct}):
        share = interval(plays(group, used(key)), noise[f"cpu {key}"])
        found.append((f"cpu_{key}_pct", share))
    if group[0].name != "alone":
        well = {boot: quantile(0.99)(seconds) for boot, seconds in alone.items()}
        settled = [settle_s(arm, well[arm.boot]) for arm in group]
        found.append(("settle_s", plain(settled)))
        violated = [violated_s(arm, scene.slo_ms) for arm in group]
        found.append(("violation_all_s", plain(violated)))
        gone = [float(left_out(arm)) for arm in group]
        found.append(("left_out_s", plain(gone)))
        found.append(("held", plain([float(arm.row["held"]) for arm in group])))
    return found + _told(group)


def _suffered(
    scene: Scene,
    group: Sequence[Arm],
    alone: Mapping[int, Sequence[Any]],
    noise: Mapping[str, Floor],
) -> list[tuple[str, Interval]]:
    """Return what the protected service suffered in one arm."""
    over = plays(group, isolation, lambda arm: alone[arm.boot])
    bad = plays(group, violations(scene.slo_ms))
    middle = interval(plays(group, quantile(0.5)), noise["p50"])
    tail = interval(plays(group, quantile(0.99)), noise["p99"])
    times = interval(over, noise["p99"])
    quiet = [Play(seconds, quantile(0.99)) for seconds in alone.values()]
    least = interval(quiet, noise["p99"]).lo  # what alone may be in another run
    return [
        ("p50_ms", middle.at_most(TIMEOUT_S * 1e3)),
        ("p99_ms", tail.at_most(TIMEOUT_S * 1e3)),
        ("isolation", times.at_most(TIMEOUT_S * 1e3 / least)),
        ("violation_s", interval(bad, noise["violation"])),
    ]


def _agent(group: Sequence[Arm]) -> bool:
    return all("vagus" in second.cpu_pct for arm in group for second in arm.seconds)


def _told(group: Sequence[Arm]) -> list[tuple[str, Interval]]:
    """Return what the agents' records tell."""
    keys = list(dict.fromkeys(key for arm in group for key in arm.told))
    found = [(key, plain([arm.told[key] for arm in group])) for key in keys]
    if keys:
        busy = [percentile(inferring_ms(arm), 0.99) for arm in group]
        found.append(("p99_inferring_ms", plain(busy)))
        held = [percentile(held_ms(arm), 0.99) for arm in group]
        found.append(("p99_held_ms", plain(held)))
    return [(key, value) for key, value in found if value.n]


def left_out(arm: Arm) -> int:
    """Return how many seconds of the span were left out."""
    return len(arm.row["readings"]) - 1 - len(arm.seconds)


def check(scene: Scene, result: Result) -> None:
    """Refuse what proves nothing: no load, no answers, or no harm done."""
    where = f"{scene.name} {scene.variant}, {result.phase}"
    for arm in result.arms:
        if left_out(arm) > len(arm.seconds):
            raise Rejected(
                f"{where}: the emulated machine stalled in {left_out(arm)} of"
                f" {len(arm.row['readings']) - 1} seconds of {arm.name}"
            )
    for arm in result.of("alone"):
        count, answered = (
            len(latencies(arm.seconds)),
            sum(s.answered for s in arm.seconds),
        )
        if count < 100:
            raise Rejected(
                f"{where}: the load generator made no load ({count} requests)"
            )
        if answered < 0.99 * count:
            raise Rejected(
                f"{where}: alone, {count - answered} of {count} requests had no answer"
            )
    if not scene.hurts or "default" not in result.names():
        return
    times = result.median("default", "isolation")
    if not times >= scene.hurts:
        raise Rejected(
            f"{where}: p99 with neighbours is {times:.1f} times alone, under"
            f" {scene.hurts:.0f}: what does not hurt proves nothing"
        )
