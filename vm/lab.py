# SPDX-License-Identifier: MIT
"""Play the lab's plan: boot for each line, show how far it is, leave out what is done.

usage: python3 vm/lab.py PLAN
Each boot's folder is .output/lab/SCENARIO-VARIANT-NUMBER; `version` in it says of
which state of the code it is, and with which arms and seed.  Runs on the host with
the standard library alone.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TextIO

HERE = Path(__file__).resolve().parent.parent
# What a measurement depends on, besides its scenario's file: neither the tests nor
# what only reports.
MEASURED = ("agent/vagus", "bindings", "ebpf", "kmod", "vm/init.sh", "vm/run.py")
PLAYED = ("arms", "guest", "loads", "openloop", "play", "scene", "starters")
# Real seconds a virtual one takes before anything is known of this machine.
PACE = 2.2
WIDTH = 24


def version(scenario: str) -> str:
    """Return a name for the state of the code that a scenario measures."""
    played = [f"tests/scenarios/{name}.py" for name in PLAYED]
    played += [f"tests/scenarios/{scenario}.yaml", "tests/scenarios/plugged"]
    every = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    argv = [*every, "--", *MEASURED, *played]
    listed = subprocess.run(argv, capture_output=True, cwd=HERE, check=True).stdout
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.split(b"\0"))):
        path = HERE / os.fsdecode(name)
        if path.is_file():
            digest.update(name + path.read_bytes())
    return digest.hexdigest()[:16]


def about() -> dict[str, str]:
    """Return what was asked for, and of which commit; the report itself may differ."""
    git = functools.partial(subprocess.run, cwd=HERE, capture_output=True, text=True)
    commit = git(["git", "describe", "--always"], check=True).stdout.strip()
    reports = [f":!docs/results.{end}" for end in ("md", "png")]
    changed = git(["git", "diff", "--quiet", "HEAD", "--", ".", *reports]).returncode
    command = os.environ.get("LAB_COMMAND", "python3 vm/lab.py")
    return {"command": command, "commit": commit + ("-dirty" if changed else "")}


class Bar:
    """How far the plan is, and how long it still takes."""

    def __init__(self, total_s: float, out: TextIO) -> None:
        """Begin; times are virtual seconds of the plan."""
        self.total_s, self.out = max(total_s, 1.0), out
        self.done_s = self.boot_s = 0.0
        self.began = time.monotonic()

    def line(self, text: str) -> str:
        """Return the bar with what is being done."""
        reached = min(self.total_s, self.done_s + self.boot_s)
        spent = time.monotonic() - self.began
        # The pace seen so far, held together by the one assumed at the beginning.
        pace = (spent + 60 * PACE) / (reached + 60)
        left = int((self.total_s - reached) * pace)
        filled = int(WIDTH * reached / self.total_s)
        bar = "#" * filled + "." * (WIDTH - filled)
        return f"  [{bar}] {left // 60:3d}:{left % 60:02d} left  {text}"

    def show(self, text: str) -> None:
        """Show it: over the last one on a terminal, else a line of its own."""
        if self.out.isatty():
            self.out.write(f"\r\033[K{self.line(text)}")
        else:
            self.out.write(f"{self.line(text)}\n")
        self.out.flush()


def argv_of(boot: dict[str, Any], folder: Path) -> list[str]:
    """Return the command that plays one boot."""
    name = folder.name
    where = folder.relative_to(HERE)
    scenario = f"tests/scenarios/{boot['scenario']}.yaml"
    play = ["python", "tests/scenarios/play.py", scenario, boot["variant"]]
    play += [str(boot["seed"]), str(where), *boot["arms"]]
    load = "insmod .output/kmod/$(uname -r)/vagus.ko"
    run = [sys.executable, "vm/run.py", "--kernel", os.environ.get("KERNEL", "7.3")]
    run += [
        "--icount",
        "--memory",
        "3072",
        "--timeout",
        "3600",
        "--name",
        f"lab-{name}",
    ]
    return [*run, "--", "sh", "-c", f"{load} && exec {' '.join(play)}"]


def play(boot: dict[str, Any], folder: Path, bar: Bar) -> int:
    """Play one boot; return its status.  The guest's lines with an @ move the bar."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    steps = len(boot["arms"]) + 2
    bar.boot_s = 0.0
    bar.show(f"{folder.name}: booting")
    argv = argv_of(boot, folder)
    with (
        (folder / "output.log").open("w") as log,
        subprocess.Popen(argv, cwd=HERE, stdout=subprocess.PIPE, text=True) as guest,
    ):
        assert guest.stdout is not None
        for line in guest.stdout:
            log.write(line)
            if line.startswith("@ "):
                bar.boot_s += boot["virtual_s"] / steps
                bar.show(f"{folder.name}: {line[2:].strip()}")
            elif line.strip():
                bar.show(line.rstrip())
    return guest.returncode


def main(path: Path) -> int:
    """Play the plan; stop at the first boot that fails."""
    plan = [json.loads(line) for line in path.read_text().splitlines()]
    todo = []
    for boot in plan:
        now = version(boot["scenario"])
        name = f"{boot['scenario']}-{boot['variant']}-{boot['number']}"
        folder = HERE / ".output/lab" / name
        key = f"{now} {boot['seed']} {' '.join(boot['arms'])}\n"
        stamp = folder / "key"
        done = (folder / "play.json").exists() and stamp.exists()
        if not (done and stamp.read_text() == key):
            todo.append((boot, folder, now, key))
    print(f"  LAB     {len(todo)} boots to play, {len(plan) - len(todo)} done before")
    bar = Bar(sum(boot["virtual_s"] for boot, *_ in todo), sys.stderr)
    for boot, folder, now, key in todo:
        status = play(boot, folder, bar)
        if status:
            text = (folder / "output.log").read_text()[-3000:]
            print(f"\n{text}\nlab: {folder.name} failed ({status})", file=sys.stderr)
            return status
        (folder / "version").write_text(f"{now}\n")
        (folder / "about.json").write_text(json.dumps(about()) + "\n")
        (folder / "key").write_text(key)
        bar.done_s += boot["virtual_s"]
        bar.boot_s = 0.0
    if todo:
        bar.show("done\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
