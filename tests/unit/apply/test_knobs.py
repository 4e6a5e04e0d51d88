# SPDX-License-Identifier: MIT
"""Knob texts as numbers, and one step back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagus.apply import knobs


@pytest.mark.parametrize(
    ("knob", "text", "value"),
    [
        ("cpu.weight", "300\n", 300.0),
        ("cpu.max", "max 100000", math.inf),
        ("cpu.max", "50000 100000", 0.5),
        ("cpu.max", "150000", 1.5),
        ("memory.high", "max\n", math.inf),
        ("memory.low", "1048576\n", 1048576.0),
        ("io.weight", "default 100\n8:0 50\n", 100.0),
        ("io.weight", "250", 250.0),
        ("io.max", "8:0 rbps=max wbps=1000 riops=5 wiops=max", 1000.0),
        ("io.max", "8:0 rbps=max wbps=max", math.inf),
        ("policy", "idle", 2.0),
        ("nice", "-5", -5.0),
        ("cpu.idle", "1", knobs.IDLE_WEIGHT),
    ],
)
def test_number_reads_what_the_kernel_writes(knob: str, text: str, value: float):
    assert knobs.number(knob, text) == value


@pytest.mark.parametrize("text", ["", "garbage", "8:0", "default"])
@pytest.mark.parametrize("knob", ["cpu.weight", "cpu.max", "io.max", "io.weight"])
def test_number_unreadable_is_not_a_number(knob: str, text: str):
    value = knobs.number(knob, text)
    assert math.isnan(value) or (knob, text) == ("io.max", "8:0")


def test_text_goes_back_through_number():
    for knob, value in (("cpu.weight", 77.0), ("cpu.max", 0.25), ("memory.high", 4096)):
        assert knobs.number(knob, knobs.text(knob, value)) == value
    assert knobs.text("cpu.max", 0.0) == "1000 100000"  # the kernel's least quota
    assert knobs.text("memory.high", math.inf) == "max"


def test_io_max_scales_every_limit_and_leaves_max():
    line = knobs.io_max("8:0", 1000, 10)
    assert knobs.scaled_io_max(line, 2) == "8:0 rbps=2000 wbps=2000 riops=20 wiops=20"
    assert knobs.scaled_io_max("8:0 rbps=max wbps=10", 3) == "8:0 rbps=max wbps=30"


@given(
    st.sampled_from(["cpu.weight", "memory.high", "cpu.max", "nice"]),
    st.floats(1, 1e4),
    st.floats(1, 1e4),
)
def test_step_goes_there_and_never_by_more_than_a_tenth(
    knob: str, start: float, goal: float
):
    held = round(start) if knob in ("cpu.weight", "nice") else start
    goal = round(goal) if knob in ("cpu.weight", "nice") else goal
    for _ in range(20_000):
        if held == goal:
            break
        moved = knobs.step(knob, held, goal)
        least = 1.0 if knob in ("cpu.weight", "nice") else 0.0
        assert abs(moved - held) <= max(least, abs(held) * knobs.STEP) + 1e-9
        assert abs(moved - goal) < abs(held - goal)
        held = moved
    assert held == goal


@given(st.floats(1, 1e6), st.floats(1, 1e6), st.floats(1, 1e6))
def test_farther_orders_both_ways(one: float, other: float, neutral: float):
    both = knobs.farther("cpu.weight", one, other, neutral) and knobs.farther(
        "cpu.weight", other, one, neutral
    )
    across = (one - neutral) * (other - neutral) < 0
    assert both is across
    assert knobs.farther("memory.high", one, one + 1, math.inf)
