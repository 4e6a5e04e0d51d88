# SPDX-License-Identifier: MIT
"""The module in numbers: exits, restore times, cost of a switch, endurance.

Runs in the guest as root, one vCPU under icount, so that a nanosecond stands
for a count of instructions (2 ns each) and the host does not matter.  Cache
misses are not counted.  Prints, and writes .output/bench/kmod.json.
usage: bench_kmod.py [PART ...]   of switch exits restore late cycles fuzz; all
"""

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.vm import kmodlab, test_kmod_fuzz, test_kmod_life  # noqa: E402

from vagus.kmod import Module  # noqa: E402
from vagus.native import BpfObject  # noqa: E402

OUT = ROOT / ".output/bench/kmod.json"
SCALE = float(os.environ.get("VAGUS_SCALE", "1"))
KERNEL = os.uname().release
ROUNDS = 5
TRIPS = 20_000
TRACKED = (1, 100, 4096)

# Two processes pass a byte to and fro: two switches a trip, no other work.
PING_PONG = """
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int there[2], back[2], trips = atoi(argv[1]);
	struct timespec a, b;
	cpu_set_t one;
	char c = 0;

	(void)argc;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	if (pipe(there) || pipe(back))
		return 1;
	if (!fork()) {
		while (read(there[0], &c, 1) == 1 && !c)
			if (write(back[1], &c, 1) != 1)
				return 1;
		return 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < trips; i++)
		if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
			return 1;
	clock_gettime(CLOCK_MONOTONIC, &b);
	c = 1;
	if (write(there[1], &c, 1) != 1)
		return 1;
	double ns = (b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec;
	printf("%.0f\\n", ns / trips / 2);
	return 0;
}
"""


def compile_all(folder: Path) -> tuple[Path, Path]:
    """Compile the ping-pong and the eBPF side; return both."""
    program, bpf = folder / "ping", folder / "switch.bpf.o"
    (folder / "ping.c").write_text(PING_PONG)
    subprocess.run(["gcc", "-O2", "-o", program, folder / "ping.c"], check=True)
    flags = "-target bpf -O2 -g -std=gnu11 -mcpu=v3 -D__TARGET_ARCH_x86"
    paths = ["-isystem", ".output/ebpf", "-Iebpf", "-Ikmod/uapi"]
    source = ["-c", "tests/vm/switch.bpf.c", "-o", str(bpf)]
    subprocess.run(["clang", *flags.split(), *paths, *source], check=True, cwd=ROOT)
    return program, bpf


def switch_ns(program: Path, cgroup: Path) -> float:
    """Run the ping-pong in a cgroup; return ns a switch."""

    def enter() -> None:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))

    command = [str(program), str(TRIPS)]
    return float(subprocess.check_output(command, preexec_fn=enter))


@contextlib.contextmanager
def nothing(ids: list[int]) -> Iterator[None]:
    """Count nothing: the module is not even loaded."""
    del ids
    yield


@contextlib.contextmanager
def by_module(ids: list[int]) -> Iterator[None]:
    """Count in the module."""
    kmodlab.load("slots=4096")
    try:
        with Module() as module:
            module.config(runq_threshold_ns=10**18)
            assert min(module.track(ids).values()) >= 0
            before = module.info()["switches"]
            yield
            # A bench of something that did not run says nothing.
            assert module.info()["switches"] - before > TRIPS
    finally:
        kmodlab.unload()


@contextlib.contextmanager
def by_bpf(ids: list[int], path: Path) -> Iterator[None]:
    """Count in eBPF."""
    with BpfObject(path) as program:
        program.resize_map("cells", len(ids))
        program.start()
        rows = program.map("rows")
        for index, id_ in enumerate(ids):
            rows.put(id_.to_bytes(8, "little"), index.to_bytes(4, "little"))
        yield
        if len(ids) == 1:
            (counted,) = program.map("cells").read_percpu().values()
            assert sum(counted) > TRIPS


def measure_switches() -> dict[str, Any]:
    """Interleave off, module and eBPF for each number of workloads."""
    home = kmodlab.make_cgroup(kmodlab.CGROUPS / f"bench-{os.getpid()}")
    groups = [kmodlab.make_cgroup(home / str(i)) for i in range(max(TRACKED))]
    ids = [group.stat().st_ino for group in groups]
    deep = kmodlab.make_cgroup(kmodlab.make_cgroup(groups[0] / "a") / "b")
    seen: dict[str, list[float]] = {}
    kmodlab.unload()
    with tempfile.TemporaryDirectory() as folder:
        program, bpf = compile_all(Path(folder))
        for _ in range(ROUNDS):
            for where, cgroup in (("", groups[0]), (" two levels below", deep)):
                for count in TRACKED if not where else TRACKED[:1]:
                    for name, make in (
                        ("off", nothing),
                        ("module", by_module),
                        ("bpf", lambda ids: by_bpf(ids, bpf)),
                    ):
                        key = f"{name} {count}{where}"
                        with make(ids[:count]):
                            seen.setdefault(key, []).append(switch_ns(program, cgroup))
    kmodlab.load()
    kmodlab.remove_cgroup(home)
    medians = {key: statistics.median(values) for key, values in seen.items()}
    for key, values in seen.items():
        print(f"  {key:28} {medians[key]:8.0f} ns  {sorted(values)}")
    return {
        "switch_ns": {name: medians[f"{name} 1"] for name in ("off", "module", "bpf")},
        "switch_ns_all": seen,
        "added_ns": {
            key: medians[key] - medians["off" + key[key.index(" ") :]]
            for key in medians
            if not key.startswith("off")
        },
    }


