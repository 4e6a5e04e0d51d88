# SPDX-License-Identifier: MIT
"""The ring tells of every outlier or counts it as lost, whatever its reader does."""

import ctypes
import errno
import mmap
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.vm.kmodlab import (
    ROOT,
    SLOWNESS,
    enable_controllers,
    load,
    raw_mmap,
    read_more_than_memory,
    seed,
    unload,
)

from vagus.abi import EventType
from vagus.kmod import Module
from vagus.native import RawEvent, Ring

pytestmark = pytest.mark.needs("root", "kmod")

RING = Path("/sys/kernel/vagus/ring")
PAGE = mmap.PAGESIZE
YIELDER = "import os\nprint(flush=True)\nwhile True: os.sched_yield()"


@pytest.fixture
def module(loaded: str) -> Iterator[Module]:
    enable_controllers()
    with Module() as opened:
        was = opened.info()
        yield opened
        names = ("runq_threshold_ns", "reclaim_threshold_ns", "rate_per_s")
        opened.config(*(was[name] for name in names))
        opened.untrack([t.cgroup_id for t in opened.tracked()])


@pytest.fixture
def noisy(module: Module, cgroup: Path) -> Iterator[Path]:
    """Two workloads that take the CPU from each other all the time."""
    hogs = []
    for name in ("one", "two"):
        group = cgroup / name
        group.mkdir()
        module.track([group.stat().st_ino])

        def enter(group: Path = group) -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))
            os.sched_setaffinity(0, {0})

        command = [sys.executable, "-Sc", YIELDER]
        hogs.append(subprocess.Popen(command, preexec_fn=enter, stdout=subprocess.PIPE))
    for hog in hogs:
        assert hog.stdout and hog.stdout.readline() == b"\n"  # it has begun
    yield cgroup
    for hog in hogs:
        hog.kill()
        hog.communicate()


def drain_until(ring: Ring, enough: Callable[[RawEvent], bool]) -> list[RawEvent]:
    """Drain until one event is what was waited for, for ten seconds at most."""
    found: list[RawEvent] = []
    until = time.monotonic() + 10 * SLOWNESS
    while not any(map(enough, found)) and time.monotonic() < until:
        found += ring.drain()
    return found


def test_outliers_say_who_waited_how_long_for_whom(module: Module, noisy: Path) -> None:
    module.config(runq_threshold_ns=2_000_000, rate_per_s=10_000)
    ids = {(noisy / name).stat().st_ino for name in ("one", "two")}
    with Ring.module() as ring:
        ring.drain()
        time.sleep(1)
        found = drain_until(ring, lambda e: {e.cgroup_id, e.extra} == ids)
        now = time.monotonic_ns()
    events = [e for e in found if e.type == EventType.RUNQ]
    assert events
    for event in events:
        assert event.cgroup_id in ids
        assert event.value >= 2_000_000
        assert 0 < now - event.time_ns < 60e9
        assert Path(f"/proc/{event.tid}").exists()
    assert any({e.cgroup_id, e.extra} == ids for e in events)


def test_reclaim_outliers_say_whose_stall_it_was(module: Module, cgroup: Path) -> None:
    module.config(runq_threshold_ns=10**18, reclaim_threshold_ns=1000, rate_per_s=10**6)
    id_ = cgroup.stat().st_ino
    module.track([id_])
    with Ring.module() as ring:
        ring.drain()
        read_more_than_memory(cgroup)
        events = [e for e in ring.drain() if e.type == EventType.RECLAIM]
        module.config(reclaim_threshold_ns=10**18)
        read_more_than_memory(cgroup)
        assert not [e for e in ring.drain() if e.type == EventType.RECLAIM]
    assert events
    assert {e.cgroup_id for e in events} == {id_}
    assert all(e.value >= 1000 for e in events)
    assert any(e.extra > 0 for e in events)  # pages


def test_threshold_and_rate_hold_back(module: Module, noisy: Path) -> None:
    module.config(runq_threshold_ns=1000, rate_per_s=7)
    with Ring.module() as ring:
        ring.drain()
        start, before = time.monotonic(), module.info()
        time.sleep(3)
        after, took_s = module.info(), time.monotonic() - start
    made = after["events"] - before["events"]
    # Two workloads, the seconds begun, and the race at a second's start.
    assert 2 * 7 * 2 <= made <= 2 * 7 * (took_s + 1) + 8
    assert after["limited"] > before["limited"]
    module.config(runq_threshold_ns=10**18)
    time.sleep(0.1)
    quiet = module.info()["events"]
    time.sleep(1)
    assert module.info()["events"] == quiet


def test_reader_is_woken_and_a_full_ring_counts_what_it_loses(
    module: Module, noisy: Path
) -> None:
    module.config(runq_threshold_ns=1000, rate_per_s=10**9)
    with Ring.module() as ring:
        time.sleep(5)
        poll = select.epoll()
        poll.register(ring.fileno(), select.EPOLLPRI | select.EPOLLET)
        for _ in range(20):
            ring.drain_records()
        assert poll.poll(10)
        before = module.info()["drops"]
        seen = ring.counts()
        poll.close()
        # Stop reading until it overflows, then read on: LOST comes first.
        until = time.monotonic() + 120
        while module.info()["drops"] == before and time.monotonic() < until:
            time.sleep(0.2)
        assert module.info()["drops"] > before
        found = drain_until(ring, lambda e: e.type == EventType.LOST)
        lost = [e for e in found if e.type == EventType.LOST]
        assert lost
        assert sum(e.value for e in lost) <= module.info()["drops"]
        assert ring.counts().malformed == seen.malformed == 0


