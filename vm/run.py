# SPDX-License-Identifier: MIT
"""Boot the test VM, run one command in it as root, return its output and status.

usage: python3 vm/run.py [--kernel 7.3] [--smp 1] [--icount] -- COMMAND [ARG ...]

The checkout is at /vagus in the guest.  The command's output comes back on
standard output, the kernel's log goes to .output/vm/NAME/console.log, and a
kernel splat fails the run.  Runs on the host with the standard library alone.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("VAGUS_CACHE", Path.home() / ".cache/vagus"))
# What the kernel prints when something is broken; panic_on_warn is not set, so
# that the whole log is there to read.
SPLAT = re.compile(
    # An emulated CPU that the host starves looks locked up; that is no bug of ours.
    r"BUG: (?!soft lockup)|WARNING: (CPU|.* at )|Oops|general protection|KASAN|UBSAN|"
    r"rcu.*detected.*stall|INFO: task .* blocked|"
    r"WARNING: (possible|inconsistent|suspicious) |"
    r"sleeping function called|Kernel panic|refcount_t"
)
STALE, BOOT_HUNG, BOOT_FAILED, TIMED_OUT, SPLATTED = 95, 96, 97, 124, 98
# With several CPUs the emulator may run what the kernel has just patched: it meets a
# breakpoint that is no more there, and the kernel says so.  Known since QEMU 8.
GONE_BREAKPOINT = "Oops: int3:"
# The emulator sometimes stops two seconds into a boot and stays there.  A slow host
# takes 90 s to the command, the debug kernel ten times as long.
BOOT_S, DEBUG_BOOT_S = 300.0, 1800.0
# KASAN misjudges five-level page tables while the CPU's features are looked at; and
# systemd takes many minutes to come up on a kernel that is this slow.
DEBUG_BOOT = (
    ' no5lvl init=/bin/sh -- -c "mount -t proc proc /proc; mount -t sysfs sysfs /sys;'
    " mount -t cgroup2 cgroup2 /sys/fs/cgroup; mount -t tmpfs tmpfs /run;"
    ' mount -t tmpfs tmpfs /tmp; exec /usr/local/sbin/vagus-guest"'
)


def kvm_works() -> bool:
    """Boot a kernel under KVM for a moment; a device node alone proves nothing."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    stamp = CACHE / "kvm"
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if stamp.exists() and stamp.read_text().split()[0] == boot_id:
        return stamp.read_text().split()[1] == "yes"
    argv = [*qemu_base("7.3", 1, 512), "-accel", "kvm", "-cpu", "host"]
    argv += ["-append", "console=ttyS0 panic=-1", "-serial", "stdio", "-no-reboot"]
    try:
        out = subprocess.run(argv, capture_output=True, timeout=20).stdout
    except subprocess.TimeoutExpired as error:
        out = error.stdout or b""
    works = b"Run /init" in out
    stamp.write_text(f"{boot_id} {'yes' if works else 'no'}\n")
    return works


def emulator() -> list[str]:
    """Return how to start the image's own QEMU on this host.

    Older ones translate code while another emulated CPU patches it (fixed in 8.1),
    and the guest then dies of a breakpoint that is no longer there.
    """
    root = CACHE / "rootfs"
    libraries = root / "usr/lib/x86_64-linux-gnu"
    start = [str(root / "lib64/ld-linux-x86-64.so.2"), "--library-path", str(libraries)]
    start.append(str(root / "usr/bin/qemu-system-x86_64"))
    for data in ("qemu", "seabios"):
        start += ["-L", str(root / "usr/share" / data)]
    return start


def qemu_base(kernel: str, smp: int, memory_mb: int) -> list[str]:
    """Return the part of the command line that every boot shares."""
    boot = CACHE / "boot"
    initrd = boot / f"initrd-{kernel}"
    argv = [
        *emulator(),
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-machine",
        "q35",
        "-m",
        str(memory_mb),
        "-smp",
        str(smp),
        "-kernel",
        str(boot / f"vmlinuz-{kernel}"),
    ]
    # The debug kernel has what it boots from built in.
    return [*argv, "-initrd", str(initrd)] if initrd.exists() else argv


