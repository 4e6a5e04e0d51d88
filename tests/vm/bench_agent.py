# SPDX-License-Identifier: MIT
"""What a whole agent costs, its reflex and its wake-ups included, natively.

usage: bench_agent.py [TICKS]   of each phase; prints what bench_sense.py publishes

All of an agent but the engine runs its own loop in real time.  A tree of cgroups, a
table and two rings in memory stand for the kernel, a stand-in grants leases, and
another process does the kernel's part: 50,000 records a second, outliers that wake
the reflex, rows that change.  Two stances stand, so that the reflex looks ten times
a second, and three times while the machine is idle; in the last phase none does.
"""

import json
import mmap
import os
import resource
import select
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.vm.bench_sense import BUSY, Machine, machine

from vagus import abi
from vagus.abi import EventType, HistKind
from vagus.apply.leases import Holder
from vagus.cli.daemon import Daemon
from vagus.flow import Event, LeaseEnd, Record, Sample, Sensor, SourceState
from vagus.kmod import Grant, Granted
from vagus.loop import Loop
from vagus.native import Ring
from vagus.policy.knobs import LEAVE_ALONE_NS
from vagus.policy.load import load
from vagus.sense.cgroup import CgroupSensor
from vagus.sense.psi import PsiSensor
from vagus.sense.rings import KEPT, drain
from vagus.sense.table import TableSensor
from vagus.wake import Waker
from vagus.wire import OUTLIERS_PER_S, Options, agent

CGROUPS = 100
RATE = 50_000  # raw events a second
STEP_S = 0.01  # of the one who plays the kernel
PAGE = mmap.PAGESIZE
DATA = 1 << 24  # bytes: a ring that holds what a second makes
RECORD = 256  # bytes a record takes: an exec, filled up so that it divides the ring
CELLS = 1 << 14  # bytes from the start of the table
CELL = abi.fields("struct vagus_cell")
SLOTS, CPUS = 256, 4
PHASES = ("warm", "idle", "busy", "watching")  # the first is for getting to rest
TICKS = 20  # of each phase
POLICY = """version: 1
mode: enforce
decider: static
workloads: {w0: {match: {cgroup: w0}, slo: {run_queue_p99: 2ms}}}
static: {w0: protect cpu 2, w1: yield cpu 2}
"""

# ---------------------------------------------------------- who plays the kernel