@pytest.fixture
def largest(loaded: str) -> Iterator[None]:
    """The module with a ring that nothing here fills."""
    unload()
    load("ring_kib=65536")
    yield
    unload()
    load()


def test_reader_that_is_behind_is_left_alone(
    largest: None, module: Module, noisy: Path
) -> None:
    module.config(runq_threshold_ns=1000, rate_per_s=10**9)
    assert module.info()["ring_bytes"] == 64 << 20
    with Ring.module() as ring, select.epoll() as poll:
        poll.register(ring.fileno(), select.EPOLLPRI | select.EPOLLET)
        while not poll.poll(10):
            ring.drain_records()
        ring.drain_records()
        before = module.info()
        wakes = sum(bool(poll.poll(0.02)) for _ in range(100))
        after = module.info()
        assert after["events"] - before["events"] > 100
        assert after["drops"] == 0
        # One for the first record, and those that were under way while it drained.
        assert wakes <= 3


def open_ring() -> int:
    return os.open(RING, os.O_RDWR)


def test_only_the_consumer_page_can_be_written(module: Module) -> None:
    fd = open_ring()
    both = mmap.PROT_READ | mmap.PROT_WRITE
    for offset, length in ((PAGE, PAGE), (2 * PAGE, PAGE), (0, 2 * PAGE)):
        with pytest.raises(PermissionError):
            mmap.mmap(fd, length, offset=offset, prot=both)
    size = os.fstat(fd).st_size
    assert raw_mmap(fd, size + PAGE, mmap.PROT_READ, 0) == errno.EINVAL
    assert raw_mmap(fd, PAGE, mmap.PROT_READ, size) == errno.EINVAL
    assert raw_mmap(fd, size, mmap.PROT_READ, 0) == 0
    # What was mapped to be read cannot be made writable later.
    with mmap.mmap(fd, PAGE, prot=mmap.PROT_READ, offset=PAGE) as mapped:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        maps = Path("/proc/self/maps").read_text().splitlines()
        line = next(x for x in maps if x.endswith("/sys/kernel/vagus/ring"))
        address = int(line.split("-")[0], 16)
        assert libc.mprotect(address, len(mapped), both) == -1
        assert ctypes.get_errno() == errno.EACCES
    os.close(fd)


SECOND = """
import mmap, os, sys
fd = os.open("/sys/kernel/vagus/ring", os.O_RDWR)
try:
    page = mmap.mmap(fd, mmap.PAGESIZE)
except OSError as error:
    sys.exit(error.errno)
"""


def test_one_consumer_at_a_time_and_the_next_when_it_has_gone(module: Module) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", SECOND + "\nprint('in', flush=True)\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert first.stdout
    assert first.stdout.readline() == b"in\n"
    assert subprocess.run([sys.executable, "-c", SECOND]).returncode == 16
    first.communicate(b"\n")
    assert subprocess.run([sys.executable, "-c", SECOND]).returncode == 0
    # A child does not inherit the right, and giving it up needs no exit.
    fd = open_ring()
    with mmap.mmap(fd, PAGE):
        child = os.fork()
        if child == 0:
            found = str(RING) in Path("/proc/self/maps").read_text()
            os._exit(int(found))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert raw_mmap(fd, PAGE, mmap.PROT_READ, 0) == errno.EBUSY
    assert raw_mmap(fd, PAGE, mmap.PROT_READ | mmap.PROT_WRITE, 0) == 0
    os.close(fd)


# Garbage in the consumer page, as fast as it goes; the seed makes a run again.
HOSTILE = """
import mmap, os, random, struct, sys, time
rng = random.Random(int(sys.argv[1]))
fd = os.open("/sys/kernel/vagus/ring", os.O_RDWR)
page = mmap.mmap(fd, mmap.PAGESIZE)
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    page[:8] = struct.pack("<Q", rng.choice(
        (0, 2**64 - 1, 2**63, rng.getrandbits(64), rng.getrandbits(20) & ~7)))
"""


def test_hostile_consumer_hurts_nobody_else(module: Module, noisy: Path) -> None:
    module.config(runq_threshold_ns=1000, rate_per_s=10**9)
    subprocess.run([sys.executable, "-c", HOSTILE, str(seed()), "3"], check=True)
    before = module.info()["switches"]
    time.sleep(0.3)
    assert module.info()["switches"] > before
    # The next one puts the position right by reading from the producer's.
    fd = open_ring()
    with (
        mmap.mmap(fd, PAGE) as page,
        mmap.mmap(fd, PAGE, offset=PAGE, prot=mmap.PROT_READ) as producer,
    ):
        page[:8] = producer[:8]
        events = module.info()["events"]
        time.sleep(0.5)
        assert module.info()["events"] > events
        assert struct.unpack("<Q", producer[:8])[0] % 8 == 0
        page[:8] = producer[:8]
    os.close(fd)


def test_size_is_a_parameter_with_a_range(loaded: str) -> None:
    subprocess.run(["rmmod", "vagus"], check=True)
    try:
        for wrong in ("ring_kib=63", "ring_kib=100", "ring_kib=131072", "slots=0"):
            done = subprocess.run(["insmod", loaded, wrong], capture_output=True)
            assert done.returncode, wrong
        subprocess.run(["insmod", loaded, "ring_kib=64", "slots=4096"], check=True)
        with Module() as small:
            info = small.info()
            assert (info["ring_bytes"], info["slots"]) == (65536, 4096)
        with Ring.module() as ring:
            assert ring.data_bytes == 65536
    finally:
        subprocess.run(["rmmod", "vagus"], check=False)
        subprocess.run(["insmod", loaded], check=True, cwd=ROOT)
