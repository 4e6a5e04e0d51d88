# SPDX-License-Identifier: MIT
"""What DKMS is told builds the module, with nothing but what it copies."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

KMOD = Path(__file__).resolve().parents[3] / "kmod"
TREES = sorted(Path("/lib/modules").glob("*/build"))


@pytest.mark.skipif(not TREES, reason="no kernel headers are installed here")
def test_dkms_conf_builds_the_module(tmp_path: Path) -> None:
    (version,) = re.findall(r'MODULE_VERSION\("(.*)"\)', (KMOD / "main.c").read_text())
    build = tmp_path / "vagus" / version / "build"
    shutil.copytree(KMOD, build)
    script = (
        f'. {KMOD}/dkms.conf; eval "${{MAKE[0]}}" && '
        f'[ -e "{build}/${{BUILT_MODULE_NAME[0]}}.ko" ] && eval "$CLEAN"'
    )
    done = subprocess.run(
        ["bash", "-euc", script],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "kernel_source_dir": str(TREES[-1]),
            "dkms_tree": str(tmp_path),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(build.glob("*.o"))