def make_ring(path: Path, type_: EventType, ids: Sequence[int]) -> None:
    """Write a ring that is full of records, none of them published yet."""
    data = bytearray(DATA)
    for number in range(DATA // RECORD):
        head = (0, ids[number % len(ids)], type_, 0, 2, 3, 5_000_000, 0, b"cc")
        body = struct.pack("<QQIIIIQQ16s", *head)
        body += struct.pack("<II128s", 0, 5, b"cc\0-c")
        record = struct.pack("<II", RECORD - 8, 0) + body
        data[number * RECORD : number * RECORD + len(record)] = record
    path.write_bytes(bytes(2 * PAGE) + data + data)


def make_table(path: Path) -> None:
    """Write an empty table."""
    size = abi.size_bytes("struct vagus_cell")
    head = struct.pack("<IIIIQQ", abi.ABI_VERSION, SLOTS, CPUS, size, 64, CELLS)
    path.write_bytes(head.ljust(CELLS + SLOTS * CPUS * size, b"\0"))


class Fed:
    """A ring's producer: publishes records that are there already."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 2 * PAGE)
        self.made = self.lost = 0

    def give(self, count: int) -> None:
        """Publish so many records, or count them as lost where there is no room."""
        (read,) = struct.unpack_from("<Q", self._memory, 0)
        if (self.made + count) * RECORD - read > DATA:
            self.lost += count
            return
        self.made += count
        struct.pack_into("<Q", self._memory, PAGE, self.made * RECORD)


def run_rows(table: mmap.mmap, turn: int) -> None:
    """Count a wait of 1 ms in the rows of those that are busy."""
    bucket = CELL["hist"] + 4 * (
        abi.HIST_BUCKETS * HistKind.RUNQ + abi.hist_bucket(1_000_000)
    )
    for slot in range(BUSY):
        base = CELLS + slot * CPUS * abi.size_bytes("struct vagus_cell")
        struct.pack_into("<I", table, base, 2 * turn - 1)
        struct.pack_into("<I", table, base + CELL["switches"], turn)
        struct.pack_into("<Q", table, base + CELL["sum_ns"], turn * 1_000_000)
        struct.pack_into("<I", table, base + bucket, turn)
        struct.pack_into("<I", table, base, 2 * turn)


def play(base: Path) -> None:
    """Do the kernel's part while told to be busy; say in the end what was made."""
    raw, outliers = Fed(base / "process"), Fed(base / "ring")
    wake = os.open(base / "wake", os.O_RDWR | os.O_NONBLOCK)
    with (base / "table").open("r+b") as file:
        table = mmap.mmap(file.fileno(), 0)
    is_busy, turn, due = False, 0, time.monotonic()
    while True:
        due += STEP_S
        if select.select([0], [], [], max(0.0, due - time.monotonic()))[0]:
            word = os.read(0, 64)
            if not word:
                break
            is_busy, due = word.endswith(b"busy\n"), time.monotonic()
        if not is_busy:
            continue
        turn += 1
        raw.give(round(RATE * STEP_S))
        if turn % round(1 / (OUTLIERS_PER_S * BUSY * STEP_S)) == 0:
            outliers.give(1)
            with suppress(BlockingIOError):
                os.write(wake, b"!")
        if turn % 10 == 0:
            run_rows(table, turn // 10)
        if turn % 100 == 0:
            for number in range(BUSY):
                file_ = base / "cgroup" / f"w{number}/cpu.stat"
                file_.write_text(f"usage_usec {turn // 100 * 50_000}\nuser_usec 1\n")
    print(json.dumps({"made": raw.made + outliers.made, "lost": raw.lost}))


# -------------------------------------------------------------------- the agent


class FedRing:
    """A sensor of one such ring, in the place of the kernel's of that name."""

    def __init__(self, name: str, path: Path, wake: Path | None = None) -> None:
        self.name = name
        self._ring = Ring.module(path, batch=KEPT)
        self._fd = os.open(wake, os.O_RDONLY | os.O_NONBLOCK) if wake else -1
        self._names: dict[int, str] = {}

    def follow(self, workloads: Mapping[str, tuple[str, int]]) -> None:
        self._names = {id_: name for name, (_, id_) in workloads.items()}

    def read(self) -> list[Sample]:
        return []

    def events(self) -> list[Event]:
        if self._fd >= 0:
            with suppress(BlockingIOError):
                os.read(self._fd, 4096)
        return drain(self._ring, self.name, lambda id_: self._names.get(id_, ""))[0]

    def state(self) -> SourceState:
        counts = self._ring.counts()
        return SourceState(counts.seen, counts.lost + counts.malformed)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        self._ring.close()


class Armed(PsiSensor):
    """PSI of a tree of files, whose triggers never fire: nobody stalls in there."""

    def fileno(self) -> int:
        return self._epoll.fileno()


def active_of(sensors: Iterable[Sensor]) -> Callable[[], Iterable[str] | None]:
    """Return what tells whose files are worth reading, as in the agent itself."""
    return next(one.active for one in sensors if isinstance(one, CgroupSensor))


class Granting:
    """In the module's place: gives every lease, and every workload a row."""

    def __init__(self, table: Path, busy: Sequence[int]) -> None:
        self._table, self._busy = table, busy
        self._slots: dict[int, int] = {}
        self.granted = 0

    def track(self, ids: Iterable[int]) -> dict[int, int]:
        found = {}
        with self._table.open("r+b") as file:
            for id_ in sorted(ids, key=lambda id_: id_ not in self._busy):
                slot = self._slots[id_] = found[id_] = len(self._slots)
                file.seek(64 + 16 * slot)
                file.write(struct.pack("<QII", id_, 1, 0))
        return found

    def untrack(self, ids: Iterable[int]) -> None: ...

    def grant(self, grants: Sequence[Grant]) -> list[Granted]:
        answers = []
        for one in grants:
            self.granted += 1
            path = os.readlink(f"/proc/self/fd/{one.fd}")
            answers.append(Granted(self.granted, "100", one.value, 0, "", 0, path))
        return answers

    def renew(self, ids: Iterable[int], ttl_ms: int) -> dict[int, int]:
        return dict.fromkeys(ids, 0)

    def revoke(self, ids: Iterable[int], cause: str = "") -> object:
        return {}

    def ended(self) -> list[LeaseEnd]:
        return []

    def info(self) -> object:
        return {}

    def fileno(self) -> int:
        return -1


@contextmanager
def whole_agent(fake: Machine, watch: "Watch") -> Iterator[Loop]:
    """Make all of an agent, its record included, beside a stand-in for the kernel."""
    base = fake.root.parent
    ids = [(fake.root / f"w{number}").stat().st_ino for number in range(BUSY)]
    make_ring(base / "process", EventType.EXEC, ids)
    make_ring(base / "ring", EventType.RUNQ, ids)
    make_table(base / "table")
    os.mknod(base / "wake", stat.S_IFIFO | 0o600)
    policy = base / "policy.yaml"
    policy.write_text(POLICY)
    daemon = Daemon(base / "record.db", None, load(policy))
    options = Options(
        policy,
        cgroups=fake.root,
        proc=fake.proc,
        sysfs=base / "sys",
        put=daemon.put,
        publish=watch.tick,
        settle=False,
    )
    module = Granting(base / "table", ids)
    with agent(options) as loop:
        sensors = loop.parts.sensors
        others = [one for one in sensors if one.name not in ("process", "psi")]
        sensors[:] = [
            TableSensor(module, base / "table"),
            FedRing("ring", base / "ring", base / "wake"),
            Armed(fake.root, fake.proc, active=active_of(others)),
            *others,
            FedRing("process", base / "process"),
        ]
        ttl_ms = loop.course.policy.budget.lease_ms
        clock = time.monotonic_ns
        holder = Holder(module, fake.root, base, ttl_ms, LEAVE_ALONE_NS, clock)
        loop.parts.reflex.attach(holder)
        daemon.rule(loop)
        yield loop
    daemon.close()


class Watch:
    """Takes the agent through the phases, and notes what each of them took."""

    def __init__(self, kernel: subprocess.Popen[str], ticks: int) -> None:
        self._kernel, self._each = kernel, ticks
        self._phases = [*PHASES, "end"]
        self._left = 0  # ticks of this phase
        self.loop: Loop | None = None
        self.marks: list[tuple[str, float, float, dict[str, int]]] = []

    def tick(self, record: Record) -> None:
        """Begin the next phase where this one has had its ticks."""
        self._left -= 1
        if self._left > 0 or not self._phases:
            return
        assert self.loop is not None and self._kernel.stdin is not None
        name, self._left = self._phases.pop(0), self._each
        now, used = time.monotonic(), time.process_time()
        self.marks.append((name, now, used, dict(record.counters)))
        print("busy" if name == "busy" else "idle", file=self._kernel.stdin, flush=True)
        if name == "watching":
            self.loop.stand_down("the bench")
        self.loop.stopping = name == "end"

    def costs(self) -> dict[str, dict[str, float]]:
        """Return for each phase the share of a core, and what happened a second."""
        found = {}
        for (name, then, used, counted), (_, now, used_now, counters) in zip(
            self.marks, self.marks[1:], strict=False
        ):
            seconds = now - then
            found[name] = {"cpu_pct": round(100 * (used_now - used) / seconds, 3)}
            for key in ("loop.reflexes", "loop.wakes", "process.seen", "ring.seen"):
                grown = counters[key] - counted[key]
                found[name][f"{key}_per_s"] = round(grown / seconds, 1)
        return found


def resident_mb(base: Path) -> float:
    """Return this process's resident memory, less the bench's own big rings.

    The kernel's are 1 MiB; these hold a second's records.
    """
    rings, name = 0, ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0]:
            name = words[-1]
        elif words[0] == "Rss:" and name in (f"{base}/ring", f"{base}/process"):
            rings += int(words[1]) << 10
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (pages * resource.getpagesize() - rings) / (1 << 20)


def main(ticks: int) -> None:
    """Run the agent through the phases and print what it took."""
    with machine(CGROUPS) as fake:
        base = fake.root.parent
        argv = [sys.executable, __file__, "play", str(base)]
        pipe = subprocess.PIPE
        # It begins to read when it is told something: by then the files are there.
        kernel = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)
        watch = Watch(kernel, ticks)
        with whole_agent(fake, watch) as loop, Waker((signal.SIGTERM,)) as waker:
            watch.loop = loop
            loop.run(waker)
            rss_mb = resident_mb(base)
            loop.senses.window(0, loop.course.policy)  # what is left in the rings
            counters = loop.counters()
        told, _ = kernel.communicate()
        made = json.loads(told)
    costs = watch.costs()
    seen = counters["process.seen"] + counters["ring.seen"]
    assert costs["idle"]["loop.reflexes_per_s"], "no stance stood"
    assert costs["busy"]["loop.wakes_per_s"], "nothing woke it"
    print(
        json.dumps(
            {
                "agent": {
                    "idle_cpu_pct": costs["idle"]["cpu_pct"],
                    "cpu_pct_at_50k": costs["busy"]["cpu_pct"],
                    "rss_mb": round(rss_mb, 1),
                },
                "agent_phases": costs,
                "agent_rings": {**made, "seen": seen},
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["play"]:
        sys.stdin.readline()
        play(Path(sys.argv[2]))
    else:
        main(int((sys.argv[1:] or [TICKS])[0]))
