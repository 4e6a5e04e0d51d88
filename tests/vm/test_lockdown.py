# SPDX-License-Identifier: MIT
"""A kernel that lets nobody trace: booted so by `make soak`, since it stays so."""

import subprocess
import sys
from pathlib import Path

import pytest

from vagus.sense.block import BlockSensor
from vagus.sense.lens import Lens, order_for
from vagus.sense.probes import SharedProbes

pytestmark = pytest.mark.needs("root", "bpf", "lockdown")
REMEDY = "boot it with lockdown=integrity"


def test_the_programs_say_that_the_kernel_forbids_it() -> None:
    probes = SharedProbes()
    sensor = BlockSensor(probes)
    sensor.follow({"shop": ("/shop", 1)})
    assert sensor.read() == [] == sensor.events()
    assert "locked down" in sensor.state().missing
    assert REMEDY in sensor.state().missing
    probes.close()


def test_doctor_says_it() -> None:
    agent = str(Path(__file__).parents[2] / "agent")
    argv = [sys.executable, "-m", "vagus.cli.main", "doctor"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=agent)
    assert "confidentiality: no tracing" in done.stdout


@pytest.mark.needs("bcc")
@pytest.mark.parametrize("kind", ["runq", "biolat"])
def test_a_lens_ends_with_a_word(kind: str) -> None:
    with Lens(order_for(kind, "/", 0, 5.0)) as lens:
        while lens.running:
            lens.lines()
        lens.lines()
    assert lens.said_error
    print(lens.said_error)
