# SPDX-License-Identifier: MIT
"""What is to be played: one line a boot, for the host's runner.

usage: python plan.py [SCENARIO ...]; N, VARIANT, ARMS, AA and SEED are environment
variables; without VARIANT the first of each file is played, with AA=no the A/A pairs
are left out.  Each line is JSON: scenario, variant, number, seed, arms, virtual_s.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))
import arms
from scene import BadScenario, Scene, read, variants

HERE = Path(__file__).parent
ARMS = "default expert llm"
# Virtual seconds that a boot and an arm take besides their spans.
BOOT_S, ARM_S = 30.0, 14.0


def scenarios() -> list[str]:
    """Return the names of all scenario files."""
    found = [path for path in HERE.glob("*.yaml") if "services:" in path.read_text()]
    return sorted(path.stem for path in found)


def order(names: Sequence[str], number: int, pair_too: bool = True) -> list[str]:
    """Return the arms in the order of a boot: A B, next time B A, and the A/A pairs.

    One pair is the expert's, where it plays: the default's latencies are time-outs
    alone and would be equal whatever the lab did.  The other is the model's: who
    decides differs from play to play by more than who only holds weights.
    """
    placed = list(names) if number % 2 else list(reversed(names))
    if not pair_too:
        return placed
    for pair in ("expert" if "expert" in names else names[0], "llm"):
        if pair in names:
            placed = [*placed, pair] if placed[-1] != pair else [pair, *placed]
    return placed


def boot(
    scene: Scene, number: int, names: Sequence[str], given: Mapping[str, str]
) -> dict[str, Any]:
    """Return one boot."""
    wanted = [name for name in names if name != "expert" or _expert(scene)]
    played = order(wanted, number, given.get("AA", "yes") != "no")
    span = sum(phase.settle_s + phase.measure_s for phase in scene.phases)
    alone = sum(phase.measure_s for phase in scene.phases)
    return {
        "scenario": scene.name,
        "variant": scene.variant,
        "number": number,
        "seed": int(given.get("SEED", "0")) + number,
        "arms": played,
        "virtual_s": BOOT_S + alone + len(played) * (span + ARM_S),
    }


def _expert(scene: Scene) -> bool:
    return any(phase.expert for phase in scene.phases)


def _chosen(path: Path, asked: str) -> list[str]:
    """Return the variants to play: the named ones, the first, or with "all" all."""
    known = variants(yaml.safe_load(path.read_text()))
    return known if asked == "all" else asked.split() or known[:1]


def plan(wanted: Sequence[str], given: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return all boots, first repetitions first."""
    names = given.get("ARMS", ARMS).split()
    known = {"default", "expert", *arms.DECIDERS}
    for name in names:
        if name not in known:
            arms.plugged(name)  # a clear error where there is none
    found = []
    for name in wanted or scenarios():
        path = HERE / f"{name}.yaml"
        if not path.exists():
            known_too = ", ".join(scenarios())
            raise BadScenario(f"lab: no scenario '{name}'; known: {known_too}")
        for variant in _chosen(path, given.get("VARIANT", "")):
            scene = read(path, variant)
            for number in range(1, int(given.get("N", "1")) + 1):
                found.append(boot(scene, number, names, given))
    return sorted(found, key=lambda one: int(one["number"]))


if __name__ == "__main__":
    for one in plan(sys.argv[1:], os.environ):
        print(json.dumps(one))
