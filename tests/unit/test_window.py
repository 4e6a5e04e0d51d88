# SPDX-License-Identifier: MIT
"""Samples in, numbers and words out; what is not known is called unknown."""

import pytest

from vagus import abi
from vagus.flow import Found, Sample, SourceState, Use, Word
from vagus.policy.model import Policy
from vagus.window import Windower

S = 1_000_000_000
SOURCES = ("cgroup", "psi", "table", "block", "memory", "process")


class Bench:
    """Feeds a Windower one window at a time."""

    def __init__(self, **policy):
        self.now = 10 * S
        self.policy = Policy.model_validate({"version": 1, **policy})
        self.windower = Windower(self.policy, clock=lambda: self.now)
        self.found = {"shop": Found("shop", "/shop", 7, policy="shop")}
        self.states = {name: SourceState(1, 0) for name in SOURCES}
        self.totals: dict[tuple[str, str, str], float] = {}
        self.hists: dict[str, list[int]] = {}
        self.tick, self.span_ns = 0, S

    def counter(self, source, signal, by, workload="shop"):
        key = (source, workload, signal)
        self.totals[key] = self.totals.get(key, 0.0) + by
        return Sample(source, workload, signal, "counter", self.now, self.totals[key])

    def hist(self, source, signal, values, workload="shop"):
        counts = self.hists.setdefault(signal, [0] * abi.HIST_BUCKETS)
        for value in values:
            counts[abi.hist_bucket(value)] += 1
        total = self.counter(source, signal, sum(values), workload).value
        return Sample(
            source, workload, signal, "histogram", self.now, total, tuple(counts)
        )

    def gauge(self, signal, value, workload="shop"):
        return Sample("cgroup", workload, signal, "gauge", self.now, value)

    def samples(self, cpu=0, psi_cpu=0, psi_io=0, psi_memory=0, runq=(), io=(), **more):
        """Return a whole set; psi in percent of one second."""
        psi = {"cpu": psi_cpu, "io": psi_io, "memory": psi_memory}
        made = [
            self.gauge("memory_total_bytes", 1e9, ""),
            self.gauge("memory_bytes", more.get("memory", 1e6)),
            self.counter("cgroup", "cpu_usage_us", cpu * 1e4),
            self.counter("cgroup", "read_bytes", more.get("read", 0)),
            self.counter("cgroup", "write_bytes", more.get("write", 0)),
            self.counter("cgroup", "oom_kills", more.get("oom", 0)),
            self.hist("table", "runq_ns", runq),
            self.hist("block", "io_ns", io),
        ]
        made += [
            self.counter("psi", f"psi_{one}_some_us", pct * 1e4)
            for one, pct in psi.items()
        ]
        gone = {name for name, state in self.states.items() if state.missing}
        return [sample for sample in made if sample.source not in gone]

    def window(self, samples):
        self.now += self.span_ns
        self.tick += 1
        stamped = [
            Sample(s.source, s.workload, s.signal, s.kind, self.now, s.value, s.counts)
            for s in samples
        ]
        return self.windower.build(self.tick, stamped, self.found, {}, self.states)

    def step(self, **what):
        return self.window(self.samples(**what)).workloads["shop"]


@pytest.fixture
def bench():
    made = Bench()
    made.step()
    return made


def test_rates_and_percentiles(bench):
    shop = bench.step(
        cpu=40, psi_cpu=12, runq=[1_000_000] * 98 + [9_000_000] * 2, read=4096
    )
    assert shop.numbers["cpu_pct"] == pytest.approx(40)
    assert shop.numbers["psi_cpu_some_pct"] == pytest.approx(12)
    assert shop.numbers["runq_count"] == 100
    assert shop.numbers["runq_p50_ns"] == pytest.approx(1_000_000, rel=0.12)
    assert shop.numbers["runq_p99_ns"] == pytest.approx(9_000_000, rel=0.12)
    assert shop.numbers["runq_wait_pct"] == pytest.approx(11.6)
    assert shop.numbers["read_bytes_per_s"] == pytest.approx(4096)
    assert shop.numbers["io_count"] == 0
    assert "io_p99_ns" not in shop.numbers
    assert shop.words["cpu"] is Word.WARM
    assert shop.uses["cpu"] is Use.BUSY


