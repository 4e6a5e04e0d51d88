# SPDX-License-Identifier: MIT
"""`vagus top` on a terminal, with Textual; only the client imports this."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import ClassVar

from rich.console import JustifyMethod
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, Footer, Static

from vagus.cli import common, screen
from vagus.cli.board import Board, from_record
from vagus.cli.client import Client
from vagus.cli.explain import screen as story_screen
from vagus.cli.paint import Cell, Paint
from vagus.cli.story import find, tell
from vagus.errors import DaemonError, VagusError
from vagus.record.read import Reader
from vagus.text import escape

POLL_S = 1.0  # of the record, where no agent answers
STYLES = {"alarm": "bold red", "dim": "dim"}


class StoryScreen(ModalScreen[None]):
    """One decision as `vagus explain` tells it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,e", "dismiss", "back"),
    ]
    CSS = "StoryScreen > VerticalScroll { background: $surface; padding: 0 1; }"

    def __init__(self, story: str) -> None:
        """Show a text that may hold colour codes."""
        super().__init__()
        self._story = story

    def compose(self) -> ComposeResult:
        """Lay the text out."""
        with VerticalScroll():
            yield Static(Text.from_ansi(self._story))
        yield Footer()


class Top(App[int]):
    """Workloads above, leases below, the agent in the first lines."""

    CSS = """
    #head { height: auto; max-height: 7; padding: 0 1; }
    #workloads { height: 2fr; }
    #leases { height: 1fr; border-top: solid $foreground 30%; }
    #note { height: auto; max-height: 4; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e,enter", "explain", "explain", priority=True),
        Binding("u", "undo", "undo"),
        Binding("a", "approve", "approve"),
        Binding("p", "pause", "pause"),
        Binding("q", "quit", "quit"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, socket: Path, record: Path) -> None:
        """Remember where to ask."""
        super().__init__(ansi_color=bool(os.environ.get("NO_COLOR")))
        self._agent = socket
        self._record = record
        self._board: Board | None = None
        self._paused = False
        self._is_narrow = False
        self._headers: dict[str, tuple[str, ...]] = {}
        self._ended = threading.Event()
        self._client: Client | None = None

    def compose(self) -> ComposeResult:
        """Lay the screen out for 80x24 and more."""
        yield Static(id="head")
        yield DataTable(id="workloads", cursor_type="row", zebra_stripes=True)
        yield DataTable(id="leases", cursor_type="none")
        yield Static(id="note")
        yield Footer()

    def on_mount(self) -> None:
        """Set the columns, and start to follow."""
        self._lay_out()
        self.run_worker(self._follow, thread=True)

    def on_resize(self) -> None:
        """Choose the columns that fit."""
        if (self.size.width < screen.WIDE) != self._is_narrow:
            self._lay_out()
            if self._board is not None:
                self.show(self._board, "")

    def _lay_out(self) -> None:
        self._is_narrow = self.size.width < screen.WIDE
        workloads = screen.NARROW if self._is_narrow else screen.HEADER
        self._headers = {"#workloads": workloads, "#leases": screen.LEASE_HEADER}
        for selector, header in self._headers.items():
            grid = self.main.query_one(selector, DataTable)
            grid.clear(columns=True)
            for name in header:
                label = name.removeprefix(">")
                grid.add_column(Text(label, justify=_side(name)))

    def on_unmount(self) -> None:
        """End the follower, which may wait for an agent that hangs."""
        self._ended.set()
        if self._client is not None:
            self._client.hang_up()

    def _follow(self) -> None:
        """Ask the agent, or read its record, until the end (a worker thread)."""
        while not self._ended.is_set():
            try:
                with Client(self._agent) as self._client:
                    for board in self._client.watch():
                        self._offer(board, "")
                        if self._ended.is_set():
                            return
            except DaemonError as error:
                self._read(str(error))
            except VagusError as error:
                self._offer(None, str(error))
            self._ended.wait(POLL_S)

    def _read(self, reason: str) -> None:
        try:
            self._offer(from_record(self._record), reason)
        except VagusError as error:
            self._offer(None, f"{reason}; {error}")

    def _offer(self, board: Board | None, note: str) -> None:
        # The application may end between the check and the call.
        with contextlib.suppress(RuntimeError):
            if not self._ended.is_set():
                self.call_from_thread(self.show, board, note)

    def show(self, board: Board | None, note: str) -> None:
        """Show a board and a note under it."""
        self.main.query_one("#note", Static).update(Text(note, "yellow"))
        if board is None or self._paused:
            return
        self._board = board
        paint, columns = Paint(not self.no_colour), self.size.width - 2
        lines = screen.head(board, paint, self._now_ns(), columns)
        self.main.query_one("#head", Static).update(Text.from_ansi("\n".join(lines)))
        rows = [screen.row(line, self._is_narrow) for line in board.lines]
        self._fill("#workloads", rows)
        leases = [screen.lease_row(one, board.wall_ns) for one in board.leases]
        self.main.query_one("#leases").border_title = (
            "held now" if leases else "nothing is held"
        )
        self._fill("#leases", leases)

    @property
    def main(self) -> Screen[object]:
        """Return the screen of the tables, also while a story is over it."""
        return self.screen_stack[0]

    @property
    def no_colour(self) -> bool:
        """True where the environment asks for none."""
        return bool(os.environ.get("NO_COLOR"))

    def _fill(self, selector: str, rows: list[list[str | Cell]]) -> None:
        """Replace a table's rows and keep its cursor."""
        grid = self.main.query_one(selector, DataTable)
        cursor = grid.cursor_coordinate
        grid.clear()
        for row in rows:
            named = zip(row, self._headers[selector], strict=True)
            grid.add_row(*(self._text(cell, _side(name)) for cell, name in named))
        if cursor.row < grid.row_count:
            grid.move_cursor(row=cursor.row)

    def _text(self, cell: str | Cell, side: JustifyMethod) -> Text:
        one = cell if isinstance(cell, Cell) else Cell(cell)
        style = "" if self.no_colour else STYLES.get(one.style, one.style)
        return Text(escape(one.text, 200), style, justify=side)

    def _selected(self) -> str:
        """Return the workload under the cursor."""
        grid = self.main.query_one("#workloads", DataTable)
        lines = self._board.lines if self._board else []
        return lines[grid.cursor_row].name if grid.cursor_row < len(lines) else ""

    def _now_ns(self) -> int:
        """Return the time that what is shown is told from."""
        return common.now_ns()

    def _decision(self, reader: Reader) -> int:
        """Return the latest decision about the selected workload."""
        return find(reader, self._selected(), Path("/proc"))

    def action_explain(self) -> None:
        """Tell the story of the latest decision about the selected workload."""
        try:
            with Reader(self._record) as reader:
                story = tell(reader, self._decision(reader))
        except VagusError as error:
            self.notify(str(error), severity="warning")
            return
        width = max(60, self.size.width - 4)
        text = story_screen(story, self._now_ns(), Paint(not self.no_colour), width)
        self.push_screen(StoryScreen(text))

    def action_undo(self) -> None:
        """Take the latest decision about the selected workload back."""
        self._order("undo")

    def action_approve(self) -> None:
        """Apply the latest advice about the selected workload."""
        self._order("approve")

    def _order(self, verb: str) -> None:
        try:
            with Reader(self._record) as reader:
                number = self._decision(reader)
            with Client(self._agent) as client:
                said = client.order(verb, {"id": str(number)})
        except VagusError as error:
            self.notify(str(error), severity="warning")
        else:
            self.notify(said)

    def action_pause(self) -> None:
        """Stop and go on."""
        self._paused = not self._paused
        self.main.query_one("#note", Static).update("paused; p goes on" * self._paused)


def _side(name: str) -> JustifyMethod:
    """Return where a column is aligned; '>' in its name means right."""
    return "right" if name.startswith(">") else "left"


def show(socket: Path, record: Path) -> int:
    """Run the live view until it is left."""
    return Top(socket, record).run() or 0
