# SPDX-License-Identifier: MIT
"""Changing load for minutes: nothing flaps, drifts or grows."""

import itertools
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import pytest
from tests.vm.judgelab import Scene

from vagus.flow import Record

pytestmark = [pytest.mark.needs("kmod"), pytest.mark.soak, pytest.mark.timeout(3600)]
PHASE_S = 15


def flips(records: list[Record]) -> dict[str, list[int]]:
    """Return when each knob changed direction, by path, in ns."""
    values: dict[str, list[tuple[int, float]]] = defaultdict(list)
    paths: dict[int, tuple[str, str]] = {}
    for record in records:
        for lease in record.granted:
            path = lease.setting.path.rsplit("/", 1)[0]
            paths[lease.id] = (path, lease.old)
            idle = lease.setting.knob == "cpu.idle"
            value = 0.0 if idle else float(lease.value.split()[0])
            values[path].append((lease.granted_ns, value))
        for end in record.ended:
            if end.id in paths:
                path, _ = paths[end.id]
                values[path].append((end.time_ns, 100.0))
    found: dict[str, list[int]] = {}
    for path, seen in values.items():
        seen.sort()
        steps = [
            (when, after - before)
            for (_, before), (when, after) in zip(
                [(0, 100.0), *seen], seen, strict=False
            )
            if after != before
        ]
        found[path] = [
            when
            for (_, before), (when, after) in itertools.pairwise(steps)
            if before * after < 0
        ]
    return found


def test_changing_load_neither_flaps_nor_drifts_nor_grows(
    scene: Scene, scaled, tmp_path: Path
):
    scene.begin("rules")
    scene.more(8)
    before = {name: scene.knob(f"{name}/cpu.weight") for name in ("shop", "build")}
    end = time.monotonic() + 30 * scaled(1)
    while time.monotonic() < end:
        scene.hogs(2)
        time.sleep(PHASE_S)
        for hog in scene.others[1:]:
            hog.kill()
            hog.wait()
        del scene.others[1:]
        time.sleep(PHASE_S)
    scene.wait(
        lambda: {n: scene.knob(f"{n}/cpu.weight") for n in before} == before, 180
    )
    records = scene.records()
    for path, times in flips(records).items():
        worst = max(
            (sum(0 <= t - start < 60e9 for t in times) for start in times), default=0
        )
        assert worst <= 2, f"{path}: {worst} flips within a minute"
    sizes = [r.cost.rss_bytes for r in records if r.cost]
    third = len(sizes) // 3
    growth = median(sizes[-third:]) - median(sizes[third : 2 * third])
    assert growth < 4 << 20, f"the agent grew by {growth} bytes"
    assert scene.knob("build/cpu.idle") == "0"