def qemu_argv(args: argparse.Namespace, run: Path, console: Path) -> list[str]:
    """Return the whole command line for one run."""
    argv = qemu_base(args.kernel, args.smp, args.memory)
    if args.icount:
        argv += ["-accel", "tcg", "-icount", "shift=1,sleep=off", "-cpu", "max"]
    elif kvm_works():
        argv += ["-accel", "kvm", "-cpu", "host"]
    else:
        argv += ["-accel", "tcg,thread=multi", "-cpu", "max"]
    share = "local,security_model=none,multidevs=remap"
    append = "root=/dev/vda rw console=ttyS0 quiet loglevel=6 panic=-1 nokaslr"
    append += " systemd.show_status=0 systemd.log_level=warning mitigations=off"
    append += " net.ifnames=0 psi=1 vagus"
    # What looks like a stall in here is mostly the host that runs something else.
    append += " rcupdate.rcu_cpu_stall_timeout=120 workqueue.watchdog_thresh=120"
    append = f"{append} {args.append}".strip()
    if args.kernel == "debug":
        append += DEBUG_BOOT
    argv += ["-append", append]
    argv += ["-drive", f"file={CACHE}/disk.ext4,format=raw,if=virtio,snapshot=on"]
    for tag, path in (("checkout", HERE), ("run", run)):
        argv += ["-fsdev", f"{share},id={tag},path={path}"]
        argv += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    # An NVMe disk that keeps nothing, for the tests of what sees its requests.
    argv += ["-blockdev", "driver=null-co,node-name=nvme,size=67108864,read-zeroes=on"]
    argv += ["-device", "nvme,drive=nvme,serial=vagus"]
    argv += ["-device", "virtio-serial-pci"]
    argv += ["-chardev", f"socket,id=out,path={run}/out,server=on,wait=on"]
    argv += ["-device", "virtconsole,chardev=out"]
    argv += ["-device", "virtio-rng-pci"]
    argv += ["-serial", f"file:{console}", "-no-reboot"]
    return argv


def connect(path: Path, process: subprocess.Popen[bytes]) -> socket.socket:
    """Connect to the guest's console as soon as QEMU listens."""
    while process.poll() is None:
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(str(path))
            return client
        except OSError:
            client.close()
            time.sleep(0.05)
    error = process.stderr.read().decode() if process.stderr else ""
    raise SystemExit(f"vm: QEMU did not start: {error.strip()}")


def pump(client: socket.socket, log: Path) -> None:
    """Copy the guest's output to standard output and to the log, as it comes."""
    with log.open("wb") as copy:
        while chunk := client.recv(65536):
            chunk = chunk.replace(b"\r\n", b"\n")
            copy.write(chunk)
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


def feed(client: socket.socket) -> None:
    """Copy standard input to the guest's shell, byte by byte."""
    while chunk := os.read(0, 1024):
        client.sendall(chunk)


def boot(args: argparse.Namespace, run: Path, out: Path) -> int:
    """Run QEMU until the guest powers off or the time is up; return the status.

    BOOT_HUNG where it never came to the command (see command()), STALE where the
    emulator ran code that was not there any more.
    """
    console = out / "console.log"
    for left in ("out", "started", "status", "dmesg"):
        (run / left).unlink(missing_ok=True)
    argv = qemu_argv(args, run, console)
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, start_new_session=True)
    timer = threading.Timer(args.timeout, process.kill)
    timer.start()
    hung = threading.Event()

    def look() -> None:
        if not args.shell and not (run / "started").exists():
            hung.set()
            process.kill()

    watchdog = threading.Timer(patience_s(args.kernel), look)
    watchdog.start()
    # A caller that ends this script must not leave a VM behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with connect(run / "out", process) as client:
            if args.shell:
                threading.Thread(target=feed, args=(client,), daemon=True).start()
            pump(client, out / "output.log")
        process.wait()
    finally:
        timed_out = not timer.is_alive()
        timer.cancel()
        watchdog.cancel()
        process.kill()
        process.communicate()
    if hung.is_set():
        shutil.copy(console, out / "console-hung.log")
        return BOOT_HUNG
    return verdict(run, console, timed_out, args)


