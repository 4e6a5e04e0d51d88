# SPDX-License-Identifier: MIT
"""Lenses: deeper probes on demand, each a bcc process of its own.

A lens is asked for by a person (`vagus lens`) or by a policy's SLO (the latency
of a function).  It is bounded in time and map size, and their number is bounded.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from vagus import abi
from vagus.flow import Event, Sample, SourceState
from vagus.policy.model import Policy
from vagus.policy.workload import Function
from vagus.text import escape

SCRIPT = Path(__file__).with_name("lens_bcc.py")
KINDS = ("runq", "offcpu", "biolat", "func")
PYTHON = Path("/usr/bin/python3")  # the system's: python3-bpfcc is there
BCC = Path("/usr/lib/python3/dist-packages/bcc")
SECONDS_MOST = 3600.0
RETRY_NS = 60_000_000_000  # a lens that failed or ended is started again after
NICE = 5
LINE_BYTES = 1 << 20  # a longer line is not ours


class LensOrder(msgspec.Struct, frozen=True):
    """What a lens should look at."""

    kind: str  # one of KINDS
    cgroup_id: int = 0  # 0: the whole machine
    level: int = 0  # depth of the cgroup below the root
    seconds: float = 10.0
    interval: float = 1.0
    exe: str = ""  # func only
    symbol: str = ""  # func only: a function, or usdt:BEGIN..END
    text: str = ""  # another program than the kind's own, for tests


class Line(msgspec.Struct, frozen=True):
    """One line that a lens said."""

    ready: bool = False
    counts: tuple[int, ...] = ()  # histogram so far
    sum: int = 0  # ns
    lost: int = 0
    stacks: list[dict[str, Any]] = []
    error: str = ""
    line: int = 0  # of the program's text, with error
    source: str = ""  # that line
    end: bool = False


def order_for(
    kind: str, cgroup: str, cgroup_id: int, seconds: float = 10.0, **more: Any
) -> LensOrder:
    """Make an order for a workload; ValueError for a kind that is not there."""
    if kind not in KINDS:
        raise ValueError(f"{kind} is no lens; there are {', '.join(KINDS)}")
    level = len([part for part in cgroup.split("/") if part])
    seconds = max(0.1, min(seconds, SECONDS_MOST))
    return LensOrder(kind, cgroup_id, level, seconds, **more)


class Lens:
    """One running lens; ends with its time, on close(), or with the agent."""

    def __init__(self, order: LensOrder, python: Path = PYTHON) -> None:
        """Start it; what goes wrong comes as a Line with `error`."""
        self.order = order
        self.said_error = ""
        self.seen = self.garbled = 0
        self.lost = 0  # calls and waits that it could not measure, so far
        self._rest = b""
        asked = msgspec.structs.asdict(order) | {
            "parent": os.getpid(),
            "defines": {
                "CGROUP": f"{order.cgroup_id}ULL",
                "LEVEL": order.level,
                "BUCKETS": abi.HIST_BUCKETS,
                "MIN_SHIFT": abi.HIST_MIN_SHIFT,
                "OCTAVES": abi.HIST_OCTAVES,
                "SUB_BITS": abi.HIST_SUB_BITS,
            },
        }
        if not order.text:
            del asked["text"]
        self._process = subprocess.Popen(
            ["/usr/bin/nice", "-n", str(NICE), python, "-I", SCRIPT, json.dumps(asked)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"},
        )
        assert self._process.stdout is not None
        self._fd = self._process.stdout.fileno()
        os.set_blocking(self._fd, False)

    def __enter__(self) -> Self:
        """Return self; it runs from construction on."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End it."""
        self.close()

    def fileno(self) -> int:
        """Return the descriptor on which its lines come."""
        return self._fd

    @property
    def running(self) -> bool:
        """Return whether the process still lives."""
        return self._process.poll() is None

    def lines(self) -> list[Line]:
        """Return what it said since the last call; a garbled line is counted."""
        ended = not self.running
        found: list[Line] = []
        while True:
            try:
                chunk = os.read(self._fd, 65536)
            except BlockingIOError:
                break
            if not chunk:
                break
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            found += [line for text in whole if (line := self._parse(text))]
            if len(self._rest) > LINE_BYTES:
                self._rest = b""
                self.garbled += 1
        if ended and not self.said_error and self._process.returncode not in (0, -9):
            self.said_error = _ending(self._process.returncode)
            found.append(Line(error=self.said_error))
        return found

    def close(self) -> None:
        """End it now; a second call does nothing."""
        if self.running:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None and not self._process.stdout.closed:
            self._process.stdout.close()

    def _parse(self, text: bytes) -> Line | None:
        """Read one line; None where it is none of ours."""
        try:
            line = msgspec.json.decode(text, type=Line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.garbled += 1
            return None
        if line.counts and len(line.counts) != abi.HIST_BUCKETS:
            self.garbled += 1
            return None
        self.seen += 1
        self.lost = max(self.lost, line.lost)
        if line.error:
            where = f" (line {line.line}: {line.source})" if line.line else ""
            self.said_error = escape(line.error + where, 600)
        return line


class LensSensor:
    """The lenses that a policy's SLOs ask for; owns their processes."""

    name = "lens"

    def __init__(
        self,
        policy: Policy,
        python: Path = PYTHON,
        most: int = 4,
        seconds: float = SECONDS_MOST,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Start nothing yet; at most `most` lenses run at a time."""
        self._policy = policy
        self._python = python
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._lenses: dict[str, tuple[int, Lens]] = {}  # name -> (cgroup id, lens)
        self._retry: dict[str, int] = {}  # name -> not before, ns
        self._errors: dict[str, str] = {}
        self._events: list[Event] = []
        self._workloads: dict[str, tuple[str, int]] = {}
        self._seen = self._lost = 0

    def follow(self, workloads: Mapping[str, tuple[str, int]]) -> None:
        """Watch these workloads: name -> (cgroup path, cgroup id)."""
        self._workloads = dict(workloads)
        for name, (id_, _) in tuple(self._lenses.items()):
            if name not in workloads or workloads[name][1] != id_:
                self._drop(name)
        self._errors = {k: v for k, v in self._errors.items() if k in workloads}
        self._start()

    def set_policy(self, policy: Policy) -> None:
        """End the lenses of SLOs that changed; start the new ones."""
        for name in tuple(self._lenses):
            if _function(policy, name) != _function(self._policy, name):
                self._drop(name)
        self._policy = policy
        self._errors.clear()
        self._retry.clear()
        self._start()

    def read(self) -> list[Sample]:
        """Return the latency histogram of each SLO's function."""
        now = self._clock()
        samples = []
        for name, (_, lens) in tuple(self._lenses.items()):
            lines = lens.lines()
            self._seen += len(lines)
            told = [line for line in lines if line.counts]
            if told:
                last = told[-1]
                samples.append(_sample(name, last, now))
            if not lens.running:
                self._end(name, lens, now)
        self._start()
        return samples

    def events(self) -> list[Event]:
        """Return lenses that failed since the last call."""
        events, self._events = self._events, []
        return events

    def state(self) -> SourceState:
        """Return lines read, what was not measured; missing names lenses that fail."""
        text = "; ".join(f"{name}: {why}" for name, why in self._errors.items())
        running = sum(lens.lost + lens.garbled for _, lens in self._lenses.values())
        return SourceState(self._seen, self._lost + running, text)

    def fileno(self) -> int:
        """Return -1: read once a tick."""
        return -1

    def close(self) -> None:
        """End every lens."""
        for name in tuple(self._lenses):
            self._drop(name)

    def _start(self) -> None:
        """Start the lenses that are wanted and not running."""
        now = self._clock()
        for name, (cgroup, id_) in self._workloads.items():
            function = _function(self._policy, name)
            if function is None or name in self._lenses:
                continue
            if now < self._retry.get(name, 0):
                continue
            if why := self._impossible():
                self._errors[name] = why
                continue
            order = order_for(
                "func",
                cgroup,
                id_,
                self._seconds,
                exe=function.exe,
                symbol=function.symbol,
            )
            self._lenses[name] = (id_, Lens(order, self._python))
            self._errors.pop(name, None)

    def _impossible(self) -> str:
        """Return why no lens can be started now; empty where one can."""
        if len(self._lenses) >= self._most:
            return f"{self._most} lenses run already, and no more may at a time"
        return _impossible(self._python)

    def _drop(self, name: str) -> None:
        """End a lens; what it lost stays counted."""
        _, lens = self._lenses.pop(name)
        self._lost += lens.lost + lens.garbled
        lens.close()

    def _end(self, name: str, lens: Lens, now: int) -> None:
        """Take a lens that ended out, and note why."""
        if lens.said_error:
            self._errors[name] = lens.said_error
            self._retry[name] = now + RETRY_NS
            text = lens.said_error
            event = Event(now, "lens", "lens", name, 0, 0, 0, "", 0.0, "", text)
            self._events.append(event)
        self._drop(name)


def _function(policy: Policy, name: str) -> Function | None:
    """Return the function whose latency a workload's SLO is about."""
    entry = policy.workloads.get(name)
    return entry.slo.function if entry and entry.slo else None


def _sample(name: str, line: Line, now: int) -> Sample:
    value = float(line.sum)
    return Sample("lens", name, "slo_ns", "histogram", now, value, line.counts)


def _impossible(python: Path) -> str:
    """Return why no lens can run here; empty where one can."""
    if not python.exists():
        return f"{python} is not there: install python3"
    if python == PYTHON and not BCC.exists():
        return "bcc is not installed: apt install python3-bpfcc"
    return ""


def _ending(status: int) -> str:
    """Say how a lens ended that should not have."""
    if status < 0:
        return f"the lens was ended by signal {-status}"
    return f"the lens ended with status {status} and no word"
