# SPDX-License-Identifier: MIT
"""The sched_ext scheduler: shares, stances, and every way in which it ends.

Shares are measured between tasks bound to one CPU; latency is only compared with
itself, since two emulated CPUs say nothing about time (bench_sched.py does).
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vagus.apply.sched import EJECTIONS_MAX, SchedExt
from vagus.flow import Act, Stance

HERE = Path(__file__).parent
OBJECT = HERE.parent.parent / ".output/ebpf/sched.bpf.o"
SYSFS = Path("/sys/kernel/sched_ext")
ROOT = Path("/sys/fs/cgroup")
TTL_MS = 20_000
# Whoever measures must not be among those who hardly run.
MYSELF = {os.getpid(): Stance("", Act.PROTECT, strength=3)}
needs = pytest.mark.needs("scx", "bpf")


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the loads."""
    program = tmp_path_factory.mktemp("sched") / "sched_load"
    source = HERE / "sched_load.c"
    subprocess.run(["gcc", "-O2", "-pthread", "-o", program, source], check=True)
    return program


@pytest.fixture
def groups(cgroup: Path) -> Callable[[str], Path]:
    """Make children of the test's own cgroup, with the cpu controller."""
    (ROOT / "cgroup.subtree_control").write_text("+cpu")
    (cgroup / "cgroup.subtree_control").write_text("+cpu")

    def make(name: str) -> Path:
        (cgroup / name).mkdir()
        return cgroup / name

    return make


def state() -> str:
    """Return what the kernel says of its schedulers."""
    return (SYSFS / "state").read_text().strip()


