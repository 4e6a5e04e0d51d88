# SPDX-License-Identifier: MIT
"""One function a capability: whether it is here, and the remedy if not.

Each reads below a root, so that a fake tree tests it; none changes anything.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence
from enum import StrEnum
from importlib import resources
from pathlib import Path

from vagus.cli import common
from vagus.errors import VagusError
from vagus.flow import Value

CAP_SYS_ADMIN, CAP_BPF, CAP_PERFMON = 21, 39, 38  # linux/capability.h
CONTROLLERS = ("cpu", "io", "memory")
SLICES = ("system.slice", "user.slice")
ACCOUNTING = {"cpu": "CPUAccounting", "io": "IOAccounting"}  # systemd-system.conf(5)
ACCOUNTING |= {"memory": "MemoryAccounting"}

# What also changes scheduling, memory or I/O settings, by command name.
OTHERS = {
    "systemd-oomd": "kills under memory pressure; its units keep priority",
    "tuned": "sets sysctls and CPU governors; knobs it rewrites stay its own",
    "ananicy": "sets nice and I/O classes of processes; leases on them get lost",
    "ananicy-cpp": "sets nice and I/O classes of processes; leases on them get lost",
    "gamemoded": "sets nice and governors while a game runs",
    "earlyoom": "kills when memory runs out",
    "nohang": "kills under memory pressure",
    "uresourced": "sets memory.low and weights of user sessions",
}

PYTHON = re.compile(r"(?:python|pypy)[\d.]*")
VAGUS = re.compile(r"(?:^|/)(?:vagus|vagus\.cli\.main|vagus/cli/main\.py)$")
ANOTHER = "a knob that one has leased is refused to the others"


class State(StrEnum):
    """How a capability is."""

    OK = "ok"
    MISSING = "missing"  # needed
    OPTIONAL = "absent"  # Vagus does with less
    NOTE = "note"  # worth knowing


class Check(Value, frozen=True):
    """One capability."""

    name: str  # of the capability
    state: State  # ok; missing: needed; absent: does with less; note
    found: str  # what was found
    remedy: str = ""  # what to do; empty where nothing is to be done


def all_checks(root: Path, agent: Path, policy: Path | None = None) -> list[Check]:
    """Return every check, in the order that a person would fix things."""
    return [
        privilege(root),
        kernel(root),
        module(root),
        native(),
        cgroup2(root),
        accounting(root),
        pressure(root),
        btf(root),
        bpf(root),
        lockdown(root),
        sched_ext(root),
        iocost(root),
        model(policy),
        bcc(root),
        running(agent),
        *others(root),
    ]


def kernel(root: Path) -> Check:
    """Name the kernel."""
    release = _read(root / "proc/sys/kernel/osrelease") or os.uname().release
    return Check("kernel", State.OK, f"Linux {release}")


def privilege(root: Path) -> Check:
    """Check for the capabilities that the agent needs."""
    text = _read(root / "proc/self/status") or ""
    _, _, rest = text.partition("CapEff:")
    effective = int(rest.split()[0], 16) if rest else 0
    wanted = {"CAP_SYS_ADMIN": CAP_SYS_ADMIN, "CAP_BPF": CAP_BPF}
    wanted |= {"CAP_PERFMON": CAP_PERFMON}
    lacking = [name for name, bit in wanted.items() if not effective >> bit & 1]
    if not lacking:
        return Check("privilege", State.OK, "root, or as good as")
    remedy = "run as root: sudo vagus doctor"
    return Check("privilege", State.MISSING, "without " + ", ".join(lacking), remedy)


def module(root: Path) -> Check:
    """Check that vagus.ko is loaded and speaks this version of the contract."""
    if not (root / "sys/module/vagus").exists():
        remedy = "load it: modprobe vagus (build it first: make kmod)"
        return Check("module", State.MISSING, "vagus.ko is not loaded", remedy)
    if root != Path("/"):
        return Check("module", State.OK, "vagus.ko is loaded")
    try:
        from vagus.kmod import Module

        with Module() as loaded:
            info = loaded.info()
    except (ImportError, VagusError) as error:
        return Check("module", State.MISSING, "loaded, but not to be used", str(error))
    live = info.get("live", 0)
    said = f"vagus.ko, ABI {info.get('abi', '?')}, {live} live leases"
    return Check("module", State.OK, said)


def native() -> Check:
    """Check that the native module is built for this Python."""
    try:
        from vagus.abi import ABI_VERSION
    except ImportError as error:
        remedy = "build it: make bindings, or install the package again"
        return Check("bindings", State.MISSING, str(error), remedy)
    return Check("bindings", State.OK, f"vagus._native, ABI {int(ABI_VERSION)}")


def cgroup2(root: Path) -> Check:
    """Check for the unified hierarchy and the controllers that Vagus sets."""
    mount = root / "sys/fs/cgroup"
    text = _read(mount / "cgroup.controllers")
    if text is None:
        remedy = "boot with systemd.unified_cgroup_hierarchy=1, or mount cgroup2 there"
        return Check("cgroup2", State.MISSING, "not at /sys/fs/cgroup", remedy)
    given = (_read(mount / "cgroup.subtree_control") or "").split()
    lacking = [name for name in CONTROLLERS if name not in given]
    if not lacking:
        return Check("cgroup2", State.OK, "cpu, io and memory are delegated")
    enable = " ".join(f"+{name}" for name in lacking)
    remedy = f"echo '{enable}' > /sys/fs/cgroup/cgroup.subtree_control"
    said = f"{', '.join(lacking)} not delegated to children"
    return Check("cgroup2", State.OPTIONAL, said, remedy)


def accounting(root: Path) -> Check:
    """Check that systemd has the controllers on for the units of its slices."""
    mount, lacking = root / "sys/fs/cgroup", {}
    for name in SLICES:
        text = _read(mount / name / "cgroup.subtree_control")
        without = [one for one in CONTROLLERS if one not in (text or "").split()]
        if text is not None and without:
            lacking[name] = without
    if not any((mount / name).exists() for name in SLICES):
        return Check("units", State.NOTE, "systemd has no slices here")
    if not lacking:
        return Check("units", State.OK, "cpu, io and memory are accounted for")
    each = [f"{', '.join(without)} in {of}" for of, without in lacking.items()]
    off = sorted({one for without in lacking.values() for one in without})
    switches = " ".join(f"Default{ACCOUNTING[one]}=yes" for one in off)
    remedy = (
        f"{switches} in /etc/systemd/system.conf.d/vagus.conf below [Manager], then"
        " reboot; what these would tell comes from eBPF and the module until then"
    )
    return Check("units", State.OPTIONAL, f"no {'; '.join(each)}", remedy)


def pressure(root: Path) -> Check:
    """Check that the kernel tells pressure (PSI)."""
    if _read(root / "proc/pressure/cpu") is not None:
        return Check("psi", State.OK, "pressure of cpu, io and memory")
    remedy = "boot with psi=1 (CONFIG_PSI); until then waits come from the module only"
    return Check("psi", State.OPTIONAL, "/proc/pressure is not there", remedy)


def btf(root: Path) -> Check:
    """Check that the kernel describes its types, as CO-RE programs need."""
    if (root / "sys/kernel/btf/vmlinux").exists():
        return Check("btf", State.OK, "the kernel's types are known")
    remedy = "use a kernel with CONFIG_DEBUG_INFO_BTF; without it no eBPF signals"
    return Check("btf", State.OPTIONAL, "/sys/kernel/btf/vmlinux is not there", remedy)


def bpf(root: Path) -> Check:
    """Check that eBPF programs can be loaded."""
    if not (root / "sys/fs/bpf").is_dir():
        remedy = "use a kernel with CONFIG_BPF_SYSCALL"
        return Check("ebpf", State.OPTIONAL, "no BPF file system", remedy)
    jit = _read(root / "proc/sys/net/core/bpf_jit_enable")
    said = "interpreted (the JIT is off)" if jit == "0" else "compiled by the JIT"
    return Check("ebpf", State.OK, said)


def lockdown(root: Path) -> Check:
    """Check that the kernel lets root trace it (kernel_lockdown(7))."""
    text = _read(root / "sys/kernel/security/lockdown") or "[none]"
    level = text.partition("[")[2].partition("]")[0]
    if level != "confidentiality":
        return Check("lockdown", State.OK, f"{level or 'none'}: tracing is allowed")
    remedy = "boot with lockdown=integrity; until then no eBPF signals and no lenses"
    return Check("lockdown", State.OPTIONAL, "confidentiality: no tracing", remedy)


def sched_ext(root: Path) -> Check:
    """Check that schedulers can be loaded, and name one that is."""
    if not (root / "sys/kernel/sched_ext").exists():
        said = "unsupported by this kernel; cpu.weight and cpu.idle are used instead"
        remedy = "a kernel with CONFIG_SCHED_CLASS_EXT (6.12 or later) has it"
        return Check("sched_ext", State.OPTIONAL, said, remedy)
    name = common.scheduler(root)
    if name and name != common.OURS:
        return Check("sched_ext", State.NOTE, f"the scheduler {name} is loaded")
    if name:
        return Check("sched_ext", State.OK, "vagus schedules this machine")
    said = "can be loaded; `scheduler: auto` in the policy asks for that"
    return Check("sched_ext", State.OK, said)


def iocost(root: Path) -> Check:
    """Check that the I/O controller that honours io.weight is there and on."""
    text = _read(root / "sys/fs/cgroup/io.cost.qos")
    if text is None:
        said = "no io.cost.qos: io.weight has no effect"
        remedy = "use a kernel with CONFIG_BLK_CGROUP_IOCOST"
        return Check("iocost", State.OPTIONAL, said, remedy)
    if "enable=1" in text:
        return Check("iocost", State.OK, "io.weight works")
    remedy = "echo 'MAJ:MIN enable=1' > /sys/fs/cgroup/io.cost.qos"
    return Check("iocost", State.OPTIONAL, "off for every disk", remedy)


def model(policy: Path | None) -> Check:
    """Check that there is a model file: the policy's, or the one shipped."""
    path = _policy_model(policy)
    if path is None:
        shipped = resources.files("vagus").joinpath("models")
        found = sorted(p for p in Path(str(shipped)).glob("*.gguf") if p.is_file())
        path = found[0] if found else None
    if path is None or not path.is_file():
        said = f"{path} is not there" if path else "no model is shipped"
        remedy = (
            "name a GGUF file in the policy (model: {path: ...}); until then: rules"
        )
        return Check("model", State.OPTIONAL, said, remedy)
    size = path.stat().st_size / 2**20
    return Check("model", State.OK, f"{path.name}, {size:.0f} MiB")


