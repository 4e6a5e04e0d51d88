# SPDX-License-Identifier: MIT
"""What a lease does while it lives, and who wins."""

import concurrent.futures
import contextlib
import errno
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vm.kmodlab import (
    LONG_MS,
    SLOWNESS,
    enable_controllers,
    hold,
    splats,
    wait_until,
)

from vagus.flow import LeaseEnd
from vagus.kmod import Module

pytestmark = pytest.mark.needs("root", "kmod")


@pytest.fixture
def module(loaded: str) -> Iterator[Module]:
    enable_controllers()
    with Module() as opened:
        yield opened


@pytest.fixture
def weight(cgroup: Path, module: Module) -> Path:
    file = cgroup / "cpu.weight"
    file.write_text("300")
    return file


def ends(
    module: Module, count: int = 1, limit_s: float = 5 * SLOWNESS
) -> list[LeaseEnd]:
    """Wait for events."""
    found: list[LeaseEnd] = []
    until = time.monotonic() + limit_s
    while len(found) < count and time.monotonic() < until:
        select.select([module.fileno()], [], [], 0.2)
        found += module.ended()
    return found


def test_grant_tells_old_and_new_value_and_path(module: Module, weight: Path) -> None:
    granted = hold(module, weight, "50")
    assert (granted.error, granted.old, granted.value) == (0, "300", "50")
    assert granted.path == "/" + str(weight.relative_to("/sys/fs/cgroup"))
    (live,) = [lease for lease in module.leases() if lease.id == granted.id]
    assert (live.old, live.value, live.path) == ("300", "50", granted.path)
    assert 0 < live.left_ms <= LONG_MS
    assert module.revoke([granted.id]) == {granted.id: 0}
    assert weight.read_text() == "300\n"
    (end,) = ends(module)
    assert (end.id, end.end, end.cause) == (granted.id, "restored", "revoked")
    assert (end.old, end.now, end.path) == ("300", "300", granted.path)
    assert 0 < end.took_ns < 5e9 * SLOWNESS


@pytest.mark.timed
def test_deadline_is_kept_and_renewal_moves_it(module: Module, weight: Path) -> None:
    ttl_ms = 400 * SLOWNESS
    granted = hold(module, weight, "50", ttl_ms)
    for _ in range(4):
        time.sleep(ttl_ms / 2e3)
        assert module.renew([granted.id], ttl_ms) == {granted.id: 0}
    assert weight.read_text() == "50\n"
    start = time.monotonic()
    (end,) = ends(module)
    assert 0.2 < (time.monotonic() - start) / SLOWNESS < 1.5
    assert (end.end, end.cause) == ("restored", "deadline")
    assert module.renew([granted.id], 400) == {granted.id: -errno.ENOENT}
    assert weight.read_text() == "300\n"


@pytest.mark.timed
def test_a_far_deadline_is_kept_as_exactly(module: Module, cgroup: Path) -> None:
    """A timer of the kernel is the coarser the further away it is."""
    (cgroup / "cgroup.subtree_control").write_text("+cpu")
    with contextlib.ExitStack() as opened:
        for number in range(5):
            group = cgroup / str(number)
            group.mkdir()
            owner = opened.enter_context(Module())
            assert not hold(owner, group / "cpu.weight", "50", 3000).error
            time.sleep(0.047)
        late_ms = [end.took_ns / 1e6 for end in ends(module, 5)]
    print("late by ms:", late_ms)
    assert len(late_ms) == 5
    assert max(late_ms) < 50 * SLOWNESS


def test_second_grant_replaces_and_keeps_the_first_saved_value(
    module: Module, weight: Path
) -> None:
    first = hold(module, weight, "50")
    second = hold(module, weight, "70")
    assert (second.id, second.old, second.value) == (first.id, "300", "70")
    assert module.info()["live"] >= 1
    module.revoke([first.id])
    assert weight.read_text() == "300\n"


