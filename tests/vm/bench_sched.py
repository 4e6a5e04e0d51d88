# SPDX-License-Identifier: MIT
"""Latency of a protected task and work of its neighbours, under each CPU handle.

Runs in the guest as root, on one CPU under icount.  The arms take turns within
each repetition; rows {load, arm, metric, median, lo, hi} go to
.output/bench/sched.json.

usage: python tests/vm/bench_sched.py [REPETITIONS [LOAD ...]]
A load that is measured replaces its rows in the file; the others stay.
"""

import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from vagus.apply.sched import SchedExt
from vagus.flow import Act, Stance

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
OUT = CHECKOUT / ".output/bench/sched.json"
OBJECT = CHECKOUT / ".output/ebpf/sched.bpf.o"
BENCH = Path("/sys/fs/cgroup/bench")
SHOP, BATCH, CLIENT = BENCH / "shop", BENCH / "batch", BENCH / "client"
PROGRAM = "/tmp/sched_load"
NOBODY = 1 << 62  # no cgroup has this number
SECONDS = 2.0
SETTLE_S = 0.5
# For shares: what a class had before counts for a second.
LONG_S = 8.0
# Who works already would be in the way of those yet to be started, and each works for
# its own seconds: more or less of them, by scheduler.  So all wait and begin at once.
START_S, EACH_S = 0.5, 0.15
# A task that wants 70 % of the CPU, and one that wants little but often.
HEAVY, LIGHT = ("tick", "10000", "7000"), ("tick", "2000", "100")
# What a machine uses in a second that does nothing.
CALM_US = 20_000
# Part of the CPU that the servers want.
WANTED = 0.7
HOG, FORKS = ("hog",), ("forks", 16)
LOADS: dict[str, tuple[tuple[str, ...], tuple[object, ...], int]] = {
    f"{name} + {neighbours}": (want, batch, count)
    for name, want in (
        ("light", LIGHT),
        ("heavy", HEAVY),
        ("nginx", ("nginx",)),
        ("redis", ("redis",)),
    )
    for neighbours, batch, count in (
        ("1 hog", HOG, 1),
        ("4 hogs", HOG, 4),
        ("16 hogs", HOG, 16),
        ("fork storm", FORKS, 1),
    )
}


@contextlib.contextmanager
def knobs(settings: dict[Path, str]) -> Iterator[None]:
    """Hold knobs at these values."""
    old = {path: path.read_text() for path in settings}
    for path, value in settings.items():
        path.write_text(value)
    try:
        yield
    finally:
        for path, value in reversed(old.items()):
            path.write_text(value)


@contextlib.contextmanager
def scx(protect: int, give: int) -> Iterator[None]:
    """Hold stances through sched_ext; 0 is none."""
    stances = []
    if protect:
        stances.append(Stance("shop", Act.PROTECT, strength=protect))
    if give:
        stances.append(Stance("batch", Act.YIELD, strength=give))
    ids = {"shop": SHOP.stat().st_ino, "batch": BATCH.stat().st_ino}
    with SchedExt(OBJECT) as sched:
        held = sched.hold(
            stances or [Stance("none", Act.YIELD)], ids | {"none": NOBODY}, 600_000
        )
        if not held:
            raise SystemExit(sched.state().reason)
        yield
        if sched.state().handle != "sched_ext":
            raise SystemExit(sched.state().reason)


# Without any neighbours: what could be reached at best.
ALONE = "alone"
ARMS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    ALONE: contextlib.nullcontext,
    "default": contextlib.nullcontext,
    "cpu.weight": lambda: knobs(
        {SHOP / "cpu.weight": "10000", BATCH / "cpu.weight": "1"}
    ),
    "cpu.idle": lambda: knobs({BATCH / "cpu.idle": "1"}),
    "SCHED_IDLE": contextlib.nullcontext,
    "vagus normal": lambda: scx(0, 0),
    "vagus protect 1": lambda: scx(1, 0),
    "vagus protect 2": lambda: scx(2, 0),
    "vagus protect 3": lambda: scx(3, 0),
    "vagus yield 3": lambda: scx(0, 3),
    "vagus both 3": lambda: scx(3, 3),
}


def soon(count: int) -> int:
    """Return when so many programs will have been started, to begin at once."""
    return time.monotonic_ns() + int((START_S + count * EACH_S) * 1e9)


def spawn(
    group: Path, *argv: object, idle: bool = False, start: int = 0
) -> subprocess.Popen[str]:
    """Start a program in a cgroup; a load of ours works from `start` on, if given."""

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        if idle:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    return subprocess.Popen(
        list(map(str, argv)),
        preexec_fn=enter,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | ({"START_NS": str(start)} if start else {}),
    )


