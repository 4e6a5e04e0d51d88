# SPDX-License-Identifier: MIT
"""Run the parts of a test tier side by side and show how far each is.

usage: python3 vm/abreast.py NAME 'COMMAND' [NAME 'COMMAND' ...]
Each part's output goes to .output/test/NAME.log; of one that fails it is shown
whole at the end.  The status is 1 where any part failed.  Most tests in the guest
wait more than they work, so that three parts take little longer than the longest.
Runs on the host with the standard library alone.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TextIO

HERE = Path(__file__).resolve().parent.parent
FOLDER = HERE / ".output/test"
# pytest's line of dots ends with how far it is.
PERCENT = re.compile(r"\[ *(\d+)%\]")
COUNTS = re.compile(r"^=*\s*\d+ \w+.* in [\d.]+s")
COLOUR = re.compile(r"\x1b\[[\d;]*m")
# A terminal is kept fresh; a log file gets a line now and then.
FRESH_S, SELDOM_S = 1.0, 60.0


@dataclass
class Part:
    """One command, its log and when it ended."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    began: float = field(default_factory=time.monotonic)
    took_s: float = 0.0

    def state(self) -> str:
        """Return how far it is, in a few characters."""
        if self.process.poll() is not None:
            return "done" if self.process.returncode == 0 else "FAILED"
        found = PERCENT.findall(self.log.read_text(errors="replace"))
        return f"{found[-1]} %" if found else "..."

    def closing(self) -> str:
        """Return the last line that counts tests, or else the last one written."""
        text = COLOUR.sub("", self.log.read_text(errors="replace"))
        lines = text.strip().splitlines() or ["wrote nothing"]
        counts = [line for line in lines if COUNTS.search(line)]
        return (counts or lines)[-1].strip("= ")


def start(name: str, command: str) -> Part:
    """Start a part in a process group of its own."""
    log = FOLDER / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=HERE,
        )
    return Part(name, process, log)


def watch(parts: list[Part], out: TextIO) -> None:
    """Show all parts until the last has ended."""
    began = shown = time.monotonic()
    while any(part.took_s == 0.0 for part in parts):
        time.sleep(0.2)
        now = time.monotonic()
        for part in parts:
            if part.took_s == 0.0 and part.process.poll() is not None:
                part.took_s = now - part.began
                tell(out, f"{part.name}: {part.state()}, {part.closing()}", "\n")
        if now - shown >= (FRESH_S if out.isatty() else SELDOM_S):
            shown = now
            states = ", ".join(f"{p.name} {p.state()}" for p in parts)
            line = f"{states} ({minutes(now - began)})"
            tell(out, line, "" if out.isatty() else "\n")
    tell(out, "", "")


def tell(out: TextIO, text: str, end: str) -> None:
    """Write a line, over the one that was there on a terminal."""
    clear = "\r\033[K" if out.isatty() else ""
    out.write(f"{clear}  TEST    {text}{end}" if text else clear)
    out.flush()


def minutes(seconds: float) -> str:
    """Return a time as people read it."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def end(parts: list[Part]) -> None:
    """End what still runs, with its children."""
    for part in parts:
        if part.process.poll() is None:
            os.killpg(part.process.pid, signal.SIGTERM)
            part.process.wait()


def stop(*_: object) -> NoReturn:
    """Turn a signal into an exit, so that nothing is left behind."""
    sys.exit(143)


def main(argv: list[str]) -> int:
    """Run all parts; show what failed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, stop)
    parts: list[Part] = []
    try:
        for name, command in zip(argv[::2], argv[1::2], strict=True):
            parts.append(start(name, command))
        watch(parts, sys.stdout)
    finally:
        end(parts)
    failed = [part for part in parts if part.process.returncode != 0]
    for part in failed:
        print(f"\n---- {part.name} failed ({part.process.returncode}): {part.log} ----")
        print(part.log.read_text(errors="replace"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
