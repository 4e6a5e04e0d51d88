# SPDX-License-Identifier: MIT
"""What sensing costs the agent, natively, and what is asked of every figure.

usage: bench_sense.py.  Adds its numbers to .output/bench/sense.json; needs no root:
a fake tree of cgroups.  It runs bench_agent.py, a whole agent; bench_sense_guest.py
and bench_drain.py measure the rest in the guest.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from vagus.flow import SourceState
from vagus.policy.model import Policy
from vagus.sense.cgroup import CgroupSensor
from vagus.sense.discover import Discovery
from vagus.sense.psi import PsiSensor
from vagus.window import Windower

OUT = Path(__file__).parent.parent.parent / ".output/bench/sense.json"
SIZES = (10, 100, 1000, 4000)
BUSY = 10
WINDOWS = 30
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\n"


INFINITE = float("inf")


class Aim(NamedTuple):
    """What is asked of one figure."""

    key: str  # under which it is published
    said: str
    figure: Callable[[Any], float]
    least: float
    most: float

    def line(self, published: Any) -> str:
        """Return the figure beside what is asked, and whether that is met."""
        value = self.figure(published)
        verdict = "met" if self.least <= value <= self.most else "NOT MET"
        bound = f"at most {self.most:g}"
        if self.most == INFINITE:
            bound = f"at least {self.least:g}"
        return f"  {verdict:8} {self.said}: {value:,.2f} ({bound})"


AIMS = (
    Aim("overhead_pct", "cost to others, %", float, -INFINITE, 1),
    Aim(
        "agent_phases",
        "agent idle, nothing held, % of a core",
        lambda a: a["watching"]["cpu_pct"],
        0,
        1,
    ),
    Aim(
        "agent",
        "agent idle, two stances held, % of a core",
        lambda a: a["idle_cpu_pct"],
        0,
        1,
    ),
    Aim(
        "agent",
        "agent at 50,000 raw events/s, % of a core",
        lambda a: a["cpu_pct_at_50k"],
        0,
        5,
    ),
    Aim("agent", "agent without the engine, MB", lambda a: a["rss_mb"], 0, 60),
    Aim(
        "drain_per_s",
        "drain by bcc's callbacks, times",
        lambda d: d["vagus"] / d["bcc"],
        50,
        INFINITE,
    ),
    Aim(
        "window_ms",
        "window of 4,000 cgroups by that of 10, times",
        lambda w: w["4000"] / w["10"],
        0,
        2,
    ),
    Aim(
        "agent_rings",
        "records the agent lost and did not count",
        lambda a: abs(a["made"] - a["seen"]),
        0,
        0,
    ),
    Aim("unaccounted_loss", "records lost and not counted", float, 0, 0),
    Aim("wake_ms", "ring wake-up to the loop, p99 ms", lambda w: w["p99"], 0, 5),
)


def judged(numbers: Mapping[str, Any]) -> list[str]:
    """Return a line for each aim whose figure is among these."""
    return [aim.line(numbers[aim.key]) for aim in AIMS if aim.key in numbers]


def publish(out: Path = OUT, **numbers: object) -> None:
    """Add to the file of results, where other benches' stay; print and judge."""
    out.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(out.read_text()) if out.exists() else {}
    known.update(numbers)
    out.write_text(json.dumps(known, indent=1) + "\n")
    print("\n".join([json.dumps(numbers), *judged(numbers)]), flush=True)


