# SPDX-License-Identifier: MIT
"""What the agent and its engine use, window by window."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from vagus.flow import Cost

NS = 1_000_000_000
TICKS_PER_S, PAGE_BYTES = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


class CostMeter:
    """Reads CPU time and memory of the agent and of the engine's process."""

    def __init__(
        self,
        engine_pid: Callable[[], int],
        proc: Path = Path("/proc"),
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Begin now; `engine_pid` returns 0 where no engine runs."""
        self._proc, self._clock, self._engine_pid = proc, clock, engine_pid
        self._last_ns = clock()
        self._own_s = _used(proc, os.getpid())[0]
        self._engine: tuple[int, float] = (0, 0.0)

    def read(self) -> Cost:
        """Return shares of one CPU since the last call, and resident bytes."""
        now = self._clock()
        seconds = max(1, now - self._last_ns) / NS
        self._last_ns = now
        own_s, own_bytes = _used(self._proc, os.getpid())
        own_pct = 100 * (own_s - self._own_s) / seconds
        self._own_s = own_s
        pid = self._engine_pid()
        engine_s, engine_bytes = _used(self._proc, pid) if pid > 0 else (0.0, 0)
        # A new process counts from its own beginning.
        before = self._engine[1] if self._engine[0] == pid else 0.0
        self._engine = (pid, engine_s)
        engine_pct = 100 * max(0.0, engine_s - before) / seconds
        return Cost(own_pct, own_bytes, engine_pct, engine_bytes)


def _used(proc: Path, pid: int) -> tuple[float, int]:
    """Return (CPU seconds so far, resident bytes) of a process; zeroes if gone.

    /proc/PID/stat counts in ticks of 10 ms: one window is coarse, many are exact.
    """
    try:
        with open(f"{proc}/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read(1024).rsplit(b")", 1)[1].split()
    except (OSError, IndexError):
        return 0.0, 0
    ticks = int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_S, int(fields[21]) * PAGE_BYTES