def percentile(values: list[int], part: float) -> int:
    """Return a percentile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * part))]


def play(load: str, arm: str) -> dict[str, float]:
    """Measure one load under one arm."""
    (kind, *want), batch, count = LOADS[load]
    count = 0 if arm == ALONE else count
    idle = arm == "SCHED_IDLE"
    with server(kind) as asked, ARMS[arm]():
        seconds, start = SECONDS + SETTLE_S, soon(count + 1)
        mode, *rest = batch
        neighbours = [
            spawn(BATCH, PROGRAM, mode, seconds, *rest, idle=idle, start=start)
            for _ in range(count)
        ]
        if asked:
            argv = (CLIENT, *FIRST, PROGRAM, "open", seconds, *asked)
        else:
            argv = (SHOP, PROGRAM, kind, seconds, *want)
        shop = spawn(*argv, start=start)
        lines = [line.split() for line in shop.communicate()[0].splitlines()]
        rounds = sum(int(process.communicate()[0]) for process in neighbours)
    # What comes first is measured while all start.
    lines = lines[len(lines) // 6 :]
    wake = sorted(int(line[0]) for line in lines)
    done = sorted(int(line[1]) for line in lines)
    found = {
        "done p50 us": percentile(done, 0.5) / 1e3,
        "done p99 us": percentile(done, 0.99) / 1e3,
        "batch rounds": float(rounds),
        "served": float(len(lines)),
    }
    if not asked:
        found |= {
            "wake p50 us": percentile(wake, 0.5) / 1e3,
            "wake p99 us": percentile(wake, 0.99) / 1e3,
        }
    return found


# The one who asks is not to be waited for: its own delay is no server's.
FIRST = ("chrt", "-f", "1")
NGINX, REDIS = 8090, 8091
# Chunked text that nginx compresses anew, and a loop in redis: milliseconds each.
REQUESTS: dict[str, tuple[int, str, str]] = {
    "nginx": (
        NGINX,
        "GET /page HTTP/1.1\r\nHost: shop\r\nAccept-Encoding: gzip\r\n\r\n",
        "0\r\n\r\n",
    ),
    "redis": (
        REDIS,
        "EVAL 'local n=0 for i=1,30000 do n=n+i end return 1' 0\r\n",
        ":1\r\n",
    ),
}
periods_us: dict[str, int] = {}  # by server, as calibrated


@contextlib.contextmanager
def server(kind: str) -> Iterator[tuple[object, ...]]:
    """Run a server in the shop's cgroup; give how to ask it, () for none."""
    if kind not in REQUESTS:
        yield ()
        return
    port, request, end = REQUESTS[kind]
    argv = nginx() if kind == "nginx" else redis()
    process = spawn(SHOP, *argv)
    try:
        wait_for(port)
        if kind not in periods_us:
            periods_us[kind] = calibrated(port, request, end)
        yield periods_us[kind], port, request, end
    finally:
        (SHOP / "cgroup.kill").write_text("1")
        process.communicate()


def nginx() -> list[str]:
    """Return how to start nginx: one worker that compresses a page each time."""
    folder = Path("/tmp/nginx")
    folder.mkdir(exist_ok=True)
    text = Path("/usr/share/common-licenses/GPL-3").read_text()
    (folder / "page").write_text(text[: 24 << 10])
    (folder / "conf").write_text(
        "worker_processes 1; daemon off; error_log /tmp/nginx/err; pid /tmp/nginx/pid;"
        "events { worker_connections 512; }"
        "http { access_log off; keepalive_requests 1000000; gzip on; gzip_types *;"
        f" gzip_min_length 1; server {{ listen 127.0.0.1:{NGINX};"
        " root /tmp/nginx; } }"
    )
    return ["/usr/sbin/nginx", "-c", "/tmp/nginx/conf"]


def redis() -> list[str]:
    """Return how to start redis, without a disk."""
    argv = ["redis-server", "--port", str(REDIS), "--save", "", "--bind", "127.0.0.1"]
    return [*argv, "--logfile", "/dev/null", "--dir", "/tmp"]


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(500):
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.02)
    raise SystemExit(f"nobody listens on port {port}")


def calibrated(port: int, request: str, end: str) -> int:
    """Return the period at which requests want WANTED of the CPU, in us."""
    asked = [PROGRAM, "open", "2", "20000", str(port), request, end]
    before = usage_us(SHOP)
    lines = spawn(CLIENT, *asked).communicate()[0].splitlines()
    return round((usage_us(SHOP) - before) / len(lines) / WANTED)


