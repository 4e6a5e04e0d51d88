# SPDX-License-Identifier: MIT
"""The module comes and goes under load, and under whoever uses it."""

import contextlib
import os
import random
import select
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.vm.kmodlab import (
    CGROUPS,
    SLOWNESS,
    enable_controllers,
    hold,
    load,
    remove_cgroup,
    seed,
    splats,
    unload,
    wait_until,
)

from vagus.abi import Cmd
from vagus.errors import ModuleMissing
from vagus.kmod import Module
from vagus.native import Ring, Table

pytestmark = pytest.mark.needs("root", "kmod")

GENERIC = 16  # NETLINK_GENERIC, linux/netlink.h
REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP


@pytest.fixture(autouse=True)
def present(loaded: str) -> Iterator[None]:
    """Leave the module loaded, whatever a test does."""
    enable_controllers()
    yield
    if not Path("/sys/module/vagus").exists():
        load()


@contextlib.contextmanager
def load_on_the_machine() -> Iterator[None]:
    """Keep every CPU busy with processes that come, go, switch and page."""
    stress = subprocess.Popen(
        [
            "stress-ng",
            "--quiet",
            "--cpu",
            "1",
            "--fork",
            "1",
            "--switch",
            "1",
            "--vm",
            "1",
            "--vm-bytes",
            "32M",
        ]
    )
    try:
        yield
    finally:
        stress.terminate()
        stress.wait()


def test_unload_under_a_living_agent(cgroup: Path) -> None:
    weight = cgroup / "cpu.weight"
    with Module() as module, Ring.module() as ring, Table.module() as table:
        module.track([cgroup.stat().st_ino])
        table.follow([0])
        poll = select.epoll()
        poll.register(ring.fileno(), select.EPOLLPRI | select.EPOLLET)
        granted = hold(module, weight, "50")
        assert not granted.error
        start = time.monotonic()
        unload()
        took_s = time.monotonic() - start
        assert weight.read_text() == "100\n"
        # It told of the end before it went, and then it is gone for everybody.
        (end,) = [one for one in module.ended() if one.id == granted.id]
        assert (end.end, end.cause) == ("restored", "unload")
        for call in (module.info, module.leases, ring.drain, table.read):
            with pytest.raises(ModuleMissing):
                call()
        with pytest.raises(ModuleMissing):
            hold(module, weight, "50")
        poll.close()
        assert took_s < 5 * SLOWNESS
    with pytest.raises(ModuleMissing):
        Module()


def test_a_dump_that_nobody_reads_does_not_keep_the_module(cgroup: Path) -> None:
    with Module() as module, contextlib.ExitStack() as opened:
        module.track([cgroup.stat().st_ino])
        assert not hold(module, cgroup / "cpu.weight", "50").error
        for command in (Cmd.TRACKED, Cmd.LEASES):
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, GENERIC)
            opened.enter_context(sock)
            body = struct.pack("=BBH", int(command), 1, 0)
            family = int(module._owner.prid)
            head = struct.pack("=IHHII", 16 + len(body), family, REQUEST_DUMP, 1, 0)
            sock.sendto(head + body, (0, 0))
        unload()
        # What it had to say is still there to be read, and says that it is all.
        assert struct.unpack_from("=H", sock.recv(1 << 16), 4)[0] == family


def test_unload_with_many_leases(cgroup: Path, scaled: Callable[[int], int]) -> None:
    (cgroup / "cgroup.subtree_control").write_text("+cpu")
    groups = [cgroup / str(i) for i in range(min(1000, scaled(100)))]
    for group in groups:
        group.mkdir()
    with Module() as module:
        for group in groups:
            assert not hold(module, group / "cpu.weight", "50").error
        unload()
    assert {(g / "cpu.weight").read_text() for g in groups} == {"100\n"}


def test_unload_tells_of_every_end(cgroup: Path, scaled: Callable[[int], int]) -> None:
    # Each owner's leases end in a work of its own, and all of them at once.
    (cgroup / "cgroup.subtree_control").write_text("+cpu")
    groups = [cgroup / str(i) for i in range(12)]
    for group in groups:
        group.mkdir()
    for _ in range(scaled(3)):
        if not Path("/sys/module/vagus").exists():
            load()
        with contextlib.ExitStack() as opened:
            listener = opened.enter_context(Module())
            for group in groups:
                owner = opened.enter_context(Module())
                assert not hold(owner, group / "cpu.weight", "50").error
            unload()
            assert len(listener.ended()) == len(groups)


def slab(name: str) -> int:
    """Return the objects in use of one slab cache."""
    # What lies unused in the caches of the CPUs would be counted as well.
    (Path("/sys/kernel/slab") / name / "shrink").write_text("1")
    for line in Path("/proc/slabinfo").read_text().splitlines():
        if line.startswith(name + " "):
            return int(line.split()[1])
    raise LookupError(name)


def _settled(name: str, limit: int) -> bool:
    return slab(name) < limit


def test_cgroups_removed_while_leased_leave_nothing(cgroup: Path) -> None:
    """Neither in memory: a file that was open at the end stays cached for nobody."""
    (cgroup / "cgroup.subtree_control").write_text("+cpu")
    group = cgroup / "child"
    with Module() as module:
        before = slab("kernfs_node_cache")
        for _ in range(40):
            group.mkdir()
            granted = hold(module, group / "cpu.weight", "50")
            assert not granted.error
            group.rmdir()
            module.revoke([granted.id])
        assert wait_until(partial(_settled, "kernfs_node_cache", before + 40)) >= 0


def cycle(rng: random.Random, home: Path) -> None:
    """Load, track and lease among cgroups that come and go, unload."""
    load()
    with Module() as module:
        groups = []
        for index in range(rng.randrange(1, 8)):
            group = home / str(index)
            group.mkdir()
            groups.append(group)
            module.track([group.stat().st_ino])
            assert not hold(module, group / "cpu.weight", "50", 300).error
            if rng.random() < 0.3:
                groups.pop(rng.randrange(len(groups))).rmdir()
        if rng.random() < 0.5:
            time.sleep(rng.random() * 0.4)
        if rng.random() < 0.5:
            module.close()
        unload()
        for group in groups:
            assert (group / "cpu.weight").read_text() == "100\n"
            group.rmdir()


def test_cycles_of_load_and_unload_under_load(scaled: Callable[[int], int]) -> None:
    rng = random.Random(seed())
    home = CGROUPS / f"cycles-{os.getpid()}"
    home.mkdir()
    (home / "cgroup.subtree_control").write_text("+cpu")
    unload()
    try:
        cycle(rng, home)
        names = ("filp", "kernfs_node_cache", "pid")
        before = {name: slab(name) for name in names}
        with load_on_the_machine():
            for _ in range(min(200, scaled(10))):
                cycle(rng, home)
        for name, count in before.items():
            # Other things on the machine come and go as well.
            took = wait_until(partial(_settled, name, count + 150), 30 * SLOWNESS)
            print(name, count, slab(name))
            assert took >= 0, name
    finally:
        remove_cgroup(home)
        load()
    assert not splats()


def test_parameters_are_described(loaded: str) -> None:
    text = subprocess.check_output(["modinfo", loaded], text=True)
    for parameter in Path("/sys/module/vagus/parameters").iterdir():
        assert f"parm:           {parameter.name}:" in text
