# SPDX-License-Identifier: MIT
"""All C of the bindings under the sanitizers: on garbage, and on a kernel of dice."""

import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
READERS = ("ring", "table", "guard")
# What would ask the kernel: tests/native/bpf_fuzz.c answers instead.
ASKED = (
    "bpf_object__load",
    "libbpf_find_vmlinux_btf_id",
    "bpf_program__attach",
    "bpf_program__attach_perf_event",
    "bpf_map__attach_struct_ops",
    "bpf_link__destroy",
    "syscall",
    "libbpf_num_possible_cpus",
    "bpf_map_get_info_by_fd",
    "bpf_map_lookup_batch",
)


def compile_fuzzer(to: Path, parts: Iterable[str], *options: str) -> Path:
    compiler = shutil.which("gcc") or shutil.which("clang")
    assert compiler, "a C compiler is needed: apt install gcc"
    command = [compiler, "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]
    command += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += ["-Ibindings", "-Ikmod/uapi", f"tests/native/{to.name}.c"]
    command += [f"bindings/{part}.c" for part in parts]
    subprocess.run([*command, *options, "-o", to], cwd=ROOT, check=True)
    return to


@pytest.fixture(scope="session")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "ring_fuzz"
    return compile_fuzzer(path, READERS, "-pthread")


@pytest.fixture(scope="session")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "bpf_fuzz"
    wraps = [f"-Wl,--wrap={name}" for name in ASKED]
    return compile_fuzzer(path, ["bpf"], "-lbpf", *wraps)


def run(fuzzer: Path, what: str, count: int, seed: int, *files: Path) -> int:
    command = [str(fuzzer), what, str(count), str(seed), *map(str, files)]
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


def test_objects_on_any_kernel_leave_nothing_behind(
    loader: Path, scaled: Callable[[int], int]
) -> None:
    objects = sorted((ROOT / ".output/ebpf").glob("*.bpf.o"))
    assert len(objects) == 4, "build them: make ebpf"
    count = scaled(200)
    assert run(loader, "objects", count, 1, *objects) == count


def test_maps_of_any_shape_are_read_inside_and_added_up(
    loader: Path, scaled: Callable[[int], int]
) -> None:
    count = scaled(100_000)
    assert run(loader, "maps", count, 1) == count
