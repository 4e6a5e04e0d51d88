# SPDX-License-Identifier: MIT
"""What scenarios share inside the guest: units, load, work done, knobs.

Everything here runs as root in the test VM.  Times are CLOCK_MONOTONIC, which
under icount counts instructions.
"""

from __future__ import annotations

import functools
import json
import math
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CGROUPS = Path("/sys/fs/cgroup")
WORK = Path("/run/scenario")
PYTHON = sys.executable
SCENARIOS = Path(__file__).parent
REAL_TIME = {
    "CPUSchedulingPolicy": "fifo",
    "CPUSchedulingPriority": "10",
    "LimitRTTIME": "infinity",
}
SCHEDULER = "/sys/kernel/sched_ext/state"
SCHEDULER_ON = Path("/sys/kernel/sched_ext/root")  # while one is loaded
# Every knob that the first law writes; what must be back at the end.
KNOBS = (
    "cpu.weight",
    "cpu.idle",
    "cpu.max",
    "memory.low",
    "memory.high",
    "io.weight",
    "io.max",
)


def run(*argv: str) -> str:
    """Run a command and return what it printed; raise with its words."""
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout}")
    return done.stdout


def start(unit: str, description: str, argv: Sequence[str], **properties: str) -> None:
    """Start a transient service; cpu, io and memory controllers are on for it."""
    asked = {"CPUWeight": "100", "IOWeight": "100", "MemoryLow": "1"} | properties
    options = [f"--property={key}={value}" for key, value in asked.items()]
    run(
        "systemd-run",
        "--quiet",
        f"--unit={unit}",
        f"--description={description}",
        *options,
        "--",
        *argv,
    )


def stop(*units: str) -> None:
    """Stop services, at once, and forget their state."""
    for unit in units:
        subprocess.run(["systemctl", "kill", "-s", "KILL", unit], capture_output=True)
        subprocess.run(["systemctl", "stop", unit], capture_output=True)
        subprocess.run(["systemctl", "reset-failed", unit], capture_output=True)


def main_pid(unit: str) -> int:
    """Return the main process of a service."""
    return int(run("systemctl", "show", "-P", "MainPID", unit))


@functools.cache
def group(unit: str) -> Path:
    """Return the cgroup folder of a service that runs; it is the same each time."""
    return CGROUPS / run("systemctl", "show", "-P", "ControlGroup", unit).strip("/\n")


def cpu_usec(folder: Path) -> int:
    """Return the CPU time of a cgroup so far, in microseconds (cpu.stat)."""
    return int((folder / "cpu.stat").read_text().split()[1])


def knobs(units: Sequence[str]) -> dict[str, str]:
    """Return every knob of these services, and the scheduler's: path -> text."""
    found = {}
    if Path(SCHEDULER).exists():
        found[SCHEDULER] = Path(SCHEDULER).read_text()
    for unit in units:
        for name in KNOBS:
            path = group(unit) / name
            try:
                found[str(path)] = path.read_text()
            except OSError:
                continue
    return found


def scheduler_classes() -> dict[int, tuple[int, int]]:
    """Return (class, strength) by cgroup id in our scheduler; {} where it is not.

    As the kernel has it, not as the agent says it.
    """
    if not SCHEDULER_ON.exists():
        return {}
    dump = ["bpftool", "-j", "map", "dump", "name", "sched_cgroups"]
    done = subprocess.run(dump, capture_output=True, text=True)
    found = {}
    for entry in json.loads(done.stdout) if not done.returncode else ():
        key, value = (bytes(int(b, 16) for b in entry[k]) for k in ("key", "value"))
        # struct vagus_sched_stance of kmod/uapi/vagus.h: deadline, class, strength.
        deadline_ns, kind, strength = struct.unpack("=QII", value)
        if deadline_ns > time.monotonic_ns():
            found[struct.unpack("=Q", key)[0]] = (kind, strength)
    return found


