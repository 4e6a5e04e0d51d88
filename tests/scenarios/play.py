# SPDX-License-Identifier: MIT
"""The lab's part inside the guest: play a scenario's arms in order, keep all of it.

usage: python play.py SCENARIO.yaml VARIANT SEED OUT_FOLDER ARM [ARM ...]
Writes OUT_FOLDER/play.json with every request, and each agent's record beside it;
what they mean is report.py's affair.  Every arm begins on a quiet machine: the
arm, then the load, then the neighbours.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import arms
import guest
import loads
import openloop
import starters
from scene import Phase, Scene, read

LEAD_S = 2.0  # of load before the neighbours come
TAIL_S = loads.TIMEOUT_S + 0.2  # the last requests are answered or time out
BEAT_S = 0.02
MARGIN_S = 8.0  # for starting neighbours on a slow machine
PACKAGES = (
    *("nginx-light", "redis-server", "postgresql", "fio", "restic", "gcc"),
    *("systemd", "python3"),
)


def say(text: str) -> None:
    """Print a line at once; the host's progress bar counts those with an @."""
    print(text, flush=True)


def prepare(play: arms.Play) -> None:
    """Start the servers; note every knob as it is when nobody has touched it."""
    guest.WORK.mkdir(parents=True, exist_ok=True)
    scene = play.scene
    for key, value in scene.slice.items():
        guest.run("systemctl", "start", "lab.slice")
        guest.run(
            "systemctl", "set-property", "--runtime", "lab.slice", f"{key}={value}"
        )
    for service in scene.services.values():
        starters.start(service)
    play.fresh = {}
    for folder in folders(scene):
        for name in guest.KNOBS:
            with contextlib.suppress(OSError):
                play.fresh[str(folder / name)] = (folder / name).read_text()
    guest.stop(*(s.unit for s in scene.services.values() if not s.load))


def folders(scene: Scene) -> list[Path]:
    """Return the cgroups of all services and of those above them."""
    found: dict[Path, None] = {}
    for unit in scene.units():
        folder = guest.group(unit)
        while folder != guest.CGROUPS:
            found[folder] = None
            folder = folder.parent
    return list(found)


def changed(play: arms.Play) -> list[str]:
    """Return the knobs that are not as nobody had touched them."""
    found = []
    for path, text in play.fresh.items():
        with contextlib.suppress(OSError):  # a neighbour that has ended
            if Path(path).read_text() != text:
                found.append(path)
    return found


def begin_neighbours(scene: Scene, phase: Phase) -> None:
    """Start the phase's neighbours that have no load; stop the others."""
    for service in scene.services.values():
        if service.load:
            continue
        if service.key in phase.neighbours:
            if not running(service.unit):
                starters.start(service)
        else:
            guest.stop(service.unit)


def running(unit: str) -> bool:
    """Tell whether a unit is active."""
    done = subprocess.run(["systemctl", "is-active", "-q", unit])
    return done.returncode == 0


def reading(play: arms.Play, phase: Phase) -> dict[str, Any]:
    """Return the counters of every service in the phase, and of the agent."""
    scene, found = play.scene, {}
    for key in (phase.protected, *phase.neighbours):
        folder = guest.group(scene.services[key].unit)
        found[key] = counters(folder)
    if play.record:
        found["vagus"] = counters(guest.CGROUPS / "system.slice/vagus.service")
    return {"time_s": time.monotonic(), "of": found}


def counters(folder: Path) -> dict[str, int]:
    """Return CPU time, bytes written and memory of a cgroup so far."""
    written = 0
    with contextlib.suppress(OSError):
        for word in (folder / "io.stat").read_text().split():
            if word.startswith("wbytes="):
                written += int(word.removeprefix("wbytes="))
    memory = int((folder / "memory.current").read_text())
    cpu = guest.cpu_usec(folder)
    return {"cpu_usec": cpu, "wbytes": written, "memory_bytes": memory}


def watch(play: arms.Play, phase: Phase) -> list[dict[str, Any]]:
    """Read the counters each second over the measured span.

    In between a heartbeat says how late this real-time task was woken: that is the
    emulated machine's doing, never an arm's.
    """
    begin, found = time.monotonic(), [reading(play, phase)]
    for number in range(1, int(phase.measure_s) + 1):
        late_s = beat(begin + number)
        found.append(reading(play, phase) | {"late_ms": round(late_s * 1e3, 1)})
    return found


def beat(end_s: float) -> float:
    """Sleep until then in short steps; return by how much the worst was late."""
    worst = 0.0
    while (now := time.monotonic()) < end_s:
        due = min(now + BEAT_S, end_s)
        time.sleep(due - now)
        worst = max(worst, time.monotonic() - due)
    return worst


def blank(arm: str, phase: Phase, begin_s: float) -> dict[str, Any]:
    """Return the head of a row."""
    head: dict[str, Any] = {"arm": arm, "phase": phase.name, "begin_s": begin_s}
    return head | {"protected": phase.protected, "held": 0, "record": ""}


