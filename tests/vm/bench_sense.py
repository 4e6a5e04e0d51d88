# SPDX-License-Identifier: MIT
"""What sensing costs the agent, natively.

usage: bench_sense.py.  Adds its numbers to .output/bench/sense.json; needs no root:
a fake tree of cgroups and a ring in memory.  bench_sense_guest.py measures the
rest in the guest.
"""

import json
import os
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vagus.abi import EventType
from vagus.cli.daemon import Daemon
from vagus.flow import SourceState
from vagus.loop import Loop
from vagus.native import Ring
from vagus.policy.load import load
from vagus.policy.model import Policy
from vagus.sense.cgroup import CgroupSensor
from vagus.sense.discover import Discovery
from vagus.sense.psi import PsiSensor
from vagus.sense.rings import KEPT, drain
from vagus.window import Windower
from vagus.wire import Options, agent

OUT = Path(__file__).parent.parent.parent / ".output/bench/sense.json"
SIZES = (10, 100, 1000, 4000)
BUSY = 10
WINDOWS = 30
RATE = 50_000  # raw events a second
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\n"


def publish(**numbers: object) -> None:
    """Add to the file of results, and print."""
    OUT.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(OUT.read_text()) if OUT.exists() else {}
    known.update(numbers)
    OUT.write_text(json.dumps(known, indent=1) + "\n")
    print(json.dumps(numbers), flush=True)


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


def ring_of(count: int) -> Ring:
    """Return a full ring: execs of a compile run, of ten workloads."""
    data = 1 << 24
    memory = bytearray(2 * 4096 + 2 * data)
    at = 8192
    for number in range(count):
        body = struct.pack(
            "<QQIIIIQQ16s",
            number,
            7 + number % 10,
            EventType.EXEC,
            0,
            2,
            3,
            1,
            0,
            b"cc",
        ) + struct.pack("<II128s", 0, 5, b"cc\0-c")
        record = struct.pack("<II", len(body), 0) + body
        memory[at : at + len(record)] = record
        at += len(record)
    struct.pack_into("<Q", memory, 4096, at - 8192)
    return Ring.memory(memory, batch=KEPT)


def drain_cost() -> tuple[float, int]:
    """Return CPU seconds to take in one second's records, and how many were lost."""
    rings = [ring_of(RATE // 10) for _ in range(10)]  # ten reflex ticks a second
    start = time.process_time()
    seen = 0
    for ring in rings:
        drain(ring, "process", lambda _: "build")
        seen += ring.counts().seen
    took = time.process_time() - start
    for ring in rings:
        ring.close()
    return took, RATE - seen


@contextmanager
def whole_agent(fake: Machine, work: Path) -> Iterator[Loop]:
    """Make all of an agent but the engine and the kernel's side: it has its record."""
    policy = work / "policy.yaml"
    policy.write_text(
        "version: 1\nmode: advise\ndecider: rules\n"
        "workloads: {w0: {match: {cgroup: w0}, slo: {run_queue_p99: 2ms}}}\n"
    )
    daemon = Daemon(work / "record.db", None, load(policy))
    options = Options(
        policy,
        cgroups=fake.root,
        proc=fake.proc,
        sysfs=work / "sys",
        put=daemon.put,
        publish=daemon.publish,
        settle=False,
    )
    with agent(options) as loop:
        daemon.rule(loop)
        yield loop
    daemon.close()


def agent_cost() -> dict[str, float]:
    """Run whole agents of their own; return CPU while idle and busy, and memory."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import bench_sense; bench_sense.one_agent()"
    )
    argv = [sys.executable, "-c", code, str(Path(__file__).parent)]
    found: dict[str, float] = json.loads(subprocess.check_output(argv))
    return found


def one_agent() -> None:
    """Tick an agent among 100 cgroups, idle and busy; print what it took."""
    ticks = 60
    with machine(100) as fake, whole_agent(fake, fake.root.parent) as loop:
        for _ in range(15):
            loop.tick()
        took = {}
        for name in ("idle", "busy"):
            start = time.process_time()
            for _ in range(ticks):
                if name == "busy":
                    fake.work()
                loop.tick()
            took[name] = 100 * (time.process_time() - start) / ticks
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        took["rss_mb"] = pages * resource.getpagesize() / (1 << 20)
    print(json.dumps(took))


def host() -> None:
    """Measure the agent's own cost natively."""
    publish(window_ms=window_ms())
    cost = agent_cost()
    took, lost = min(drain_cost() for _ in range(5))
    publish(
        agent={
            "idle_cpu_pct": round(cost["idle"], 3),
            "cpu_pct_at_50k": round(cost["busy"] + 100 * took, 3),
            "rss_mb": round(cost["rss_mb"], 1),
        },
        unaccounted_in_drain=lost,
    )


if __name__ == "__main__":
    host()
