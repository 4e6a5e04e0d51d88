# SPDX-License-Identifier: MIT
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCES = ["tests/native/ring_fuzz.c", *(f"bindings/{n}.c" for n in ("ring", "table"))]


def compile_fuzzer(to: Path, sanitizers: str) -> Path:
    compiler = shutil.which("gcc") or shutil.which("clang")
    assert compiler, "a C compiler is needed: apt install gcc"
    command = [compiler, "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]
    command += [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
    command += ["-Ibindings", "-Ikmod/uapi", *SOURCES, "bindings/guard.c", "-pthread"]
    subprocess.run([*command, "-o", to], cwd=ROOT, check=True)
    return to


@pytest.fixture(scope="session")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "ring_fuzz"
    return compile_fuzzer(path, "address,undefined")


def run(fuzzer: Path, what: str, count: int, seed: int) -> int:
    command = [str(fuzzer), what, str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_rings_stay_inside(
    fuzzer: Path, scaled: Callable[[int], int], seed: int
) -> None:
    count = scaled(300_000)
    assert run(fuzzer, "random", count, seed) >= count


def test_random_tables_stay_inside(fuzzer: Path, scaled: Callable[[int], int]) -> None:
    count = scaled(100_000)
    assert run(fuzzer, "table", count, 1) == count


def test_producer_in_another_thread_is_read_in_order(
    fuzzer: Path, scaled: Callable[[int], int]
) -> None:
    count = scaled(100_000)
    assert run(fuzzer, "race", count, 1) == count
