# SPDX-License-Identifier: MIT
"""What the module's tests and its benchmark share: knobs, owners, exits.

Run as a program it is an owner in a process of its own: it grants what the
first line of its input says, prints the answers, and does what it is told.
"""

import contextlib
import ctypes
import functools
import json
import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from vagus.abi import LeaseKind
from vagus.flow import LeaseEnd
from vagus.kmod import Grant, Granted, Module

ROOT = Path(__file__).resolve().parent.parent.parent
CGROUPS = Path("/sys/fs/cgroup")
MODULE = ROOT / f".output/kmod/{os.uname().release}/vagus.ko"
LONG_MS = 600_000
# With KASAN and lockdep everything takes about ten times as long.
SLOWNESS = 10 if os.uname().release.endswith("-debug") else 1
EXITS = ("deadline", "revoke", "off", "close", "SIGKILL", "hang", "rmmod")


class Case(msgspec.Struct):
    """One thing to lease: what it is, what it must be before and after."""

    name: str
    value: str
    path: Path | None = None  # knob
    also: Path | None = None  # restored with it
    kind: int = LeaseKind.KNOB
    pid: int = 0  # thread

    def state(self) -> str:
        """Return all that has to come back, exactly as the kernel shows it."""
        if self.kind == LeaseKind.NICE:
            return str(os.getpriority(os.PRIO_PROCESS, self.pid))
        if self.kind == LeaseKind.POLICY:
            return str(os.sched_getscheduler(self.pid))
        assert self.path is not None
        return self.path.read_text() + (self.also.read_text() if self.also else "")

    def spec(self, ttl_ms: int) -> dict[str, Any]:
        """Return it as an owner process wants it."""
        return {
            "path": str(self.path or ""),
            "value": self.value,
            "kind": int(self.kind),
            "pid": self.pid,
            "ttl_ms": ttl_ms,
        }


class Result(msgspec.Struct):
    """What became of one case at one exit."""

    case: str
    exit: str
    held: bool  # the lease had changed it
    restored: bool
    took_ms: float
    words: str = ""


def request(spec: dict[str, Any], opened: contextlib.ExitStack) -> Grant:
    """Open what a spec names."""
    if spec["kind"] != LeaseKind.KNOB:
        pidfd = os.pidfd_open(spec["pid"])
        opened.callback(os.close, pidfd)
        return Grant(
            None,
            spec["value"],
            spec["ttl_ms"],
            kind=spec["kind"],
            pidfd=pidfd,
            tid=spec["pid"],
        )
    fd = os.open(spec["path"], os.O_RDWR)
    opened.callback(os.close, fd)
    return Grant(fd, spec["value"], spec["ttl_ms"])


def grant(module: Module, specs: list[dict[str, Any]]) -> list[Granted]:
    """Grant what the specs say."""
    with contextlib.ExitStack() as opened:
        return module.grant([request(spec, opened) for spec in specs])


def hold(
    module: Module,
    path: Path,
    value: str,
    ttl_ms: int = LONG_MS,
    restore: str | None = None,
) -> Granted:
    """Lease one knob."""
    fd = os.open(path, os.O_RDWR)
    try:
        return module.grant([Grant(fd, value, ttl_ms, restore)])[0]
    finally:
        os.close(fd)


class Owner:
    """An owner of leases in a process of its own."""

    def __init__(self, specs: list[dict[str, Any]]) -> None:
        """Start it, and wait until it has granted."""
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.granted = self.tell(specs)

    def tell(self, order: Any) -> Any:
        """Send one line, return the answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        """Kill it, whatever state it is in."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


def _owner_main() -> None:
    with Module() as module:
        for line in sys.stdin:
            order = json.loads(line)
            if isinstance(order, list):
                answers = grant(module, order)
                print(json.dumps([msgspec.to_builtins(a) for a in answers]))
            elif isinstance(order, dict):
                print(json.dumps(list(module.revoke(order["revoke"]).values())))
            elif order == "fork":
                child = os.fork()
                if child == 0:
                    signal.pause()
                print(child)
            elif order == "close":
                module.close()
                print(0)
            sys.stdout.flush()


def seed() -> int:
    """Return and print VAGUS_SEED, which makes a run again, or a new one."""
    given = os.environ.get("VAGUS_SEED")
    number = int(given) if given else random.SystemRandom().getrandbits(32)
    print("seed", number)
    return number


def splats() -> list[str]:
    """Return what the kernel has complained of since boot."""
    log = subprocess.check_output(["dmesg"], text=True)
    marks = ("BUG:", "WARNING:", "Oops", "general protection", "refcount_t")
    return [line for line in log.splitlines() if any(m in line for m in marks)]


def wait_until(true: Callable[[], bool], limit_s: float = 10 * SLOWNESS) -> float:
    """Poll; return the milliseconds that it took, or -1 at the limit."""
    start = time.monotonic()
    while time.monotonic() - start < limit_s:
        if true():
            return (time.monotonic() - start) * 1e3
        time.sleep(0.001)
    return -1