def play_arm(
    play: arms.Play, name: str, rates: dict[str, float]
) -> list[dict[str, Any]]:
    """Play all phases in one arm; return a row for each."""
    scene = play.scene
    play.record = ""
    starters.renew(scene.services.values())
    servers = {s.key: s for phase in scene.phases for s in scene.loaded(phase)}
    spans = sum(phase.settle_s + phase.measure_s for phase in scene.phases)
    length_s = LEAD_S + spans + TAIL_S + MARGIN_S * len(scene.phases)
    rows, running_loads = [], {}
    try:
        with arms.enter(name, play) as turn:
            for key, service in servers.items():
                running_loads[key] = loads.begin(
                    service, rates[key], length_s, play.seed
                )
            time.sleep(LEAD_S)
            for number, phase in enumerate(scene.phases):
                begin = time.monotonic()  # what is written from here on counts
                begin_neighbours(scene, phase)
                turn(number, phase)
                late_s = beat(time.monotonic() + phase.settle_s)
                seen = watch(play, phase)
                seen[0]["late_ms"] = round(late_s * 1e3, 1)
                row = blank(name, phase, begin) | {"readings": seen}
                rows.append(row | {"held": len(changed(play))})
            time.sleep(TAIL_S)
    finally:
        guest.stop(*(s.unit for s in scene.services.values() if not s.load))
    for row, phase in zip(rows, scene.phases, strict=True):
        row["record"] = play.record
        row |= outcome(play, phase, row, running_loads)
    for load in running_loads.values():
        load.stop()
    left = changed(play)
    if left:
        raise RuntimeError(f"{name} left knobs changed: {', '.join(left)}")
    return rows


def outcome(
    play: arms.Play, phase: Phase, row: dict[str, Any], running: dict[str, Any]
) -> dict[str, Any]:
    """Return every request of a phase and the work that was done in it."""
    start_s, end_s = row["readings"][0]["time_s"], row["readings"][-1]["time_s"]
    requests, work = {}, {}
    for service in play.scene.loaded(phase):
        load = running[service.key]
        found = load.rows(row["begin_s"], end_s)
        loads.alive(found, load.rate, end_s - row["begin_s"], service.key)
        requests[service.key] = [
            [round(due - row["begin_s"], 3), round(ms, 3), int(ok)]
            for due, ms, ok in sorted(found)
        ]
    for one, other in itertools.pairwise(row["readings"]):
        late = running[phase.protected].late_ms(one["time_s"], other["time_s"])
        other["late_ms"] = max(other["late_ms"], round(late, 1))
    for key in phase.neighbours:
        service = play.scene.services[key]
        if not service.load:
            work[key] = guest.done_times(service.log.name, start_s, end_s)
    return {"start_s": start_s, "end_s": end_s, "requests": requests, "work": work}


def play_alone(
    play: arms.Play, phase: Phase, rates: dict[str, float]
) -> dict[str, Any]:
    """Measure a phase's protected service without anybody beside it."""
    service = play.scene.services[phase.protected]
    play.record = ""
    length_s = LEAD_S + phase.measure_s + TAIL_S
    load = loads.begin(service, rates[service.key], length_s, play.seed)
    time.sleep(LEAD_S)
    quiet = Phase(phase.name, "", phase.protected, (), 0.0, phase.measure_s, {})
    begin = time.monotonic()
    row = blank("alone", phase, begin) | {"readings": watch(play, quiet)}
    time.sleep(TAIL_S)
    row |= outcome(play, quiet, row, {service.key: load})
    load.stop()
    return row


def versions() -> dict[str, str]:
    """Return the versions of what is measured, as the guest has them."""
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *PACKAGES],
        capture_output=True,
        text=True,
    ).stdout
    return dict(line.split() for line in shown.splitlines())


def steady() -> None:
    """Let this script read its counters on time; what it starts is ordinary."""
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    os.sched_setscheduler(0, policy, os.sched_param(5))
    openloop.small_pages()


def main(argv: Sequence[str]) -> None:
    """Play what the command line names."""
    path, variant, seed, out, *names = argv
    scene = read(Path(path), variant)
    play = arms.Play(scene, int(seed), Path(out))
    play.out.mkdir(parents=True, exist_ok=True)
    steady()
    say("@ booted")
    prepare(play)
    servers = {s.key: s for phase in scene.phases for s in scene.loaded(phase)}
    rates = {key: loads.rate_of(s, play.seed) for key, s in servers.items()}
    rows = [play_alone(play, phase, rates) for phase in scene.phases]
    say("@ alone")
    for name in names:
        begin = time.monotonic()
        rows += play_arm(play, name, rates)
        say(f"@ {name} ({time.monotonic() - begin:.0f} s of virtual time)")
    guest.stop(*scene.units())
    result: dict[str, Any] = {"scenario": scene.name, "variant": variant}
    result |= {
        "seed": play.seed,
        "kernel": os.uname().release,
        "versions": versions(),
        "arms": names,
    }
    result |= {"rates": rates, "rows": rows}
    partial = play.out / "play.json.part"
    partial.write_text(json.dumps(result) + "\n")
    partial.rename(play.out / "play.json")


if __name__ == "__main__":
    main(sys.argv[1:])
