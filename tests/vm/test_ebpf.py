# SPDX-License-Identifier: MIT
"""The eBPF programs against what the kernel counts elsewhere."""

import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vagus import native
from vagus.abi import BlockOp, Counter, EventType, hist_bounds_ns
from vagus.errors import KernelError
from vagus.native import Probes, RawEvent
from vagus.sense.probes import SharedProbes

pytestmark = pytest.mark.needs("root", "bpf")
OBJECTS = Path(__file__).parent.parent.parent / ".output/ebpf"
NULL_BLOCK = Path("/dev/nullb0")


@pytest.fixture
def probes() -> Iterator[Probes]:
    with Probes(OBJECTS) as opened:
        yield opened


def run_in(cgroup: Path, *command: str | bytes, **options: object) -> None:
    """Run a command inside a cgroup; its own exec is the first thing counted."""
    join = f'echo $$ > {cgroup}/cgroup.procs && exec "$@"'
    subprocess.run(["sh", "-c", join, "join", *command], check=False, **options)


def cgroup_id(cgroup: Path) -> int:
    return cgroup.stat().st_ino


def drain(probes: Probes, cgroup: Path, kind: EventType) -> list[RawEvent]:
    """Return all events of one cgroup and type."""
    found = []
    while batch := probes.ring.drain():
        found += [e for e in batch if e.cgroup_id == cgroup_id(cgroup)]
    return [e for e in found if e.type == kind]


def loop(count: int) -> str:
    return f"i=0; while [ $i -lt {count} ]; do /bin/true; i=$((i+1)); done"


# ----------------------------------------------------------------- loading


def test_every_program_finds_its_hook(probes: Probes) -> None:
    assert probes.missing() == {}


def test_program_without_hook_is_named_and_the_others_run(tmp_path: Path) -> None:
    # The hook's name is changed in the object: what a kernel without it is like.
    for name in native.probes.NAMES:
        data = (OBJECTS / f"{name}.bpf.o").read_bytes()
        data = data.replace(b"fentry/workingset_refault", b"fentry/workingset_missing")
        (tmp_path / f"{name}.bpf.o").write_bytes(data)
    with Probes(tmp_path) as probes:
        assert list(probes.missing()) == ["memory_refault"]
        assert "workingset_missing: No such" in probes.missing()["memory_refault"]
    shared = SharedProbes(tmp_path)
    (told,) = shared.events("memory")
    assert told.kind == "sense" and told.detail.startswith("memory_refault does not")
    assert shared.missing("memory") == "" == shared.missing("process")
    shared.close()