def class_text(kind: int, strength: int) -> str:
    """Return "protect 3" or "normal"; enum vagus_sched_class of kmod/uapi/vagus.h."""
    word = ("yield", "normal", "protect")[kind]
    return f"{word} {strength}" if strength else word


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile; NaN where there is no value."""
    ranked = sorted(values)
    if not ranked:
        return float("nan")
    return ranked[max(0, math.ceil(len(ranked) * share) - 1)]


def start_shop(
    port: int = 8080,
    document_kb: int = 24,
    unit: str = "shop",
    description: str = "The shop's web server",
    **properties: str,
) -> None:
    """Start nginx as a service: it compresses a page for every request."""
    site = WORK / "site"
    site.mkdir(parents=True, exist_ok=True)
    words = Path("/usr/share/common-licenses/GPL-3").read_text().split()
    text = "\n".join(" ".join(words[i : i + 12]) for i in range(len(words) - 12))
    (site / "page.txt").write_text(text[: document_kb * 1024])
    config, errors, pid = (WORK / f"{unit}.{end}" for end in ("conf", "err", "pid"))
    pid.unlink(missing_ok=True)
    config.write_text(
        f"worker_processes 2; error_log {errors};\n"
        f"pid {pid}; events {{ worker_connections 512; }}\n"
        "http { access_log off; keepalive_requests 1000000; gzip on;\n"
        "  gzip_types *; gzip_comp_level 6; gzip_min_length 1;\n"
        f"  server {{ listen 127.0.0.1:{port} backlog=512; root {site}; }} }}\n"
    )
    nginx = ["/usr/sbin/nginx", "-g", "daemon off;", "-c", str(config)]
    start(unit, description, nginx, **properties)
    wait_for(pid.exists, f"nginx did not start; see {errors} in the guest")


def wait_for(ready: Callable[[], bool], complaint: str, limit_s: float = 60) -> None:
    """Wait until something holds; raise with the complaint where it does not."""
    end = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError(complaint)
        time.sleep(0.05)


def start_build(
    jobs: int = 4,
    unit: str = "build",
    description: str = "Nightly build",
    log: str = "build.log",
    **properties: str,
) -> None:
    """Start a real compilation as a service; one line a finished object."""
    tree = WORK / "build"
    tree.mkdir(parents=True, exist_ok=True)
    for number in range(8):
        functions = "".join(
            f"double f{i}(double x, int n) {{ char b[64]; for (int j = 0; j < n; j++)"
            f' x = sin(x * {i + 1}) + sqrt(x + j); snprintf(b, 64, "%f", x);'
            " return atof(b); }\n"
            for i in range(2)
        )
        includes = "#include <math.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
        (tree / f"part{number}.c").write_text(includes + functions)
    (tree / "Makefile").write_text(
        "OBJ = $(patsubst %.c,%.o,$(wildcard *.c))\nall: $(OBJ)\n"
        "%.o: %.c\n\tgcc -O1 -c $< -o $@\n"
        f"\t@cut -d' ' -f1 /proc/uptime >>{WORK}/{log}\n"
    )
    loop = f"while :; do rm -f *.o; make -s -j{jobs}; done"
    argv = ["/bin/sh", "-c", loop]
    start(unit, description, argv, WorkingDirectory=str(tree), **properties)


def disk(name: str, size_mb: int, latency_us: float, mb_per_s: int) -> str:
    """Make a disk in memory whose clock is the guest's; return its device."""
    config = Path("/sys/kernel/config/nullb")
    if not config.exists():
        run("modprobe", "null_blk", "nr_devices=0")
        wait_for(config.exists, "configfs has no nullb: is it mounted?")
    # The kernel names the disk like the folder: nothing that /dev has already.
    folder, device = config / f"null-{name}", Path(f"/dev/null-{name}")
    if not folder.exists():
        folder.mkdir()
        asked = {"size": size_mb, "memory_backed": 1, "irqmode": 2, "mbps": mb_per_s}
        asked |= {"completion_nsec": int(latency_us * 1000), "power": 1}
        for key, value in asked.items():
            (folder / key).write_text(str(value))
    wait_for(device.is_block_device, f"{device} did not appear")
    return str(device)


def mounted(name: str, size_mb: int, latency_us: float, mb_per_s: int) -> Path:
    """Make such a disk with a file system; return where it is mounted."""
    target = WORK / name
    if not target.exists():
        device = disk(name, size_mb, latency_us, mb_per_s)
        target.mkdir(parents=True)
        run("mkfs.ext4", "-q", "-O", "^has_journal", device)
        run("mount", device, str(target))
    return target


def start_backup(
    source: str = "/usr/lib/x86_64-linux-gnu/perl-base",
    unit: str = "backup",
    description: str = "Nightly backup",
    log: str = "backup.log",
    **properties: str,
) -> None:
    """Start restic as a service, writing to a null_blk disk."""
    target = mounted("disk", 1024, 100, 200)
    loop = (
        f"export RESTIC_PASSWORD=demo RESTIC_REPOSITORY={target}/repo HOME=/root; "
        "while :; do rm -rf $RESTIC_REPOSITORY; restic -q init; "
        f"restic -q backup --no-cache {source}; "
        f"cut -d' ' -f1 /proc/uptime >>{WORK}/{log}; done"
    )
    start(unit, description, ["/bin/sh", "-c", loop], **properties)