def _policy_model(policy: Path | None) -> Path | None:
    """Return the model that a policy names."""
    if policy is None:
        return None
    from vagus.policy.load import load

    named = load(policy).model.path
    return Path(named) if named else None


def bcc(root: Path) -> Check:
    """Check that bcc is there for lenses."""
    if (root / "usr/lib/python3/dist-packages/bcc").exists():
        return Check("bcc", State.OK, "lenses can be compiled")
    remedy = "apt install python3-bpfcc"
    return Check("bcc", State.OPTIONAL, "no lenses on demand", remedy)


def running(path: Path) -> Check:
    """Check that an agent listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except PermissionError:
            return Check("agent", State.NOTE, "runs; only root and group vagus may ask")
        except OSError:
            remedy = "start it: vagus run --policy FILE"
            return Check("agent", State.NOTE, "does not run", remedy)
    return Check("agent", State.OK, f"runs, at {path}")


def others(root: Path) -> list[Check]:
    """Return one note for each program that controls the same settings."""
    names = {one.parent: _read(one) for one in (root / "proc").glob("[0-9]*/comm")}
    # A command name has at most 15 characters.
    found = [name for name in OTHERS if name[:15] in names.values()]
    told = [f"{one}: {OTHERS[one]}" for one in found]
    lines = {one.name: (_read(one / "cmdline") or "").split("\0") for one in names}
    agents = sorted(int(pid) for pid, argv in lines.items() if verb(argv) == "run")
    if len(agents) > 1:
        pids = ", ".join(map(str, agents))
        told.append(f"vagus: {len(agents)} agents (pids {pids}); {ANOTHER}")
    notes = [Check("others", State.NOTE, one) for one in told]
    return notes or [Check("others", State.OK, "no other resource controller runs")]


def verb(argv: Sequence[str]) -> str:
    """Return which verb of vagus a command line is; '' where it is none.

    Started by its name, by a Python with the script, or as a module.
    """
    words = list(argv)
    if words and PYTHON.fullmatch(os.path.basename(words[0])):
        words = _script(words[1:])
    if not words or not VAGUS.search(words[0]):
        return ""
    return next((word for word in words[1:] if not word.startswith("-")), "")


def _script(words: Sequence[str]) -> list[str]:
    """Return what a Python runs, and its arguments: what follows the options."""
    rest = iter(words)
    for word in rest:
        if word == "-m" or not word.startswith("-"):
            return [*rest] if word == "-m" else [word, *rest]
        if word in ("-W", "-X"):
            next(rest, None)
    return []


def _read(path: Path) -> str | None:
    """Return a small file's text without its end of line, or None."""
    try:
        return path.read_text(errors="replace").rstrip("\n")
    except OSError:
        return None