def test_broken_object_is_named_and_the_others_run(tmp_path: Path) -> None:
    for name in native.probes.NAMES:
        data = (OBJECTS / f"{name}.bpf.o").read_bytes()
        (tmp_path / f"{name}.bpf.o").write_bytes(data if name != "block" else b"junk")
    with Probes(tmp_path) as probes:
        assert list(probes.missing()) == ["block"]
        assert "libbpf" in probes.missing()["block"]
        assert probes.block() == {}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (["--reuid=65534", "--clear-groups"], "run as root"),
        (["--bounding-set=-bpf,-perfmon,-sys_admin"], "this root needs CAP_BPF"),
    ],
    ids=["nobody", "root without CAP_BPF"],
)
def test_unprivileged_start_says_what_is_needed(how: list[str], said: str) -> None:
    code = "from pathlib import Path; from vagus import native; "
    code += f"native.Probes(Path({str(OBJECTS)!r}))"
    done = subprocess.run(
        ["setpriv", *how, sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "PrivilegeError" in done.stderr
    assert said in done.stderr


def test_kernel_without_btf_says_what_is_needed() -> None:
    code = "from pathlib import Path; from vagus.sense.probes import SharedProbes; "
    code += f"print(SharedProbes(Path({str(OBJECTS)!r})).missing('process'))"
    hide = 'mount -t tmpfs none /sys/kernel/btf && exec "$@"'
    argv = ["unshare", "-m", "sh", "-c", hide, "sh", sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    print(done.stdout)
    assert "CONFIG_DEBUG_INFO_BTF" in done.stdout
    assert done.stdout.count("\n") == 1


# --------------------------------------------------------------- processes


def test_known_number_of_forks_is_counted_exactly(
    probes: Probes, cgroup: Path, scaled: Callable[[int], int]
) -> None:
    count = scaled(100)
    probes.follow([cgroup_id(cgroup)])
    run_in(cgroup, "sh", "-c", loop(count))
    stat = probes.process()[cgroup_id(cgroup)]
    assert (stat.forks, stat.execs, stat.exits) == (count, count + 1, count + 1)
    assert len(drain(probes, cgroup, EventType.FORK)) == count


def test_threads_are_no_processes(probes: Probes, cgroup: Path) -> None:
    probes.follow([cgroup_id(cgroup)])
    code = "import threading as t; s=[t.Thread(target=int) for _ in range(7)]"
    code += "; [x.start() for x in s]; [x.join() for x in s]"
    run_in(cgroup, sys.executable, "-c", code)
    stat = probes.process()[cgroup_id(cgroup)]
    assert (stat.threads, stat.forks, stat.exits) == (7, 0, 1)


@pytest.mark.parametrize(
    "argument",
    [b"\x1b[31mred\x1b[0m\n", b"\xff\xfe\x80 not utf-8", b"a" * 131_000, b""],
    ids=["escapes", "invalid", "long", "empty"],
)
def test_arguments_arrive_as_they_are_and_cut(
    probes: Probes, cgroup: Path, argument: bytes
) -> None:
    probes.follow([cgroup_id(cgroup)])
    run_in(cgroup, b"/bin/true", argument)
    (event,) = drain(probes, cgroup, EventType.EXEC)
    assert event.args == (b"/bin/true\0" + argument + b"\0")[:128]
    assert (event.comm, event.uid) == (b"true", 0)


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3 << 8), ("kill -9 $$", 9)])
def test_exit_tells_the_wait_status_and_the_age(
    probes: Probes, cgroup: Path, script: str, status: int
) -> None:
    probes.follow([cgroup_id(cgroup)])
    began = time.monotonic_ns()
    run_in(cgroup, "sh", "-c", script)
    (event,) = drain(probes, cgroup, EventType.EXIT)
    assert event.value == status
    assert 0 < event.extra < time.monotonic_ns() - began
    assert began < event.time_ns < time.monotonic_ns()


def test_event_belongs_to_the_nearest_tracked_ancestor(
    probes: Probes, cgroup: Path
) -> None:
    inner, leaf = cgroup / "a", cgroup / "a/b"
    leaf.mkdir(parents=True)
    probes.follow([cgroup_id(cgroup)])
    run_in(leaf, "true")
    assert probes.process()[cgroup_id(cgroup)].execs == 1
    probes.follow([cgroup_id(cgroup), cgroup_id(inner)])
    run_in(leaf, "true")
    assert probes.process()[cgroup_id(cgroup)].execs == 1
    assert probes.process()[cgroup_id(inner)].execs == 1


def test_nothing_is_counted_for_others(probes: Probes, cgroup: Path) -> None:
    run_in(cgroup, "true")
    assert probes.process() == {}
    # The event still tells the task's own cgroup.
    assert len(drain(probes, cgroup, EventType.EXEC)) == 1


def test_followed_again_starts_at_zero(probes: Probes, cgroup: Path) -> None:
    for _ in range(2):
        probes.follow([cgroup_id(cgroup)])
        run_in(cgroup, "true")
        assert probes.process()[cgroup_id(cgroup)].execs == 1
        probes.follow([])
        assert probes.process() == {}


# ------------------------------------------------------------------- block


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


