# SPDX-License-Identifier: MIT
"""The table counts what happens, for whom it happens, and hurts no writer."""

import errno
import mmap
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.vm.kmodlab import (
    SLOWNESS,
    enable_controllers,
    load,
    raw_mmap,
    read_more_than_memory,
    unload,
    wait_until,
)

from vagus.abi import HistKind, hist_bounds_ns
from vagus.kmod import Module
from vagus.native import Table
from vagus.native.table import Cell

pytestmark = pytest.mark.needs("root", "kmod")

Stat = tuple[int, int, int]
HOG = "while True: pass"
# Sleeps 200 times for a millisecond: about as many waits, each short.  A nap that
# the host has made too late is over before it began, and is none to the scheduler.
NAPPER = """
import resource, time
was = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
for _ in range(200): time.sleep(0.001)
print(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - was)
"""


@pytest.fixture
def module(loaded: str) -> Iterator[Module]:
    enable_controllers()
    with Module() as opened:
        yield opened
        # What a failed test leaves behind must not fail the next.
        opened.untrack([t.cgroup_id for t in opened.tracked()])


@pytest.fixture
def table(module: Module) -> Iterator[Table]:
    with Table.module() as opened:
        yield opened


def start(
    cgroup: Path, code: str, cpu: int = 0, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """Run Python code in a cgroup on one CPU; it starts there."""

    def enter() -> None:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))
        os.sched_setaffinity(0, {cpu})

    command = [sys.executable, "-Sc", code]
    return subprocess.Popen(command, preexec_fn=enter, stdout=stdout)


def nap(cgroup: Path) -> int:
    """Run the napper in a cgroup; return how often it gave up the CPU."""
    napped = int(start(cgroup, NAPPER, stdout=subprocess.PIPE).communicate()[0])
    assert napped > 100
    return napped


def read(table: Table, slot: int) -> Cell:
    """Read one slot from its beginning.

    A CPU that the host stops in the middle of a write leaves its cell unreadable
    for as long, and the reader says so instead of waiting.
    """
    table.follow([slot])
    for _ in range(500):
        if cells := table.read():
            return cells[0]
        time.sleep(0.01)
    raise AssertionError(f"slot {slot} was being written for 5 s")


def assert_whole(cell: Cell) -> None:
    """Fail if parts of a cell are of different moments.

    Waits of 0 ns exist, so a sum of 0 says nothing about the counts.
    """
    for kind in (HistKind.RUNQ, HistKind.SLICE):
        pairs = list(zip(cell.hist[kind], hist_bounds_ns(), strict=True))
        assert sum(count * low for count, (low, _) in pairs) <= cell.sum_ns[kind]
        assert cell.sum_ns[kind] <= sum(count * high for count, (_, high) in pairs)
        assert cell.max_ns[kind] <= cell.sum_ns[kind]
    assert sum(cell.hist[HistKind.RUNQ]) == cell.switches


def child_of(cgroup: Path, name: str) -> Path:
    path = cgroup / name
    path.mkdir()
    return path


def schedstat(pid: int) -> Stat:
    """Return ns run, ns waited, and how often a thread got the CPU."""
    words = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(words[0]), int(words[1]), int(words[2])


def between(pid: int, table: Table, slot: int) -> tuple[Stat, Cell, Stat]:
    """Read a row of the table, and schedstat before and after it."""
    before = schedstat(pid)
    return before, read(table, slot), schedstat(pid)


