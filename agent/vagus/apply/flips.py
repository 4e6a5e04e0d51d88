# SPDX-License-Identifier: MIT
"""A bound on oscillation: how often a minute a knob may change direction; pure.

A knob goes away from neutral (tighter) or back (looser); a flip is a change of
that direction.  To protect is urgent and to relax is not, so it is relaxing that
waits: a knob flips back only where it may flip once more within the same minute.
What the judge, verification or the operator ends is let go at once, whatever the
bound says; then tightening has to wait.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from vagus.apply import knobs
from vagus.apply.aims import slot
from vagus.flow import Lease, Refusal, Setting

MINUTE_NS = 60_000_000_000
REMEMBERED = 1024  # knobs that are free; whose direction is the longest known go

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
    per_minute: int,
    relaxed: Collection[Slot] = (),
) -> Bounded:
    """Return the settings without those that would flip a knob too often.

    `relaxed`: what the law lets go because it is not needed any more, so that it may
    be held some time longer.
    """
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
        if _fits(moves, now_ns, per_minute):
            after[key] = moves
            allowed.append(setting)
            continue
        refused.append(_refusal(setting, per_minute))
        if lease is not None:
            allowed.append(lease.setting)
    for key in held.keys() - wanted:
        moves = _moved(after.get(key), False, now_ns)
        if key not in relaxed or _fits(moves, now_ns, per_minute):
            after[key] = moves
            continue
        refused.append(_refusal(held[key].setting, per_minute))
        allowed.append(held[key].setting)
    return Bounded(allowed, _recent(after, held), refused)


def _fits(moves: Moves, now_ns: int, per_minute: int) -> bool:
    """Tell whether a knob that has moved so is within the bound, and will be."""
    most = per_minute if moves.tighter else per_minute - 1
    is_flip = moves.flips_ns[-1:] == (now_ns,)
    return not is_flip or len(moves.flips_ns) <= most


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
    history: Mapping[Slot, Moves], held: Mapping[Slot, Lease]
) -> dict[Slot, Moves]:
    """Forget some knobs where many are free; to set one again is a flip, though."""
    free = [key for key in history if key not in held]
    forgotten = set(free[: max(0, len(free) - REMEMBERED)])
    return {key: moves for key, moves in history.items() if key not in forgotten}


def _refusal(setting: Setting, per_minute: int) -> Refusal:
    sentence = (
        f"{setting.knob} of {setting.workload} would change direction more than "
        f"{per_minute} times within a minute; it stays as it is"
    )
    return Refusal("flips", sentence, setting.workload)
