# SPDX-License-Identifier: MIT
"""A cheat that the lab must show: everything but the protected is stopped.

Protected latency is perfect and nobody else does any work.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import guest

if TYPE_CHECKING:
    from arms import Play, Turn
    from scene import Phase


@contextlib.contextmanager
def enter(play: Play) -> Iterator[Turn]:
    """Freeze the neighbours, in effect: a thousandth of a CPU for each."""
    written = set()

    def turn(number: int, phase: Phase) -> None:
        del number
        for key in phase.neighbours:
            path = guest.group(play.scene.services[key].unit) / "cpu.max"
            path.write_text("1000 1000000")
            written.add(path)

    try:
        yield turn
    finally:
        for path in written:
            path.write_text(play.fresh[str(path)])
