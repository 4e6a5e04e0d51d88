# SPDX-License-Identifier: MIT
"""The lab's report: what was measured, which aims were met, what lost and why.

Reads .output/lab/SCENARIO-VARIANT-N/; writes .output/bench/lab.json,
docs/results.md and docs/results.png.  Exits with 1 where a run was rejected.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import measures
import pages
import stats
from measures import Rejected, Result
from scene import Scene, read

ROOT = Path(__file__).resolve().parents[2]
AIM_ISOLATION = 1.2  # protected p99 over p99 alone, at most
AIM_WORK = 0.9  # neighbours' work over what the expert leaves them, at least
RIVALS = ("rules", "bandit", "random")
LOST_WORK = 0.2  # under this share of the expert's, the neighbours are starved


def folders() -> dict[tuple[str, str], list[Path]]:
    """Return the finished boots of the newest version, by scenario and variant."""
    found: dict[tuple[str, str], list[tuple[str, Path]]] = defaultdict(list)
    for path in sorted((ROOT / ".output/lab").glob("*/play.json"), key=_age):
        match = re.fullmatch(r"(.+)-([^-]+)-\d+", path.parent.name)
        if match:
            version = measures.version_of(path.parent)
            found[match[1], match[2]].append((version, path.parent))
    return {
        key: [folder for version, folder in each if version == each[-1][0]]
        for key, each in sorted(found.items())
    }


def _age(path: Path) -> float:
    return path.stat().st_mtime


def rows_of(result: Result) -> list[dict[str, Any]]:
    """Return the machine-readable rows of one phase."""
    head = {"scenario": result.scene.name, "variant": result.scene.variant}
    return [
        {
            **head,
            "phase": result.phase,
            "arm": arm,
            "metric": metric,
            "median": _plain(value.median),
            "lo": _plain(value.lo),
            "hi": _plain(value.hi),
            "n": value.n,
        }
        for (arm, metric), value in result.found.items()
    ]


def _plain(value: float) -> float | None:
    """Return a number that JSON has; null for what is not known."""
    return None if math.isnan(value) or math.isinf(value) else round(value, 6)


def verdicts(result: Result, arm: str = "llm") -> list[str]:
    """Say of each aim whether it was met."""
    if arm not in result.names():
        return []
    if not result.scene.hurts:
        return [_untouched(result, arm)]
    lines = []
    isolation = result.median(arm, "isolation")
    expert = result.median("expert", "isolation")
    beside = "" if math.isnan(expert) else f"; expert {expert:.2f}"
    lines.append(
        f"protected p99 over p99 alone: {isolation:.2f} (aim: at most"
        f" {AIM_ISOLATION}{beside}): {_met(isolation <= AIM_ISOLATION)}"
    )
    work = result.median(arm, "work_ratio")
    if not math.isnan(work):
        back = result.median(arm, "work_back_ratio")
        beside = "" if math.isnan(back) else f"; had they the agent's CPU {back:.2f}"
        lines.append(
            f"neighbours' work over what the expert leaves them: {work:.2f} (aim: at"
            f" least {AIM_WORK}{beside}): {_met(work >= AIM_WORK)}"
        )
    if "workloads" in result.scene.hidden:
        lines += [_beats(result, arm, rival) for rival in RIVALS]
    return [line for line in lines if line]


def _met(is_met: bool) -> str:
    return "met" if is_met else "NOT MET"


def _untouched(result: Result, arm: str) -> str:
    writes = [play.told["writes_all"] for play in result.of(arm)]
    total = sum(writes)
    return (
        f"no write at all on a healthy machine: {total:.0f} writes in"
        f" {len(writes)} plays: {_met(total == 0)}"
    )


def _beats(result: Result, arm: str, rival: str) -> str:
    """Say whether one arm's p99 is below another's, with room between.

    Unpaired: each interval has the noise of two runs, so this asks for more than 95 %.
    """
    mine, other = (result.found.get((a, "p99_ms")) for a in (arm, rival))
    if mine is None:
        return ""
    if other is None:
        return f"the model beats {rival} with non-overlapping intervals: not measured"
    better = mine.median < other.median and not mine.overlaps(other)
    return (
        f"the model beats {rival} with non-overlapping intervals: p99"
        f" {pages.shown(mine)} ms against {pages.shown(other)} ms: {_met(better)}"
    )


def noise(result: Result) -> str:
    """Say how far two plays of the same arm in the same boot were apart."""
    apart = []
    for name in result.names():
        by_boot = defaultdict(list)
        for arm in result.of(name):
            by_boot[arm.boot].append(measures.quantile(0.99)(arm.seconds))
        apart += [
            abs(math.log(values[0] / values[-1]))
            for values in by_boot.values()
            if len(values) > 1 and name != "default"
        ]
    if not apart:
        return ""
    middle = math.exp(sorted(apart)[len(apart) // 2]) - 1
    return (
        f"the same arm twice in one boot differs by {100 * middle:.1f} % of p99"
        f" (median of {len(apart)} A/A pairs)"
    )


def stalls(result: Result) -> str:
    """Say how much was left out since the emulated machine itself stood still."""
    gone = sum(measures.left_out(arm) for arm in result.arms)
    total = gone + sum(len(arm.seconds) for arm in result.arms)
    return (
        f"{gone} of {total} seconds are left out: the player or the load was woken"
        f" over {measures.STALLED_MS:.0f} ms late in them or just before"
    )


def honest(result: Result) -> list[str]:
    """Say what the lab makes of the cheats that were played in it."""
    lines = [stalls(result)]
    if "none" in result.names() and "default" in result.names():
        ones, others = result.of("none"), result.of("default")
        p99 = measures.quantile(0.99)
        times = stats.ratio(
            measures.plays(ones, p99), measures.plays(others, p99), result.noise["p99"]
        )
        said = "no effect" if times.lo <= 1 <= times.hi else "AN EFFECT"
        lines.append(
            f"a decider that does nothing: p99 is {pages.shown(times)} times the"
            f" default's: {'not known' if math.isnan(times.lo) else said}"
        )
    if "throttle" in result.names():
        left = result.median("throttle", "work_ratio")
        lines.append(
            f"a cheat that stops everybody else: {left:.2f} of the expert's work:"
            f" {'shown as lost work' if left < LOST_WORK else 'NOT SHOWN'}"
        )
    return lines


def lost(result: Result, arm: str) -> list[str]:
    """Say where an arm lost against the aims, and what the numbers say of why."""
    isolation = result.median(arm, "isolation")
    work = result.median(arm, "work_ratio")
    if not result.scene.hurts or (isolation <= AIM_ISOLATION and not work < AIM_WORK):
        return []
    head = f"{arm}: p99 {isolation:.2f} times alone"
    head += "" if math.isnan(work) else f", neighbours' work {work:.2f} of the expert's"
    return [f"{head}. " + " ".join(_reasons(result, arm))]


def _reasons(result: Result, arm: str) -> list[str]:
    """Return what is known of why, in sentences."""
    found = []
    protected = result.of(arm)[0].row["protected"]
    if result.median(arm, "held") == 0:
        found.append("At the end of the span it held no knob.")
    settled, span = result.median(arm, "settle_s"), result.of(arm)[0].row
    before = span["start_s"] - span["begin_s"]
    if math.isnan(settled):
        found.append("The protected service was never well again.")
    elif settled > before:
        found.append(
            f"It was well again only after {settled:.1f} s, and is measured"
            f" from {before:.0f} s on."
        )
    for key in (protected, "vagus"):
        mine = result.median(arm, f"cpu_{key}_pct")
        best = result.median("expert", f"cpu_{key}_pct")
        if not math.isnan(mine):
            beside = (
                "" if math.isnan(best) else f", with the expert's weights {best:.0f}"
            )
            found.append(f"CPU of {key}: {mine:.0f} %{beside}.")
    bad, gone = bad_seconds(result, arm)
    if bad:
        found.append(
            f"{bad} seconds were over the SLO, {gone} of them while a knob"
            " was withdrawn."
        )
    return found


def bad_seconds(result: Result, arm: str) -> tuple[int, int]:
    """Return (seconds over the SLO, those that touch a withdrawal), all plays."""
    bad = gone = 0
    for play in result.of(arm):
        spans = measures.withdrawals(play)
        for second in play.seconds:
            if stats.percentile(second.ms, 0.99) > result.scene.slo_ms:
                bad += 1
                gone += measures.touches(spans, second.start_s)
    return bad, gone


def about(boots: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is needed to do it again."""

    def seen(key: str) -> list[Any]:
        return sorted({boot[key] for boot in boots if key in boot})

    seeds: dict[str, Any] = {"load and random": seen("seed")}
    return {
        "commands": seen("command"),
        "commits": seen("commit"),
        "kernels": seen("kernel"),
        "versions": boots[0]["versions"] if boots else {},
        "seeds": seeds | {"bootstrap": stats.SEED},
    }


