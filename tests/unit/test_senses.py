# SPDX-License-Identifier: MIT
"""What the loop tells of workloads that it finds."""

import pytest
from msgspec.structs import replace
from tests.unit.test_loop import POLICY, Bench


@pytest.mark.parametrize("other", ["{comm: x}", '{cgroup: "*"}'])
def test_workload_that_several_entries_claim_is_told_of_once(tmp_path, other):
    """The narrow entry before the wide one is no conflict."""
    other = f"  rest: {{match: {other}}}\nbudget"
    bench = Bench(tmp_path, POLICY.replace("budget", other))
    finder = bench.loop.parts.finder
    shop = replace(finder.found["shop"], also=("rest",))
    finder.found = {**finder.found, "shop": shop}
    bench.run(2)
    finder.found = dict(finder.found)
    bench.run(2)
    told = [e.detail for r in bench.records for e in r.events if e.kind == "policy"]
    said = "/shop is shop by the policy; rest matches it as well, and comes later"
    assert told == ([] if "*" in other else [said])
