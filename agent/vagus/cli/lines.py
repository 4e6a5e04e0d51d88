# SPDX-License-Identifier: MIT
"""A page of labelled parts: the label on the left, wrapped text on the right."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from vagus.cli.paint import Cell, Paint, width
from vagus.text import escape

LABEL = 9  # columns of a label with the space after it
UNIT = re.compile(r"(\d) (%|[nµm]?s\b|[KMGT]iB|B\b)")
NARROW = 24  # a column but the last is never wider


class Page:
    """Collects lines; owns nothing else."""

    def __init__(self, paint: Paint, columns: int) -> None:
        """Start an empty page of so many columns."""
        self._paint = paint
        self._room = max(30, columns - LABEL)
        self._lines: list[str] = []

    def head(self, text: str) -> None:
        """Add a line without a label, and an empty one."""
        self._lines += [text, ""]

    def part(self, label: str, texts: Sequence[str], style: str = "") -> None:
        """Add lines of text under a label; long ones are wrapped."""
        for text in texts:
            for line in self._wrap(escape(text, 4000), self._room):
                self._add(label, self._paint(style, line))
                label = ""

    def rows(
        self,
        label: str,
        rows: Sequence[Sequence[str | Cell]],
        cut: bool = False,
        style: str = "bold",
    ) -> None:
        """Add aligned rows under a label; the last column is wrapped, or cut."""
        if not rows:
            return self.part(label, ["nothing"], "dim")
        cells = [
            [one if isinstance(one, Cell) else Cell(one) for one in row] for row in rows
        ]
        widths = [
            min(NARROW, max(width(escape(row[number].text)) for row in cells))
            for number in range(len(cells[0]) - 1)
        ]
        for row in cells:
            self._row(label, row, widths, cut, style)
            label = ""
        return None

    def _row(
        self,
        label: str,
        row: Sequence[Cell],
        widths: Sequence[int],
        cut: bool,
        style: str,
    ) -> None:
        left = ""
        for cell, columns in zip(row, widths, strict=False):
            text = escape(cell.text, 200)
            pad = " " * max(0, columns - width(text))
            left += self._paint(cell.style, text) + pad + "  "
        used = sum(
            max(columns, width(escape(cell.text, 200))) + 2
            for cell, columns in zip(row, widths, strict=False)
        )
        room = max(20, self._room - used)
        last = escape(row[-1].text, 4000)
        while cut and width(last) > room and ", " in last:
            last = last.rpartition(", ")[0]
        for number, line in enumerate(self._wrap(last, room)):
            start = left if number == 0 else " " * used
            shown = self._paint(row[-1].style, line)
            self._add(label if number == 0 else "", start + shown, style)

    def _wrap(self, text: str, room: int) -> list[str]:
        glued = UNIT.sub("\\1\0\\2", text)  # no line ends between number and unit
        lines = textwrap.wrap(glued, room, break_on_hyphens=False) or [""]
        return [line.replace("\0", " ") for line in lines]

    def _add(self, label: str, line: str, style: str = "bold") -> None:
        shown = self._paint(style, label) + " " * (LABEL - len(label))
        self._lines.append((shown + line).rstrip())

    def text(self) -> str:
        """Return the page."""
        return "\n".join(self._lines) + "\n"
