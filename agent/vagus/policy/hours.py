# SPDX-License-Identifier: MIT
"""Quiet hours: what is left of a policy at a time of day."""

from __future__ import annotations

from datetime import datetime

from vagus.flow import Mode
from vagus.policy.model import DAYS, Policy, Quiet

ORDER = (Mode.OBSERVE, Mode.ADVISE, Mode.ENFORCE)


def effective(policy: Policy, local: datetime) -> Policy:
    """Return the policy with every mode at most what the hour allows.

    `local` is the wall clock in the machine's own time zone.
    """
    return capped(policy, most_allowed(policy, local))


def capped(policy: Policy, most: Mode) -> Policy:
    """Return the policy with every mode, also of single workloads, at most this."""
    if most is Mode.ENFORCE:
        return policy
    workloads = {
        name: entry.model_copy(update={"mode": entry.mode and lower(entry.mode, most)})
        for name, entry in policy.workloads.items()
    }
    mode = lower(policy.mode, most)
    return policy.model_copy(update={"mode": mode, "workloads": workloads})


def most_allowed(policy: Policy, local: datetime) -> Mode:
    """Return the most that the quiet hours allow now."""
    minute = local.hour * 60 + local.minute
    modes = [q.mode for q in policy.quiet if _holds(q, local.weekday(), minute)]
    return min(modes, key=ORDER.index, default=Mode.ENFORCE)


def lower(one: Mode, other: Mode) -> Mode:
    """Return the more careful of two modes."""
    return min(one, other, key=ORDER.index)


def _holds(quiet: Quiet, weekday: int, minute: int) -> bool:
    today = DAYS[weekday] in quiet.days
    if quiet.start < quiet.end:
        return today and quiet.start <= minute < quiet.end
    yesterday = DAYS[weekday - 1] in quiet.days
    return (today and minute >= quiet.start) or (yesterday and minute < quiet.end)
