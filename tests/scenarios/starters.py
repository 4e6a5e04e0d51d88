# SPDX-License-Identifier: MIT
"""How the programs of a scenario are started; a scenario names these by key.

A starter takes the service (its unit, description, options of the YAML) and leaves
it running.  Services with a `load` are servers; the others work in a loop, and
some write a line to their log for each piece of work that is done.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import guest


@dataclass(frozen=True)
class Service:
    """A program of a scenario under the unit name that the deciders see."""

    key: str  # its name in the scenario
    unit: str  # the same, or one that says nothing
    description: str
    start: str  # which starter
    options: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    load: Mapping[str, Any] | None = None
    work: str = "cpu"  # how its work is counted: cpu, io, lines or requests
    role: str = ""  # what the policy says of it, where roles are not hidden

    @property
    def log(self) -> Path:
        """Where the service writes what it has done."""
        return guest.WORK / f"{self.key}.log"


def nginx(service: Service) -> None:
    """A web server that compresses a page for each request."""
    port = service.options.get("port", 8080)
    guest.start_shop(port, 24, service.unit, service.description, **service.properties)


def build(service: Service) -> None:
    """A real compilation."""
    guest.start_build(
        service.options.get("jobs", 4),
        service.unit,
        service.description,
        service.log.name,
        **service.properties,
    )


def restic(service: Service) -> None:
    """A real backup to a disk of its own."""
    guest.start_backup(
        unit=service.unit,
        description=service.description,
        log=service.log.name,
        **service.properties,
    )


def swap(size_mb: int, latency_us: float, mb_per_s: int) -> None:
    """Swap on a memory-backed null_blk disk."""
    device = guest.disk("swap", size_mb, latency_us, mb_per_s)
    if device not in Path("/proc/swaps").read_text():
        guest.run("mkswap", "-q", device)
        guest.run("swapon", device)


def renew(services: Iterable[Service]) -> None:
    """Undo what the last arm's neighbours have left: what is swapped out comes back."""
    for service in services:
        if "swap" in service.options:
            device = guest.disk("swap", **service.options["swap"])
            guest.run("swapoff", device)
            guest.run("swapon", device)


def redis(service: Service) -> None:
    """A cache without persistence, filled before it is measured."""
    keys, size = service.options["keys"], service.options["value_bytes"]
    if "swap" in service.options:
        swap(**service.options["swap"])
    port = service.options.get("port", 6379)
    argv = ["/usr/bin/redis-server", "--port", str(port), "--save", ""]
    argv += ["--enable-debug-command", "yes", "--appendonly", "no"]
    guest.start(service.unit, service.description, argv, **service.properties)
    client = ["redis-cli", "-p", str(port)]

    def answers() -> bool:
        done = subprocess.run([*client, "ping"], capture_output=True, text=True)
        return "PONG" in done.stdout

    guest.wait_for(answers, "redis did not start")
    guest.run(*client, "debug", "populate", str(keys), "key", str(size))


HOG = """
import sys, time
size, log, rest = int(sys.argv[1]) << 20, sys.argv[2], float(sys.argv[3])
held = bytearray(size)
while True:
    for start in range(0, size, 4096):
        held[start] = (held[start] + 1) & 255
    with open(log, "a") as out:
        print(time.monotonic(), file=out)
    time.sleep(rest)
"""


def hog(service: Service) -> None:
    """A report that touches all of its memory again and again."""
    argv = [guest.PYTHON, "-c", HOG, str(service.options["size_mb"]), str(service.log)]
    argv.append(str(service.options.get("rest_s", 0.0)))
    guest.start(service.unit, service.description, argv, **service.properties)


def postgres(service: Service) -> None:
    """A database on a null_blk disk, filled by pgbench."""
    folder = guest.mounted(**service.options["disk"])
    binaries = max(Path("/usr/lib/postgresql").iterdir()) / "bin"
    data = folder / "pg"
    as_postgres = ["runuser", "-u", "postgres", "--"]
    if not data.exists():
        data.mkdir(mode=0o700)
        shutil.chown(data, "postgres", "postgres")
        Path("/run/postgresql").mkdir(exist_ok=True)
        shutil.chown("/run/postgresql", "postgres", "postgres")
        guest.run(
            *as_postgres,
            *(str(binaries / "initdb"), "-D", str(data), "-A", "trust", "--no-sync"),
        )
    if "iocost" in service.options:
        iocost(folder, service.options["iocost"])
    argv = [str(binaries / "postgres"), "-D", str(data)]
    for setting in service.options.get("settings", ()):
        argv += ["-c", setting]
    guest.start(
        service.unit,
        service.description,
        argv,
        User="postgres",
        **service.properties,
    )
    ready = [str(binaries / "pg_isready"), "-q"]
    guest.wait_for(
        lambda: subprocess.run(ready).returncode == 0, "postgres did not start"
    )
    scale = str(service.options.get("scale", 1))
    pgbench = [str(binaries / "pgbench"), "-i", "-q", "-s", scale, "postgres"]
    guest.run(*as_postgres, *pgbench)


def iocost(folder: Path, model: str) -> None:
    """Let the kernel's iocost share this disk by weight, with a model of it."""
    number = os.stat(folder).st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    (guest.CGROUPS / "io.cost.model").write_text(f"{device} ctrl=user {model}")
    (guest.CGROUPS / "io.cost.qos").write_text(
        f"{device} enable=1 ctrl=user rpct=0 wpct=0 min=100 max=100"
    )


def fio(service: Service) -> None:
    """A sequential stream to the disk, as a backup writes it."""
    folder = guest.mounted(**service.options["disk"])
    size_mb = service.options.get("size_mb", 64)
    argv = ["/usr/bin/fio", "--name=backup", f"--filename={folder}/backup.img"]
    argv += ["--rw=write", f"--size={size_mb}M", "--bs=256k", "--direct=1"]
    argv += ["--ioengine=libaio", f"--iodepth={service.options.get('depth', 4)}"]
    argv += ["--time_based", "--runtime=86400", "--output=/dev/null", "--thread"]
    guest.start(service.unit, service.description, argv, **service.properties)


STARTERS: dict[str, Callable[[Service], None]] = {
    "nginx": nginx,
    "build": build,
    "restic": restic,
    "redis": redis,
    "hog": hog,
    "postgres": postgres,
    "fio": fio,
}


def start(service: Service) -> None:
    """Start a service; scene.py has seen to it that its starter is known."""
    STARTERS[service.start](service)
