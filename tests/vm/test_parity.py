# SPDX-License-Identifier: MIT
"""Memory and CPU, by program and module, against what the kernel counts elsewhere."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vm.bpflab import cgroup_id, drain, keyed, loop, run_in, vmstat
from tests.vm.kmodlab import swap_on

from vagus.abi import EventType, HistKind
from vagus.kmod import Module
from vagus.native import Probes, Table

pytestmark = pytest.mark.needs("root", "bpf")
ROOT = Path("/sys/fs/cgroup")


def test_oom_kill_names_victim_and_cause(probes: Probes, cgroup: Path) -> None:
    (cgroup.parent / "cgroup.subtree_control").write_text("+memory")
    (cgroup / "memory.max").write_text("32M")
    (cgroup / "memory.swap.max").write_text("0")
    probes.follow([cgroup_id(cgroup)])
    run_in(cgroup, sys.executable, "-c", "x = bytearray(200_000_000)")
    kills = keyed(cgroup / "memory.events", "oom_kill")
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
    assert touched <= probes.memory()[cgroup_id(cgroup)].major_faults <= everybody


SWAP = """
memory = bytearray(b"x") * (48 << 20)  # a page of zeroes is never written out
for turn in range(2):
    for i in range(0, len(memory), 4096):
        memory[i] = turn + 1
"""


@pytest.fixture
def swap() -> Iterator[None]:
    """A small swap file, for a moment; a fault brings one page, not its neighbours."""
    cluster = Path("/proc/sys/vm/page-cluster")
    was = cluster.read_text()
    cluster.write_text("0")
    with swap_on(Path("/root/swap"), 96):
        yield
    cluster.write_text(was)


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
    assert stat.swapins == pytest.approx(kernel, rel=0.01)
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
    kernel = keyed(cgroup / "memory.stat", "workingset_refault_file")
    assert kernel > 100
    refaults = probes.memory()[cgroup_id(cgroup)].refaults
    assert refaults == pytest.approx(kernel, rel=0.01)


# ----------------------------------------------------------- the whole machine


def test_totals_of_the_machine_agree_with_proc(probes: Probes, tmp_path: Path) -> None:
    file, out = Path("/root/faults"), tmp_path / "out"
    file.write_bytes(bytes(8 << 20))
    subprocess.run(["sync"], check=True)
    script = tmp_path / "faults.py"
    script.write_text(FAULTS)
    Path("/proc/sys/vm/drop_caches").write_text("1")

    def kernel() -> tuple[int, int]:
        return keyed(Path("/proc/stat"), "processes"), vmstat("pgmajfault")

    # With nothing cached our own readings fault too: what the kernel counts is read
    # within and around what the probes count.
    around = kernel()
    probes.follow([cgroup_id(ROOT)])
    within = kernel()
    run_in(ROOT, "sh", "-c", loop(300))
    run_in(ROOT, sys.executable, str(script), str(file), str(out))
    least = [now - was for now, was in zip(kernel(), within, strict=True)]
    process, memory = probes.process(), probes.memory()
    most = [now - was for now, was in zip(kernel(), around, strict=True)]
    file.unlink()
    one = process[cgroup_id(ROOT)]
    seen = one.forks + one.threads, memory[cgroup_id(ROOT)].major_faults
    assert least[0] > 300 and least[1] > 32
    for low, found, high in zip(least, seen, most, strict=True):
        assert 0.99 * low <= found <= 1.01 * high, (least, seen, most)
        assert high - low < 10  # or this would say nothing


BURN = """
import sys, time
open(sys.argv[1] + "/cgroup.procs", "w").write("0")
print(flush=True)
input()
end = time.process_time() + 3
while time.process_time() < end: pass
"""


@pytest.mark.needs("kmod")
def test_cpu_time_agrees_with_cpu_stat(loaded: str, cgroup: Path) -> None:
    (cgroup.parent / "cgroup.subtree_control").write_text("+cpu")
    argv = [sys.executable, "-c", BURN, str(cgroup)]
    worker = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdout
    worker.stdout.readline()
    id_, stat = cgroup_id(cgroup), cgroup / "cpu.stat"
    with Module() as module, Table.module() as table:
        slot = module.track([id_])[id_]
        table.follow([slot])
        before = keyed(stat, "usage_usec")
        worker.communicate(b"\n")
        used_ns = 1000 * (keyed(stat, "usage_usec") - before)
        while not (cells := table.read()):
            time.sleep(0.01)
        ran_ns = cells[0].sum_ns[HistKind.SLICE]
        module.untrack([id_])
    print(f"table {ran_ns / 1e9:.4f} s, cpu.stat {used_ns / 1e9:.4f} s")
    assert ran_ns == pytest.approx(used_ns, rel=0.01)