def test_disk_totals_agree_with_the_kernels_own(
    probes: Probes, cgroup: Path, null_block: Path
) -> None:
    def sectors() -> tuple[int, int]:
        stat = Path(f"/sys/block/{null_block.name}/stat").read_text().split()
        return int(stat[2]), int(stat[6])

    write = f"dd if=/dev/zero of={null_block} bs=64k count=50 oflag=direct"
    read = f"dd if={null_block} of=/dev/null bs=64k count=50 iflag=direct"
    run_in(cgroup, "dd", "if=/dev/null", "of=/dev/null")  # read the program itself
    probes.follow([cgroup_id(cgroup)])
    before = sectors()
    run_in(cgroup, "sh", "-c", f"{write} && {read}", stderr=subprocess.DEVNULL)
    stats = probes.block()
    after = sectors()
    for op, i in ((BlockOp.READ, 0), (BlockOp.WRITE, 1)):
        kernel = (after[i] - before[i]) * 512
        assert kernel >= 50 * 65536
        assert stats[cgroup_id(cgroup), op].bytes == pytest.approx(kernel, rel=0.01)


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


# ------------------------------------------------------------------ memory


def memory_event(cgroup: Path, name: str) -> int:
    lines = (cgroup / "memory.events").read_text().splitlines()
    return int(dict(line.split() for line in lines)[name])


def vmstat(name: str) -> int:
    lines = Path("/proc/vmstat").read_text().splitlines()
    return int(dict(line.split() for line in lines)[name])


def memory_stat(cgroup: Path, name: str) -> int:
    lines = (cgroup / "memory.stat").read_text().splitlines()
    return int(dict(line.split() for line in lines)[name])


def test_oom_kill_names_victim_and_cause(probes: Probes, cgroup: Path) -> None:
    (cgroup.parent / "cgroup.subtree_control").write_text("+memory")
    (cgroup / "memory.max").write_text("32M")
    (cgroup / "memory.swap.max").write_text("0")
    probes.follow([cgroup_id(cgroup)])
    run_in(cgroup, sys.executable, "-c", "x = bytearray(200_000_000)")
    kills = memory_event(cgroup, "oom_kill")
    assert kills >= 1
    assert probes.memory()[cgroup_id(cgroup)].oom_kills == kills
    events = drain(probes, cgroup, EventType.OOM)
    assert len(events) == kills
    assert events[0].extra == cgroup_id(cgroup)
    assert events[0].comm.startswith(b"python")
    # Its share of 32 MiB, and what it maps of files that others read.
    assert 2_000 < events[0].value < 16_000


FAULTS = """
import mmap, resource, subprocess, sys
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_majflt
before = faults()
with open(sys.argv[1], "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
    m.madvise(mmap.MADV_RANDOM)
    total = sum(m[i] for i in range(0, len(m), 4096 * 64))
open(sys.argv[2], "w").write(str(faults() - before))
"""