def usage_us(group: Path) -> int:
    """Return the CPU time of a cgroup."""
    return int((group / "cpu.stat").read_text().split()[1])


def overhead(arm: str) -> dict[str, float]:
    """Measure what switching costs while everything is normal."""
    with ARMS[arm]():
        trips = spawn(SHOP, PROGRAM, "pipe", SECONDS).communicate()[0]
        bench = spawn(SHOP, "hackbench", "-g", "2", "-l", "100")
        took = re.search(r"Time: ([\d.]+)", bench.communicate()[0])
        assert took
    return {
        "pipe us": SECONDS * 1e6 / int(trips),
        "hackbench s": float(took[1]),
    }


def hogs(*groups: Path) -> list[int]:
    """Let a hog work in each cgroup, all at once; return what each has done."""
    start = soon(len(groups))
    some = [spawn(group, PROGRAM, "hog", LONG_S, start=start) for group in groups]
    return [int(process.communicate()[0]) for process in some]


def fairness(arm: str) -> dict[str, float]:
    """Measure weights 100 to 300, and Jain's index over 16 equals."""
    with ARMS[arm](), knobs({SHOP / "cpu.weight": "300"}):
        low, high = hogs(BATCH, SHOP)
        done = hogs(*[SHOP] * 16)
    return {
        "weight 300 to 100": high / low,
        "Jain of 16": sum(done) ** 2 / (16 * sum(d * d for d in done)),
    }


def floor(arm: str) -> dict[str, float]:
    """Measure what is left to a neighbour of a task that wants everything."""
    with ARMS[arm]():
        low, high = hogs(BATCH, SHOP)
    return {"share pct": 100 * low / (low + high)}


def rows(found: dict[tuple[str, str, str], list[float]]) -> list[dict[str, object]]:
    """Return a row for each load, arm and metric."""
    return [
        {
            "load": load,
            "arm": arm,
            "metric": metric,
            "median": statistics.median(values),
            "lo": min(values),
            "hi": max(values),
            "runs": len(values),
        }
        for (load, arm, metric), values in found.items()
    ]


def setup() -> None:
    """Compile the loads and make the cgroups."""
    source = HERE / "sched_load.c"
    subprocess.run(["gcc", "-O2", "-pthread", "-o", PROGRAM, source], check=True)
    for group in (BENCH, SHOP, BATCH, CLIENT):
        (group.parent / "cgroup.subtree_control").write_text("+cpu")
        group.mkdir()


def settle() -> None:
    """Wait until what the boot has started is done; it is nobody's neighbour."""
    for _ in range(60):
        before = usage_us(BENCH.parent)
        time.sleep(1)
        if usage_us(BENCH.parent) - before < CALM_US:
            return


def main(repetitions: int, only: list[str]) -> None:
    """Measure and write the rows, after each load."""
    setup()
    settle()
    normal = ["default", "vagus normal"]
    floors = [arm for arm in ARMS if arm.startswith("vagus ") and arm[-1] in "123"]
    latency = [arm for arm in ARMS if arm not in ("vagus normal", "vagus yield 3")]
    plans: dict[str, tuple[Callable[[str], dict[str, float]], list[str]]] = {
        load: (lambda arm, load=load: play(load, arm), latency)  # type: ignore[misc]
        for load in LOADS
    }
    plans |= {"overhead": (overhead, normal), "fairness": (fairness, normal)}
    plans["minimum share"] = (floor, floors)
    unknown = [name for name in only if name not in plans]
    if unknown:
        raise SystemExit(f"there is no load {unknown[0]!r}; known: {', '.join(plans)}")
    for load in only or plans:
        measure, arms = plans[load]
        found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for repetition in range(repetitions):
            turn = repetition % len(arms)
            for arm in arms[turn:] + arms[:turn]:
                for metric, value in measure(arm).items():
                    found[load, arm, metric].append(value)
        show(load, arms, found)
        keep(load, rows(found))
    summarize(json.loads(OUT.read_text()))


def keep(load: str, new: list[dict[str, object]]) -> None:
    """Replace a load's rows in the file."""
    OUT.parent.mkdir(parents=True, exist_ok=True)
    old = json.loads(OUT.read_text()) if OUT.exists() else []
    kept = [row for row in old if row["load"] != load]
    OUT.write_text(json.dumps(kept + new, indent=1) + "\n")


