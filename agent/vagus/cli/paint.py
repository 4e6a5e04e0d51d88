# SPDX-License-Identifier: MIT
"""Aligned columns and colour for a terminal; plain text everywhere else."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from vagus.text import escape

CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
CODES |= {"blue": "34", "magenta": "35", "cyan": "36", "alarm": "1;31"}

# How good news and bad news look; other words stay as they are.
WORDS = {
    "ok": "green",
    "warm": "yellow",
    "bad": "red",
    "critical": "alarm",
    "unknown": "dim",
    "kept": "green",
    "reverted": "yellow",
    "coincident": "dim",
    "pending": "dim",
    "protect": "green",
    "yield": "yellow",
    "missing": "red",
    "failed": "red",
    "lost": "yellow",
}


@dataclass(frozen=True, slots=True)
class Paint:
    """Writes colour codes, or does not."""

    is_on: bool = False

    def __call__(self, style: str, text: str) -> str:
        """Return text in a style of CODES; '' leaves it as it is."""
        if not self.is_on or not style or not text:
            return text
        return f"\x1b[{CODES[style]}m{text}\x1b[0m"

    def word(self, word: str, text: str = "") -> str:
        """Return a word in the colour of what it means."""
        return self(WORDS.get(word, ""), text or word)


def paint_for(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Paint:
    """Colour only on a terminal that can, and never where NO_COLOR is set."""
    if environ.get("NO_COLOR") or environ.get("TERM", "dumb") == "dumb":
        return Paint(False)
    return Paint(stream.isatty())


def width_for(stream: TextIO, default: int = 100) -> int:
    """Return the columns of a terminal, or the default; 0 for a pipe."""
    if not stream.isatty():
        return 0
    import shutil  # slow, and what scripts read needs no width

    return shutil.get_terminal_size((default, 24)).columns


def width(text: str) -> int:
    """Return the columns that a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(char)
        else 2
        if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in text
    )


def clip(text: str, columns: int) -> str:
    """Return a text cut to so many columns, with an ellipsis where it was."""
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 1:
        text = text[:-1]
    return text + "…"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table: a text and its style (of CODES)."""

    text: str
    style: str = ""


def word_cell(word: str, text: str = "") -> Cell:
    """Return a cell in the colour of what its word means."""
    return Cell(text or word, WORDS.get(word, ""))


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str | Cell]],
    paint: Paint,
    columns: int = 0,
) -> str:
    """Return aligned columns; a header that starts with '>' aligns to the right.

    The last column takes what is left of `columns` (0: no limit) and is clipped.
    """
    names = [name.removeprefix(">") for name in header]
    cells = [[_cell(one) for one in row] for row in rows]
    widths = [
        max([width(name), *(width(row[number].text) for row in cells)])
        for number, name in enumerate(names)
    ]
    if columns and names:
        used = sum(widths[:-1]) + 2 * (len(widths) - 1)
        widths[-1] = max(8, min(widths[-1], columns - used))
    head = [Cell(name, "dim") for name in names]
    return "".join(
        _line(row, widths, header, paint) + "\n"
        for row in ([head, *cells] if any(names) else cells)
    )


def _cell(one: str | Cell) -> Cell:
    cell = one if isinstance(one, Cell) else Cell(one)
    return Cell(escape(cell.text, 400), cell.style)


def _line(
    row: Sequence[Cell], widths: Sequence[int], header: Sequence[str], paint: Paint
) -> str:
    parts = []
    for cell, columns, name in zip(row, widths, header, strict=True):
        text = clip(cell.text, columns)
        pad = " " * (columns - width(text))
        shown = paint(cell.style, text)
        parts.append(pad + shown if name.startswith(">") else shown + pad)
    return "  ".join(parts).rstrip()
