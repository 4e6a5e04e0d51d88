# SPDX-License-Identifier: MIT
"""The VM runner on the host: arguments, splats, the status that counts."""

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[3] / "vm/run.py"
spec = importlib.util.spec_from_file_location("vm_run", PATH)
assert spec and spec.loader
vm = importlib.util.module_from_spec(spec)
spec.loader.exec_module(vm)


@pytest.mark.parametrize(
    "line",
    [
        "BUG: kernel NULL pointer dereference, address: 0000000000000010",
        "WARNING: CPU: 0 PID: 12 at kernel/workqueue.c:1450 x+0x1/0x2",
        "WARNING: kernel/workqueue.c:1450 at __queue_work+0x1/0x2, CPU#0",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "WARNING: possible circular locking dependency detected",
        "WARNING: inconsistent lock state",
        "WARNING: suspicious RCU usage",
        "[ BUG: Invalid wait context ]",
        "INFO: task kworker/0:1:9 blocked for more than 120 seconds.",
        "refcount_t: underflow; use-after-free.",
    ],
)
def test_splat_is_seen(line):
    assert vm.SPLAT.search(f"[    1.0] {line}")


@pytest.mark.parametrize(
    "line",
    [
        "systemd[1]: Starting up",
        "Kernel command line: vagus rcupdate.rcu_cpu_stall_timeout=120",
        "vagus: loading out-of-tree module taints kernel.",
        "vagus: module verification failed: signature and/or required key missing",
        "Spectre V2 : WARNING: Unprivileged eBPF is enabled",
    ],
)
def test_ordinary_line_is_no_splat(line):
    assert not vm.SPLAT.search(line)


def finish(tmp_path, status=None, console="", timed_out=False):
    """Ask for the verdict on a run that left these files."""
    if status is not None:
        (tmp_path / "status").write_text(f"{status}\n")
    log = tmp_path / "console.log"
    log.write_text(console)
    args = vm.parse(["--", "true"])
    return vm.verdict(tmp_path, log, timed_out, args)


def test_status_of_the_command_comes_back(tmp_path):
    assert finish(tmp_path, status=3) == 3


def test_guest_without_status_fails(tmp_path):
    assert finish(tmp_path) == vm.BOOT_FAILED


def test_splat_fails_a_run_that_says_zero(tmp_path):
    assert finish(tmp_path, status=0, console="BUG: bad\n") == vm.SPLATTED


def test_timeout_fails(tmp_path):
    assert finish(tmp_path, status=0, timed_out=True) == vm.TIMED_OUT


def test_icount_with_two_cpus_is_refused():
    with pytest.raises(SystemExit):
        vm.parse(["--icount", "--smp", "2", "--", "true"])


def test_debug_kernel_that_was_not_made_is_named_with_the_remedy(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(vm, "CACHE", tmp_path)
    with pytest.raises(SystemExit):
        vm.parse(["--kernel", "debug", "--", "true"])
    assert "make vm-debug-kernel" in capsys.readouterr().err
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-debug").touch()
    assert vm.parse(["--kernel", "debug", "--", "true"]).kernel == "debug"
    assert "-initrd" not in vm.qemu_base("debug", 1, 512)
    (tmp_path / "boot/initrd-7.3").touch()
    assert "-initrd" in vm.qemu_base("7.3", 1, 512)


# Listens as QEMU does and hangs; of the number of boots in argv[2] only the last one
# comes to the command.
EMULATOR = """
import pathlib, socket, sys, time
run, good = pathlib.Path(sys.argv[1]), int(sys.argv[2])
boots = run / "boots"
boots.write_text(boots.read_text() + "." if boots.exists() else ".")
(run / "console.log").write_text("mtrr")
listening = socket.socket(socket.AF_UNIX)
listening.bind(str(run / "out"))
listening.listen()
client, _ = listening.accept()
if len(boots.read_text()) < good:
    time.sleep(60)
(run / "started").touch()
(run / "status").write_text("7")
client.sendall(b"said\\r\\n")
"""


@pytest.mark.parametrize(("good", "status"), [(1, 7), (2, 7), (3, vm.BOOT_FAILED)])
def test_boot_that_hangs_is_tried_once_more(
    good, status, tmp_path, monkeypatch, capfdbinary
):
    monkeypatch.setattr(vm, "BOOT_S", 1.5)
    emulator = [sys.executable, "-c", EMULATOR, str(tmp_path), str(good)]
    monkeypatch.setattr(vm, "qemu_argv", lambda *_: emulator)
    args = vm.parse(["--timeout", "30", "--", "true"])
    call = vm.functools.partial(vm.boot, args, tmp_path, tmp_path)
    assert vm.again_if_the_emulator_failed(call, "7.3") == status
    said = capfdbinary.readouterr()
    assert said.err.count(b"hung while it booted") == good - 1
    assert (b"said" in said.out) == (status == 7)
    assert (tmp_path / "console-hung.log").exists() == (good > 1)


def test_command_says_first_that_the_guest_has_booted():
    first, second = vm.command(["echo", "a b"]).splitlines()
    assert first == "touch /run-vagus/started"
    assert second == "echo 'a b'"


# Comes to its end; on all boots but the last it met a breakpoint that was gone.
STALE_EMULATOR = EMULATOR.replace(
    "    time.sleep(60)",
    '    (run / "console.log").write_text("[1.0] Oops: int3: 0000 [#1] SMP")',
)


@pytest.mark.parametrize(("good", "status"), [(1, 7), (2, 7), (3, vm.SPLATTED)])
def test_a_stale_breakpoint_of_the_emulator_is_tried_once_more(
    good, status, tmp_path, monkeypatch, capfdbinary
):
    emulator = [sys.executable, "-c", STALE_EMULATOR, str(tmp_path), str(good)]
    monkeypatch.setattr(vm, "qemu_argv", lambda *_: emulator)
    monkeypatch.setattr(vm, "kvm_works", lambda: False)
    args = vm.parse(["--smp", "2", "--timeout", "30", "--", "true"])
    call = vm.functools.partial(vm.boot, args, tmp_path, tmp_path)
    assert vm.again_if_the_emulator_failed(call, "7.3") == status
    assert capfdbinary.readouterr().err.count(b"stale code") == good - 1
    assert (tmp_path / "console-stale.log").exists() == (good > 1)


@pytest.mark.parametrize(("cpus", "kvm"), [("1", False), ("2", True)])
def test_a_breakpoint_on_one_cpu_or_a_real_one_is_a_splat(
    cpus, kvm, tmp_path, monkeypatch
):
    monkeypatch.setattr(vm, "kvm_works", lambda: kvm)
    (tmp_path / "console").write_text("[1.0] Oops: int3: 0000 [#1] SMP")
    (tmp_path / "status").write_text("0")
    args = vm.parse(["--smp", cpus, "--", "true"])
    assert vm.verdict(tmp_path, tmp_path / "console", False, args) == vm.SPLATTED
