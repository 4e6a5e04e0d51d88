# SPDX-License-Identifier: MIT
"""The eBPF programs: they load, tell of processes, and lose nothing uncounted."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.vm.bpflab import OBJECTS, cgroup_id, drain, loop, run_in

from vagus import native
from vagus.abi import Counter, EventType
from vagus.errors import KernelError
from vagus.native import Probes
from vagus.sense.probes import SharedProbes

pytestmark = pytest.mark.needs("root", "bpf")
ROOT = Path("/sys/fs/cgroup")


# ----------------------------------------------------------------- loading


def test_every_program_finds_its_hook(probes: Probes) -> None:
    assert probes.missing() == {}


def test_program_without_hook_is_named_and_the_others_run(tmp_path: Path) -> None:
    # The hook's name is changed in the object: what a kernel without it is like.
    for name in native.probes.NAMES:
        data = (OBJECTS / f"{name}.bpf.o").read_bytes()
        data = data.replace(b"fentry/workingset_refault", b"fentry/workingset_missing")
        (tmp_path / f"{name}.bpf.o").write_bytes(data)
    with Probes(tmp_path) as probes:
        assert list(probes.missing()) == ["memory_refault"]
        assert "workingset_missing: No such" in probes.missing()["memory_refault"]
    shared = SharedProbes(tmp_path)
    (told,) = shared.events("memory")
    assert told.kind == "sense" and told.detail.startswith("memory_refault does not")
    assert shared.missing("memory") == "" == shared.missing("process")
    shared.close()


def test_broken_object_is_named_and_the_others_run(tmp_path: Path) -> None:
    for name in native.probes.NAMES:
        data = (OBJECTS / f"{name}.bpf.o").read_bytes()
        (tmp_path / f"{name}.bpf.o").write_bytes(data if name != "block" else b"junk")
    with Probes(tmp_path) as probes:
        assert list(probes.missing()) == ["block"]
        assert "libbpf" in probes.missing()["block"]
        assert probes.block() == {}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (["--reuid=65534", "--clear-groups"], "run as root"),
        (["--bounding-set=-bpf,-perfmon,-sys_admin"], "this root needs CAP_BPF"),
    ],
    ids=["nobody", "root without CAP_BPF"],
)
def test_unprivileged_start_says_what_is_needed(how: list[str], said: str) -> None:
    code = "from pathlib import Path; from vagus import native; "
    code += f"native.Probes(Path({str(OBJECTS)!r}))"
    done = subprocess.run(
        ["setpriv", *how, sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "PrivilegeError" in done.stderr
    assert said in done.stderr


def test_kernel_without_btf_says_what_is_needed() -> None:
    code = "from pathlib import Path; from vagus.sense.probes import SharedProbes; "
    code += f"print(SharedProbes(Path({str(OBJECTS)!r})).missing('process'))"
    hide = 'mount -t tmpfs none /sys/kernel/btf && exec "$@"'
    argv = ["unshare", "-m", "sh", "-c", hide, "sh", sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    print(done.stdout)
    assert "CONFIG_DEBUG_INFO_BTF" in done.stdout
    assert done.stdout.count("\n") == 1


# --------------------------------------------------------------- processes


def test_known_number_of_forks_is_counted_exactly(
    probes: Probes, cgroup: Path, scaled: Callable[[int], int]
) -> None:
    count = scaled(100)
    probes.follow([cgroup_id(cgroup)])
    run_in(cgroup, "sh", "-c", loop(count))
    stat = probes.process()[cgroup_id(cgroup)]
    assert (stat.forks, stat.execs, stat.exits) == (count, count + 1, count + 1)
    assert len(drain(probes, cgroup, EventType.FORK)) == count


def test_threads_are_no_processes(probes: Probes, cgroup: Path) -> None:
    probes.follow([cgroup_id(cgroup)])
    code = "import threading as t; s=[t.Thread(target=int) for _ in range(7)]"
    code += "; [x.start() for x in s]; [x.join() for x in s]"
    run_in(cgroup, sys.executable, "-c", code)
    stat = probes.process()[cgroup_id(cgroup)]
    assert (stat.threads, stat.forks, stat.exits) == (7, 0, 1)


@pytest.mark.parametrize(
    "argument",
    [b"\x1b[31mred\x1b[0m\n", b"\xff\xfe\x80 not utf-8", b"a" * 131_000, b""],
    ids=["escapes", "invalid", "long", "empty"],
)
def test_arguments_arrive_as_they_are_and_cut(
    probes: Probes, cgroup: Path, argument: bytes
) -> None:
    probes.follow([cgroup_id(cgroup)])
    run_in(cgroup, b"/bin/true", argument)
    (event,) = drain(probes, cgroup, EventType.EXEC)
    assert event.args == (b"/bin/true\0" + argument + b"\0")[:128]
    assert (event.comm, event.uid) == (b"true", 0)


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3 << 8), ("kill -9 $$", 9)])
def test_exit_tells_the_wait_status_and_the_age(
    probes: Probes, cgroup: Path, script: str, status: int
) -> None:
    probes.follow([cgroup_id(cgroup)])
    began = time.monotonic_ns()
    run_in(cgroup, "sh", "-c", script)
    (event,) = drain(probes, cgroup, EventType.EXIT)
    assert event.value == status
    assert 0 < event.extra < time.monotonic_ns() - began
    assert began < event.time_ns < time.monotonic_ns()


def test_event_belongs_to_the_nearest_tracked_ancestor(
    probes: Probes, cgroup: Path
) -> None:
    inner, leaf = cgroup / "a", cgroup / "a/b"
    leaf.mkdir(parents=True)
    probes.follow([cgroup_id(cgroup)])
    run_in(leaf, "true")
    assert probes.process()[cgroup_id(cgroup)].execs == 1
    probes.follow([cgroup_id(cgroup), cgroup_id(inner)])
    run_in(leaf, "true")
    assert probes.process()[cgroup_id(cgroup)].execs == 1
    assert probes.process()[cgroup_id(inner)].execs == 1


def test_nothing_is_counted_for_others(probes: Probes, cgroup: Path) -> None:
    run_in(cgroup, "true")
    assert probes.process() == {}
    # The event still tells the task's own cgroup.
    assert len(drain(probes, cgroup, EventType.EXEC)) == 1


def test_followed_again_starts_at_zero(probes: Probes, cgroup: Path) -> None:
    for _ in range(2):
        probes.follow([cgroup_id(cgroup)])
        run_in(cgroup, "true")
        assert probes.process()[cgroup_id(cgroup)].execs == 1
        probes.follow([])
        assert probes.process() == {}


# -------------------------------------------------------------------- ring


def test_full_ring_loses_nothing_uncounted(
    cgroup: Path, scaled: Callable[[int], int]
) -> None:
    count = scaled(100)
    cpus = os.cpu_count() or 1  # programs that are between the two counts

    def told() -> int:
        """Return how many records were made or are counted as lost."""
        counters = probes.counters()
        return counters[Counter.EVENTS] + counters[Counter.RING_FULL]

    def happened() -> int:
        """Return how many there should be; each is counted here first."""
        stats = probes.process().values()
        return sum(stat.forks + stat.execs + stat.exits for stat in stats)

    kinds = [EventType.FORK, EventType.EXEC, EventType.EXIT]
    with Probes(OBJECTS, ring_bytes=4096, event_types=kinds) as probes:
        probes.follow([cgroup_id(ROOT), cgroup_id(cgroup)])  # everybody
        start = happened(), told(), happened()
        run_in(cgroup, "sh", "-c", loop(count))
        end = happened(), told(), happened()
        while probes.ring.drain():
            pass
        counters = probes.counters()
        while probes.ring.drain():
            pass
        # What other tasks did between the two readings.
        slack = probes.counters()[Counter.EVENTS] - counters[Counter.EVENTS]
        seen = probes.ring.counts().seen
        assert counters[Counter.RING_FULL] > 2 * count
        assert counters[Counter.EVENTS] <= seen <= counters[Counter.EVENTS] + slack
        assert end[0] - start[2] - cpus <= end[1] - start[1] <= end[2] - start[0] + cpus
        assert probes.process()[cgroup_id(cgroup)].forks == count


def test_reader_is_woken_only_when_enough_has_gathered(cgroup: Path) -> None:
    for wake_bytes, is_woken in ((1 << 19, False), (1, True)):
        options = {"process.wake_bytes": wake_bytes}
        with Probes(OBJECTS, options=options) as probes:
            poll = select.epoll()
            poll.register(probes.ring.fileno(), select.EPOLLIN | select.EPOLLET)
            probes.ring.drain()
            poll.poll(0)
            run_in(cgroup, "true")
            assert bool(poll.poll(0.2)) is is_woken
            assert probes.ring.drain()


def test_left_out_type_is_still_counted(cgroup: Path) -> None:
    with Probes(OBJECTS, event_types=[EventType.OOM]) as probes:
        probes.follow([cgroup_id(cgroup)])
        run_in(cgroup, "true")
        assert probes.ring.drain() == []
        assert probes.process()[cgroup_id(cgroup)].execs == 1


def test_more_workloads_than_room_is_an_error(cgroup: Path) -> None:
    (cgroup / "other").mkdir()
    with (
        Probes(OBJECTS, workloads=1) as probes,
        pytest.raises(KernelError, match="tracked"),
    ):
        probes.follow([cgroup_id(cgroup), cgroup_id(cgroup / "other")])


def test_closing_leaves_nothing_attached(cgroup: Path) -> None:
    def programs() -> list[int]:
        out = subprocess.run(["bpftool", "prog"], capture_output=True, text=True)
        kinds = ("process", "block", "memory")
        return [out.stdout.count(f" name {kind}_") for kind in kinds]

    before = programs()
    with Probes(OBJECTS):
        assert all(now > then for now, then in zip(programs(), before, strict=True))
    # The kernel frees them after a grace period.
    deadline = time.monotonic() + 5
    while programs() != before:
        assert time.monotonic() < deadline
