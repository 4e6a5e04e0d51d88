# SPDX-License-Identifier: MIT
"""Lenses without a kernel: a stand-in interpreter says what a lens could say."""

import json
import time
from pathlib import Path

import pytest

from vagus import abi
from vagus.policy.model import Policy
from vagus.sense.lens import Lens, LensSensor, order_for

FUNCTION = {"exe": "/usr/bin/redis-server", "symbol": "call", "p99": "2ms"}
WANTED = {"workloads": {"cache": {"slo": {"function": FUNCTION}}}}


@pytest.fixture
def python(tmp_path):
    """Return a maker of interpreters that print these lines and end."""

    def make(*lines: str, status: int = 0, stay: bool = False) -> Path:
        path = tmp_path / f"python-{len(list(tmp_path.iterdir()))}"
        text = "".join(f"printf '%s\\n' '{line}'\n" for line in lines)
        last = "exec sleep 60\n" if stay else f"exit {status}\n"
        path.write_text("#!/bin/sh\n" + text + last)
        path.chmod(0o755)
        return path

    return make


def wait_lines(lens, number):
    lines = []
    deadline = time.monotonic() + 10
    while len(lines) < number and time.monotonic() < deadline:
        lines += lens.lines()
        time.sleep(0.01)
    return lines


def counts(value_ns, number):
    row = [0] * abi.HIST_BUCKETS
    row[abi.hist_bucket(value_ns)] = number
    return row


def test_lines_are_read_and_garbage_is_counted(python):
    good = json.dumps({"counts": counts(5000, 3), "sum": 15000, "lost": 0})
    lines = ('{"ready": true}', "garbage", '{"counts": [1]}', good, '{"end": true}')
    with Lens(order_for("runq", "/a/b", 7), python(*lines)) as lens:
        told = wait_lines(lens, 3)
        assert [told[0].ready, told[1].sum, told[2].end] == [True, 15000, True]
        assert lens.garbled == 2
        assert lens.order.level == 2
        assert lens.order.cgroup_id == 7


def test_an_ending_without_a_word_is_said(python):
    with Lens(order_for("runq", "/", 0), python(status=3)) as lens:
        assert "status 3" in wait_lines(lens, 1)[0].error


def test_orders_are_bounded():
    assert order_for("func", "/", 0, 1e9).seconds == 3600
    with pytest.raises(ValueError, match="runq, offcpu, biolat, func"):
        order_for("everything", "/", 0)


def test_the_slo_of_a_function_becomes_samples(python):
    line = json.dumps({"counts": counts(3_000_000, 10), "sum": 30_000_000})
    sensor = LensSensor(
        Policy.model_validate(WANTED), python('{"ready": true}', line, stay=True)
    )
    sensor.follow({"cache": ("/cache", 5), "other": ("/other", 6)})
    deadline = time.monotonic() + 10
    samples = []
    while not samples and time.monotonic() < deadline:
        samples = sensor.read()
    (sample,) = samples
    assert (sample.workload, sample.signal, sum(sample.counts)) == (
        "cache",
        "slo_ns",
        10,
    )
    (_, lens) = sensor._lenses["cache"]
    sensor.set_policy(Policy.model_validate(WANTED))
    assert lens.running
    sensor.set_policy(Policy())
    assert not lens.running
    sensor.set_policy(Policy.model_validate(WANTED))
    (_, lens) = sensor._lenses["cache"]
    sensor.follow({})
    assert not lens.running
    sensor.close()


def test_a_lens_that_fails_is_said_and_not_tried_at_once(python):
    error = '{"error": "no such symbol", "line": 3, "source": "call\\u001b()"}'
    sensor = LensSensor(Policy.model_validate(WANTED), python(error, status=2))
    sensor.follow({"cache": ("/cache", 5)})
    deadline = time.monotonic() + 10
    while not sensor.state().missing and time.monotonic() < deadline:
        sensor.read()
    assert "no such symbol (line 3: call\\x1b())" in sensor.state().missing
    (event,) = sensor.events()
    assert event.workload == "cache"
    assert sensor.read() == []
    assert sensor._lenses == {}
    sensor.close()


def test_without_bcc_it_is_said(tmp_path):
    sensor = LensSensor(Policy.model_validate(WANTED), tmp_path / "nowhere")
    sensor.follow({"cache": ("/cache", 5)})
    assert "install python3" in sensor.state().missing
    sensor.close()


def test_a_policy_without_functions_starts_nothing():
    sensor = LensSensor(Policy())
    sensor.follow({"cache": ("/cache", 5)})
    assert (sensor.read(), sensor.state().missing) == ([], "")
    sensor.close()


def test_what_a_lens_could_not_measure_is_lost_for_good(python):
    line = json.dumps({"counts": counts(3_000_000, 10), "sum": 1, "lost": 4})
    sensor = LensSensor(Policy.model_validate(WANTED), python("junk", line, stay=True))
    sensor.follow({"cache": ("/cache", 5)})
    deadline = time.monotonic() + 10
    while not sensor.read() and time.monotonic() < deadline:
        pass
    assert sensor.state().lost == 5
    sensor.follow({})
    assert sensor.state().lost == 5
    sensor.close()


def test_more_lenses_than_may_run_are_said(python):
    wanted = {name: {"slo": {"function": FUNCTION}} for name in ("a", "b", "c")}
    policy = Policy.model_validate({"workloads": wanted})
    sensor = LensSensor(policy, python(stay=True), most=2)
    places = {name: (f"/{name}", id_) for id_, name in enumerate(wanted, 5)}
    sensor.follow(places)
    assert sorted(sensor._lenses) == ["a", "b"]
    assert sensor.state().missing.startswith("c: 2 lenses run already")
    sensor.follow({name: places[name] for name in ("b", "c")})
    assert sorted(sensor._lenses) == ["b", "c"]
    assert sensor.state().missing == ""
    sensor.close()
