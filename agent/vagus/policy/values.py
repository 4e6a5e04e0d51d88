# SPDX-License-Identifier: MIT
"""Knob texts as numbers, strictly: what is not exactly a value is refused."""

from __future__ import annotations

import re

from vagus.policy.knobs import SCHED_EXT, UNLIMITED

SCHED_POLICIES = ("other", "batch", "idle")
# kernel/sched/core.c: a period is 1 ms to 1 s.
PERIOD_US = range(1_000, 1_000_001)
_WHOLE = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_DEVICE = re.compile(r"[0-9]{1,7}:[0-9]{1,7}", re.ASCII)
_CLASS = re.compile(r"(protect|yield) ([1-3])", re.ASCII)
_LIMIT = re.compile(r"([rw](?:b|io)ps)=([0-9]{1,19}|max)", re.ASCII)


def numbers(knob: str, text: str) -> list[float] | None:
    """Return every number that a knob's text sets, in its unit; None if malformed.

    io.max gives its byte rates; operations have no bound of their own, but 0 is
    refused, as the kernel does.
    """
    if knob == "cpu.max":
        return _quota(text)
    if knob == "io.max":
        return _rates(text)
    if knob == "policy":
        known = text in SCHED_POLICIES
        return [float(SCHED_POLICIES.index(text))] if known else None
    if knob == SCHED_EXT:
        found = _CLASS.fullmatch(text)
        return [float(found[2]) * (-1 if found[1] == "yield" else 1)] if found else None
    if knob == "io.weight":
        text = text.removeprefix("default ")
    if text == "max" and knob.startswith("memory."):
        return [UNLIMITED]
    return [float(text)] if _WHOLE.fullmatch(text) else None


def _quota(text: str) -> list[float] | None:
    quota, _, period = text.partition(" ")
    if not _WHOLE.fullmatch(period) or int(period) not in PERIOD_US:
        return None
    if quota == "max":
        return [UNLIMITED]
    return [int(quota) / int(period)] if _WHOLE.fullmatch(quota) else None


def _rates(text: str) -> list[float] | None:
    device, *limits = text.split(" ")
    found = [_LIMIT.fullmatch(limit) for limit in limits]
    if not _DEVICE.fullmatch(device) or not limits:
        return None
    rates: dict[str, float] = {}
    for limit in found:
        if limit is None or limit[1] in rates:
            return None
        rates[limit[1]] = UNLIMITED if limit[2] == "max" else float(limit[2])
    if min(rates.values()) < 1:
        return None
    return [rates[key] for key in ("rbps", "wbps") if key in rates] or [UNLIMITED]
