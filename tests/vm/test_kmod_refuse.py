# SPDX-License-Identifier: MIT
"""What the module refuses, and that it says why."""

import contextlib
import ctypes
import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST
from pyroute2.netlink.exceptions import NetlinkError
from tests.vm.kmodlab import ROOT, a_disk, enable_controllers, hold

from vagus.abi import SLOTS_MAX, TTL_MAX_MS, TTL_MIN_MS, VALUE_LEN, Cmd, LeaseKind
from vagus.errors import KernelError
from vagus.kmod import Grant, Module, _Message

pytestmark = pytest.mark.needs("root", "kmod")

REQUEST = NLM_F_REQUEST | NLM_F_ACK
DUMP = NLM_F_REQUEST | NLM_F_DUMP


@pytest.fixture
def module(loaded: str) -> Iterator[Module]:
    enable_controllers()
    with Module() as opened:
        yield opened


@pytest.fixture
def weight(cgroup: Path, module: Module) -> Path:
    return cgroup / "cpu.weight"


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("cgroup.procs", "cannot be undone"),
        ("cgroup.threads", "cannot be undone"),
        ("cgroup.subtree_control", "reset"),
        ("cpu.pressure", "pressure trigger"),
        ("memory.reclaim", "cannot be put back"),
        ("cpu.weight.nice", "cpu.weight instead"),
        ("cpuset.cpus.partition", "accept it and not do it"),
        ("memory.max", "memory.high instead"),
        ("cgroup.freeze", "not on the list"),
        ("/proc/sys/kernel/core_pattern", "run as root"),
        ("/proc/sys/vm/dirty_bytes", "twin"),
        ("/proc/sys/kernel/hostname", "not on the list"),
        ("/sys/block/vda/queue/scheduler", "resets nr_requests"),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "min_free_kbytes"),
        ("/proc/self/oom_score_adj", "not on the list"),
    ],
)
def test_knob_that_cannot_be_put_back(
    module: Module, weight: Path, file: str, words: str
) -> None:
    path = weight.parent / file
    if not os.access(path, os.R_OK | os.W_OK):
        fd = os.open(path, os.O_WRONLY)  # memory.reclaim cannot be read
        refused = module.grant([Grant(fd, "1", 1000)])[0]
        os.close(fd)
    else:
        refused = hold(module, path, "1")
    assert (refused.error, refused.id) == (-errno.EPERM, 0)
    assert words in refused.message


