# SPDX-License-Identifier: MIT
"""What the tests of the eBPF programs share: objects, cgroups, kernel counts."""

import subprocess
from pathlib import Path

from vagus.abi import EventType
from vagus.native import Probes, RawEvent

OBJECTS = Path(__file__).parent.parent.parent / ".output/ebpf"


def run_in(cgroup: Path, *command: str | bytes, **options: object) -> None:
    """Run a command inside a cgroup; its own exec is the first thing counted."""
    join = f'echo $$ > {cgroup}/cgroup.procs && exec "$@"'
    subprocess.run(["sh", "-c", join, "join", *command], check=False, **options)


def cgroup_id(cgroup: Path) -> int:
    """Return what the kernel calls a cgroup."""
    return cgroup.stat().st_ino


def drain(probes: Probes, cgroup: Path, kind: EventType) -> list[RawEvent]:
    """Return all events of one cgroup and type."""
    found = []
    while batch := probes.ring.drain():
        found += [e for e in batch if e.cgroup_id == cgroup_id(cgroup)]
    return [e for e in found if e.type == kind]


def loop(count: int) -> str:
    """Return a shell's words that start so many processes."""
    return f"i=0; while [ $i -lt {count} ]; do /bin/true; i=$((i+1)); done"


def vmstat(name: str) -> int:
    """Return one of the machine's counters of memory."""
    return keyed(Path("/proc/vmstat"), name)


def keyed(file: Path, name: str) -> int:
    """Return one value of a file of 'name value' lines."""
    lines = (line.split()[:2] for line in file.read_text().splitlines())
    return int(dict(line for line in lines if len(line) == 2)[name])
