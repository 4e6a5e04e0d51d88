# SPDX-License-Identifier: MIT
"""`vagus replay` on a terminal: recorded windows in the view of `vagus top`."""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from vagus.cli.board import Board
from vagus.cli.live import Top
from vagus.cli.story import latest
from vagus.errors import VagusError
from vagus.record.read import Reader

BACK = 600  # windows that can be gone back to
LONGEST_S = 5.0  # that a window is shown, however long nothing was recorded after it
Boards = Callable[[], Generator[Board]]


class Past(Top, inherit_bindings=False):
    """Shows one recorded window after the other, and steps to and fro."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e,enter", "explain", "explain", priority=True),
        Binding("p,space", "pause", "pause", priority=True),
        Binding("right", "step(1)", "next", priority=True),
        Binding("left", "step(-1)", "back", priority=True),
        Binding("q", "quit", "quit"),
    ]

    def __init__(self, record: Path, boards: Boards, speed: float) -> None:
        """Show `boards`, `speed` times as fast as they were."""
        super().__init__(record, record)
        self._boards, self._speed = boards, speed
        self._steps: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._seen: deque[Board] = deque(maxlen=BACK)
        self._at = 0  # how far behind the newest of those
        self._is_halted = False

    def on_unmount(self) -> None:
        """End the follower, which may wait for a key."""
        super().on_unmount()
        self._steps.put(0)

    def _follow(self) -> None:
        """Step through the windows until the view is left (a worker thread)."""
        try:
            with contextlib.closing(self._boards()) as boards:
                self._play(boards)
        except VagusError as error:
            self._offer(None, str(error))

    def _play(self, boards: Generator[Board]) -> None:
        ahead: Board | None = next(boards)
        step = 1
        while not self._ended.is_set():
            if step <= self._at:
                self._at = min(self._at - step, len(self._seen) - 1)
            elif ahead is not None:
                self._seen.append(ahead)
                ahead = next(boards, None)
            after = self._seen[-self._at] if self._at else ahead
            step = self._step(self._seen[-1 - self._at], after)

    def _step(self, board: Board, after: Board | None) -> int:
        """Show a window until a key is pressed or it is the next one's time."""
        note, pause_s = "", None
        if after is None:
            note = "the end of that time; ← goes back"
        elif self._is_halted:
            note = "paused; → next, ← back, p goes on"
        else:
            gap_s = (after.wall_ns - board.wall_ns) / 1e9
            pause_s = max(0.0, min(LONGEST_S, gap_s / self._speed))
        self._offer(board, note)
        try:
            return self._steps.get(timeout=pause_s)
        except queue.Empty:
            return 1

    def _now_ns(self) -> int:
        """Return the time of what is shown."""
        return self._board.wall_ns if self._board else 0

    def _decision(self, reader: Reader) -> int:
        """Return the latest decision about the selected workload until then."""
        return latest(reader, self._selected(), self._now_ns())

    def action_pause(self) -> None:
        """Stop and go on."""
        self._is_halted = not self._is_halted
        self._steps.put(0)

    def action_step(self, step: int) -> None:
        """Stop, and show the window before or after."""
        self._is_halted = True
        self._steps.put(step)


def show(record: Path, boards: Boards, speed: float) -> int:
    """Run the view until it is left."""
    return Past(record, boards, speed).run() or 0