def main() -> int:
    """Make the report; the exit status is 1 where a run was rejected."""
    boots, scenes = [], []
    for (name, variant), found in folders().items():
        scene = read(Path(__file__).parent / f"{name}.yaml", variant)
        played = measures.boots_of(found)
        boots += [boot for _, boot in played]
        scenes.append((scene, measures.arms_of(scene, played)))
    by_name: dict[str, list[tuple[Scene, measures.Arm]]] = defaultdict(list)
    for scene, arms in scenes:
        by_name[scene.name] += [(scene, arm) for arm in arms]
    noises = {name: measures.floors(played) for name, played in by_name.items()}
    results, rejected = [], []
    for scene, arms in scenes:
        noise = noises[scene.name]
        for phase in scene.phases:
            result = measures.result_of(scene, phase.name, arms, noise)
            try:
                measures.check(scene, result)
            except Rejected as error:
                rejected.append(str(error))
            else:
                results.append(result)
    rows = [row for result in results for row in rows_of(result)]
    made = about(boots)
    bench = ROOT / ".output/bench"
    bench.mkdir(parents=True, exist_ok=True)
    (bench / "lab.json").write_text(json.dumps(made | {"rows": rows}, indent=1) + "\n")
    texts = [(result, section(result)) for result in results]
    page = pages.page(made, texts, rejected)
    (ROOT / "docs/results.md").write_text(page)
    if results:
        pages.figure(results, ROOT / "docs/results.png")
    print(page)
    return 1 if rejected else 0


def section(result: Result) -> pages.Said:
    """Return what is said of one phase."""
    agents = [name for name in result.names() if result.of(name)[0].row["record"]]
    return pages.Said(
        aims=verdicts(result),
        checks=[
            line
            for line in (noise(result), pages.floor(result.noise), *honest(result))
            if line
        ],
        lost=[line for name in agents for line in lost(result, name)],
    )


if __name__ == "__main__":
    sys.exit(main())
