# SPDX-License-Identifier: MIT
"""What the agent holds in memory before it has seen anything."""

import subprocess
import sys
from pathlib import Path

AGENT = Path(__file__).parents[2] / "agent"
CODE = """
import sys
import vagus.cli.run, vagus.cli.daemon, vagus.wire
from vagus.policy.load import loads
loads("version: 1\\n")
with open("/proc/self/statm") as file:
    print(int(file.read().split()[1]) * 4096 / 2**20)
print(*(m for m in ("asyncio", "unittest", "http", "numpy",
                    "textual", "rich", "llama_cpp") if m in sys.modules))
"""


def test_the_agent_is_small_and_imports_nothing_that_it_does_not_use():
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={"PYTHONPATH": str(AGENT), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    resident_mb, imported = done.stdout.split("\n")[:2]
    print(f"{float(resident_mb):.1f} MB resident")
    assert imported == ""
    assert float(resident_mb) < 50  # 60 is what the running agent may take
