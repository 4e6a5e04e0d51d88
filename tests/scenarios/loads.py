# SPDX-License-Identifier: MIT
"""The load on a server, and what became of each of its requests.

Every load is open-loop: latency counts from when a request was due.  All of them
run real-time, so that they measure and do not suffer, and outside of what the
deciders may touch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).parent))
import guest
from starters import Service

Row = tuple[float, float, bool]  # due (CLOCK_MONOTONIC, s), latency (ms), answered
# A generator that gives fewer than this share of what was due is dead or stuck.
ALIVE = 0.8
TIMEOUT_S = 2.0


class DeadLoad(RuntimeError):
    """The load generator did not make the load; nothing that follows means anything."""


class Load(Protocol):
    """One load that runs from its making until stop()."""

    rate: float

    def rows(self, start_s: float, end_s: float) -> list[Row]:
        """Return what was due in the span; the load must have ended or moved on."""

    def late_ms(self, start_s: float, end_s: float) -> float:
        """Return by how much it fell behind its own schedule in the span, at worst."""

    def stop(self) -> None:
        """End it."""


def alive(rows: Sequence[Row], rate: float, seconds: float, what: str) -> None:
    """Raise where a generator gave too little for what it should have sent."""
    due = rate * seconds
    if len(rows) < ALIVE * due:
        raise DeadLoad(
            f"the load on {what} gave {len(rows)} of {due:.0f} requests that were due:"
            " the load generator died or could not keep up"
        )


def options_of(service: Service, seed: int) -> list[str]:
    """Return openloop's options for a server."""
    load = service.load or {}
    options = ["--seed", str(seed), "--timeout", str(TIMEOUT_S)]
    if service.start == "redis":
        port, keys = service.options.get("port", 6379), service.options["keys"]
        return [*options, "--protocol", "resp", "--port", str(port), f"--keys={keys}"]
    port = str(service.options.get("port", 8080))
    return [*options, "--port", port, "--path", load.get("path", "/page.txt")]


class Pgbench:
    """pgbench at a steady rate; its latency counts from the schedule."""

    def __init__(self, service: Service, seconds: float, seed: int) -> None:
        load = service.load or {}
        self.rate = float(load["rate"])
        self.name = f"client-{service.key}"
        self.folder = guest.WORK / self.name
        guest.run("rm", "-rf", str(self.folder))
        self.folder.mkdir(mode=0o777)
        self.folder.chmod(0o777)
        # pgbench's log has the wall clock's times.
        self.offset_s = time.time() - time.monotonic()
        binary = max(Path("/usr/lib/postgresql").iterdir()) / "bin/pgbench"
        self.end_s = time.monotonic() + seconds
        argv = [str(binary), "-n", "-R", str(self.rate), "-T", str(int(seconds))]
        argv += ["-c", str(load.get("clients", 8)), "--log", "--random-seed"]
        argv += [str(seed), "--log-prefix", str(self.folder / "log")]
        argv += ["-b", load.get("script", "simple-update"), "postgres"]
        guest.start(
            self.name, "Load generator", argv, User="postgres", **guest.REAL_TIME
        )

    def rows(self, start_s: float, end_s: float) -> list[Row]:
        """Return the transactions due in the span; waits until pgbench has ended."""
        left = self.end_s + 10 - time.monotonic()
        guest.wait_for(self._ended, f"{self.name} does not end", max(1.0, left))
        texts = [log.read_text() for log in self.folder.glob("log*")]
        rows = pgbench_rows("".join(texts), self.offset_s, self.end_s, self.rate)
        return [row for row in rows if start_s <= row[0] < end_s]

    def late_ms(self, start_s: float, end_s: float) -> float:
        """Return 0: the log cannot tell a late pgbench from one that waits for us."""
        del start_s, end_s
        return 0.0

    def _ended(self) -> bool:
        shown = guest.run("systemctl", "show", "-P", "ActiveState", self.name)
        return shown.strip() in ("inactive", "failed")

    def stop(self) -> None:
        """End it."""
        guest.stop(self.name)


def pgbench_rows(text: str, offset_s: float, end_s: float, rate: float) -> list[Row]:
    """Read a pgbench log with a rate: "client n latency_us script epoch us lag_us".

    What was due but never sent since the clients were all stuck at the end has no
    line; it counts with the time that it had waited by then.
    """
    rows: list[Row] = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 6 or not fields[2].isdigit():
            continue
        latency_s = int(fields[2]) / 1e6
        done_s = int(fields[4]) + int(fields[5]) / 1e6 - offset_s
        rows.append((done_s - latency_s, latency_s * 1e3, True))
    rows.sort()
    last_s = rows[-1][0] if rows else end_s
    # One gap in a Poisson schedule is rarely over ten times the mean.
    while rows and last_s + 10 / rate < end_s:
        last_s += 1 / rate
        rows.append((last_s, (end_s - last_s) * 1e3, False))
    return rows


def begin(service: Service, rate: float, seconds: float, seed: int) -> Load:
    """Begin the load on a server."""
    if service.start == "postgres":
        return Pgbench(service, seconds, seed)
    name = f"client-{service.key}"
    return guest.Client(rate, seconds, name, options_of(service, seed))


def rate_of(service: Service, seed: int) -> float:
    """Return the requests a second that the scenario asks for: a rate, or a share."""
    load = service.load or {}
    if "rate" in load:
        return float(load["rate"])
    found, _ = guest.calibrate(load["share"], service.unit, options_of(service, seed))
    return found
