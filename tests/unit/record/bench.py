# SPDX-License-Identifier: MIT
"""What recording costs: 1,000 workloads a second, 50 of them changing.

usage: python tests/unit/record/bench.py [DAYS [KILLS]]

Writes .output/bench/record.json; tests/vm/bench_power.py adds what power cuts in
the VM did, and vm/cut.py what cutting the VM itself did.  Days are written through
the real writer, as fast as it takes them (seven are 5 GB and a quarter of an hour);
its CPU share is what one window costs it, times one window a second.  Numbers are
random in their last digits, as real ones are.
"""

import importlib.util
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

TOP = Path(__file__).parents[3]
sys.path[:0] = [str(TOP / "agent"), str(TOP)]

import msgspec  # noqa: E402
from tests.unit.record import writing  # noqa: E402

from vagus.cli.explain import screen  # noqa: E402
from vagus.cli.paint import Paint  # noqa: E402
from vagus.cli.story import tell  # noqa: E402
from vagus.flow import Identity, Record, Role, Use, Word, WorkloadWindow  # noqa: E402
from vagus.record import schema  # noqa: E402
from vagus.record.read import Reader  # noqa: E402
from vagus.record.store import Recorder  # noqa: E402
from vagus.record.trim import Limits  # noqa: E402

S = 10**9
WORKLOADS, CHANGING = 1000, 50
KINDS = 20  # windows that a workload has in turn
# What is asked of it: an explanation at once, an hour in a second.
BARS_MS = {
    "explain_ms": 100,
    "explain_worst_ms": 100,
    "explain_command_ms": 100,
    "hour_dump_ms": 1000,  # as the record holds it; every window whole has no bar
}
SIGNALS = {
    "cpu_pct": 100.0, "runq_p50_ns": 1e6, "runq_p99_ns": 1e7, "runq_count": 1e4,
    "runq_wait_pct": 50.0, "preempted_by_other_per_s": 1e3, "psi_cpu_some_pct": 40.0,
    "io_p50_ns": 1e6, "io_p99_ns": 1e7, "io_count": 1e3, "read_bytes_per_s": 1e8,
    "write_bytes_per_s": 1e8, "memory_bytes": 1e9,
}  # fmt: skip