def measure_exits() -> dict[str, Any]:
    """Lease everything, end it every way."""
    results: list[kmodlab.Result] = []
    with kmodlab.matrix() as cases:
        for how in kmodlab.EXITS:
            results += kmodlab.run_exit(cases, how)
    for result in results:
        back = "back" if result.restored and result.held else f"NOT BACK {result.words}"
        print(f"  {result.exit:9} {result.case:14} {back} {result.took_ms:8.1f} ms")
    good = sum(r.restored and r.held for r in results)
    return {"exit_matrix": {"cases": len(results), "restored": good}}


def measure_restores(count: int) -> dict[str, Any]:
    """Kill the owner of a thousand leases."""
    path = kmodlab.CGROUPS / f"mass-{os.getpid()}"
    device = (kmodlab.a_disk() / "dev").read_text().strip()
    found: dict[str, Any] = {}
    for file, value, key in (
        ("cpu.weight", "50", "restore_1000_ms"),
        ("io.max", f"{device} rbps=1048576", "restore_1000_io_max_ms"),
        ("cpuset.cpus", "0", "restore_1000_cpuset_ms"),
    ):
        if file == "cpuset.cpus" and os.uname().release.startswith("6."):
            continue
        took_ms, restored = kmodlab.mass_restore_ms(path, count, file, value)
        print(f"  {count} x {file}: {restored} back, the last after {took_ms:.1f} ms")
        assert restored == count
        found[key] = round(took_ms, 1)
    return found


def measure_late() -> dict[str, Any]:
    """Give memory.high back under more than it allows, on this kernel."""
    before = json.loads(OUT.read_text()) if OUT.exists() else {}
    cgroup = kmodlab.make_cgroup(kmodlab.CGROUPS / f"late-{os.getpid()}")
    with kmodlab.swap_on(Path("/var/tmp/vagus-high.swap"), 256):
        seen_ms, done_ms = kmodlab.high_under_use_ms(cgroup)
    kmodlab.remove_cgroup(cgroup)
    print(f"  reads as before after {seen_ms:.1f} ms, reclaimed after {done_ms:.1f} ms")
    now = {"back": round(seen_ms, 1), "written": round(done_ms, 1)}
    return {"memory_high_ms": before.get("memory_high_ms", {}) | {KERNEL: now}}


def measure_cycles(count: int) -> dict[str, Any]:
    """Load and unload."""
    rng = random.Random(kmodlab.seed())
    home = kmodlab.make_cgroup(kmodlab.CGROUPS / f"cycles-{os.getpid()}")
    (home / "cgroup.subtree_control").write_text("+cpu")
    kmodlab.unload()
    for _ in range(count):
        test_kmod_life.cycle(rng, home)
    kmodlab.load()
    kmodlab.remove_cgroup(home)
    print(f"  {count} cycles of load and unload")
    return {"load_cycles": count}


def measure_fuzz(count: int) -> dict[str, Any]:
    """Send random messages."""
    family = test_kmod_fuzz.family_id()
    home = kmodlab.make_cgroup(kmodlab.CGROUPS / f"fuzz-{os.getpid()}")
    with subprocess.Popen(["sleep", "infinity"]) as process:
        fuzz = (kmodlab.seed(), count, family, process.pid, str(home))
        errors = test_kmod_fuzz.fuzz_netlink(*fuzz)
        process.kill()
    with Module() as module:
        module.off()
    kmodlab.remove_cgroup(home)
    splats = len(kmodlab.splats())
    print(f"  {count} messages, {errors} refused, {splats} splats")
    return {"fuzz": {"messages": count, "refused": errors, "splats": splats}}


PARTS = {
    "switch": ("cost of a context switch (median of rounds)", measure_switches),
    "exits": ("every knob, every exit", measure_exits),
    "restore": ("owner killed", lambda: measure_restores(1000)),
    "late": ("memory.high, lifted and filled", measure_late),
    "cycles": ("life cycle", lambda: measure_cycles(round(10 * SCALE))),
    "fuzz": ("fuzz", lambda: measure_fuzz(round(5000 * SCALE))),
}


def main(wanted: list[str]) -> None:
    """Measure all, or the parts that are named; print, write."""
    start = time.monotonic()
    kmodlab.enable_controllers()
    found: dict[str, Any] = {"kernel": KERNEL}
    if wanted and OUT.exists():
        before = json.loads(OUT.read_text())
        # What is told by kernel may stand beside another's.
        if before["kernel"] == KERNEL or wanted == ["late"]:
            found = before
    for part in wanted or PARTS:
        title, measure = PARTS[part]
        print(title, flush=True)
        found |= measure()
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{time.monotonic() - start:.0f} s of guest time; {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
