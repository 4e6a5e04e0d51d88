# SPDX-License-Identifier: MIT
"""The eBPF programs' own C counts by the rule that abi.py states."""

import random
import subprocess
from pathlib import Path

from vagus import abi

ROOT = Path(__file__).parent.parent.parent


def values() -> list[int]:
    """Return every bucket's edges, and numbers of every size between them."""
    edges = [edge for bounds in abi.hist_bounds_ns() for edge in bounds]
    near = [edge + step for edge in edges for step in (-1, 0, 1)]
    some = random.Random(1)
    near += [some.getrandbits(some.randint(1, 64)) for _ in range(20_000)]
    return [value for value in near if 0 <= value <= abi.U64_MAX]


def test_programs_count_in_the_buckets_that_python_names(tmp_path: Path) -> None:
    command = ["gcc", "-Wall", "-Werror", "-Iebpf", "-Ikmod/uapi", "-o"]
    program = tmp_path / "hist_rule"
    source = "tests/native/hist_rule.c"
    subprocess.run([*command, program, source], cwd=ROOT, check=True)
    text = "\n".join(map(str, values()))
    done = subprocess.run(
        [program], input=text, capture_output=True, text=True, check=True
    )
    assert list(map(int, done.stdout.split())) == [
        abi.hist_bucket(value) for value in values()
    ]