def story():
    """The story of the unit tests: one decision with leases and effects."""
    spec = importlib.util.spec_from_file_location(
        "story", TOP / "tests/unit/conftest.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(number: int, rng: random.Random) -> WorkloadWindow:
    name = f"service-{number}"
    return WorkloadWindow(
        name=name,
        cgroup=f"/system.slice/{name}.service",
        cgroup_id=1000 + number,
        identity=Identity(f"Service number {number}", "a daemon", f"/usr/bin/{name}"),
        role=Role("web", "service", "model"),
        numbers={key: _number(key, most, rng) for key, most in SIGNALS.items()},
        words={
            "cpu": rng.choice((Word.OK, Word.WARM, Word.BAD)),
            "io": Word.OK,
            "memory": Word.OK,
        },
        uses={"cpu": Use.BUSY, "io": Use.LIGHT, "memory": Use.LIGHT},
        programs=[name],
        pids=[number + 10_000],
    )


def _number(key: str, most: float, rng: random.Random) -> float:
    """Counts are whole, memory is in pages; all else has every digit."""
    if key == "memory_bytes":
        return float(rng.randrange(int(most / 4096)) * 4096)
    if key.endswith("_count"):
        return float(rng.randrange(int(most)))
    return rng.random() * most


def windows(days: float, start_ns: int, tale):
    """Yield one record a second: decisions every ten seconds."""
    rng = random.Random(1)
    # Made beforehand: it is the writer that is measured.
    kinds = [[load(n, rng) for _ in range(KINDS)] for n in range(WORKLOADS)]
    loads = {one[0].name: one[0] for one in kinds}
    base = tale.record(32)
    for tick in range(1, int(days * 86_400) + 1):
        moved = rng.sample(range(WORKLOADS), CHANGING)
        loads = loads | {one.name: one for one in (rng.choice(kinds[n]) for n in moved)}
        window = msgspec.structs.replace(
            base.window,
            tick=tick,
            start_ns=(tick - 1) * S,
            end_ns=tick * S,
            workloads=loads,
        )
        wall_ns = start_ns + tick * S
        if tick % 10 == 0:
            cause = f"decision of tick {tick}"
            proposal = msgspec.structs.replace(base.proposal, cause=cause)
            yield msgspec.structs.replace(
                base, wall_ns=wall_ns, window=window, proposal=proposal
            )
        else:
            yield Record(wall_ns=wall_ns, window=window, counters={"ring.seen": tick})


def write(path: Path, days: float, tale) -> dict:
    """Write days; return bytes a day and the writer thread's CPU share."""
    start_ns = time.time_ns() - int(days * 86_400) * S
    limits = Limits(age_s=1e9, size_bytes=1 << 50)
    cpu = count = 0
    with Recorder(path, limits=limits, queue_records=4096) as recorder:
        thread = recorder._thread
        clock = time.pthread_getcpuclockid(thread.ident)
        before = time.clock_gettime(clock)
        for record in windows(days, start_ns, tale):
            while not recorder.put(record):
                time.sleep(0.05)
            count += 1
        while recorder.state().waiting:
            time.sleep(0.05)
        cpu = time.clock_gettime(clock) - before
    return {
        "bytes_per_day": round(path.stat().st_size / days),
        "writer_cpu_pct": round(100 * cpu / count, 3),
        "windows": count,
        "days_written": days,
    }


def read(path: Path) -> dict:
    """Time explain, and a one-hour dump: of what changed, and every window whole."""
    with Reader(path) as reader:
        last = reader.latest()
        decisions = reader.decisions(limit=1000)
    explains = []
    for decision in random.Random(2).sample(decisions, min(20, len(decisions))):
        started = time.perf_counter()
        with Reader(path) as reader:
            story_ = tell(reader, decision.id)
        screen(story_, last.wall_ns, Paint(), 80)
        explains.append(time.perf_counter() - started)
    typed = [command(path, "explain", str(one.id))[0] for one in decisions[-10:]]
    explains.sort()
    found = {
        "explain_ms": round(explains[len(explains) // 2] * 1e3, 1),
        "explain_worst_ms": round(explains[-1] * 1e3, 1),
        "explain_command_ms": round(sorted(typed)[len(typed) // 2] * 1e3, 1),
    }
    for name, words in (("hour_dump", ()), ("hour_whole", ("--whole",))):
        took, cpu, dumped = dump(path, last.wall_ns, *words)
        found[f"{name}_ms"] = round(took * 1e3)
        found[f"{name}_cpu_ms"] = round(cpu * 1e3)
        found[f"{name}_windows"] = dumped
    return found


def dump(path: Path, last_ns: int, *words: str) -> tuple[float, float, int]:
    """Dump the last hour as a person does; return seconds, of CPU, and windows."""
    since = datetime.fromtimestamp(last_ns / S - 3600).strftime("%Y-%m-%d %H:%M:%S")
    return command(path, "record", "dump", *words, "-t", since)


def command(path: Path, *words: str) -> tuple[float, float, int]:
    """Run a verb, Python's start included; return seconds, of CPU, and lines."""
    argv = [sys.executable, "-m", "vagus.cli.main", *words, "--record", str(path)]
    env = {**os.environ, "PYTHONPATH": str(TOP / "agent")}
    with tempfile.TemporaryFile() as out:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        subprocess.run(argv, env=env, stdout=out, check=True)
        took = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        out.seek(0)
        lines = sum(1 for _ in out)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, cpu, lines


def crash(path: Path, kills: int) -> dict:
    """Kill a writer at random moments; count what was lost and what broke."""
    rng, worst, corrupt = random.Random(3), 0.0, 0
    note = path.with_name("note")
    for _ in range(kills):
        writer = writing.start(path, note)
        time.sleep(0.6 + rng.random())
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        with Reader(path) as reader:
            lost_ns = writing.last_ns(note) - reader.latest().wall_ns
            worst = max(worst, lost_ns / 1e9)
        db = schema.open_writer(path)
        corrupt += db.execute("PRAGMA integrity_check").fetchone()[0] != "ok"
        db.close()
    return {"kills": kills, "corrupt": corrupt, "max_lost_s": round(worst, 2)}


def line(name: str, value: object) -> str:
    """Return a figure, beside its bar where it has one."""
    said, bar = f"{name:18} {value}", BARS_MS.get(name)
    if bar is None:
        return said
    return f"{said:32} bar {bar} ms: {'met' if value <= bar else 'NOT MET'}"


def main(argv: list[str]) -> None:
    if argv[:1] == ["read"]:
        print(json.dumps(read(Path(argv[1]))))
        return
    days = float(argv[0]) if argv else 0.25
    kills = int(argv[1]) if len(argv) > 1 else 10
    with tempfile.TemporaryDirectory(dir=TOP / ".output") as folder:
        path = Path(folder) / "record.db"
        found = write(path, days, story())
        # In a process of its own, whose memory is not full of what was written.
        again = [sys.executable, __file__, "read", str(path)]
        found |= json.loads(subprocess.check_output(again))
        found["crash"] = crash(Path(folder) / "crash.db", kills) | {"power_cuts": 0}
    found["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found["cpus"] = os.cpu_count()
    out = TOP / ".output/bench/record.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n")
    for key, value in found.items():
        print(line(key, value))


if __name__ == "__main__":
    main(sys.argv[1:])