def verdict(run: Path, console: Path, timed_out: bool, args: argparse.Namespace) -> int:
    """Return the command's status, or why there is none."""
    if timed_out:
        print(f"vm: stopped after {args.timeout} s; see {console}", file=sys.stderr)
        return TIMED_OUT
    log = console.read_text(errors="replace") if console.exists() else ""
    dmesg = run / "dmesg"
    if dmesg.exists():
        log += dmesg.read_text(errors="replace")
        shutil.copy(dmesg, console.parent / "dmesg")
    splat = SPLAT.search(log)
    if GONE_BREAKPOINT in log and args.smp > 1 and not kvm_works():
        shutil.copy(console, console.with_name("console-stale.log"))
        return STALE
    if splat and not args.allow_splat:
        line = log[log.rfind("\n", 0, splat.start()) + 1 :].split("\n", 1)[0]
        print(f"vm: kernel splat: {line.strip()}; see {console}", file=sys.stderr)
        return SPLATTED
    status = run / "status"
    if not status.exists():
        print(f"vm: the guest ended without a status; see {console}", file=sys.stderr)
        return BOOT_FAILED
    return int(status.read_text())


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    kernels = ["7.3", "6.12", "debug"]
    parser.add_argument("--kernel", default="7.3", choices=kernels)
    parser.add_argument("--smp", type=int, default=1, help="virtual CPUs")
    parser.add_argument("--memory", type=int, default=2048, help="MiB")
    parser.add_argument(
        "--icount", action="store_true", help="time counts instructions; for latency"
    )
    parser.add_argument("--timeout", type=float, default=900, help="host seconds")
    parser.add_argument("--name", default="", help="folder below .output/vm")
    parser.add_argument("--append", default="", help="more kernel parameters")
    parser.add_argument("--allow-splat", action="store_true")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--shell", action="store_true", help="an interactive shell")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    args.command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if args.icount and args.smp != 1:
        parser.error("--icount measures with one CPU only: two would be serialised")
    if args.kernel == "debug" and not (CACHE / "boot/vmlinuz-debug").exists():
        parser.error("there is no debug kernel yet: run `make vm-debug-kernel`")
    if not args.command and not args.shell:
        parser.error("no command; use --shell for an interactive one")
    return args


def main(argv: list[str]) -> int:
    """Boot, run, report."""
    args = parse(argv)
    if not (CACHE / "disk.ext4").exists():
        raise SystemExit("vm: no disk image yet: run `vm/image.sh` (or `make vm`)")
    out = HERE / ".output/vm" / (args.name or f"{args.kernel}-{os.getpid()}")
    out.mkdir(parents=True, exist_ok=True)
    run = Path(tempfile.mkdtemp(prefix="vagus-vm-"))
    try:
        (run / "command").write_text(command(args.command))
        kept = PASSED & set(os.environ)
        passed = [*args.env, *(f"{k}={os.environ[k]}" for k in kept)]
        quoted = (f"export {n}={shlex.quote(v)}" for n, v in map(split, passed))
        (run / "env").write_text("\n".join(quoted) + "\n")
        if args.shell:
            (run / "shell").touch()
            return with_raw_terminal(functools.partial(boot, args, run, out))
        call = functools.partial(boot, args, run, out)
        return again_if_the_emulator_failed(call, args.kernel)
    finally:
        shutil.rmtree(run, ignore_errors=True)


def patience_s(kernel: str) -> float:
    """Return how long a boot may take before it counts as hung, in host seconds."""
    return DEBUG_BOOT_S if kernel == "debug" else BOOT_S


def command(argv: list[str]) -> str:
    """Return the script that the guest runs; its first act says that it has booted."""
    return f"touch /run-vagus/started\n{shlex.join(argv)}\n"


def again_if_the_emulator_failed(call: functools.partial[int], kernel: str) -> int:
    """Run; where the emulator is known to fail, say so and run once more."""
    after = f"{patience_s(kernel):.0f} s"
    known = {
        BOOT_HUNG: f"hung while it booted, killed after {after}",
        STALE: "met a breakpoint that was gone (the emulator runs stale code)",
    }
    for again in ("once more", "no more"):
        status = call()
        if status not in known:
            return status
        said = f"vm: kernel {kernel} {known[status]}; tried {again}"
        print(said, file=sys.stderr, flush=True)
    return BOOT_FAILED if status == BOOT_HUNG else SPLATTED


PASSED = {"VAGUS_REQUIRE", "VAGUS_SCALE", "VAGUS_SEED", "V", "NO_COLOR"}


def split(pair: str) -> tuple[str, str]:
    """Split NAME=VALUE."""
    name, _, value = pair.partition("=")
    return name, value


def with_raw_terminal(call: functools.partial[int]) -> int:
    """Run with the terminal in raw mode, and put it back."""
    if not sys.stdin.isatty():
        return call()
    import termios
    import tty

    saved = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        return call()
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, saved)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