def test_another_owner_is_refused_and_cannot_renew_or_revoke(
    module: Module, weight: Path
) -> None:
    granted = hold(module, weight, "50")
    with Module() as other:
        refused = hold(other, weight, "70")
        assert refused.error == -errno.EBUSY
        assert "leased by port" in refused.message
        assert other.renew([granted.id], 500) == {granted.id: -errno.EPERM}
        assert other.revoke([granted.id]) == {granted.id: -errno.EPERM}
        assert weight.read_text() == "50\n"
        assert other.off() >= 1
        assert weight.read_text() == "300\n"
    assert ends(module)[0].cause == "off"


def test_administrator_wins_at_the_end(module: Module, weight: Path) -> None:
    granted = hold(module, weight, "50")
    weight.write_text("555")
    module.revoke([granted.id])
    assert weight.read_text() == "555\n"
    (end,) = ends(module)
    assert (end.end, end.now, end.old) == ("lost", "555", "300")


@pytest.mark.parametrize("how", ["renew", "replace"])
def test_administrator_wins_at_once_when_it_is_noticed(
    module: Module, weight: Path, how: str
) -> None:
    granted = hold(module, weight, "50")
    weight.write_text("555")
    if how == "renew":
        assert module.renew([granted.id], 500) == {granted.id: -errno.ESTALE}
    else:
        assert hold(module, weight, "60").error == -errno.ESTALE
    assert weight.read_text() == "555\n"
    (end,) = ends(module)
    assert (end.end, end.cause) == ("lost", "changed")
    assert hold(module, weight, "60").old == "555"


@pytest.mark.parametrize(
    ("file", "value", "shown"),
    [
        ("memory.low", "100000001", "99999744"),
        ("cpu.max", "50000", "50000 100000"),
        ("cpu.uclamp.min", "30", "30.00"),
        ("io.weight", "77", "default 77"),
    ],
)
def test_normalised_value_is_not_taken_for_a_foreign_one(
    module: Module, cgroup: Path, file: str, value: str, shown: str
) -> None:
    path = cgroup / file
    if not path.exists():
        pytest.skip(f"this kernel has no {file}")
    before = path.read_text()
    granted = hold(module, path, value)
    assert (granted.error, granted.value) == (0, shown)
    module.revoke([granted.id])
    assert path.read_text() == before
    assert ends(module)[0].end == "restored"


def test_leaving_idle_gives_the_weight_back(module: Module, weight: Path) -> None:
    idle = weight.with_name("cpu.idle")
    first = hold(module, idle, "1")
    assert (first.old, first.value, idle.read_text()) == ("0", "1", "1\n")
    second = hold(module, weight, "40")
    assert (second.id, second.old) == (first.id, "300")
    assert (idle.read_text(), weight.read_text()) == ("0\n", "40\n")
    assert hold(module, idle, "1").id == first.id
    module.revoke([first.id])
    assert (idle.read_text(), weight.read_text()) == ("0\n", "300\n")


def test_explicit_restore_is_what_goes_back(module: Module, weight: Path) -> None:
    granted = hold(module, weight, "50", restore="200")
    module.revoke([granted.id])
    assert weight.read_text() == "200\n"


def test_explicit_restore_that_is_refused_gives_way_to_the_old_value(
    module: Module, weight: Path
) -> None:
    granted = hold(module, weight, "50", restore="no number")
    module.revoke([granted.id])
    assert weight.read_text() == "300\n"


@pytest.fixture
def devices() -> Iterator[list[str]]:
    """MAJ:MIN of two disks, one of them made for the test."""
    if not Path("/sys/block/nullb0").exists():
        subprocess.run(["modprobe", "null_blk", "nr_devices=1"], check=True)
    yield [Path(f"/sys/block/{d}/dev").read_text().strip() for d in ("vda", "nullb0")]
    subprocess.run(["modprobe", "-r", "null_blk"], check=False)


@pytest.mark.needs("io_max")
def test_two_devices_of_one_io_max_are_two_knobs(
    module: Module, cgroup: Path, devices: list[str]
) -> None:
    limits = cgroup / "io.max"
    one, two = (hold(module, limits, f"{d} rbps=1048576") for d in devices)
    assert not one.error, one.message
    assert not two.error, two.message
    assert one.id != two.id
    module.revoke([one.id])
    assert limits.read_text().startswith(devices[1])
    module.revoke([two.id])
    assert limits.read_text() == ""


