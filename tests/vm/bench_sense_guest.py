# SPDX-License-Identifier: MIT
"""What sensing costs everybody else, and what it loses; as root under icount.

usage: python tests/vm/bench_sense_guest.py [overhead wake loss drains]

One virtual CPU whose time counts instructions: caches are not in these numbers.
Adds to .output/bench/sense.json.
"""

import contextlib
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.vm import bench_drain
from tests.vm.bench_sense import publish

from vagus import native
from vagus.abi import Counter, EventType
from vagus.kmod import Module
from vagus.sense.probes import SharedProbes
from vagus.sense.rings import KEPT, Waiter
from vagus.sense.table import TableSensor

TOP = Path(__file__).parents[2]
CGROUPS = Path("/sys/fs/cgroup")
LOAD = ("hackbench", "-l", "6000", "-g", "1", "-f", "4")
ROUNDS = 7
HOG = "while True: pass"


def load_module() -> None:
    """Load vagus.ko."""
    path = TOP / f".output/kmod/{os.uname().release}/vagus.ko"
    subprocess.run(["insmod", path], check=True)


def unload_module() -> None:
    """Unload it; whoever just let go may hold it for a moment."""
    for _ in range(50):
        if not Path("/sys/module/vagus").exists():
            return
        subprocess.run(["rmmod", "vagus"], check=False, capture_output=True)
        time.sleep(0.05)
    raise SystemExit("vagus.ko does not unload")


@contextlib.contextmanager
def own_cgroup(name: str, weight: int = 100) -> Iterator[tuple[Path, int]]:
    """Move this process into a cgroup of its own, and back."""
    (CGROUPS / "cgroup.subtree_control").write_text("+cpu")
    path = CGROUPS / name
    path.mkdir()
    (path / "cpu.weight").write_text(str(weight))
    (path / "cgroup.procs").write_text("0")
    try:
        yield path, path.stat().st_ino
    finally:
        (CGROUPS / "cgroup.procs").write_text("0")
        path.rmdir()


