# SPDX-License-Identifier: MIT
"""The readers on the module's real ring and table, and when it goes away."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vagus import native
from vagus.errors import KernelError, ModuleMissing

pytestmark = pytest.mark.needs("root", "kmod")


@pytest.fixture
def reloaded(loaded: str) -> Iterator[str]:
    """Leave the module loaded, whatever the test does to it."""
    yield loaded
    if not Path("/sys/module/vagus").exists():
        subprocess.run(["insmod", loaded], check=True)


def test_ring_and_table_map_as_the_contract_says(loaded: str) -> None:
    with native.Ring.module() as ring, native.Table.module() as table:
        assert ring.data_bytes & (ring.data_bytes - 1) == 0
        assert ring.counts().malformed == 0
        possible = Path("/sys/devices/system/cpu/possible").read_text().strip()
        assert table.cpus >= int(possible.split("-")[-1]) + 1
        table.follow(range(table.slots))
        table.read()


def test_unloading_under_the_readers_is_an_error_and_no_signal(reloaded: str) -> None:
    with native.Ring.module() as ring, native.Table.module() as table:
        table.follow([0, 1])
        ring.drain()
        table.read()
        subprocess.run(["rmmod", "vagus"], check=True)
        for _ in range(2):
            with pytest.raises(ModuleMissing, match="modprobe vagus"):
                ring.drain()
            with pytest.raises(ModuleMissing, match="modprobe vagus"):
                table.read()
    with pytest.raises(ModuleMissing):
        native.Ring.module()


READER = """
from vagus import native
with native.Ring.module() as ring:
    print("open", flush=True)
    input()
"""


def test_second_reader_of_the_ring_is_told_so(loaded: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", READER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout and other.stdin
        assert other.stdout.readline() == "open\n"
        with pytest.raises(KernelError, match="another process reads it"):
            native.Ring.module()
        other.stdin.write("\n")
    deadline = time.monotonic() + 5
    while True:
        try:
            native.Ring.module().close()
            return
        except KernelError:
            assert time.monotonic() < deadline