@pytest.mark.needs("numa")
def test_memory_moves_back_with_cpuset_mems(module: Module, cgroup: Path) -> None:
    # 6.12 waits for the move inside the write, which not every work may.
    mems = cgroup / "cpuset.mems"
    mems.write_text("0")
    code = "x = bytearray(b'x') * (64 << 20)\nprint(flush=True)\ninput()"

    def enter() -> None:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))

    eater = subprocess.Popen(
        [sys.executable, "-Sc", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=enter,
    )
    assert eater.stdout and eater.stdout.readline()

    def node_of_most() -> int:
        numa = Path(f"/proc/{eater.pid}/numa_maps").read_text()
        pages = [sum(map(int, re.findall(rf" N{n}=(\d+)", numa))) for n in (0, 1)]
        return pages.index(max(pages))

    assert node_of_most() == 0
    assert hold(module, mems, "1", 1000 * SLOWNESS).value == "1"
    assert wait_until(lambda: node_of_most() == 1) >= 0
    (end,) = ends(module)
    assert (end.end, end.now) == ("restored", "0")
    assert wait_until(lambda: node_of_most() == 0) >= 0
    eater.communicate(b"\n")
    assert not splats()


@pytest.mark.timed
def test_nested_changes_unwind_newest_first(module: Module, cgroup: Path) -> None:
    # A burst above the quota is refused, so the order is not a matter of taste: in the
    # other one the burst would have to be tried again, 100 ms later.
    quota, burst = cgroup / "cpu.max", cgroup / "cpu.max.burst"
    quota.write_text("90000 100000")
    burst.write_text("80000")
    for file, value in ((burst, "10000"), (quota, "20000 100000")):
        assert not hold(module, file, value, 600 * SLOWNESS).error
        time.sleep(0.015)  # so that the older one's deadline comes first
    seen = ends(module, 2)
    assert [end.path.rpartition("/")[2] for end in seen] == ["cpu.max", "cpu.max.burst"]
    assert all(end.took_ns < 80_000_000 * SLOWNESS for end in seen), seen
    assert quota.read_text() == "90000 100000\n"
    assert burst.read_text() == "80000\n"


def test_failed_restore_is_tried_again(module: Module, cgroup: Path) -> None:
    quota, burst = cgroup / "cpu.max", cgroup / "cpu.max.burst"
    quota.write_text("90000 100000")
    burst.write_text("80000")
    granted = hold(module, burst, "0")
    quota.write_text("20000 100000")
    module.revoke([granted.id])
    assert burst.read_text() == "0\n"
    time.sleep(0.3)
    quota.write_text("90000 100000")
    assert ends(module)[0].end == "restored"
    assert burst.read_text() == "80000\n"


def test_restore_that_keeps_failing_is_reported(module: Module, cgroup: Path) -> None:
    quota, burst = cgroup / "cpu.max", cgroup / "cpu.max.burst"
    quota.write_text("90000 100000")
    burst.write_text("80000")
    granted = hold(module, burst, "0")
    quota.write_text("20000 100000")
    failed = module.info()["failed"]
    module.revoke([granted.id])
    (end,) = ends(module, limit_s=20 * SLOWNESS)
    assert (end.end, end.old, end.now) == ("failed", "80000", "0")
    assert module.info()["failed"] == failed + 1
    assert granted.id not in [lease.id for lease in module.leases()]


def test_removed_cgroup_ends_its_lease_and_is_not_kept(module: Module) -> None:
    parent = Path("/sys/fs/cgroup")

    def dying() -> int:
        words = (parent / "cgroup.stat").read_text().split()
        return int(words[words.index("nr_dying_descendants") + 1])

    before = dying()
    child = parent / f"test-removed-{os.getpid()}"
    child.mkdir()
    granted = hold(module, child / "cpu.weight", "50", 500 * SLOWNESS)
    assert module.track([child.stat().st_ino])
    child.rmdir()
    assert not child.exists()
    child.mkdir()
    assert ends(module)[0].end == "gone"
    assert (child / "cpu.weight").read_text() == "100\n"
    assert granted.id not in [lease.id for lease in module.leases()]
    child.rmdir()
    assert wait_until(lambda: dying() <= before) >= 0


def test_thread_that_ends_ends_its_lease(module: Module) -> None:
    from vagus.abi import LeaseKind
    from vagus.kmod import Grant

    pid = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60")
    pidfd = os.pidfd_open(pid)
    kinds = ((LeaseKind.NICE, "11"), (LeaseKind.POLICY, "batch"))
    granted = module.grant(
        [
            Grant(None, v, 4000 * SLOWNESS, kind=k, pidfd=pidfd, tid=pid)
            for k, v in kinds
        ]
    )
    assert [(g.error, g.old, g.value) for g in granted] == [
        (0, "0", "11"),
        (0, "other", "batch"),
    ]
    assert os.getpriority(os.PRIO_PROCESS, pid) == 11
    assert os.sched_getscheduler(pid) == os.SCHED_BATCH
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(pidfd)
    assert [end.end for end in ends(module, 2, 10 * SLOWNESS)] == ["gone", "gone"]


@pytest.mark.once
def test_what_many_hold_is_dumped_while_it_comes_and_goes(
    module: Module, cgroup: Path
) -> None:
    """Whoever stays is told once in every dump, though it takes many messages."""
    (cgroup / "cgroup.subtree_control").write_text("+cpu")
    groups = [cgroup / str(i) for i in range(200)]
    for group in groups:
        group.mkdir()
    held = [hold(module, g / "cpu.weight", "50") for g in groups]
    module.track([g.stat().st_ino for g in groups])
    staying = {one.id for one in held[1::2]}
    kept = {g.stat().st_ino for g in groups[1::2]}
    is_over = threading.Event()

    def come_and_go() -> None:
        with Module() as other:
            ids = [one.id for one in held[::2]]
            while not is_over.is_set():
                for at, group in enumerate(groups[::2]):
                    module.revoke([ids[at]])
                    module.untrack([group.stat().st_ino])
                    ids[at] = hold(module, group / "cpu.weight", "50").id
                    module.track([group.stat().st_ino])
            assert other.info()["live"] == len(groups)

    with (
        Module() as reader,
        concurrent.futures.ThreadPoolExecutor(1) as threads,
    ):
        churn = threads.submit(come_and_go)
        try:
            for _ in range(12):
                ids = [lease.id for lease in reader.leases()]
                assert ids == sorted(set(ids))
                assert staying <= set(ids)
                tracked = [one.cgroup_id for one in reader.tracked()]
                assert len(tracked) == len(set(tracked))
                assert kept <= set(tracked)
        finally:
            is_over.set()
        churn.result()
    module.untrack([g.stat().st_ino for g in groups])


@pytest.mark.needs("io_max")
@pytest.mark.parametrize("gap", [" ", "\t", "  "])
def test_the_weight_of_one_device_goes_back_however_it_is_written(
    module: Module, cgroup: Path, devices: list[str], gap: str
) -> None:
    path, disk = cgroup / "io.weight", devices[1]
    cost = Path("/sys/fs/cgroup/io.cost.qos")  # which gives a device weights at all
    cost.write_text(f"{disk} enable=1")
    try:
        before = path.read_text()
        granted = hold(module, path, f"{disk}{gap}50")
        assert not granted.error, granted.message
        assert f"{disk} 50\n" in path.read_text()
        module.revoke([granted.id])
        assert path.read_text() == before
        refused = hold(module, path, f"{disk}:50")
        assert refused.error == -errno.EINVAL
        assert "wants MAJ:MIN and a value" in refused.message
    finally:
        cost.write_text(f"{disk} enable=0")


def test_batch_answers_each_by_itself(module: Module, weight: Path) -> None:
    from vagus.kmod import Grant

    with contextlib.ExitStack() as stack:
        fds = []
        for name in ("cpu.weight", "cgroup.procs", "cpu.max"):
            fds.append(os.open(weight.with_name(name), os.O_RDWR))
            stack.callback(os.close, fds[-1])
        answers = module.grant([Grant(fd, "50", 500, cookie=fd) for fd in fds])
        assert [a.error for a in answers] == [0, -errno.EPERM, -errno.EINVAL]
        assert [a.cookie for a in answers] == fds