def took() -> float:
    """Return the seconds of many short messages between processes."""
    start = time.monotonic()
    subprocess.run(LOAD, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


@contextlib.contextmanager
def sensing(
    place: dict[str, tuple[str, int]], *, module: bool
) -> Iterator[Callable[[], float]]:
    """Have the signals of an agent on: the table and ring, and the eBPF programs.

    Yield what tells how many switches the table has counted.
    """
    with contextlib.ExitStack() as stack:
        probes = SharedProbes()
        stack.callback(probes.close)
        probes.follow(place)
        if module:
            load_module()
            stack.callback(unload_module)
            client = Module()
            stack.callback(client.close)
            table = TableSensor(client)
            stack.callback(table.close)
            table.follow(place)
            yield lambda: sum(s.value for s in table.read() if s.signal == "switches")
        else:
            yield lambda: 0.0


def overhead() -> int:
    """Run the load with sensing off and on in turns, and in parts."""
    times: dict[str, list[float]] = {"off": [], "ebpf": [], "on": []}
    switches = 0.0
    with own_cgroup("bench-sense") as (path, id_):
        place = {"bench": (f"/{path.name}", id_)}
        took()
        for _ in range(ROUNDS):
            times["off"].append(took())
            with sensing(place, module=False):
                times["ebpf"].append(took())
            with sensing(place, module=True) as counted:
                times["on"].append(took())
                switches = counted()
                assert switches > 1000, "the load was not seen"
    middle = {name: statistics.median(values) for name, values in times.items()}
    spread = 100 * (max(times["off"]) - min(times["off"])) / middle["off"]
    publish(
        overhead_pct=round(100 * (middle["on"] / middle["off"] - 1), 2),
        overhead={
            "load": " ".join(LOAD),
            "seconds": {name: round(value, 4) for name, value in middle.items()},
            "ebpf_pct": round(100 * (middle["ebpf"] / middle["off"] - 1), 2),
            "aa_spread_pct": round(spread, 2),
            "switches": switches,
            "rounds": ROUNDS,
        },
    )
    return 0


def wake() -> int:
    """Time from an outlier's stamp in the kernel to a loop that waited for it."""
    load_module()
    times_ms = []
    hogs = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(4)]
    # As the agent's own cgroup is while it runs (apply/own.py).
    with own_cgroup("bench-wake", 10_000), Module() as module:
        module.config(runq_threshold_ns=1_000_000, rate_per_s=50)
        (track,) = (CGROUPS.stat().st_ino,)
        module.track([track])
        ring = native.Ring.module(batch=KEPT)
        waiter = Waiter(ring.fileno(), select.EPOLLPRI)
        poll = select.poll()
        poll.register(waiter.fileno(), select.POLLIN)
        ring.drain()
        end = time.monotonic() + 20
        while time.monotonic() < end and len(times_ms) < 200:
            waiter.clear()
            ring.drain()
            if not poll.poll(1000):
                continue
            now = time.monotonic_ns()
            waiter.clear()
            found = [one.time_ns for one in ring.drain()]
            if found:
                times_ms.append((now - min(found)) / 1e6)
        waiter.close()
        ring.close()
    for hog in hogs:
        hog.kill()
        hog.wait()
    unload_module()
    times_ms.sort()
    p99 = times_ms[int(len(times_ms) * 0.99)]
    publish(
        wake_ms={
            "count": len(times_ms),
            "p50": round(times_ms[len(times_ms) // 2], 3),
            "p99": round(p99, 3),
            "max": round(times_ms[-1], 3),
        }
    )
    return int(p99 > 5)


FORKS = """
import os, sys
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
"""


def loss() -> int:
    """Fork a known number of times at three paces of reading; nothing goes unseen."""
    objects = TOP / ".output/ebpf"
    rows, unaccounted = [], 0
    for name, size, every_s in (
        ("read at once", 1 << 20, 0.0),
        ("read seldom", 1 << 14, 0.2),
        ("never read", 1 << 12, 9e9),
    ):
        with (
            own_cgroup("bench-loss") as (path, id_),
            native.Probes(
                objects, ring_bytes=size, event_types=[EventType.FORK]
            ) as probes,
        ):
            probes.follow([id_])
            argv = [sys.executable, "-c", FORKS, "1500"]
            join = f'echo $$ >{path}/cgroup.procs && exec "$@"'
            start = time.monotonic()
            child = subprocess.Popen(["sh", "-c", join, "sh", *argv])
            read_s = start
            while child.poll() is None:
                time.sleep(0.005)
                if time.monotonic() - read_s >= every_s:
                    probes.ring.drain()
                    read_s = time.monotonic()
            seconds = time.monotonic() - start
            while probes.ring.drain():
                pass
            forks = probes.process()[id_].forks
            counters = probes.counters()
            folds = probes.ring.take_folds()
            seen = sum(f.count for (of, _), f in folds.items() if of == id_)
            seen_all = sum(fold.count for fold in folds.values())
        lost = counters[Counter.RING_FULL]
        # Every record of the ring was read, and every fork of ours is one of them
        # or counted as lost.
        missing = abs(counters[Counter.EVENTS] - seen_all)
        missing += max(0, forks - seen - lost) + max(0, lost - (forks - seen) - 50)
        unaccounted += missing
        rows.append(
            {
                "how": name,
                "made": forks,
                "seen": seen,
                "lost": lost,
                "per_s": round(forks / seconds),
            }
        )
    publish(unaccounted_loss=unaccounted, loss=rows)
    return int(unaccounted > 0)


def main(argv: list[str]) -> int:
    """Measure the parts that are named, or all; 1 where one found a fault."""
    parts = {
        "overhead": overhead,
        "wake": wake,
        "loss": loss,
        "drains": bench_drain.main,
    }
    unload_module()
    return max(parts[name]() for name in argv or parts)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
