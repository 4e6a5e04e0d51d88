# SPDX-License-Identifier: MIT
"""Recorded numbers in words again: the same policy says the same."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.test_window import Bench

from vagus.cli.reword import Reworder
from vagus.flow import SourceState

PCT = st.sampled_from([0, 5, 12, 28, 33, 75])
STEP = st.fixed_dictionaries(
    {
        "cpu": PCT,
        "psi_cpu": PCT,
        "psi_memory": PCT,
        "runq": st.sampled_from([[], [1_000_000] * 30, [9_000_000] * 30]),
        "oom": st.sampled_from([0, 0, 0, 1]),
        "read": st.sampled_from([0, 1 << 20, 1 << 25]),
    }
)
LOSS = st.sampled_from(["", "", "psi", "cgroup", "table"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(STEP, st.integers(1, 4), LOSS), min_size=1, max_size=8))
def test_the_same_policy_has_the_same_words(steps):
    entry = {"match": {"unit": "shop"}, "slo": {"run_queue_p99": "2ms"}}
    bench, reworder = Bench(workloads={"shop": entry}), Reworder()
    for what, times, gone in steps:
        for source, state in bench.states.items():
            missing = "gone" if source == gone else ""
            bench.states[source] = SourceState(state.seen, state.lost, missing)
        for _ in range(times):
            window = bench.window(bench.samples(**what))
            again = reworder.window(window, bench.policy)
            assert again == window
