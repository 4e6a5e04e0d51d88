# SPDX-License-Identifier: MIT
"""A process that records as fast as fifty windows a second, to be cut off.

Beside the record it notes when it handed over the last one: what is later than the
newest window in the record was lost.

usage: python writing.py RECORD NOTE
"""

import importlib.util
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]


def start(path: Path, note: Path) -> subprocess.Popen[bytes]:
    """Start it, and wait until it has handed something over."""
    note.unlink(missing_ok=True)
    env = {**os.environ, "PYTHONPATH": str(TOP / "agent")}
    argv = [sys.executable, __file__, str(path), str(note)]
    writer = subprocess.Popen(argv, env=env)
    while not note.exists() or note.stat().st_size < 8:
        assert writer.poll() is None, "the writer died"
        time.sleep(0.01)
    return writer


def last_ns(note: Path) -> int:
    """Return when the last record was handed over, wall clock."""
    (found,) = struct.unpack("=q", note.read_bytes())
    return int(found)


def waited_ns(pid: int) -> int:
    """Return how long its threads have waited for a CPU, all together.

    The second number of /proc/PID/task/TID/schedstat (scheduler/sched-stats).
    """
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[1]) for task in tasks)


def main(path: str, note: str) -> None:
    """Write the story again and again, until killed."""
    from msgspec.structs import replace

    from vagus.record.store import Recorder

    file = TOP / "tests/unit/conftest.py"
    spec = importlib.util.spec_from_file_location("story", file)
    assert spec is not None and spec.loader is not None
    story = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(story)
    recorder = Recorder(Path(path))
    descriptor = os.open(note, os.O_WRONLY | os.O_CREAT)
    tick = 0
    while True:
        tick += 1
        now = time.time_ns()
        recorder.put(replace(story.record(tick % 90 + 1), wall_ns=now))
        os.pwrite(descriptor, struct.pack("=q", now), 0)
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