def test_waits_and_slices_add_up_to_what_schedstat_says(
    module: Module, table: Table, cgroup: Path
) -> None:
    groups = [child_of(cgroup, name) for name in ("one", "two")]
    slots = [module.track([g.stat().st_ino])[g.stat().st_ino] for g in groups]
    hogs = [start(group, HOG) for group in groups]
    hogs_in = list(zip(hogs, slots, strict=True))
    try:
        time.sleep(1)
        first = [between(hog.pid, table, slot) for hog, slot in hogs_in]
        by: list[set[int]] = [set(), set()]
        for _ in range(40):
            time.sleep(0.1)
            for seen, slot in zip(by, slots, strict=True):
                seen.add(read(table, slot).last_preemptor)
        last = [between(hog.pid, table, slot) for hog, slot in hogs_in]
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    for (a, old, b), (c, new, d) in zip(first, last, strict=True):
        waited = new.sum_ns[HistKind.RUNQ] - old.sum_ns[HistKind.RUNQ]
        ran = new.sum_ns[HistKind.SLICE] - old.sum_ns[HistKind.SLICE]
        switches = new.switches - old.switches
        # What is under way at either end is counted by one and not the other.
        assert 0.9 * (c[0] - b[0]) < ran < 1.1 * (d[0] - a[0])
        assert 0.9 * (c[1] - b[1]) < waited < 1.1 * (d[1] - a[1])
        slack = 5 * SLOWNESS
        assert c[2] - b[2] - slack <= switches <= d[2] - a[2] + slack
        assert new.preempted_by_other > old.preempted_by_other
    one, two = (g.stat().st_ino for g in groups)
    # Kernel threads and services preempt as well; nobody does it to itself.
    assert two in by[0] and one not in by[0]
    assert one in by[1] and two not in by[1]
    module.untrack([one, two])


def test_counts_are_in_the_bucket_of_their_size(
    module: Module, table: Table, cgroup: Path
) -> None:
    id_ = cgroup.stat().st_ino
    slot = module.track([id_])[id_]
    napped = nap(cgroup)
    cell = read(table, slot)
    assert_whole(cell)
    assert cell.switches >= napped
    module.untrack([id_])


def test_task_counts_for_its_nearest_tracked_ancestor(
    module: Module, table: Table, cgroup: Path
) -> None:
    middle = child_of(cgroup, "middle")
    leaf = child_of(middle, "leaf")
    ids = [cgroup.stat().st_ino, middle.stat().st_ino]
    slots = module.track(ids)
    napped = nap(leaf)
    assert read(table, slots[ids[1]]).switches >= napped
    assert read(table, slots[ids[0]]).switches == 0
    module.untrack(ids[1:])
    napped = nap(leaf)
    assert read(table, slots[ids[0]]).switches >= napped
    module.untrack(ids[:1])
    before = module.info()["switches"]
    nap(leaf)
    assert module.info()["switches"] == before


def test_slot_that_is_given_again_starts_from_zero(
    module: Module, table: Table, cgroup: Path
) -> None:
    groups = [child_of(cgroup, name) for name in ("one", "two")]
    ids = [group.stat().st_ino for group in groups]
    slot = module.track(ids[:1])[ids[0]]
    nap(groups[0])
    old = read(table, slot)
    assert module.track(ids[:1]) == {ids[0]: slot}
    module.untrack(ids[:1])
    assert module.track(ids[1:]) == {ids[1]: slot}
    new = read(table, slot)
    assert (new.cgroup_id, new.generation) == (ids[1], old.generation + 1)
    assert (new.switches, sum(new.sum_ns)) == (0, 0)
    module.untrack(ids[1:])


def test_migrations_are_counted(module: Module, table: Table, cgroup: Path) -> None:
    if os.cpu_count() == 1:
        pytest.skip("one CPU")
    id_ = cgroup.stat().st_ino
    slot = module.track([id_])[id_]
    code = "import os\nfor i in range(100): os.sched_setaffinity(0, {i % 2})"
    start(cgroup, code).wait()
    assert read(table, slot).migrations >= 90
    module.untrack([id_])


def test_reclaim_stalls_are_seen(module: Module, table: Table, cgroup: Path) -> None:
    id_ = cgroup.stat().st_ino
    slot = module.track([id_])[id_]
    read_more_than_memory(cgroup)
    cell = read(table, slot)
    assert cell.stalls > 0
    assert sum(cell.hist[HistKind.RECLAIM]) == cell.stalls
    assert cell.sum_ns[HistKind.RECLAIM] > 0
    module.untrack([id_])


