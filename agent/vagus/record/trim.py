# SPDX-License-Identifier: MIT
"""Retention: the oldest windows go when they are too old or too many.

What a workload was called goes with the last window that needs it (a row of faces).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

DAY_S = 86_400
STEP_WINDOWS = 1_800  # deleted in one transaction: half an hour, well under 1 s
STEP_FACES = 5_000  # likewise; those of half an hour in which three a second come
STEP_PAGES = 2_000  # given back to the file system after it

# Tables whose rows belong to a window.
DEPENDENT = (
    "decisions",
    "verdicts",
    "refusals",
    "leases",
    "steps",
    "lease_ends",
    "effects",
    "events",
    "windows",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept; whichever comes first."""

    age_s: float = 7 * DAY_S
    size_bytes: int = 2 << 30


def trim(db: sqlite3.Connection, limits: Limits, wall_ns: int) -> bool:
    """Delete one step of what is over the limits; say whether more may be left."""
    # First, so that the room they take costs no window.
    is_more = _step(db, _unused_faces)
    last = None if is_more else _last_to_go(db, limits, wall_ns)
    if last is not None:
        is_more = _step(db, lambda db: _windows(db, last))
    return is_more


def _step(db: sqlite3.Connection, delete: Callable[[sqlite3.Connection], bool]) -> bool:
    """Delete in one transaction and give pages back; say whether anything went."""
    db.execute("BEGIN IMMEDIATE")
    is_some = delete(db)
    db.execute("COMMIT")
    if is_some:
        db.execute(f"PRAGMA incremental_vacuum({STEP_PAGES})").fetchall()
    return is_some


def _windows(db: sqlite3.Connection, last: int) -> bool:
    """Delete the oldest windows up to `last`, and what belongs to them."""
    first: int = db.execute("SELECT min(id) FROM windows").fetchone()[0]
    # Up to a key row, without which what is left could not be read.
    keep_from: int = db.execute(
        "SELECT max(id) FROM windows WHERE is_key AND id <= ?",
        (min(last + 1, first + STEP_WINDOWS),),
    ).fetchone()[0]
    for table in DEPENDENT:
        column = "id" if table == "windows" else "window"
        db.execute(f"DELETE FROM {table} WHERE {column} < ?", (keep_from,))
    if keep_from > last:
        _orphans(db)
    return keep_from > first


def _unused_faces(db: sqlite3.Connection) -> bool:
    """Delete faces that no window needs any more.

    The oldest window is a key row, so only rows from it on name what is needed.
    """
    found = db.execute(
        "DELETE FROM face_uses WHERE face IN (SELECT face FROM face_uses"
        " WHERE window < (SELECT min(id) FROM windows) LIMIT ?) RETURNING face",
        (STEP_FACES,),
    ).fetchall()
    db.executemany("DELETE FROM faces WHERE id = ?", found)
    return bool(found)


def used_bytes(db: sqlite3.Connection) -> int:
    """Return the bytes in use in the file, free pages left out."""
    pages, free, page = (
        db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)


def _last_to_go(db: sqlite3.Connection, limits: Limits, wall_ns: int) -> int | None:
    """Return the last window to delete; the one after it is a key row."""
    oldest_ns = wall_ns - int(limits.age_s * 1e9)
    row = db.execute(
        "SELECT max(+id) FROM windows WHERE is_key AND wall_ns <= ?", (oldest_ns,)
    ).fetchone()
    keep_from: int | None = row[0]
    used = used_bytes(db)
    if used > limits.size_bytes:
        keep_from = max(keep_from or 0, _first_that_fits(db, used, limits))
    if keep_from is None:
        return None
    gone = db.execute("SELECT 1 FROM windows WHERE id < ?", (keep_from,)).fetchone()
    return keep_from - 1 if gone else None


def _first_that_fits(db: sqlite3.Connection, used: int, limits: Limits) -> int:
    """Return the first key row of the newest part that fits, with 5 % to spare."""
    first, last = db.execute("SELECT min(id), max(id) FROM windows").fetchone()
    share = 0.95 * limits.size_bytes / used
    wanted = last - int((last - first) * share)
    newest = "SELECT max(id) FROM windows WHERE is_key"
    row = db.execute(
        f"SELECT coalesce(min(id), ({newest})) FROM windows WHERE is_key AND id >= ?",
        (wanted,),
    ).fetchone()
    return int(row[0])


def _orphans(db: sqlite3.Connection) -> None:
    """Delete policies and sessions that nothing names any more, but the latest."""
    db.execute(
        "DELETE FROM sessions WHERE id < (SELECT coalesce(min(session), 0)"
        " FROM windows)"
    )
    db.execute(
        "DELETE FROM policies WHERE hash NOT IN (SELECT policy FROM decisions)"
        " AND wall_ns < (SELECT max(wall_ns) FROM policies)"
    )
