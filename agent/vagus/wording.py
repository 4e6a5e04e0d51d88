# SPDX-License-Identifier: MIT
"""Effects in words with numbers, for `vagus explain` and the record."""

from __future__ import annotations

from vagus.flow import Effect, Outcome, Stance

Target = tuple[str, str]  # workload, signal with unit


def quantity(signal: str, value: float) -> str:
    """Return a number with its unit, as people read it."""
    return f"{value / 1e6:.2f} ms" if signal.endswith("_ns") else f"{value:.1f} %"


def say(target: Target, value: float) -> str:
    """Return "shop runq p99 4.10 ms"."""
    name = target[1].rsplit("_", 1)[0].replace("_", " ")
    return f"{target[0]} {name} {quantity(target[1], value)}"


def effect(
    stance: Stance,
    others: int,
    target: Target,
    levels: tuple[float, float, float],
    outcome: Outcome,
    told: str,
) -> Effect:
    """Return an effect; `levels`: before, after and the noise, in the signal's unit."""
    before, after, noise = levels
    what = f"{stance.act} {stance.resource} {stance.strength} for {stance.workload}"
    together = f" together with {others} more" if others else ""
    numbers = f"{say(target, before)} before"
    if outcome is not Outcome.PENDING:
        spread = quantity(target[1], noise)
        numbers += f", {quantity(target[1], after)} with it (noise {spread})"
    sentence = f"{what}{together}: {numbers}, {told}: {outcome}"
    name = f"{target[0]} {target[1]}"
    return Effect(stance, name, before, after, noise, outcome, sentence)