def show(
    load: str, arms: list[str], found: dict[tuple[str, str, str], list[float]]
) -> None:
    """Print one load's table: the median of each metric, an arm a line."""
    metrics = [metric for name, arm, metric in found if (name, arm) == (load, arms[0])]
    print(f"\n{load:20}" + "".join(f"{metric:>20}" for metric in metrics))
    for arm in arms:
        medians = [statistics.median(found[load, arm, metric]) for metric in metrics]
        print(f"  {arm:18}" + "".join(f"{median:20.3f}" for median in medians))
    medians_of = {key: statistics.median(values) for key, values in found.items()}
    for said, value, least, most in aims(load, arms, medians_of):
        verdict = "met" if least <= value <= most else "NOT MET"
        if least == 0:
            bound = f"at most {most:g}"
        elif most == INFINITE:
            bound = f"at least {least:g}"
        else:
            bound = f"{least:g} to {most:g}"
        print(f"    {verdict:8} {said}: {value:.3f} ({bound})")
    sys.stdout.flush()


INFINITE = float("inf")
KERNELS_OWN = ("default", "cpu.weight", "cpu.idle", "SCHED_IDLE")
# Yielding tasks have 2 % of the machine, normal ones 10, 5 or 2 % beside protected.
LEAST_PCT = {"vagus yield 3": 2, "vagus both 3": 2}
LEAST_PCT |= {"vagus protect 1": 10, "vagus protect 2": 5, "vagus protect 3": 2}


def aims(
    load: str, arms: list[str], found: dict[tuple[str, str, str], float]
) -> Iterator[tuple[str, float, float, float]]:
    """Yield what was aimed at: what, the value, and its least and most."""
    if load == "overhead":
        for metric in ("pipe us", "hackbench s"):
            ours, kernels = (found[load, arm, metric] for arm in reversed(arms))
            yield f"{metric} by the kernel's", ours / kernels, 0, 1.03
    elif load == "fairness":
        weights = found[load, "vagus normal", "weight 300 to 100"]
        yield "weight 300 to 100", weights, 2.85, 3.15
        yield "Jain of 16", found[load, "vagus normal", "Jain of 16"], 0.98, INFINITE
    elif load == "minimum share":
        for arm in arms:
            share, least = found[load, arm, "share pct"], LEAST_PCT[arm]
            yield f"{arm}, share pct", share, least, INFINITE
    else:
        yield from latency_aims(load, arms, found)


def p99_of(load: str) -> str:
    """Return the metric that counts: a server's answers are all that is seen of it."""
    return "done p99 us" if LOADS[load][0][0] in REQUESTS else "wake p99 us"


def latency_aims(
    load: str, arms: list[str], found: dict[tuple[str, str, str], float]
) -> Iterator[tuple[str, float, float, float]]:
    """Yield the aims of a protected task beside its neighbours."""
    metric = p99_of(load)
    best = min(found[load, arm, metric] for arm in KERNELS_OWN)
    weight = found[load, "cpu.weight", metric]
    work = found[load, "cpu.weight", "batch rounds"]
    for arm in (arm for arm in arms if arm.startswith("vagus ")):
        mine = found[load, arm, metric]
        yield f"{arm}, p99 by the kernel's best", mine / best, 0, 1
        yield f"{arm}, cpu.weight's p99 by it", weight / mine, 3, INFINITE
        rounds = found[load, arm, "batch rounds"] / max(work, 1)
        yield f"{arm}, work by cpu.weight's", rounds, 0.95, INFINITE


REACHED, POSSIBLE = "reached", "possible and not reached"
NOT_POSSIBLE = "not possible: cpu.weight's is less than three times what it is alone"


def summarize(kept: list[dict[str, object]]) -> None:
    """Print in how many loads cpu.weight's p99 is three times ours, and could be."""
    p99 = {
        (str(row["load"]), str(row["arm"])): float(str(row["median"]))
        for row in kept
        if row["load"] in LOADS and row["metric"] == p99_of(str(row["load"]))
    }
    loads = [load for load in LOADS if (load, ALONE) in p99]
    for arm in (arm for arm in ARMS if arm.startswith("vagus ")):
        said: dict[str, list[str]] = {REACHED: [], POSSIBLE: [], NOT_POSSIBLE: []}
        for load in (load for load in loads if (load, arm) in p99):
            least = p99[load, "cpu.weight"] / 3
            is_possible = p99[load, ALONE] <= least
            word = POSSIBLE if is_possible else NOT_POSSIBLE
            said[REACHED if p99[load, arm] <= least else word].append(load)
        count = sum(map(len, said.values()))
        if count:
            print(f"\n{arm}, cpu.weight's p99 three times its own, of {count} loads:")
            for word, names in said.items():
                print(f"    {len(names):2} {word}: {', '.join(names) or 'none'}")


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["3"])[0]), sys.argv[2:])