def test_wrong_descriptors_name_what_was_found(
    module: Module, weight: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("1")
    where = os.open(file, os.O_RDWR)
    name = subprocess.check_output(["stat", "-f", "-c%T", file], text=True).split("/")
    read_only = os.open(weight, os.O_RDONLY)
    only_path = os.open(weight, os.O_PATH)
    pipes = os.pipe()
    fds = [where, read_only, only_path, pipes[0], 98765]
    answers = module.grant([Grant(fd, "50", 1000) for fd in fds])
    for fd in (where, read_only, only_path, *pipes):
        os.close(fd)
    assert [a.error for a in answers] == [
        -errno.EINVAL,
        -errno.EBADF,
        -errno.EBADF,
        -errno.EINVAL,
        -errno.EBADF,
    ]
    assert name[0][:3] in answers[0].message
    assert "reading and writing" in answers[1].message
    assert "pipefs" in answers[3].message
    assert "98765 is not open" in answers[4].message
    assert weight.read_text() == "100\n"


def test_wrong_thread(module: Module) -> None:
    pidfd = os.pidfd_open(os.getpid())
    null = os.open("/dev/null", os.O_RDWR)
    kind = LeaseKind.NICE
    answers = module.grant(
        [
            Grant(None, "5", 1000, kind=kind, pidfd=pidfd, tid=1),
            Grant(None, "5", 1000, kind=kind, pidfd=null, tid=os.getpid()),
            Grant(None, "5", 1000, kind=kind, pidfd=pidfd, tid=4_000_000),
            Grant(None, "55", 1000, kind=kind, pidfd=pidfd, tid=os.getpid()),
            Grant(None, "fifo", 1000, None, LeaseKind.POLICY, pidfd, os.getpid()),
        ]
    )
    os.close(pidfd)
    os.close(null)
    assert [a.error for a in answers] == [
        -errno.ESRCH,
        -errno.EINVAL,
        -errno.ESRCH,
        -errno.ERANGE,
        -errno.EINVAL,
    ]
    assert "not what the pidfd names" in answers[0].message
    assert "not a pidfd" in answers[1].message


def test_real_time_thread_is_refused(module: Module) -> None:
    pid = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60")
    os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    pidfd = os.pidfd_open(pid)
    (refused,) = module.grant(
        [Grant(None, "5", 1000, kind=LeaseKind.NICE, pidfd=pidfd, tid=pid)]
    )
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(pidfd)
    assert refused.error == -errno.EPERM
    assert "real-time" in refused.message


def test_value_that_the_kernel_refuses_leaves_no_lease(
    module: Module, weight: Path
) -> None:
    for value in ("abc", "0", "10001", ""):
        refused = hold(module, weight, value)
        assert refused.error in (-errno.EINVAL, -errno.ERANGE), value
        assert "refused" in refused.message
    assert module.leases() == []
    assert weight.read_text() == "100\n"
    granted = hold(module, weight, "50")
    assert hold(module, weight, "abc").error == -errno.EINVAL
    assert weight.read_text() == "50\n"
    module.revoke([granted.id])
    assert weight.read_text() == "100\n"


@pytest.mark.needs("io_max")
def test_restore_for_another_device_is_refused(module: Module, cgroup: Path) -> None:
    device = (a_disk() / "dev").read_text().strip()
    limits, value = cgroup / "io.max", f"{device} rbps=1048576"
    granted = hold(module, limits, value)
    assert not granted.error, granted.message
    for wrong in ("max", f"{device}1 rbps=max"):
        refused = hold(module, limits, f"{device} rbps=2097152", restore=wrong)
        assert refused.error == -errno.EINVAL
        assert f'must start with "{device} "' in refused.message
    assert limits.read_text().startswith(f"{value} ")
    module.revoke([granted.id])
    assert hold(module, limits, value, restore="max").error == -errno.EINVAL
    assert limits.read_text() == ""


def test_file_mounted_over_a_twin_is_not_written(
    module: Module, weight: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_text("0")
    subprocess.run(["mount", "--bind", other, weight.with_name("cpu.idle")], check=True)
    try:
        refused = hold(module, weight, "50")
    finally:
        subprocess.run(["umount", weight.with_name("cpu.idle")], check=True)
    assert refused.error == -errno.EXDEV
    assert "cpu.idle, which goes with it" in refused.message
    assert (weight.read_text(), other.read_text()) == ("100\n", "0")


# linux/loop.h
LOOP_CTL_ADD, LOOP_CTL_REMOVE = 0x4C80, 0x4C81


@pytest.fixture
def many_devices() -> Iterator[list[str]]:
    """MAJ:MIN of more disks than fit in what the module reads of a file (16 KiB)."""
    if not Path("/dev/loop-control").exists():
        subprocess.run(["modprobe", "loop"], check=True)
    control = os.open("/dev/loop-control", os.O_RDWR)
    numbers = range(1000, 1250)
    for number in numbers:
        fcntl.ioctl(control, LOOP_CTL_ADD, number)
    yield [Path(f"/sys/block/loop{n}/dev").read_text().strip() for n in numbers]
    for number in numbers:
        fcntl.ioctl(control, LOOP_CTL_REMOVE, number)
    os.close(control)


@pytest.mark.once
@pytest.mark.needs("io_max")
def test_value_that_cannot_be_read_back_does_not_stay(
    module: Module, cgroup: Path, many_devices: list[str]
) -> None:
    limits = cgroup / "io.max"
    long = " ".join(f"{kind}={10**9}" for kind in ("rbps", "wbps", "riops", "wiops"))
    for device in many_devices:
        before = limits.read_text()
        if len(before) > 16_000:  # what is shorter is kept
            granted = hold(module, limits, f"{device} {long}")
            if granted.error:
                break
            module.revoke([granted.id])
        limits.write_text(f"{device} {long}")
    assert granted.error == -errno.E2BIG
    assert "too long to be kept" in granted.message
    assert len(before) > 16_000  # lines of other devices, which are read past
    assert limits.read_text() == before
    assert module.leases() == []


def test_unset_cpuset_is_restored_or_refused(module: Module, cgroup: Path) -> None:
    cpus = cgroup / "cpuset.cpus"
    sleeper = subprocess.Popen(["sleep", "60"])
    (cgroup / "cgroup.procs").write_text(str(sleeper.pid))
    granted = hold(module, cpus, "0")
    if granted.error:
        assert granted.error == -errno.EPERM
        assert "say what to restore" in granted.message
        assert os.uname().release.startswith("6.")
        granted = hold(module, cpus, "0", restore="0")
        assert not granted.error
        module.revoke([granted.id])
    else:
        module.revoke([granted.id])
        assert cpus.read_text() == "\n"
    sleeper.kill()
    sleeper.wait()


def refusal(
    module: Module, command: Cmd, attrs: list[tuple[str, Any]], flags: int = REQUEST
) -> tuple[int, str]:
    """Send a message that is wrong as a whole; return its errno and its words."""
    message = _Message()
    message["cmd"], message["version"], message["attrs"] = int(command), 1, attrs
    with pytest.raises(NetlinkError) as refused:
        list(module._owner.nlm_request(message, module._owner.prid, flags))
    return refused.value.code, str(refused.value.args[1])


def lease(fd: int, **changed: Any) -> tuple[str, Any]:
    """Make a request that is right but for what is changed; None leaves out."""
    attrs = {"FD": fd, "VALUE": "50", "TTL_MS": 1000} | changed
    return "LEASE", {"attrs": [(n, v) for n, v in attrs.items() if v is not None]}


@pytest.mark.parametrize(
    ("changed", "number", "words"),
    [
        ({"TTL_MS": 0}, errno.ERANGE, f"{TTL_MIN_MS} to {TTL_MAX_MS} ms"),
        ({"TTL_MS": TTL_MIN_MS - 1}, errno.ERANGE, f"{TTL_MIN_MS} to {TTL_MAX_MS} ms"),
        ({"TTL_MS": TTL_MAX_MS + 1}, errno.ERANGE, f"{TTL_MIN_MS} to {TTL_MAX_MS} ms"),
        ({"TTL_MS": 2**32 - 1}, errno.ERANGE, f"{TTL_MIN_MS} to {TTL_MAX_MS} ms"),
        ({"VALUE": "5" * VALUE_LEN}, errno.E2BIG, f"longer than {VALUE_LEN - 1} bytes"),
        ({"RESTORE": "5" * VALUE_LEN}, errno.E2BIG, "longer than"),
        ({"VALUE": "50\n60"}, errno.EINVAL, "control character"),
        ({"VALUE": None}, errno.EINVAL, "the value is missing"),
        ({"TTL_MS": None}, errno.EINVAL, "the time to live is missing"),
        ({"FD": None}, errno.EINVAL, "the knob's descriptor is missing"),
        ({"KIND": 99}, errno.ERANGE, "out of range"),
        ({"KIND": LeaseKind.NICE}, errno.EINVAL, "the pidfd is missing"),
        ({"OWNER": 5}, errno.EOPNOTSUPP, "attribute 12 is unknown"),
    ],
)
def test_wrong_request_is_refused_whole(
    module: Module, weight: Path, changed: dict[str, Any], number: int, words: str
) -> None:
    fd = os.open(weight, os.O_RDWR)
    # Checked whole before any of it is done: the first one is right.
    attrs = [lease(fd), lease(fd, **changed)]
    found, said = refusal(module, Cmd.GRANT, attrs)
    os.close(fd)
    assert (found, words in said) == (number, True), said
    assert weight.read_text() == "100\n"
    assert module.leases() == []


@pytest.mark.parametrize(
    ("command", "attrs", "flags", "number", "words"),
    [
        (Cmd.INFO, [("RATE_PER_S", 5)], REQUEST, errno.EOPNOTSUPP, "unknown to this"),
        (Cmd.OFF, [("RATE_PER_S", 5)], REQUEST, errno.EOPNOTSUPP, "unknown to this"),
        (Cmd.LEASES, [("RATE_PER_S", 5)], DUMP, errno.EOPNOTSUPP, "unknown to this"),
        (Cmd.TRACKED, [("RATE_PER_S", 5)], DUMP, errno.EOPNOTSUPP, "unknown to this"),
        (Cmd.OFF, [], REQUEST | 0x800, errno.EOPNOTSUPP, "flags 0x800 are unknown"),
        (Cmd.LEASES, [], DUMP | 0x800, errno.EOPNOTSUPP, "flags 0x800 are unknown"),
        (Cmd.TRACKED, [], DUMP | 0x800, errno.EOPNOTSUPP, "flags 0x800 are unknown"),
        (Cmd.GRANT, [], REQUEST, errno.EINVAL, "in one message"),
        (Cmd.GRANT, [lease(0)] * 65, REQUEST, errno.E2BIG, "in one message"),
        (Cmd.CONFIG, [("RUNQ_THRESHOLD_NS", 9)], REQUEST, errno.ERANGE, "out of range"),
    ],
)
def test_wrong_message(
    module: Module,
    command: Cmd,
    attrs: list[tuple[str, Any]],
    flags: int,
    number: int,
    words: str,
) -> None:
    found, said = refusal(module, command, attrs, flags)
    assert (found, words in said) == (number, True), said


def test_client_says_it_in_one_sentence(module: Module, weight: Path) -> None:
    with pytest.raises(KernelError, match=f"must be {TTL_MIN_MS} to {TTL_MAX_MS} ms"):
        hold(module, weight, "50", TTL_MIN_MS - 1)
    with pytest.raises(KernelError, match=r"attribute \d+ is unknown to"):
        module._ask(Cmd.INFO, [("RATE_PER_S", 5)])


def test_unknown_cgroup_and_full_table(module: Module, cgroup: Path) -> None:
    assert module.track([2**60]) == {2**60: -errno.ENOENT}
    assert module.untrack([2**60]) == {2**60: -errno.ENOENT}
    slots = module.info()["slots"]
    assert slots <= SLOTS_MAX
    groups = [cgroup / str(i) for i in range(slots + 1)]
    for group in groups:
        group.mkdir()
    ids = [group.stat().st_ino for group in groups]
    answers = module.track(ids)
    assert -errno.ENOSPC in answers.values()
    # Slots of cgroups that are gone are taken back when there is no other.
    for group in groups[:10]:
        group.rmdir()
    assert any(t.gone for t in module.tracked())
    assert module.track(ids[-1:])[ids[-1]] >= 0
    module.untrack(ids)


UNPRIVILEGED = """
import contextlib, os, sys
from vagus.abi import Cmd
from vagus.errors import PrivilegeError
from vagus.kmod import Module, _Message, GENL_NAME
from pyroute2.netlink.generic import GenericNetlinkSocket
from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST
try:
    Module()
    sys.exit("a client without CAP_SYS_ADMIN was let in")
except PrivilegeError as error:
    print(error)
genl = GenericNetlinkSocket(ext_ack=True)
genl.bind(GENL_NAME, _Message)
refused = 0
for command in (Cmd.TRACK, Cmd.UNTRACK, Cmd.GRANT, Cmd.RENEW, Cmd.REVOKE, Cmd.OFF,
                Cmd.CONFIG):
    message = _Message()
    message["cmd"], message["version"] = int(command), 1
    try:
        genl.nlm_request(message, genl.prid, NLM_F_REQUEST | NLM_F_ACK)
    except Exception as error:
        refused += error.args[0] == 1 and "CAP_SYS_ADMIN" in error.args[1]
for command in (Cmd.TRACKED, Cmd.LEASES):
    message = _Message()
    message["cmd"], message["version"] = int(command), 1
    try:
        list(genl.nlm_request(message, genl.prid, NLM_F_REQUEST | NLM_F_DUMP))
    except Exception as error:
        refused += error.args[0] == 1
for name in ("ring", "table"):
    with contextlib.suppress(PermissionError):
        os.open(f"/sys/kernel/vagus/{name}", os.O_RDONLY)
        sys.exit(f"{name} can be opened")
print("refused", refused)
"""


@pytest.mark.parametrize("capability", ["", "net_admin"])
def test_net_admin_alone_may_change_nothing(loaded: str, capability: str) -> None:
    caps = f"+{capability}" if capability else ""
    command = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
    if caps:
        command += [f"--inh-caps=-all,{caps}", f"--ambient-caps=-all,{caps}"]
    else:
        command += ["--inh-caps=-all"]
    done = subprocess.run(
        [*command, sys.executable, "-c", UNPRIVILEGED],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert "refused 9" in done.stdout, done.stdout + done.stderr


@pytest.mark.once
def test_no_descriptor_stays_open(module: Module, weight: Path) -> None:
    ctypes.CDLL(None).sync()
    before = Path("/proc/sys/fs/file-nr").read_text().split()[0]
    for _ in range(300):
        granted = hold(module, weight, "50")
        module.revoke([granted.id])
        with contextlib.suppress(KernelError):
            hold(module, weight, "50", 1)
    after = Path("/proc/sys/fs/file-nr").read_text().split()[0]
    # The count is kept per CPU and is off by a batch.
    assert int(after) - int(before) < 60
