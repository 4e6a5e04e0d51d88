# SPDX-License-Identifier: MIT
"""Numbers -> words, slow to get better, so that a word does not flap.

Where the words begin is the policy's (policy/thresholds.py, with its sources).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from vagus.flow import Use, Word

WORDS = (Word.OK, Word.WARM, Word.BAD, Word.CRITICAL)
USES = (Use.IDLE, Use.LIGHT, Use.BUSY, Use.HEAVY)
# A word gets better only when its number is this far below the level, for this
# many windows in a row; it gets worse at once (act hard, relax slowly).
MARGIN = 0.8
HOLD = 2
UNKNOWN = -1


class Held(msgspec.Struct):
    """One word as it stands, and for how long it could have been better."""

    level: int = UNKNOWN
    better: int = 0

    def move(self, now: int, with_margin: int) -> int:
        """Take in the level by the plain and by the stricter limits; return it.

        Levels are 0 (best) to 3, or UNKNOWN; a change from or to UNKNOWN is
        immediate.
        """
        if UNKNOWN in (now, self.level) or now >= self.level:
            self.level, self.better = now, 0
            return now
        if with_margin < self.level:
            self.better += 1
        else:
            self.better = 0
        if self.better >= HOLD:
            self.level, self.better = with_margin, 0
        return self.level


def level(value: float, limits: Sequence[float], factor: float = 1.0) -> int:
    """Return how many of three growing limits a value has reached."""
    warm, bad, critical = limits
    return (
        (value >= warm * factor)
        + (value >= bad * factor)
        + (value >= critical * factor)
    )


def worst(
    numbers: Mapping[str, float],
    levels: Mapping[str, Sequence[float]],
    signals: Sequence[str],
) -> tuple[int, int]:
    """Return the worst level of the signals that are there: plain, with margin.

    UNKNOWN where none is there.
    """
    plain = calm = UNKNOWN
    for key in signals:
        if key in numbers and key in levels:
            plain = max(plain, level(numbers[key], levels[key]))
            calm = max(calm, level(numbers[key], levels[key], MARGIN))
    return plain, calm


def telling(
    numbers: Mapping[str, float],
    levels: Mapping[str, Sequence[float]],
    signals: Sequence[str],
) -> str:
    """Return the signal that makes the word: the one furthest beyond its limits.

    "" where none is there.
    """
    there = [key for key in signals if key in numbers and key in levels]
    return max(
        there,
        key=lambda key: (
            level(numbers[key], levels[key]),
            numbers[key] / levels[key][1],
        ),
        default="",
    )


def word(level_: int) -> Word:
    """Return the word for a level."""
    return Word.UNKNOWN if level_ == UNKNOWN else WORDS[level_]


def use(level_: int) -> Use:
    """Return the use word for a level."""
    return Use.UNKNOWN if level_ == UNKNOWN else USES[level_]
