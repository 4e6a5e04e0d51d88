# SPDX-License-Identifier: MIT
"""The lab's results as a page and a figure; nothing in them is typed by hand."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from loads import TIMEOUT_S
from measures import Result
from scene import Phase, Scene
from stats import Floor, Interval

MAIN = (
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("p999_ms", "p99.9 ms"),
    ("isolation", "p99 over alone"),
    ("violation_s", "SLO violated, s"),
    ("violation_all_s", "SLO violated since they came, s"),
    ("work_ratio", "neighbours' work over expert's"),
    ("work_back_ratio", "and had they the agent's CPU"),
    ("settle_s", "settled after s"),
    ("left_out_s", "left out, s"),
)
AGENT = (
    ("react_s", "first write after s"),
    ("writes", "writes"),
    ("flips_per_min", "flips a minute"),
    ("decisions", "decisions"),
    ("calls", "engine calls"),
    ("tokens", "tokens"),
    ("effects_kept", "kept"),
    ("effects_coincident", "coincident"),
    ("effects_reverted", "reverted"),
    ("cpu_vagus_pct", "CPU % with engine"),
    ("engine_cpu_pct", "engine CPU %"),
    ("p99_inferring_ms", "p99 ms while inferring"),
    ("p99_held_ms", "p99 ms outside withdrawals"),
)
WORKS = {
    "cpu": "CPU time",
    "io": "bytes written",
    "lines": "rounds done",
    "requests": "requests answered",
}
# The short answer: whose what, under which title.
SHORT = (
    ("default", "isolation", "p99 over alone without Vagus"),
    ("llm", "isolation", "with it"),
    ("expert", "isolation", "with the expert's weights"),
    ("llm", "work_ratio", "neighbours' work over expert's"),
    ("llm", "cpu_vagus_pct", "CPU % of Vagus with engine"),
)
NOISES = {
    "p50": "p50 {:.1f} %",
    "p99": "p99 {:.1f} %",
    "work": "work {:.1f} %",
    "violation": "{:.1f} s over the SLO",
}
SCALE = 1000.0  # of the figure's latencies, times alone
COLOURS = {"llm": "#c44e52", "expert": "#55a868", "alone": "#8c8c8c"}


@dataclass(frozen=True)
class Said:
    """What the report says of one phase, in sentences."""

    aims: Sequence[str]
    checks: Sequence[str]
    lost: Sequence[str]


def shown(value: Interval | None) -> str:
    """Return "7.5 (7.2 to 7.9)"; the interval only where one is known."""
    if value is None or math.isnan(value.median):
        return ""
    text = short(value.median)
    if math.isnan(value.lo) or math.isnan(value.hi):
        return text
    return f"{text} ({short(value.lo)} to {short(value.hi)})"


def short(value: float) -> str:
    """Return a number with three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(
    result: Result, columns: Sequence[tuple[str, str]], arms: Sequence[str]
) -> str:
    """Return arms by metrics as Markdown; columns that nobody has are left out."""
    kept = [c for c in columns if any(shown(result.found.get((a, c[0]))) for a in arms)]
    lines = ["| arm | n | " + " | ".join(title for _, title in kept) + " |"]
    lines.append("|---" * (len(kept) + 2) + "|")
    for arm in arms:
        cells = [shown(result.found.get((arm, metric))) for metric, _ in kept]
        lines.append(f"| {arm} | {len(result.of(arm))} | {' | '.join(cells)} |")
    return "\n".join(lines)


def page(
    made: Mapping[str, Any],
    results: Sequence[tuple[Result, Said]],
    rejected: Sequence[str],
) -> str:
    """Return docs/results.md."""
    versions = ", ".join(f"{k} {v}" for k, v in made["versions"].items())
    seeds = "; ".join(f"{name} {seed}" for name, seed in made["seeds"].items())
    lines = [
        "# Results",
        "",
        "Made by the commands below; nothing here is typed by hand. One virtual CPU"
        " whose time counts instructions (icount), disks on null_blk; medians over n"
        " plays. Latency counts from when a request was due; one without an answer"
        f" after {TIMEOUT_S:.0f} s counts as that long.",
        "",
        *(summary(results) if results else ()),
        *(how_sure() if results else ()),
        *(f"- `{command}`" for command in made["commands"]),
        f"- commit {', '.join(made['commits'])}; kernel {', '.join(made['kernels'])}",
        f"- versions: {versions}",
        f"- seeds: {seeds}",
    ]
    if rejected:
        lines += ["", "**Rejected:**", "", *(f"- {text}" for text in rejected)]
    if results:
        lines += ["", "![protected p99 and neighbours' work](results.png)"]
    for result, said in results:
        lines += _section(result, said)
    return "\n".join(lines) + "\n"


def summary(results: Sequence[tuple[Result, Said]]) -> list[str]:
    """Return the short answer: does it help, and what does it cost."""
    lines = []
    for result, said in results:
        if said.aims:
            cells = [shown(result.found.get((arm, metric))) for arm, metric, _ in SHORT]
            met = sum(line.endswith(": met") for line in said.aims)
            cells.append(f"{met} of {len(said.aims)}")
            lines.append(f"| {named(result)} | {' | '.join(cells)} |")
    titles = " | ".join(name for *_, name in SHORT)
    head = [f"| | {titles} | aims met |", "|---" * (len(SHORT) + 2) + "|"]
    return [*head, *lines, ""] if lines else []


