# SPDX-License-Identifier: MIT
"""What every test shares: capabilities, scaling, never a silent skip."""

import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

MODELS = Path(__file__).parent.parent / "agent/vagus/models"
SMOKE = Path(__file__).parent.parent / ".output/smoke/reference.json"  # written last


def _kmod() -> str:
    return "" if Path("/sys/module/vagus").exists() else "vagus.ko is not loaded"


def _bpf() -> str:
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "the kernel has no BTF"
    capabilities = Path("/proc/self/status").read_text()
    effective = int(capabilities.split("CapEff:")[1].split()[0], 16)
    return "" if effective >> 39 & 1 else "CAP_BPF is missing"


def _vm() -> str:
    is_vm = "vagus" in Path("/proc/cmdline").read_text().split()
    return "" if is_vm else "not inside the test VM"


def _lockdown() -> str:
    try:
        level = Path("/sys/kernel/security/lockdown").read_text()
    except OSError:
        level = ""
    return "" if "[confidentiality]" in level else "the kernel is not locked down"


def _io_max() -> str:
    # With no module loaded either (a write() from a shell does it); and after its first
    # report lockdep looks no further.
    debug = os.uname().release.endswith("-debug")
    return "the kernel's own code behind io.max upsets lockdep" if debug else ""


def _numa() -> str:
    second = Path("/sys/devices/system/node/node1")
    return "" if second.exists() else "one memory node: boot with numa=fake=2"


CAPABILITIES: dict[str, Callable[[], str]] = {
    "root": lambda: "" if os.geteuid() == 0 else "root is needed",
    "vm": _vm,
    "kmod": _kmod,
    "io_max": _io_max,
    "lockdown": _lockdown,
    "numa": _numa,
    "bpf": _bpf,
    "scx": lambda: (
        "" if Path("/sys/kernel/sched_ext").exists() else "no sched_ext in this kernel"
    ),
    "model": lambda: "" if list(MODELS.glob("*.gguf")) else "no model is shipped",
    "smoke": lambda: "" if SMOKE.exists() else "make train-smoke has not run",
    "bcc": lambda: (
        "" if Path("/usr/lib/python3/dist-packages/bcc").exists() else "no bcc"
    ),
}


def _scale() -> float:
    return float(os.environ.get("VAGUS_SCALE", "1"))


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, and say where the cases of properties come from."""
    # The same cases in every `make test`; new ones in `make soak` (VAGUS_SCALE > 1).
    settings.register_profile(
        "vagus",
        derandomize=_scale() <= 1,
        print_blob=True,
        database=None,
        # How fast a machine is says nothing; pytest's own timeout finds what hangs.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("vagus")
    config.addinivalue_line(
        "markers", "needs(*names): capabilities: " + ", ".join(CAPABILITIES)
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip with the missing capability named, or fail where it is required."""
    required = set(filter(None, os.environ.get("VAGUS_REQUIRE", "").split(",")))
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            reason = CAPABILITIES[name]()
            if reason and name in required:
                pytest.fail(f"{name} is required here, but {reason}", pytrace=False)
            if reason:
                pytest.skip(f"needs {name}: {reason}")


@pytest.fixture(scope="session")
def scaled() -> Callable[[int], int]:
    """Scale a count by VAGUS_SCALE (1 in `make test`, more in `make soak`)."""
    return lambda count: max(1, round(count * _scale()))


@pytest.fixture(scope="session")
def loaded() -> str:
    """Load vagus.ko for this kernel once, where it is not; return its path."""
    path = f"/vagus/.output/kmod/{os.uname().release}/vagus.ko"
    if not Path("/sys/module/vagus").exists():
        subprocess.run(["insmod", path], check=True)
    return path


@pytest.fixture
def cgroup(request: pytest.FixtureRequest) -> Path:
    """Make a cgroup of the test's own, and remove it with what runs in it."""
    path = Path("/sys/fs/cgroup") / f"test-{os.getpid()}-{abs(hash(request.node.name))}"
    path.mkdir()
    request.addfinalizer(lambda: _remove(path))
    return path


def _remove(path: Path) -> None:
    """Kill what is left in a cgroup, wait for it, and remove it."""
    kill = path / "cgroup.kill"
    if kill.exists():
        kill.write_text("1")
    for _ in range(200):
        try:
            for child in sorted(path.glob("**/"), reverse=True):
                child.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            ctypes.CDLL(None).usleep(10_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lives in tests/vm needs the VM and root."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent / "vm"):
            item.add_marker(pytest.mark.needs("vm", "root"))