class Machine:
    """A fake cgroup2 mount with many workloads, of which a few do something."""

    def __init__(self, base: Path, size: int) -> None:
        self.root, self.proc = base / "cgroup", base / "proc"
        (self.proc / "pressure").mkdir(parents=True)
        for name in ("cpu", "io", "memory"):
            (self.proc / "pressure" / name).write_text(PRESSURE.format(0))
        (self.proc / "meminfo").write_text("MemTotal: 8000000 kB\n")
        self.root.mkdir()
        (self.root / "cgroup.procs").write_text("")
        (self.root / "cpu.stat").write_text("usage_usec 0\n")
        for number in range(size):
            self._make(self.root / f"w{number}")
        self.turn = 0
        self.ran: list[str] = []

    def _make(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "cgroup.events").write_text("populated 1\nfrozen 0\n")
        (folder / "cgroup.procs").write_text("")
        (folder / "cpu.stat").write_text("usage_usec 0\nuser_usec 0\n")
        (folder / "cpu.weight").write_text("100\n")
        (folder / "cpu.idle").write_text("0\n")
        for name in ("cpu", "io", "memory"):
            (folder / f"{name}.pressure").write_text(PRESSURE.format(0))
        (folder / "memory.current").write_text("1000000\n")
        (folder / "memory.stat").write_text("pgmajfault 1\n")
        (folder / "memory.events").write_text("low 0\noom_kill 0\n")
        (folder / "io.stat").write_text("8:0 rbytes=1 wbytes=1 rios=1 wios=1\n")

    def work(self) -> None:
        """Let the busy ones use CPU."""
        self.turn += 1
        self.ran = [f"w{number}" for number in range(BUSY)]
        for number in range(BUSY):
            file = self.root / f"w{number}" / "cpu.stat"
            file.write_text(f"usage_usec {self.turn * 50_000}\nuser_usec 1\n")


class Sensing:
    """Discovery, the plain sensors and the window, as the loop has them."""

    def __init__(self, machine: Machine) -> None:
        policy = Policy.model_validate(
            {"workloads": {"w0": {"match": {"cgroup": "w0"}}}}
        )
        self.discovery = Discovery(policy, machine.root, machine.proc, own="")
        # The module's table tells who ran; here the machine does in its stead.
        self.cgroup = CgroupSensor(
            machine.root, machine.proc, machine.proc, hints=lambda: machine.ran
        )
        self.psi = PsiSensor(
            machine.root, machine.proc, triggers=False, active=self.cgroup.active
        )
        self.windower = Windower(policy)
        for sensor in (self.cgroup, self.psi):
            sensor.follow(self.discovery.follow())
        self.tick = 0

    def window(self) -> int:
        """Make one window; return how many workloads are in it."""
        self.tick += 1
        if self.discovery.poll():
            for sensor in (self.cgroup, self.psi):
                sensor.follow(self.discovery.follow())
        samples = self.cgroup.read() + self.psi.read()
        states: dict[str, SourceState] = {
            "cgroup": self.cgroup.state(),
            "psi": self.psi.state(),
        }
        found = self.discovery.found
        return len(self.windower.build(self.tick, samples, found, {}, states).workloads)

    def close(self) -> None:
        for part in (self.cgroup, self.psi, self.discovery):
            part.close()


@contextmanager
def machine(size: int) -> Iterator[Machine]:
    """Make a fake machine in memory where that is possible."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    base = Path(tempfile.mkdtemp(prefix="vagus-bench-", dir=memory))
    try:
        yield Machine(base, size)
    finally:
        shutil.rmtree(base)


def window_ms() -> dict[str, float]:
    """Return the median CPU time of one window, by number of cgroups."""
    found = {}
    for size in SIZES:
        with machine(size) as fake:
            sensing = Sensing(fake)
            for _ in range(15):  # until the idle ones are known as idle
                sensing.window()
            took = []
            for _ in range(WINDOWS):
                fake.work()
                start = time.process_time_ns()
                count = sensing.window()
                took.append((time.process_time_ns() - start) / 1e6)
                assert BUSY <= count <= BUSY + 1, count
            sensing.close()
        found[str(size)] = round(statistics.median(took), 3)
    return found


def host() -> None:
    """Measure the agent's own cost natively."""
    publish(window_ms=window_ms())
    script = Path(__file__).with_name("bench_agent.py")
    publish(**json.loads(subprocess.check_output([sys.executable, script])))


if __name__ == "__main__":
    host()