def test_the_first_reading_is_no_rate():
    shop = Bench().step(cpu=90)
    assert "cpu_pct" not in shop.numbers
    assert shop.words["cpu"] is Word.UNKNOWN
    assert shop.uses["cpu"] is Use.UNKNOWN


@pytest.mark.parametrize(
    ("what", "resource", "word"),
    [
        ({"runq": [1_000_000] * 50}, "cpu", Word.OK),
        ({"runq": [30_000_000] * 50}, "cpu", Word.BAD),
        ({"runq": [90_000_000] * 50}, "cpu", Word.CRITICAL),
        ({"runq": [90_000_000] * 19}, "cpu", Word.OK),  # too few to tell
        ({"runq": [90_000_000] * 19, "psi_cpu": 40}, "cpu", Word.BAD),
        ({"runq": [1_000_000] * 50, "psi_cpu": 80}, "cpu", Word.CRITICAL),
        ({"io": [100_000_000] * 30}, "io", Word.BAD),
        ({"psi_io": 15}, "io", Word.WARM),
        ({"psi_memory": 60}, "memory", Word.CRITICAL),
        ({"oom": 1}, "memory", Word.CRITICAL),
    ],
)
def test_words_are_the_worst_signal(bench, what, resource, word):
    assert bench.step(**what).words[resource] is word


def test_a_word_gets_worse_at_once_and_better_slowly(bench):
    seen = [bench.step(psi_cpu=pct).words["cpu"] for pct in (75, 5, 5, 5)]
    assert seen == [Word.CRITICAL, Word.CRITICAL, Word.OK, Word.OK]
    around = [29, 31, 29, 31, 29, 31, 29]
    flapping = [bench.step(psi_cpu=pct).words["cpu"] for pct in around]
    assert flapping == [Word.WARM] + [Word.BAD] * 6


@pytest.mark.parametrize(
    ("source", "unknown"),
    [("psi", ["memory"]), ("table", []), ("block", []), ("cgroup", [])],
)
def test_a_source_unplugged_is_said(bench, source, unknown):
    bench.states[source] = SourceState(1, 0, "unplugged; plug it in")
    busy = {"runq": [5_000_000] * 30, "io": [1_000_000] * 30, "cpu": 20}
    window = bench.window(bench.samples(**busy))
    shop = window.workloads["shop"]
    assert window.quality.missing == {source: "unplugged; plug it in"}
    assert not window.quality.good
    assert [name for name, word in shop.words.items() if word == "unknown"] == unknown
    assert ("runq_p99_ns" in shop.numbers) == (source != "table")
    if source == "cgroup":
        assert set(shop.uses.values()) == {Use.UNKNOWN}


def test_a_stall_is_told_at_once_and_so_is_its_end(bench):
    seen = []
    for moved in (0, 80, 30, 0, 130):  # percent of one second
        shop = bench.step(psi_cpu=moved)
        seen.append(round(shop.numbers["psi_cpu_some_pct"]))
    assert seen == [0, 80, 30, 0, 100]


def test_a_short_stall_is_no_trouble_between_ticks(bench):
    """Readings of the reflex, 100 ms apart: a share of half a second."""
    seen, bench.span_ns = [], S // 10
    for moved_ms in (0, 0, 0, 0, 0, 0, 80, 0, 0, 0, 0, 0, 0):
        shop = bench.step(psi_io=moved_ms / 10)
        seen.append(round(shop.numbers["psi_io_some_pct"]))
    assert seen == [0] * 6 + [16] * 5 + [0] * 2


def test_both_sources_of_a_resource_unplugged_make_it_unknown(bench):
    for source in ("psi", "table", "block"):
        bench.states[source] = SourceState(1, 0, "unplugged")
    assert set(bench.step(cpu=50).words.values()) == {Word.UNKNOWN}


def test_lost_records_are_told_once(bench):
    bench.states["process"] = SourceState(10, 3)
    assert bench.window([]).quality.lost == {"process": 3}
    assert bench.window([]).quality.lost == {}


