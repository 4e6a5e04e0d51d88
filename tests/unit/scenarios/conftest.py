# SPDX-License-Identifier: MIT
"""Boots as play.py writes them, made of a few numbers."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).parents[2] / "scenarios"
sys.path.insert(0, str(SCENARIOS))

import measures  # noqa: E402
import scene  # noqa: E402

BEGIN, SETTLE, SPAN, RATE = 100.0, 8, 10, 150


def row(arm: str, ms: float, build_pct: float, jitter: int = 0) -> dict:
    """One arm: latencies around ms, the build at that share of the CPU."""
    count = (SETTLE + SPAN) * RATE
    requests = [
        [i / RATE, ms * (1 + ((i * 7 + jitter) % 11) / 50), int(ms < 2000)]
        for i in range(count)
    ]
    readings = []
    for second in range(SPAN + 1):
        use = {"shop": 60.0, "build": build_pct, "backup": build_pct / 2}
        of = {
            key: {"cpu_usec": int(second * pct * 1e4), "wbytes": 0, "memory_bytes": 1}
            for key, pct in use.items()
        }
        readings.append({"time_s": BEGIN + SETTLE + second, "of": of})
    return {
        "arm": arm,
        "phase": "day",
        "protected": "shop",
        "begin_s": BEGIN,
        "start_s": BEGIN + SETTLE,
        "end_s": BEGIN + SETTLE + SPAN,
        "held": 0,
        "record": "",
        "readings": readings,
        "requests": {"shop": requests},
        "work": {},
    }


def result_of(web: scene.Scene, arms: list[measures.Arm]) -> measures.Result:
    """Return the result of one day, whose noise is its own."""
    noise = measures.floors([(web, arm) for arm in arms])
    return measures.result_of(web, "day", arms, noise)


@pytest.fixture
def row_of() -> Callable[..., dict]:
    """Return row()."""
    return row


@pytest.fixture
def web() -> scene.Scene:
    """The shipped scenario."""
    return scene.read(SCENARIOS / "web.yaml", "named")


@pytest.fixture
def played(tmp_path: Path, web: scene.Scene) -> Callable[..., measures.Result]:
    """Return the result of boots: each a list of (arm, ms, share of the build)."""

    def make(*boots: list[tuple[str, float, float]]) -> measures.Result:
        folders = []
        for number, arms in enumerate(boots):
            folder = tmp_path / str(number)
            folder.mkdir()
            rows = [row(*arm, number + i) for i, arm in enumerate(arms)]
            (folder / "play.json").write_text(json.dumps({"rows": rows}))
            folders.append(folder)
        arms = measures.arms_of(web, measures.boots_of(folders))
        return result_of(web, arms)

    return make


@pytest.fixture
def stalling(tmp_path: Path, web: scene.Scene) -> Callable[..., measures.Result]:
    """Return the result of one boot in which the machine stalled at some readings."""

    def make(arms: dict[tuple[str, float, float], list[int]]) -> measures.Result:
        found = []
        for number, (arm, late) in enumerate(arms.items()):
            one = row(*arm, number)
            for index in late:
                one["readings"][index]["late_ms"] = 300.0
            found.append(measures.arm_of(web, 0, one, tmp_path))
        return result_of(web, found)

    return make
