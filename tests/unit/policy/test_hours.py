# SPDX-License-Identifier: MIT
"""Quiet hours."""

from datetime import datetime

import pytest

from vagus.flow import Mode
from vagus.policy import load
from vagus.policy.hours import effective

POLICY = """\
mode: enforce
workloads: {a: {mode: enforce}, b: {mode: observe}, c: }
quiet:
  - {from: 22:00, to: 06:00, days: [mon], mode: advise}
  - {from: 5:00, to: 6:30, days: [tue]}
"""


@pytest.mark.parametrize(
    ("when", "mode"),
    [
        ("2026-11-23 21:59", Mode.ENFORCE),  # a Monday
        ("2026-11-23 22:00", Mode.ADVISE),
        ("2026-11-24 00:30", Mode.ADVISE),  # begun on Monday
        ("2026-11-24 05:00", Mode.OBSERVE),  # the more careful one holds
        ("2026-11-24 06:00", Mode.OBSERVE),
        ("2026-11-24 06:30", Mode.ENFORCE),
        ("2026-11-24 22:30", Mode.ENFORCE),  # a Tuesday
        ("2026-11-23 05:30", Mode.ENFORCE),  # begun on no Sunday
    ],
)
def test_modes_by_the_hour(when, mode):
    policy = load.loads(POLICY)
    now = effective(policy, datetime.fromisoformat(when))
    assert now.mode is mode
    assert now.workloads["a"].mode is mode
    assert now.workloads["b"].mode is Mode.OBSERVE
    assert now.workloads["c"].mode is None
    assert now.text_hash == policy.text_hash


def test_without_quiet_hours_nothing_is_copied():
    policy = load.default()
    assert effective(policy, datetime(2026, 1, 1)) is policy