def test_major_faults_agree_with_rusage(
    probes: Probes, cgroup: Path, tmp_path: Path
) -> None:
    # On the disk, since pages of a tmpfs are never read.
    file, out = Path("/root/faults"), tmp_path / "out"
    file.write_bytes(bytes(8 << 20))
    subprocess.run(["sync"], check=True)
    script = tmp_path / "faults.py"
    script.write_text(FAULTS)
    subprocess.run([sys.executable, script, file, out], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("1")
    probes.follow([cgroup_id(cgroup)])
    before = vmstat("pgmajfault")
    run_in(cgroup, sys.executable, str(script), str(file), str(out))
    everybody = vmstat("pgmajfault") - before
    touched = int(out.read_text())
    file.unlink()
    assert touched >= 32
    # The interpreter itself had to come from the disk again, too.
    counted = probes.memory()[cgroup_id(cgroup)].major_faults
    assert touched <= counted <= everybody


SWAP = """
memory = bytearray(48 << 20)
for turn in range(2):
    for i in range(0, len(memory), 4096):
        memory[i] = turn + 1  # a page of zeroes is never written out
"""


@pytest.fixture
def swap() -> Iterator[None]:
    """A small swap file, for a moment."""
    file = Path("/root/swap")
    file.write_bytes(bytes(96 << 20))
    file.chmod(0o600)
    subprocess.run(["mkswap", "-q", file], check=True)
    subprocess.run(["swapon", file], check=True)
    yield
    subprocess.run(["swapoff", file], check=True)
    file.unlink()


def test_pages_that_come_back_from_swap_are_counted(
    probes: Probes, cgroup: Path, swap: None
) -> None:
    (cgroup.parent / "cgroup.subtree_control").write_text("+memory")
    (cgroup / "memory.max").write_text("24M")
    probes.follow([cgroup_id(cgroup)])
    before = vmstat("pswpin")
    run_in(cgroup, sys.executable, "-c", SWAP)
    kernel = vmstat("pswpin") - before
    stat = probes.memory()[cgroup_id(cgroup)]
    assert kernel > 100
    # A fault may bring neighbours along.
    assert 0 < stat.swapins <= kernel
    assert stat.swapins <= stat.major_faults


def test_refaults_agree_with_the_kernels_own(probes: Probes, cgroup: Path) -> None:
    (cgroup.parent / "cgroup.subtree_control").write_text("+memory")
    (cgroup / "memory.max").write_text("16M")
    file = Path("/root/refault")
    file.write_bytes(bytes(24 << 20))
    subprocess.run(["sync"], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("1")
    probes.follow([cgroup_id(cgroup)])
    run_in(cgroup, "sh", "-c", f"for i in 1 2 3; do cat {file} >/dev/null; done")
    file.unlink()
    kernel = memory_stat(cgroup, "workingset_refault_file")
    assert kernel > 100
    # The kernel counts pages, we count folios.
    assert 0 < probes.memory()[cgroup_id(cgroup)].refaults <= kernel


# -------------------------------------------------------------------- ring


def test_full_ring_loses_nothing_uncounted(
    cgroup: Path, scaled: Callable[[int], int]
) -> None:
    count = scaled(100)
    with Probes(OBJECTS, ring_bytes=4096) as probes:
        probes.follow([cgroup_id(cgroup)])
        run_in(cgroup, "sh", "-c", loop(count))
        while probes.ring.drain():
            pass
        counters = probes.counters()
        while probes.ring.drain():
            pass
        # What other tasks did between the two readings.
        slack = probes.counters()[Counter.EVENTS] - counters[Counter.EVENTS]
        seen = probes.ring.counts().seen
        assert counters[Counter.RING_FULL] > 2 * count
        assert counters[Counter.EVENTS] <= seen <= counters[Counter.EVENTS] + slack
        assert probes.process()[cgroup_id(cgroup)].forks == count


def test_reader_is_woken_only_when_enough_has_gathered(cgroup: Path) -> None:
    for wake_bytes, is_woken in ((1 << 19, False), (1, True)):
        options = {"process.wake_bytes": wake_bytes}
        with Probes(OBJECTS, options=options) as probes:
            poll = select.epoll()
            poll.register(probes.ring.fileno(), select.EPOLLIN | select.EPOLLET)
            probes.ring.drain()
            poll.poll(0)
            run_in(cgroup, "true")
            assert bool(poll.poll(0.2)) is is_woken
            assert probes.ring.drain()


def test_left_out_type_is_still_counted(cgroup: Path) -> None:
    with Probes(OBJECTS, event_types=[EventType.OOM]) as probes:
        probes.follow([cgroup_id(cgroup)])
        run_in(cgroup, "true")
        assert probes.ring.drain() == []
        assert probes.process()[cgroup_id(cgroup)].execs == 1


def test_more_workloads_than_room_is_an_error(cgroup: Path) -> None:
    (cgroup / "other").mkdir()
    with (
        Probes(OBJECTS, workloads=1) as probes,
        pytest.raises(KernelError, match="tracked"),
    ):
        probes.follow([cgroup_id(cgroup), cgroup_id(cgroup / "other")])


def test_closing_leaves_nothing_attached(cgroup: Path) -> None:
    def programs() -> int:
        out = subprocess.run(["bpftool", "prog"], capture_output=True, text=True)
        return sum(f" name {n}_" in out.stdout for n in ("process", "block", "memory"))

    with Probes(OBJECTS):
        assert programs() == 3
    # The kernel frees them after a grace period.
    deadline = time.monotonic() + 5
    while programs():
        assert time.monotonic() < deadline