def test_removed_cgroup_is_told_and_kept_by_nobody(
    module: Module, cgroup: Path
) -> None:
    child = child_of(cgroup, "short-lived")
    id_ = child.stat().st_ino
    module.track([id_])
    assert [t.gone for t in module.tracked() if t.cgroup_id == id_] == [False]
    child.rmdir()
    assert [t.gone for t in module.tracked() if t.cgroup_id == id_] == [True]

    def dying() -> bool:
        return "nr_dying_descendants 0" in (cgroup / "cgroup.stat").read_text()

    assert wait_until(dying) >= 0
    assert module.untrack([id_]) == {id_: 0}


def test_reading_all_the_time_never_sees_a_torn_cell(
    module: Module, table: Table, cgroup: Path, scaled: Callable[[int], int]
) -> None:
    id_ = cgroup.stat().st_ino
    slot = module.track([id_])[id_]
    nap = "import time\nwhile True: time.sleep(0)"
    nappers = [start(cgroup, nap, cpu) for cpu in range(os.cpu_count() or 1)]
    try:
        for _ in range(scaled(1000)):
            assert_whole(read(table, slot))
    finally:
        for napper in nappers:
            napper.kill()
            napper.wait()
    module.untrack([id_])


def test_tracking_changes_under_load(
    module: Module, cgroup: Path, scaled: Callable[[int], int]
) -> None:
    groups = [child_of(cgroup, str(i)) for i in range(8)]
    ids = [group.stat().st_ino for group in groups]
    nap = "import time\nwhile True: time.sleep(0)"
    nappers = [
        start(group, nap, i % (os.cpu_count() or 1)) for i, group in enumerate(groups)
    ]
    try:
        for turn in range(scaled(30)):
            module.track(ids[turn % 8 :])
            module.untrack(ids[: turn % 8])
    finally:
        for napper in nappers:
            napper.kill()
            napper.wait()
    module.untrack(ids)
    assert module.info()["tracked"] == 0


def free_kib() -> int:
    """Return what is free, with what each CPU keeps for itself until it is asked."""
    words = Path("/proc/meminfo").read_text().split()
    zones = Path("/proc/zoneinfo").read_text()
    kept = sum(map(int, re.findall(r"^ +count: +(\d+)", zones, re.MULTILINE)))
    return int(words[words.index("MemFree:") + 1]) + 4 * kept


def test_as_many_workloads_as_there_are_slots_and_no_row_before(
    loaded: str, cgroup: Path, scaled: Callable[[int], int]
) -> None:
    enable_controllers()
    costs_kib = []
    try:
        # Others take and give memory as well: the smallest difference counts.
        for _ in range(5):
            unload()
            before = free_kib()
            load("slots=4096")
            costs_kib.append(before - free_kib())
        print("KiB taken by loading:", costs_kib)
        assert min(costs_kib) < 4096 * (os.cpu_count() or 1) / 2
        groups = [child_of(cgroup, str(i)) for i in range(min(4096, scaled(300)))]
        ids = [group.stat().st_ino for group in groups]
        with Module() as module, Table.module() as table:
            slots = module.track(ids)
            assert sorted(slots.values()) == list(range(len(ids)))
            assert module.info()["tracked"] == len(ids)
            napped = nap(groups[-1])
            assert read(table, slots[ids[-1]]).switches >= napped
            assert read(table, slots[ids[0]]).switches == 0
    finally:
        unload()
        load()


def test_table_can_only_be_read(module: Module) -> None:
    fd = os.open("/sys/kernel/vagus/table", os.O_RDONLY)
    size = os.fstat(fd).st_size
    with pytest.raises(PermissionError):
        mmap.mmap(fd, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    assert raw_mmap(fd, 4096, mmap.PROT_READ, size) == errno.EINVAL
    assert raw_mmap(fd, size + 4096, mmap.PROT_READ, 0) == errno.EINVAL
    with pytest.raises(OSError):
        os.read(fd, 10)
    # Every page can be read, tracked or not, by several at once.
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as mapped:
        readers = [threading.Thread(target=mapped.find, args=(b"never there",))]
        readers.append(threading.Thread(target=mapped.rfind, args=(b"never there",)))
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    os.close(fd)
