# SPDX-License-Identifier: MIT
"""Limits of single workloads: from the policy's text to the knob, and again."""

import pytest
from tests.unit.test_loop import POLICY, Bench
from tests.unit.test_settings import PLACES, setting, window

from vagus.apply.step import again
from vagus.policy.knobs import Bound
from vagus.policy.load import check, loads
from vagus.settings import verify_settings

OWN = """
limits: {cpu.weight: {min: 50, max: 1000, step: 50%}}
workloads:
  shop: {limits: {cpu.weight: {max: 300}, memory.high: {allow: false}}}
  backup: {limits: {cpu.weight: {max: 20}, memory.high: {headroom: 50%}}}
  beside: {match: {comm: x}, limits: {cpu.weight: {max: 2000}}}
mode: enforce
"""


def test_what_a_workload_says_goes_before_and_the_rest_holds():
    policy = loads(OWN)
    own = [policy.workloads[name].limits for name in ("shop", "backup")]
    shop, backup = map(policy.bounds, own)
    assert policy.bounds()["cpu.weight"] == Bound(50, 1000, 0, 0.5)
    assert shop["cpu.weight"] == Bound(50, 300, 0, 0.5)
    assert backup["cpu.weight"] == Bound(1, 20, 0, 0.5), "the other side moves along"
    assert "memory.high" not in shop
    assert backup["memory.high"].headroom == 0.5
    assert shop["io.max"] == policy.bounds()["io.max"]


@pytest.mark.parametrize(
    ("workload", "knob", "value", "is_allowed"),
    [
        ("shop", "cpu.weight", "300", True),
        ("shop", "cpu.weight", "301", False),
        ("near", "cpu.weight", "301", True),
        ("backup", "cpu.weight", "20", True),
        ("near", "cpu.weight", "20", False),
        ("shop", "memory.high", "8589934592", False),
        ("backup", "memory.high", "1395864371", False),  # 1.3 GiB, of 1 GiB in use
        ("near", "memory.high", "1395864371", True),
        # It matched by a name that it chose itself.
        ("beside", "cpu.weight", "2000", False),
    ],
)
def test_gate_goes_by_the_workload_s_own_limits(workload, knob, value, is_allowed):
    one = setting(knob, value, workload)
    assert workload in PLACES
    allowed, _ = verify_settings([one], loads(OWN), window())
    assert bool(allowed) is is_allowed


def test_limits_that_a_command_name_would_get_are_warned_of():
    (told,) = check(OWN, "p.yaml").warnings
    assert told.startswith("p.yaml:6:38: workloads.beside.limits: do not hold; ")


def test_mistake_in_them_is_told_where_it_stands():
    text = "workloads:\n  shop: {limits: {cpu.wight: {max: 3}, nice: {max: 20}}}"
    assert check(text, "p.yaml").errors == [
        "p.yaml:2:19: workloads.shop.limits.cpu.wight: there is no such key; did you"
        " mean cpu.weight?",
        "p.yaml:2:52: workloads.shop.limits.nice.max: 20 is over the kernel's 19"
        " (sched(7))",
    ]


def test_reflex_keeps_within_them_and_its_steps_come_out_again(tmp_path):
    text = POLICY.replace("role: web", "limits: {cpu.weight: {max: 200}}, role: web")
    text = text.replace("role: build", "limits: {cpu.weight: {min: 60}}, role: build")
    bench = Bench(tmp_path, text)
    seen = set()
    for _ in range(8):
        bench.run(1)
        seen.add((bench.machine.number("shop"), bench.machine.number("build")))
    assert (200, 60) in seen
    assert all(shop <= 200 and build >= 60 for shop, build in seen)
    windows = {record.window.tick: record.window for record in bench.records}
    steps = [step for record in bench.records for step in record.steps]
    assert steps
    for step in steps:
        assert again(step, windows[step.tick]) == step.settings