def how_sure() -> list[str]:
    """Say what the intervals are."""
    return [
        "An interval says where another run of the same command is expected to have"
        " its median, 19 times in 20. It is a bootstrap over plays and seconds, widened"
        " by the scenario's noise floor: what plays of the same thing (A/A pairs,"
        " repetitions, the variants of an arm without a decider) differ by beyond what"
        " their seconds explain. Both runs have that noise, it is the larger the fewer"
        " plays tell of it, one wild pair counts two deviations at most, and where"
        " nothing was drawn beyond a median, as at a time-out, it stays. Where an"
        " agent withdrew a knob to see whether it still helps, which is felt, the"
        " interval holds the numbers with that question and without it: another run"
        " may ask a second earlier, before the measured span begins.",
        "",
    ]


def floor(noise: Mapping[str, Floor]) -> str:
    """Say how large the noise floor of a scenario is."""
    sizes = [
        text.format(noise[name].sd * (100 if noise[name].logs else 1))
        for name, text in NOISES.items()
        if noise[name].pairs
    ]
    if not sizes:
        return "noise floor: unknown, as nothing was played twice: no intervals"
    pairs = sorted(floor.pairs for floor in noise.values() if floor.pairs)
    return (
        f"noise floor, at most, one standard deviation of a play: {', '.join(sizes)};"
        f" known from {pairs[0]} to {pairs[-1]} repeated plays"
    )


def named(result: Result) -> str:
    """Return "web, named", with the phase where there are several."""
    scene = result.scene
    phase = f": {result.phase}" if len(scene.phases) > 1 else ""
    return f"{scene.name}, {scene.variant}{phase}"


def _section(result: Result, said: Said) -> list[str]:
    """Return one phase's part of the page."""
    scene, agents = result.scene, []
    for name in result.names():
        if result.of(name)[0].row["record"]:
            agents.append(name)
    phase = next(phase for phase in scene.phases if phase.name == result.phase)
    hidden = ", ".join(sorted(scene.hidden)) or "nothing"
    lines = [
        "",
        f"## {named(result)}",
        "",
        f"{scene.title[0].upper()}{scene.title[1:]}.",
    ]
    lines += [f'Sentence: "{phase.objective}" Hidden from the deciders: {hidden}.']
    lines += [*_counted(scene, phase), ""]
    lines += [table(result, MAIN, result.names()), ""]
    if agents:
        lines += [table(result, AGENT, agents), ""]
    for heading, texts in (
        ("Aims", said.aims),
        ("Checks of the lab itself", said.checks),
        ("What lost, and why", said.lost),
    ):
        if texts:
            lines += [f"{heading}:", "", *(f"- {text}" for text in texts), ""]
    return lines[:-1]


def _counted(scene: Scene, phase: Phase) -> list[str]:
    """Say how the neighbours' work is counted, where there is any."""
    works = {key: scene.services[key].work for key in phase.neighbours}
    told = ", ".join(f"{key} by {WORKS[work]}" for key, work in works.items())
    return [f"Work is counted: {told}."] if told else []


def figure(results: Sequence[Result], path: Path) -> None:
    """Draw every arm's protected p99 over alone, and its neighbours' work."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    size = (8.5, 0.7 + 2.6 * len(results))
    chart, axes = pyplot.subplots(len(results), 2, squeeze=False, figsize=size)
    for (left, right), result in zip(axes, results, strict=True):
        names = [name for name in result.names() if name != "alone"]
        title = f"{result.scene.name} {result.scene.variant}"
        if _bars(left, result, names, "isolation", f"{title} {result.phase}"):
            left.set_xscale("log")
            left.set_xlim(0.8, SCALE)  # the same for all, so that they compare
            left.axvline(1.2, color="black", linewidth=0.8, linestyle=":")
            left.set_xlabel("protected p99 over p99 alone (aim: 1.2)")
        if _bars(right, result, names, "work_ratio", ""):
            right.axvline(0.9, color="black", linewidth=0.8, linestyle=":")
            right.set_xlabel("neighbours' work over expert's (aim: 0.9)")
    chart.tight_layout()
    chart.savefig(path, dpi=90)
    pyplot.close(chart)


def _bars(
    axis: Any, result: Result, names: Sequence[str], metric: str, title: str
) -> bool:
    """Draw one metric's bars with their intervals; False where nobody has it."""
    found = [result.found.get((name, metric)) for name in names]
    known = [
        (name, value)
        for name, value in zip(names, found, strict=True)
        if value and not math.isnan(value.median)
    ]
    if not known:
        axis.set_axis_off()
        return False
    medians = [value.median for _, value in known]
    spread = [
        [_gap(v.median, v.lo) for _, v in known],
        [_gap(v.hi, v.median) for _, v in known],
    ]
    colours = [COLOURS.get(name, "#4878a8") for name, _ in known]
    axis.barh([name for name, _ in known], medians, xerr=spread, color=colours)
    axis.set_title(title, fontsize=10)
    axis.invert_yaxis()
    return True


def _gap(high: float, low: float) -> float:
    return 0.0 if math.isnan(high) or math.isnan(low) else max(0.0, high - low)
