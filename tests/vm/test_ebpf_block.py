# SPDX-License-Identifier: MIT
"""Block requests by the eBPF programs, against what the kernel counts elsewhere."""

import select
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.vm.bpflab import OBJECTS, cgroup_id, drain, run_in

from vagus.abi import BlockOp, EventType, hist_bounds_ns
from vagus.native import Probes

pytestmark = pytest.mark.needs("root", "bpf")
NULL_BLOCK = Path("/dev/nullb0")
NVME = Path("/dev/nvme0n1")  # vm/run.py
MAPPED = Path("/dev/mapper/test-sense")


@pytest.fixture
def null_block() -> Iterator[Path]:
    """A disk in memory that takes 2 ms for a request, by a timer of its own."""
    options = ["memory_backed=1", "irqmode=2", "completion_nsec=2000000", "gb=1"]
    subprocess.run(
        ["modprobe", "null_blk", "nr_devices=1", "hw_queue_depth=64", *options],
        check=True,
    )
    yield NULL_BLOCK
    subprocess.run(["rmmod", "null_blk"], check=True)


def fio(cgroup: Path, rw: str, count: int, size: int = 4096) -> None:
    job = [f"--rw={rw}", f"--bs={size}", f"--number_ios={count}", "--size=64M"]
    job += ["--name=x", f"--filename={NULL_BLOCK}", "--direct=1", "--ioengine=psync"]
    run_in(cgroup, "fio", *job, stdout=subprocess.DEVNULL)


def test_fio_job_is_counted_exactly(
    probes: Probes, cgroup: Path, null_block: Path, scaled: Callable[[int], int]
) -> None:
    count = scaled(200)
    fio(cgroup, "randrw", 2)  # the program itself is read from the disk before
    probes.follow([cgroup_id(cgroup)])
    fio(cgroup, "randread", count)
    fio(cgroup, "randwrite", count, 8192)
    stats = probes.block()
    read = stats[cgroup_id(cgroup), BlockOp.READ]
    write = stats[cgroup_id(cgroup), BlockOp.WRITE]
    assert (write.requests, write.bytes) == (count, count * 8192)
    assert (read.requests, read.bytes) == (count, count * 4096)
    for stat in (read, write):
        assert sum(stat.device_hist) == sum(stat.queue_hist) == stat.requests
        # A bucket's lower bounds add up to at most the sum.
        low = sum(
            n * b[0] for n, b in zip(stat.device_hist, hist_bounds_ns(), strict=True)
        )
        assert low <= stat.device_sum_ns
    assert write.device_sum_ns >= count * 2_000_000
    assert write.device_max_ns >= 2_000_000


@pytest.fixture(params=["null_blk", "NVMe", "device mapper"])
def disk(request: pytest.FixtureRequest) -> Iterator[tuple[Path, Path]]:
    """A disk, and the one that its requests go to."""
    if request.param == "NVMe":
        subprocess.run(["modprobe", "nvme"], check=True)
        deadline = time.monotonic() + 20
        while not NVME.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        yield NVME, NVME
        return
    request.getfixturevalue("null_block")
    if request.param == "null_blk":
        yield NULL_BLOCK, NULL_BLOCK
        return
    table = f"0 131072 linear {NULL_BLOCK} 0"
    subprocess.run(["dmsetup", "create", MAPPED.name, "--table", table], check=True)
    yield MAPPED, NULL_BLOCK
    subprocess.run(["dmsetup", "remove", "--retry", MAPPED.name], check=True)


def test_disk_totals_agree_with_the_kernels_own(
    probes: Probes, cgroup: Path, disk: tuple[Path, Path]
) -> None:
    path, below = disk

    # The kernel's account of this cgroup: udev reads what was written as well.
    (cgroup.parent / "cgroup.subtree_control").write_text("+io")
    number = Path(f"/sys/block/{below.name}/dev").read_text().strip()

    def charged() -> dict[str, int]:
        for line in (cgroup / "io.stat").read_text().splitlines():
            disk, *pairs = line.split()
            if disk == number:
                return {k: int(v) for k, v in (pair.split("=") for pair in pairs)}
        return {}

    write = f"dd if=/dev/zero of={path} bs=64k count=50 oflag=direct"
    read = f"dd if={path} of=/dev/null bs=64k count=50 iflag=direct"
    run_in(cgroup, "dd", "if=/dev/null", "of=/dev/null")  # read the program itself
    probes.follow([cgroup_id(cgroup)])
    run_in(cgroup, "sh", "-c", f"{write} && {read}", stderr=subprocess.DEVNULL)
    stats = probes.block()
    bytes_ = charged()
    for op, key in ((BlockOp.READ, "rbytes"), (BlockOp.WRITE, "wbytes")):
        kernel = bytes_[key]
        assert kernel >= 50 * 65536
        stat = stats[cgroup_id(cgroup), op]
        assert stat.bytes == pytest.approx(kernel, rel=0.01)
        assert 0 < stat.device_max_ns < 10e9


def test_slow_request_is_told_at_once(cgroup: Path, null_block: Path) -> None:
    with Probes(OBJECTS, options={"block.outlier_ns": 1_000_000}) as probes:
        probes.follow([cgroup_id(cgroup)])
        probes.ring.drain()
        poll = select.epoll()
        poll.register(probes.ring.fileno(), select.EPOLLIN | select.EPOLLET)
        poll.poll(0)
        fio(cgroup, "randwrite", 3)
        assert poll.poll(1)
        events = drain(probes, cgroup, EventType.BLOCK)
    writes = [e for e in events if e.comm == b"fio"]
    assert len(writes) >= 3
    assert all(e.value >= 2_000_000 and e.extra == 4096 for e in writes[-3:])


def written_bytes(cgroup: Path) -> int:
    """What the kernel itself charged to a cgroup, all disks."""
    words = (cgroup / "io.stat").read_text().split()
    return sum(int(w.removeprefix("wbytes=")) for w in words if "wbytes=" in w)


def test_writeback_belongs_to_who_wrote(probes: Probes, cgroup: Path) -> None:
    (cgroup.parent / "cgroup.subtree_control").write_text("+io +memory")
    probes.follow([cgroup_id(cgroup)])
    # The kernel charges the root for an inode when it is short of atomic memory
    # at its first dirty page: a few files, so that one at least is ours.
    for i in range(5):
        file = Path(f"/root/writeback{i}")
        run_in(cgroup, "dd", "if=/dev/zero", f"of={file}", "bs=1M", "count=8")
        # Written out by a kernel thread, for somebody outside.
        subprocess.run(["sync"], check=True)
        file.unlink()
    kernel = written_bytes(cgroup)
    assert kernel >= 8 << 20
    stat = probes.block()[cgroup_id(cgroup), BlockOp.WRITE]
    assert stat.bytes == pytest.approx(kernel, rel=0.01)