def raw_mmap(fd: int, length: int, prot: int, offset: int) -> int:
    """Map a file without Python's own checks; return 0 or an errno, unmapped."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3]
    libc.mmap.argtypes += [ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    address = libc.mmap(None, length, prot, mmap.MAP_SHARED, fd, offset)
    if address == ctypes.c_void_p(-1).value:
        return ctypes.get_errno()
    libc.munmap(address, length)
    return 0


def load(*options: str) -> None:
    """Load the module."""
    subprocess.run(["insmod", MODULE, *options], check=True)


def unload() -> None:
    """Unload the module."""
    subprocess.run(["rmmod", "vagus"], check=True)


@contextlib.contextmanager
def swap_on(place: Path, size_mb: int = 0) -> Iterator[None]:
    """Swap to a disk, or to a file that is made of that size, as long as it lasts."""
    if size_mb:
        subprocess.run(["fallocate", "-l", f"{size_mb}M", place], check=True)
        place.chmod(0o600)
    subprocess.run(["mkswap", "-q", place], check=True)
    subprocess.run(["swapon", place], check=True)
    yield
    subprocess.run(["swapoff", place], check=True)
    if size_mb:
        place.unlink()


def enable_controllers() -> None:
    """Let the children of the root have every controller that is leased."""
    have = (CGROUPS / "cgroup.controllers").read_text().split()
    want = [c for c in ("cpu", "cpuset", "io", "memory", "pids") if c in have]
    (CGROUPS / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in want))


def a_disk() -> Path:
    """Return the sysfs directory of a disk with a request queue."""
    for name in ("nullb0", "vda", "sda"):
        if Path(f"/sys/block/{name}").exists():
            return Path(f"/sys/block/{name}")
    raise FileNotFoundError("no disk to lease the knobs of")


def read_more_than_memory(cgroup: Path) -> None:
    """Let a process in a cgroup read a disk until it has to reclaim what it read."""
    (cgroup / "memory.max").write_text("24M")
    # Page cache that nobody else has brought in is charged to the reader.
    code = (
        f"import os\nwith open('/dev/{a_disk().name}', 'rb') as f:\n"
        "  os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)\n"
        "  f.seek(1 << 30)\n"
        "  for _ in range(96): f.read(1 << 20)"
    )

    def enter() -> None:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))

    subprocess.run([sys.executable, "-Sc", code], preexec_fn=enter, check=True)


def make_cgroup(path: Path) -> Path:
    """Make a cgroup, with what the matrix expects to find set."""
    path.mkdir()
    return path


def remove_cgroup(path: Path) -> None:
    """Kill what is in a cgroup and remove it and what is below it."""
    (path / "cgroup.kill").write_text("1")
    for folder in sorted(path.glob("**/"), reverse=True):
        assert wait_until(functools.partial(_gone, folder)) >= 0
    assert not path.exists()


def _gone(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        try:
            path.rmdir()
        except OSError:
            return False
    return True


@contextlib.contextmanager
def matrix() -> Iterator[list[Case]]:
    """Make one of everything that can be leased, with values worth restoring."""
    enable_controllers()
    home = make_cgroup(CGROUPS / f"matrix-{os.getpid()}")
    idle = make_cgroup(home.with_name(home.name + "-idle"))
    second = make_cgroup(home.with_name(home.name + "-io"))
    with (
        subprocess.Popen(["sleep", "infinity"], stdin=subprocess.DEVNULL) as one,
        subprocess.Popen(["sleep", "infinity"], stdin=subprocess.DEVNULL) as two,
    ):
        os.setpriority(os.PRIO_PROCESS, one.pid, 3)
        try:
            yield _cases(home, idle, second, one.pid, two.pid)
        finally:
            one.kill()
            two.kill()
            for path in (home, idle, second):
                remove_cgroup(path)


def _cases(home: Path, idle: Path, second: Path, one: int, two: int) -> list[Case]:
    disk = a_disk()
    device = (disk / "dev").read_text().strip()
    (home / "cpu.weight").write_text("300")
    (idle / "cpu.weight").write_text("300")
    (home / "cpu.max").write_text("80000 100000")
    cpus = (CGROUPS / "cpuset.cpus.effective").read_text()
    # With one CPU what there is to change is that it is not set (not on 6.12).
    if cpus.strip() != "0":
        (home / "cpuset.cpus").write_text(cpus)
    # See the capability io_max in tests/conftest.py.
    has_io_max = SLOWNESS == 1
    if has_io_max:
        (second / "io.max").write_text(f"{device} wbps=2097152")
    defrag = Path("/sys/kernel/mm/transparent_hugepage/defrag")
    other = next(w for w in defrag.read_text().split() if not w.startswith("["))
    knobs = {
        "cpu.weight": (home / "cpu.weight", "50"),
        "cpu.max": (home / "cpu.max", "50000 100000"),
        "memory.low": (home / "memory.low", "10M"),
        "memory.high": (home / "memory.high", "100000001"),
        "io.weight": (home / "io.weight", "50"),
        "io.max unset": (home / "io.max", f"{device} rbps=1048576"),
        "io.max set": (second / "io.max", f"{device} rbps=1048576 wbps=4194304"),
        "cpuset.cpus": (home / "cpuset.cpus", "0"),
        "vm.swappiness": (Path("/proc/sys/vm/swappiness"), "11"),
        "wbt_lat_usec": (disk / "queue/wbt_lat_usec", "1234"),
        "defrag": (defrag, other),
    }
    cases = [
        Case(name, value, path)
        for name, (path, value) in knobs.items()
        if has_io_max or path.name != "io.max"
    ]
    cases.append(Case("cpu.idle", "1", idle / "cpu.idle", idle / "cpu.weight"))
    cases.append(Case("nice", "12", kind=LeaseKind.NICE, pid=one))
    cases.append(Case("SCHED_IDLE", "idle", kind=LeaseKind.POLICY, pid=two))
    return [c for c in cases if c.path is None or c.path.exists()]


def _is(case: Case, state: str) -> bool:
    return case.state() == state


def run_exit(cases: list[Case], how: str) -> list[Result]:
    """Lease every case from a process of its own, end it one way, look at each."""
    before = {case.name: case.state() for case in cases}
    ttl_ms = 1500 * SLOWNESS if how in ("deadline", "hang") else LONG_MS
    owner = Owner([case.spec(ttl_ms) for case in cases])
    try:
        held = {case.name: case.state() != before[case.name] for case in cases}
        start = time.monotonic()
        _end(owner, how)
        results = []
        for case in cases:
            wait_until(functools.partial(_is, case, before[case.name]), 15 * SLOWNESS)
            took_ms = (time.monotonic() - start) * 1e3
            words = next(
                g["message"]
                for g, c in zip(owner.granted, cases, strict=True)
                if c is case
            )
            restored = case.state() == before[case.name]
            results.append(
                Result(case.name, how, held[case.name], restored, took_ms, words)
            )
    finally:
        owner.end()
    if how == "rmmod":
        load()
    return results


def _end(owner: Owner, how: str) -> None:
    if how == "off":
        with Module() as other:
            other.off()
    elif how == "revoke":
        owner.tell({"revoke": [g["id"] for g in owner.granted if g["id"]]})
    elif how == "close":
        owner.tell("close")
    elif how == "SIGKILL":
        owner.process.kill()
    elif how == "hang":
        owner.process.send_signal(signal.SIGSTOP)
    elif how == "rmmod":
        unload()


def high_under_use_ms(cgroup: Path) -> tuple[float, float]:
    """Lift memory.high over 96 MiB in use and SIGKILL the owner.

    Return ms until it reads as before, and until the write was done: 6.12 reclaims
    inside it, though the file is non-blocking.  Needs swap.
    """
    high = cgroup / "memory.high"
    high.write_text("16M")
    before = high.read_text()
    with Module() as module:
        owner = Owner([Case("memory.high", "max", high).spec(LONG_MS)])
        eater = subprocess.Popen(
            [sys.executable, "-Sc", "x = bytearray(b'x') * (96 << 20)\ninput(print())"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: (cgroup / "cgroup.procs").write_text(str(os.getpid())),
        )
        try:
            assert not owner.granted[0]["error"] and high.read_text() == "max\n"
            assert eater.stdout and eater.stdout.readline()
            ended: list[LeaseEnd] = []
            owner.process.kill()
            seen_ms = wait_until(lambda: high.read_text() == before, 60)

            def is_told() -> bool:
                ended.extend(module.ended())
                return bool(ended)

            assert wait_until(is_told, 60) >= 0
        finally:
            owner.end()
            eater.kill()
            eater.communicate()
        assert (ended[0].end, seen_ms >= 0) == ("restored", True)
        return seen_ms, ended[0].took_ns / 1e6


def mass_restore_ms(path: Path, count: int, file: str, value: str) -> tuple[float, int]:
    """SIGKILL the owner of `count` leases; ms to the last restored, and how many."""
    enable_controllers()
    home = make_cgroup(path)
    (home / "cgroup.subtree_control").write_text("+cpu +cpuset +io")
    try:
        groups = [make_cgroup(home / str(i)) for i in range(count)]
        if file == "cpu.weight":
            for group in groups:
                (group / file).write_text("300")
        cases = [Case(str(i), value, g / file) for i, g in enumerate(groups)]
        before = cases[0].state()
        owner = Owner([case.spec(LONG_MS) for case in cases])
        refused = [g["message"] for g in owner.granted if g["error"]]
        assert not refused, refused[0]
        assert all(case.state() != before for case in cases)
        with Module() as module:
            start = time.monotonic()
            owner.process.kill()
            wait_until(lambda: module.info()["live"] == 0, 60)
            took_ms = (time.monotonic() - start) * 1e3
        owner.end()
        return took_ms, sum(case.state() == before for case in cases)
    finally:
        remove_cgroup(home)


if __name__ == "__main__":
    _owner_main()
