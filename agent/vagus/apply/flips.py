# SPDX-License-Identifier: MIT
"""A bound on oscillation: how often a minute a knob may change direction; pure.

A knob goes away from neutral (tighter) or back (looser); a flip is a change of
that direction.  One that has used up its flips stays as it is, or stays free;
letting go is always allowed, since that is the safe direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from vagus.apply import knobs
from vagus.apply.aims import slot
from vagus.flow import Lease, Refusal, Setting

MINUTE_NS = 60_000_000_000
FLIPS_PER_MINUTE = 2

Slot = tuple[str, str]


class Moves(msgspec.Struct, frozen=True):
    """A knob's last direction and when it flipped."""

    tighter: bool
    flips_ns: tuple[int, ...] = ()

    def flipped(self, now_ns: int) -> bool:
        """Say whether it flipped within the last minute."""
        return any(now_ns - t < MINUTE_NS for t in self.flips_ns)


class Bounded(msgspec.Struct, frozen=True):
    """The settings that may be set, and what was held back."""

    settings: list[Setting]
    history: dict[Slot, Moves]
    refused: list[Refusal] = []


def bounded(
    settings: Sequence[Setting],
    held: Mapping[Slot, Lease],
    history: Mapping[Slot, Moves],
    now_ns: int,
    per_minute: int = FLIPS_PER_MINUTE,
) -> Bounded:
    """Return the settings without those that would flip a knob too often."""
    allowed, refused, after = [], [], dict(history)
    wanted = set()
    for setting in settings:
        key = slot(setting.knob, setting.path)
        wanted.add(key)
        lease = held.get(key)
        tighter = _tighter(setting, lease)
        if tighter is None:
            allowed.append(setting)
            continue
        moves = _moved(after.get(key), tighter, now_ns)
        if len(moves.flips_ns) <= per_minute:
            after[key] = moves
            allowed.append(setting)
            continue
        refused.append(_refusal(setting, len(moves.flips_ns) - 1))
        if lease is not None:
            allowed.append(lease.setting)
    for key in held.keys() - wanted:
        after[key] = _moved(after.get(key), False, now_ns)
    return Bounded(allowed, _recent(after, held, now_ns), refused)


def _tighter(setting: Setting, lease: Lease | None) -> bool | None:
    """Return the direction of a change; None where nothing changes."""
    if lease is None:
        return True
    if lease.setting.value == setting.value and lease.setting.knob == setting.knob:
        return None
    new = knobs.number(setting.knob, setting.value)
    old = knobs.number(lease.setting.knob, lease.value)
    protect = setting.why.startswith("protect")
    inverse = setting.knob in ("nice", "policy", "wbt_lat_usec")
    return (new > old) is (protect is not inverse)


def _moved(before: Moves | None, tighter: bool, now_ns: int) -> Moves:
    if before is None:
        return Moves(tighter)
    recent = tuple(t for t in before.flips_ns if now_ns - t < MINUTE_NS)
    flipped = (now_ns,) if before.tighter is not tighter else ()
    return Moves(tighter, recent + flipped)


def _recent(
    history: Mapping[Slot, Moves], held: Mapping[Slot, Lease], now_ns: int
) -> dict[Slot, Moves]:
    """Forget knobs that are free and did not flip within the minute."""
    return {
        key: moves
        for key, moves in history.items()
        if key in held or moves.flipped(now_ns) or moves.tighter
    }


def _refusal(setting: Setting, flips: int) -> Refusal:
    sentence = (
        f"{setting.knob} of {setting.workload} changed direction {flips} times "
        "within a minute; it stays as it is"
    )
    return Refusal("flips", sentence, setting.workload)