def eventually(what: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return what()


def usage_us(group: Path) -> int:
    """Return the CPU time of a cgroup."""
    return int((group / "cpu.stat").read_text().split()[1])


def spawn(group: Path, *argv: object, cpu: int | None = 0) -> subprocess.Popen[str]:
    """Start a program inside a cgroup, bound to one CPU."""

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    return subprocess.Popen(
        list(map(str, argv)), preexec_fn=enter, stdout=subprocess.PIPE, text=True
    )


@contextmanager
def hogs(load: Path, *where: Path, cpu: int | None = 0) -> Iterator[None]:
    """Have one hog in each cgroup, on one CPU or any."""
    running = [spawn(group, load, "hog", 600, cpu=cpu) for group in where]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.communicate()


@contextmanager
def looping(load: Path, group: Path) -> Iterator[None]:
    """Have somebody work for 8 ms five times a second."""
    process = spawn(group, load, "tick", 600, 200_000, 8_000)
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def shares(*where: Path, seconds: float = 2.0) -> list[float]:
    """Return what part each cgroup has of what all of them use."""
    time.sleep(0.3)
    before = [usage_us(group) for group in where]
    time.sleep(seconds)
    used = [usage_us(g) - b for g, b in zip(where, before, strict=True)]
    return [u / max(1, sum(used)) for u in used]


def ran_ns(pid: str) -> int:
    """Return the CPU time of a process with one thread."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def stance(word: str, act: Act, strength: int = 1) -> Stance:
    """Return a CPU stance."""
    return Stance(word, act, strength=strength)


def ids(*where: Path) -> dict[str, int]:
    """Return cgroup ids by the directory's name."""
    return {group.name: group.stat().st_ino for group in where}


def attach(sched: SchedExt, anywhere: Path) -> None:
    """Attach with a stance of nobody."""
    nobody = {"x": 1 << 62}
    assert sched.hold([stance("x", Act.YIELD)], nobody, TTL_MS), sched.state().reason


@needs
def test_scheduler_is_there_while_it_is_held(cgroup: Path) -> None:
    with SchedExt(OBJECT) as sched:
        attach(sched, cgroup)
        assert state() == "enabled"
        assert (SYSFS / "root/ops").read_text().strip() == "vagus"
        assert sched.state().handle == "sched_ext"
        ran = sched.stats()["protect"].ran_ns
        assert eventually(lambda: sched.stats()["protect"].ran_ns > ran, 5)
    assert state() == "disabled"


@needs
def test_weights_are_kept(groups: Callable[[str], Path], load: Path) -> None:
    a, b = groups("a"), groups("b")
    (b / "cpu.weight").write_text("300")
    with SchedExt(OBJECT) as sched, hogs(load, a, b):
        attach(sched, a)
        assert shares(a, b, seconds=3)[1] == pytest.approx(0.75, abs=0.04)


@needs
def test_number_of_threads_does_not_matter(
    groups: Callable[[str], Path], load: Path
) -> None:
    a, b = groups("a"), groups("b")
    with SchedExt(OBJECT) as sched, hogs(load, a, b, b, b, b):
        attach(sched, a)
        assert shares(a, b, seconds=3)[1] == pytest.approx(0.5, abs=0.05)


@needs
def test_hierarchy_is_kept(groups: Callable[[str], Path], load: Path) -> None:
    """a has half, its two children share that; b has the other half."""
    a, b = groups("a"), groups("b")
    (a / "cgroup.subtree_control").write_text("+cpu")
    inner = [a / "1", a / "2"]
    for path in inner:
        path.mkdir()
    with SchedExt(OBJECT) as sched, hogs(load, *inner, b):
        attach(sched, b)
        got = shares(*inner, b, seconds=3)
    assert got == pytest.approx([0.25, 0.25, 0.5], abs=0.05)


@needs
def test_the_engine_yields_until_its_answer_is_late(
    groups: Callable[[str], Path], load: Path
) -> None:
    """Beside who is protected and takes all there is, and a loop that waits."""
    shop, agent = groups("shop"), groups("agent")
    (agent / "cgroup.subtree_control").write_text("+cpu")
    loop, engine = agent / "agent", agent / "engine"
    for folder, weight in ((loop, 10_000), (engine, 100)):
        folder.mkdir()
        (folder / "cpu.weight").write_text(str(weight))
    is_late, held = False, [stance("shop", Act.PROTECT, 3)]
    both = {"engine": engine.stat().st_ino, "agent": agent.stat().st_ino}
    sched = SchedExt(OBJECT, **both, is_late=lambda: is_late)
    with sched, hogs(load, shop, engine), looping(load, loop):
        assert sched.hold(held, ids(shop), TTL_MS, MYSELF)
        assert shares(shop, engine, seconds=3)[1] < 0.05
        is_late = True
        assert sched.hold(held, ids(shop), TTL_MS, MYSELF)
        assert shares(shop, engine, seconds=3)[1] > 0.06
        is_late = False
        assert sched.hold(held, ids(shop), TTL_MS, MYSELF)
        assert shares(shop, engine, seconds=3)[1] < 0.05


@needs
def test_equals_are_equal(groups: Callable[[str], Path], load: Path) -> None:
    """Jain's index over 16 in one cgroup; 1 is perfect, 1/16 the worst."""
    group = groups("a")
    with SchedExt(OBJECT) as sched:
        attach(sched, group)
        with hogs(load, *[group] * 16):
            pids = (group / "cgroup.procs").read_text().split()
            before = [ran_ns(pid) for pid in pids]
            time.sleep(6)
            ran = [ran_ns(pid) - b for pid, b in zip(pids, before, strict=True)]
    assert sum(ran) ** 2 / (16 * sum(r * r for r in ran)) >= 0.95


@needs
def test_fork_storm_has_no_more_than_its_share(
    groups: Callable[[str], Path], load: Path
) -> None:
    a, b = groups("a"), groups("b")
    with SchedExt(OBJECT) as sched, hogs(load, a):
        attach(sched, a)
        storm = spawn(b, load, "forks", 600, 16)
        try:
            assert shares(a, b, seconds=3)[1] < 0.65
        finally:
            (b / "cgroup.kill").write_text("1")
            storm.communicate()


@needs
def test_yield_leaves_the_rest_to_others_but_never_starves(
    groups: Callable[[str], Path], load: Path
) -> None:
    a, b = groups("a"), groups("b")
    everybody = [a, a, a, a, b, b]
    with SchedExt(OBJECT, yield_share_pct=5) as sched, hogs(load, *everybody, cpu=None):
        assert sched.hold([stance("b", Act.YIELD, 3)], ids(a, b), TTL_MS)
        assert 0.035 < shares(a, b, seconds=4)[1] < 0.12


@needs
@pytest.mark.parametrize("strength", [1, 2, 3])
def test_protect_goes_first_and_leaves_a_share(
    groups: Callable[[str], Path], load: Path, strength: int
) -> None:
    """The share is all normal tasks' together, so these have some less."""
    a, b = groups("a"), groups("b")
    floor = {1: 0.1, 2: 0.05, 3: 0.02}[strength]
    everybody = [a, a, a, a, b, b]
    with SchedExt(OBJECT) as sched, hogs(load, *everybody, cpu=None):
        wanted = [stance("a", Act.PROTECT, strength)]
        assert sched.hold(wanted, ids(a, b), TTL_MS, MYSELF)
        assert floor * 0.3 < shares(a, b, seconds=4)[1] < floor * 2 + 0.03


@needs
def test_workload_without_stance_does_not_inherit_one(
    groups: Callable[[str], Path], load: Path
) -> None:
    a, b = groups("a"), groups("b")
    (a / "cgroup.subtree_control").write_text("+cpu")
    (a / "in").mkdir()
    with SchedExt(OBJECT) as sched, hogs(load, a / "in", b):
        protect = [stance("a", Act.PROTECT, 3)]
        assert sched.hold(protect, ids(a, b), TTL_MS)
        assert shares(a / "in", b)[1] < 0.2
        assert sched.hold(protect, ids(a, a / "in", b), TTL_MS)
        assert shares(a / "in", b)[1] == pytest.approx(0.5, abs=0.08)


@needs
def test_stance_of_a_thread_overrides_its_cgroup(
    groups: Callable[[str], Path], load: Path
) -> None:
    a, b = groups("a"), groups("b")
    with SchedExt(OBJECT) as sched, hogs(load, a, b):
        tid = int((b / "cgroup.procs").read_text())
        protect = [stance("b", Act.PROTECT, 3)]
        threads = {tid: stance("", Act.YIELD, 3)}
        assert sched.hold(protect, ids(a, b), TTL_MS, threads)
        assert shares(a, b)[1] < 0.15
        sched.hold([], ids(a, b), TTL_MS)
        assert shares(a, b)[1] == pytest.approx(0.5, abs=0.08)


@needs
def test_idle_cgroup_yields(groups: Callable[[str], Path], load: Path) -> None:
    a, b = groups("a"), groups("b")
    (b / "cpu.idle").write_text("1")
    with SchedExt(OBJECT) as sched, hogs(load, a, b):
        attach(sched, a)
        assert shares(a, b)[1] < 0.1
        (b / "cpu.idle").write_text("0")
        assert shares(a, b)[1] == pytest.approx(0.5, abs=0.08)


def waits_ns(load: Path, group: Path) -> list[int]:
    """Return how late a task is that wakes up every 5 ms, sorted."""
    process = spawn(group, load, "tick", 3, 5000, 500)
    lines = process.communicate()[0].splitlines()
    return sorted(int(line.split()[0]) for line in lines)


@needs
def test_protected_task_wakes_up_earlier(
    groups: Callable[[str], Path], load: Path
) -> None:
    a, b = groups("a"), groups("b")
    with SchedExt(OBJECT) as sched, hogs(load, *[b] * 8):
        attach(sched, a)
        as_normal = waits_ns(load, a)
        assert sched.hold([stance("a", Act.PROTECT)], ids(a, b), TTL_MS)
        as_protected = waits_ns(load, a)
        assert sched.stats()["protect"].kicks > 0
    # The host's own noise is in both, so no more than this can be said here.
    assert as_protected[len(as_protected) // 2] < as_normal[len(as_normal) // 2]


def owner(ttl_ms: int, **stances: str) -> subprocess.Popen[str]:
    """Start somebody who holds stances, and wait until they are in force."""
    words = [f"{path}={word}" for path, word in stances.items()]
    process = subprocess.Popen(
        [sys.executable, HERE / "sched_owner.py", str(ttl_ms), *words],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    said = process.stdout.readline().strip()
    assert said == "ready", said
    return process


@needs
def test_default_scheduling_is_back_when_the_owner_is_killed(cgroup: Path) -> None:
    process = owner(3000, **{str(cgroup): "protect/1"})
    assert state() == "enabled"
    process.kill()
    assert eventually(lambda: state() == "disabled", 1.0)
    process.communicate()


@needs
def test_stances_lapse_when_the_owner_hangs(
    groups: Callable[[str], Path], load: Path
) -> None:
    a, b = groups("a"), groups("b")
    process = owner(1500, **{str(a): "protect/3", str(b): "yield/3"})
    try:
        with hogs(load, a, b):
            assert shares(a, b)[1] < 0.15
            process.send_signal(signal.SIGSTOP)
            time.sleep(1.5)
            # It ends 5 s after the last word.
            assert shares(a, b, seconds=1.2)[1] == pytest.approx(0.5, abs=0.08)
            assert state() == "enabled"
    finally:
        process.kill()
        process.communicate()


@needs
def test_hung_scheduler_is_ejected_and_told(cgroup: Path) -> None:
    wanted = [stance(cgroup.name, Act.PROTECT)]
    late = 0
    with SchedExt(
        OBJECT, options={"hang": 1}, clock=lambda: time.monotonic_ns() + late
    ) as sched:
        for ejections in range(1, EJECTIONS_MAX + 1):
            sched.hold(wanted, ids(cgroup), TTL_MS)
            assert eventually(lambda: sched.state().handle == "cgroup", 20)
            told = sched.state()
            assert told.ejections == ejections
            assert "stall" in told.reason
            assert sched.hold(wanted, ids(cgroup), TTL_MS) == []
            late += max(0, told.retry_ns - time.monotonic_ns() - late) + 1
        assert "not tried again" in told.reason
        assert (told.retry_ns, state()) == (0, "disabled")
        assert sched.hold(wanted, ids(cgroup), TTL_MS) == []


@needs
def test_full_mode_refuses_while_cpu_max_is_set(groups: Callable[[str], Path]) -> None:
    a = groups("a")
    (a / "cpu.max").write_text("50000 100000")
    with SchedExt(OBJECT, mode="full") as sched:
        assert sched.hold([stance("a", Act.PROTECT)], ids(a), TTL_MS) == []
        assert str(a.relative_to(ROOT)) in sched.state().reason
    assert state() == "disabled"


@needs
def test_cpu_max_that_comes_later_ends_the_scheduler(
    groups: Callable[[str], Path],
) -> None:
    a = groups("a")
    with SchedExt(OBJECT, mode="full") as sched:
        attach(sched, a)
        (a / "cpu.max").write_text("50000 100000")
        assert eventually(lambda: sched.state().handle == "cgroup", 5)
        assert "cpu.max" in sched.state().reason
        assert sched.state().ejections == 0


@needs
def test_partial_mode_takes_the_yielding_and_gives_them_back(
    groups: Callable[[str], Path], load: Path
) -> None:
    a, b = groups("a"), groups("b")
    (a / "cpu.max").write_text("max 50000")
    with SchedExt(OBJECT, mode="partial") as sched, hogs(load, a, b):
        both = [stance("a", Act.PROTECT), stance("b", Act.YIELD, 3)]
        assert sched.hold(both, ids(a, b), TTL_MS) == both[1:]
        tid = int((b / "cgroup.procs").read_text())
        assert os.sched_getscheduler(tid) == 7
        assert sched.state().handle == "sched_ext-partial"
        assert shares(a, b)[1] < 0.15
        assert sched.hold(both[:1], ids(a, b), TTL_MS) == []
        assert os.sched_getscheduler(tid) == os.SCHED_OTHER


def test_kernel_without_sched_ext_is_told_with_the_remedy(
    cgroup: Path, tmp_path: Path
) -> None:
    """On 6.12 this is the kernel's own state; elsewhere a path that is not there."""
    sysfs = tmp_path if SYSFS.exists() else SYSFS
    with SchedExt(OBJECT, sysfs=sysfs / "none") as sched:
        assert sched.hold([stance("x", Act.YIELD)], {"x": 1}, TTL_MS) == []
        told = sched.state()
    assert (told.handle, told.ejections, told.retry_ns) == ("cgroup", 0, 0)
    assert "CONFIG_SCHED_CLASS_EXT" in told.reason
    assert "cgroup knobs" in told.reason


@contextmanager
def again(what: Callable[[], object], every_s: float = 0.5) -> Iterator[None]:
    """Do something again and again meanwhile, as the agent's loop does."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(every_s):
            what()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def churn(folder: Path, seconds: float) -> int:
    """Make, weigh, use and remove cgroups, and take a CPU away and back.

    Return how often: one time may take seconds, where CPUs are few and busy.
    """
    online = Path("/sys/devices/system/cpu/cpu1/online")
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        path = folder / f"churn-{rounds}"
        path.mkdir()
        with subprocess.Popen(["sleep", "0.2"]) as process:
            (path / "cgroup.procs").write_text(str(process.pid))
            (path / "cpu.weight").write_text(str(1 + rounds * 37 % 1000))
            (path / "cpu.idle").write_text(str(rounds % 2))
            if online.exists() and rounds % 5 == 0:
                online.write_text("0")
                time.sleep(0.1)
                online.write_text("1")
        path.rmdir()
        rounds += 1
    return rounds


@needs
@pytest.mark.once
@pytest.mark.timeout(1800)
def test_stress_without_stall(
    groups: Callable[[str], Path], scaled: Callable[[int], int]
) -> None:
    a, b = groups("a"), groups("b")
    seconds = max(120, scaled(30))  # ten minutes in the soak
    with SchedExt(OBJECT) as sched:
        wanted = [stance("a", Act.PROTECT, 2), stance("b", Act.YIELD, 2)]

        def renew() -> list[Stance]:
            return sched.hold(wanted, ids(a, b), TTL_MS, MYSELF)

        assert renew(), sched.state().reason
        running = [
            spawn(
                a, *f"stress-ng -q -t {seconds} --cpu 2 --pthread 2".split(), cpu=None
            ),
            spawn(
                b, *f"stress-ng -q -t {seconds} --fork 4 --affinity 4".split(), cpu=None
            ),
        ]
        with again(renew):
            rounds = churn(a.parent, seconds)
            for process in running:
                process.communicate()
        assert sched.state().ejections == 0, sched.state().reason
        assert rounds > 5, "a CPU must have gone and come back"
        assert sched.state().handle == "sched_ext", sched.state().reason
        assert all(stat.ran_ns > 0 for stat in sched.stats().values())
