# SPDX-License-Identifier: MIT
"""Every reason for which verification refuses; the values are stable."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Why a stance or a setting was refused: Refusal.code."""

    # Of stances, in the order in which they are looked for.
    DUPLICATE = "duplicate"  # a second, different stance for one workload
    MALFORMED = "malformed"  # strength out of 1..3
    UNKNOWN = "unknown_workload"  # not in this window
    NEVER_TOUCH = "never_touch"  # the policy's never_touch; settings too
    MODE = "mode"  # the workload's mode is observe; settings: not enforce
    PROTECTED = "protected"  # a yield on protect: true; settings too
    OBJECTIVE = "objective"  # a yield on an SLO without the operator's word
    PROVENANCE = "provenance"  # protection of what only vouches for itself
    QUARANTINE = "quarantine"  # refuted by the judge or undone, not yet due again
    STRENGTH = "strength"  # 3 was lowered to 2
    NOBODY_GAINS = "nobody_gains"  # everybody would yield
    COOLDOWN = "cooldown"  # changed too short a time ago
    BUDGET = "budget"  # actions a minute are used up
    WORKLOADS = "workloads"  # too many at once
    # Of settings.
    KNOB = "knob"  # not in the table, or not allowed by the policy
    PATH = "path"  # not this workload's file or thread
    VALUE = "value"  # not a value that this knob takes
    BOUNDS = "bounds"  # outside of the policy's limits
    STEP = "step"  # too large a change in one write
    WORKING_SET = "working_set"  # memory.high too near to what is in use
    TOTAL = "total"  # too little left for everybody else