def test_an_idle_named_workload_is_ok_and_an_idle_unnamed_one_is_left_out(bench):
    bench.found = bench.found | {"other": Found("other", "/other", 8)}
    bench.step(cpu=50)
    window = bench.window([])
    assert set(window.workloads) == {"shop"}
    shop = window.workloads["shop"]
    assert shop.words == {"cpu": "ok", "io": "ok", "memory": "ok"}
    for _ in range(3):
        shop = bench.window([]).workloads["shop"]
    assert shop.uses["cpu"] is Use.IDLE
    assert shop.numbers["memory_bytes"] == 1e6


def test_after_a_pause_the_reflex_begins_anew(bench):
    bench.windower = Windower(bench.policy, lambda: bench.now, stale_ns=3 * S)
    bench.step()
    assert "cpu_pct" in bench.step(cpu=20).numbers
    bench.now += 10 * S
    shop = bench.step(cpu=99, runq=[90_000_000] * 100)
    assert "cpu_pct" not in shop.numbers
    assert shop.words["cpu"] is Word.UNKNOWN
    assert bench.step(cpu=20).numbers["cpu_pct"] == pytest.approx(20)


def test_without_the_io_controller_the_programs_tell_the_use(bench):
    def without_io(**what):
        told = bench.samples(**what)
        told = [s for s in told if s.source != "cgroup" or "bytes" not in s.signal]
        return bench.window(told).workloads["shop"]

    assert without_io().uses["io"] is Use.IDLE
    requests = {"io": [1_000_000] * 30}
    busy = bench.counter("block", "write_bytes", 0)
    told = [s for s in bench.samples(**requests) if s.signal != "write_bytes"]
    told = [s for s in told if s.signal != "read_bytes"]
    bench.window([*told, busy])
    told = [s for s in bench.samples(**requests) if s.signal != "write_bytes"]
    told = [s for s in told if s.signal != "read_bytes"]
    busy = bench.counter("block", "write_bytes", 50e6)
    shop = bench.window([*told, busy]).workloads["shop"]
    assert shop.numbers["write_bytes_per_s"] == pytest.approx(50e6)
    assert shop.uses["io"] is Use.HEAVY


def test_work_after_a_sleep_is_not_spread_over_the_sleep(bench):
    bench.step(cpu=1)
    for _ in range(30):
        bench.window([])
    idle = Sample("cgroup", "shop", "idle", "gauge", bench.now)
    bench.now += S
    samples = bench.samples(cpu=80)
    window = bench.windower.build(99, [idle, *samples], bench.found, {}, bench.states)
    assert window.workloads["shop"].numbers["cpu_pct"] == pytest.approx(80)


def test_a_cgroup_made_again_starts_anew(bench):
    bench.step(cpu=50)
    bench.found = {"shop": Found("shop", "/shop", 8, policy="shop")}
    assert "cpu_pct" not in bench.step(cpu=50).numbers


def test_counters_of_our_own_begin_at_zero(bench):
    first = bench.counter("process", "forks", 5)
    shop = bench.window([first]).workloads["shop"]
    assert shop.numbers["forks_per_s"] == pytest.approx(5)


def test_an_slo_moves_the_words():
    slo = {"shop": {"slo": {"run_queue_p99": "2ms"}}}
    bench = Bench(workloads=slo)
    bench.step()
    assert bench.step(runq=[2_500_000] * 50).words["cpu"] is Word.BAD


def test_the_latency_of_an_slos_function_moves_the_word():
    function = {"exe": "/usr/bin/redis-server", "symbol": "call", "p99": "2ms"}
    bench = Bench(workloads={"shop": {"slo": {"function": function}}})
    for values, word in (([1_000_000], Word.OK), ([3_000_000] * 5, Word.BAD)):
        bench.window([bench.hist("lens", "slo_ns", [])])
        shop = bench.window([bench.hist("lens", "slo_ns", values)]).workloads["shop"]
        assert shop.numbers["slo_count"] == len(values)
        assert shop.numbers["slo_p99_ns"] == pytest.approx(values[0], rel=0.12)
        assert shop.words["cpu"] is word


def test_thresholds_of_the_policy_hold():
    cpu = {"light": "1%", "busy": "2%", "heavy": "3%"}
    bench = Bench(thresholds={"uses": {"cpu": cpu}})
    bench.step()
    assert bench.step(cpu=5).uses["cpu"] is Use.HEAVY


def test_what_went_is_forgotten(bench):
    bench.found = {}
    assert bench.window([]).workloads == {}
    assert "shop" not in bench.windower._tracks
