# SPDX-License-Identifier: MIT
"""The arms that are compared: default, expert, the agent with each decider.

An arm is a context manager that gives a function; the lab calls it at the
beginning of each phase, when that phase's programs run.  Another arm plugs in as
a file, tests/scenarios/plugged/NAME.py with a function enter(play).
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vagus.cli.client import Client
from vagus.errors import RecordError
from vagus.record.read import Reader

sys.path.insert(0, str(Path(__file__).parent))
import guest
from scene import Phase, Scene

DECIDERS = ("llm", "rules", "bandit", "random", "none")
PLUGGED = Path(__file__).parent / "plugged"
# An agent has been running for long when trouble comes: before the neighbours do, it
# has loaded its model, seen windows and learned what the servers are for.
CALM_PCT = 10.0  # of the CPU, over each of these seconds
CALM_S = 3
# Quiet alone says nothing: while the agent waits for the host's disk, the emulated
# clock runs on.
WINDOWS = 6
WARM_S = 120.0
Turn = Callable[[int, Phase], None]


@dataclass
class Play:
    """What an arm may know of the boot that it is played in."""

    scene: Scene
    seed: int
    out: Path  # folder for what is kept
    fresh: dict[str, str] = field(default_factory=dict)  # knob file -> untouched text
    played: dict[str, int] = field(default_factory=dict)  # arm -> how often
    record: str = ""  # file name of the last agent's record


def policy(scene: Scene, decider: str) -> dict[str, Any]:
    """Return the policy of one arm; what the variant hides is not in it."""
    text: dict[str, Any] = {
        "version": 1,
        "mode": "enforce",
        "decider": decider,
        "objective": scene.phases[0].objective,
        # The emulated CPU is some ten times slower than a real one.
        "model": {"deadline": "20s", "cpu": "60%"},
        # The lab itself is nobody's neighbour.
        "never_touch": [
            *("client*.service", "vagus-guest.service"),
            *("ssh.service", "init.scope"),
        ],
    }
    if "workloads" not in scene.hidden:
        text["workloads"] = {
            service.key: {"match": {"unit": f"{service.unit}.service"}}
            | ({"role": service.role} if service.role else {})
            for service in scene.services.values()
        }
    return text


@contextlib.contextmanager
def nothing(play: Play) -> Iterator[Turn]:
    """Leave the kernel's defaults."""
    del play
    yield lambda number, phase: None


@contextlib.contextmanager
def expert(play: Play) -> Iterator[Turn]:
    """Hold what somebody who knows the roles would set by hand."""
    written: set[Path] = set()

    def turn(number: int, phase: Phase) -> None:
        del number
        for key, settings in phase.expert.items():
            unit = play.scene.services[key].unit
            for name, value in settings.items():
                path = guest.group(unit) / name
                path.write_text(str(value))
                written.add(path)

    try:
        yield turn
    finally:
        for path in written:
            path.write_text(play.fresh[str(path)])


@contextlib.contextmanager
def agent(play: Play, decider: str) -> Iterator[Turn]:
    """Run the agent with one decider; its record is kept."""
    play.record = f"{decider}-{play.played.get(decider, 0)}.db"
    play.played[decider] = play.played.get(decider, 0) + 1
    record, file = guest.WORK / play.record, guest.WORK / f"policy-{decider}.yaml"
    file.write_text(yaml.safe_dump(policy(play.scene, decider)))
    argv = ["/opt/venv/bin/vagus", "run", "--policy", str(file)]
    argv += ["--record", str(record)]
    socket = Path("/run/vagus/socket")
    socket.unlink(missing_ok=True)
    environment = f"VAGUS_SEED={play.seed}"
    guest.start("vagus", "Vagus", argv, Delegate="yes", Environment=environment)

    def turn(number: int, phase: Phase) -> None:
        if number:
            # As `vagus say --yes`, whose Python would begin among the neighbours and
            # take 5 s of what is measured.
            with Client(socket) as client:
                client.order("say", {"sentence": phase.objective, "span": "1h"})

    try:
        guest.wait_for(socket.exists, f"the agent did not start: {journal()}")
        calm(record, reads=decider == "llm")
        yield turn
        alive()
    finally:
        guest.run("systemctl", "stop", "vagus")
        subprocess.run(["systemctl", "reset-failed", "vagus"], capture_output=True)
        for path in guest.WORK.glob(f"{record.name}*"):
            shutil.copy(path, play.out / path.name)


def calm(record: Path, reads: bool) -> None:
    """Wait until the agent works, and has nothing to do but to watch.

    One that reads has learned by then what the servers are for: a model that is
    still being loaded uses no CPU either.
    """
    folder, end = guest.group("vagus"), time.monotonic() + WARM_S
    quiet = 0
    while quiet < CALM_S or not warm(record, reads):
        before = guest.cpu_usec(folder)
        time.sleep(1)
        is_calm = (guest.cpu_usec(folder) - before) / 1e4 < CALM_PCT
        quiet = quiet + 1 if is_calm and warm(record, reads) else 0
        if time.monotonic() > end:
            raise RuntimeError(f"the agent does not come to rest: {journal()}")


def warm(record: Path, reads: bool) -> bool:
    """Tell whether the agent has seen windows, and its model has answered."""
    try:
        with Reader(record) as reader:
            last = reader.latest()
    except (RecordError, sqlite3.Error):  # there is none yet
        return False
    if last is None or last.id < WINDOWS:
        return False
    return not reads or last.counters.get("model.calls", 0) > 0


def journal() -> str:
    """Return the agent's last words."""
    return guest.run("journalctl", "--no-pager", "-n", "20", "-u", "vagus")


def alive() -> None:
    """Raise where the agent has died: what was measured was not its doing."""
    state = guest.run("systemctl", "show", "-P", "ActiveState", "vagus").strip()
    if state != "active":
        raise RuntimeError(f"the agent died while it was measured: {journal()}")


def enter(name: str, play: Play) -> contextlib.AbstractContextManager[Turn]:
    """Return what must be entered to be in an arm."""
    if name == "default":
        return nothing(play)
    if name == "expert":
        return expert(play)
    if name in DECIDERS:
        return agent(play, name)
    return plugged(name)(play)


def plugged(name: str) -> Callable[[Play], contextlib.AbstractContextManager[Turn]]:
    """Load an arm from its file; a clear error where there is none."""
    path = PLUGGED / f"{name}.py"
    if not path.exists():
        files = sorted(file.stem for file in PLUGGED.glob("*.py"))
        known = ", ".join(["default", "expert", *DECIDERS, *files])
        raise SystemExit(f"lab: there is no arm '{name}'; known: {known}")
    spec = importlib.util.spec_from_file_location(f"plugged_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[Play], contextlib.AbstractContextManager[Turn]] = module.enter
    return found