def done_times(log: str, start_s: float, end_s: float) -> list[float]:
    """Return the times of a work log's lines that lie in the span."""
    path = WORK / log
    lines = path.read_text().split() if path.exists() else []
    return [float(line) for line in lines if start_s <= float(line) < end_s]


def done_between(log: str, start_s: float, end_s: float) -> int:
    """Count the lines of a work log whose time lies in the span."""
    return len(done_times(log, start_s, end_s))


class Client:
    """Open-loop load, real-time so that it measures and not suffers."""

    def __init__(
        self,
        rate: float,
        seconds: float,
        name: str = "client",
        options: Sequence[str] = ("--path", "/page.txt"),
    ) -> None:
        self.out = WORK / f"{name}.log"
        self.name, self.rate = name, rate
        self.out.unlink(missing_ok=True)
        argv = [PYTHON, str(SCENARIOS / "openloop.py"), *options]
        argv += ["--rate", f"{rate:.3f}", "--seconds", str(seconds)]
        start(name, "Load generator", [*argv, "--out", str(self.out)], **REAL_TIME)

    def rows(self, start_s: float, end_s: float) -> list[tuple[float, float, bool]]:
        """Return (due s, latency ms, answered) of requests due in the span."""
        return between(self.out, start_s, end_s)

    def late_ms(self, start_s: float, end_s: float) -> float:
        """Return by how much it fell behind its own schedule in the span, at worst."""
        found = said(self.out, start_s, end_s)
        return max((ms for _, ms, status in found if status == "late"), default=0.0)

    def latencies_ms(self, start_s: float, end_s: float) -> list[float]:
        """Return the latencies of requests due in the span."""
        return [ms for _, ms, _ in self.rows(start_s, end_s)]

    def recent_ms(self, start_s: float, end_s: float) -> list[float]:
        """Return the same of the last few seconds, from the end of the log alone."""
        found = between(self.out, start_s, end_s, last=128 << 10)
        return [ms for _, ms, _ in found]

    def measured_ms(self, start_s: float, end_s: float) -> list[float]:
        """Return the same; raise where the load generator died."""
        found = self.latencies_ms(start_s, end_s)
        if not found:
            raise RuntimeError(f"the load generator gave nothing: see {self.out}")
        return found

    def stop(self) -> None:
        """End the load."""
        stop(self.name)


Said = tuple[float, float, str]


def said(log: Path, start_s: float, end_s: float, last: int = 0) -> list[Said]:
    """Read openloop's log: (due s, ms, what became of it) of what was due then.

    `last`: read only so many bytes at its end; who looks often should not be a load.
    """
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - last) if last else 0)
        lines = [line.split() for line in file.read().decode().splitlines()]
    return [
        (int(line[0]) / 1e9, int(line[1]) / 1e6, line[2])
        for line in lines
        if len(line) == 3 and start_s * 1e9 <= int(line[0]) < end_s * 1e9
    ]


def between(
    log: Path, start_s: float, end_s: float, last: int = 0
) -> list[tuple[float, float, bool]]:
    """Return (due s, latency ms, answered) of the requests that were due then."""
    found = said(log, start_s, end_s, last)
    return [(due, ms, status == "200") for due, ms, status in found if status != "late"]


def calibrate(
    share: float, unit: str = "shop", options: Sequence[str] = ("--path", "/page.txt")
) -> tuple[float, float]:
    """Return (rate for that share of one CPU, CPU seconds of one request)."""
    folder = group(unit)
    before = cpu_usec(folder)
    client = Client(10, 4, "calibrate", options)
    time.sleep(6)
    used = cpu_usec(folder) - before
    client.stop()
    service_s = used / 1e6 / len(client.measured_ms(0, float("inf")))
    return share / service_s, service_s


def vagus(*argv: str) -> str:
    """Run the vagus command line and return what it printed."""
    return run("/opt/venv/bin/vagus", *argv)


def vagus_json(*argv: str) -> Any:
    """Run a vagus verb with --json and return what it printed, decoded."""
    done = subprocess.run(
        ["/opt/venv/bin/vagus", *argv, "--json"], capture_output=True, text=True
    )
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"vagus {argv[0]}: {done.stderr or done.stdout}") from None
