# SPDX-License-Identifier: MIT
"""One history out of three tables: events, leases granted, and how leases ended."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from vagus.record.found import EventRow, event_of


class Asked(NamedTuple):
    """Which part of the history is wanted; '' and () mean all."""

    since_ns: int
    until_ns: int
    workload: str = ""
    kinds: tuple[str, ...] = ()
    after: int = 0  # only windows after this one
    limit: int = -1  # the newest so many


# The same columns from each table, so that a lease is an event like others.
SOURCES = {
    "": "SELECT * FROM (SELECT rowid AS number, * FROM events)",
    "lease": """SELECT * FROM (
        SELECT id AS number, window, wall_ns, granted_ns AS time_ns,
            'module' AS source, 'lease' AS kind, workload, 0 AS cgroup_id,
            0 AS tgid, 0 AS tid, '' AS comm, ttl_ms * 1e6 AS value, 'ns' AS unit,
            knob || ' ' || old || ' -> ' || value || ' (' || why || ')' AS detail
        FROM leases)""",
    "lease-end": """SELECT * FROM (
        SELECT ended.rowid AS number, ended.window, ended.wall_ns, ended.time_ns,
            'module' AS source, 'lease-end' AS kind,
            coalesce(held.workload, '') AS workload, 0 AS cgroup_id, 0 AS tgid,
            0 AS tid, '' AS comm, ended.took_ns * 1.0 AS value, 'ns' AS unit,
            coalesce(held.knob, ended.path) || ' ' || ended.now || ' -> '
            || CASE ended.end WHEN 'restored' THEN ended.old ELSE ended.now END
            || ' (' || ended.end || ', ' || ended.cause || ')' AS detail
        FROM lease_ends AS ended LEFT JOIN leases AS held ON held.id = (
            SELECT max(id) FROM leases AS one
            WHERE one.session = ended.session AND one.lease = ended.lease))""",
}


def happened(db: sqlite3.Connection, asked: Asked) -> tuple[list[EventRow], int]:
    """Return what happened, oldest first, and the window to ask after next."""
    rows = [
        row
        for kind, source in SOURCES.items()
        if not kind or not asked.kinds or kind in asked.kinds
        for row in _rows(db, source, asked)
    ]
    rows.sort(key=lambda row: (row["wall_ns"], row["number"]))
    if asked.limit >= 0:
        rows = rows[max(0, len(rows) - asked.limit) :]
    last = max((row["window"] for row in rows), default=asked.after)
    return [event_of(row) for row in rows], last


def _rows(db: sqlite3.Connection, source: str, asked: Asked) -> list[sqlite3.Row]:
    marks = ", ".join("?" * len(asked.kinds))
    is_kind = f" AND kind IN ({marks})" if asked.kinds else ""
    is_workload = " AND workload = ?" if asked.workload else ""
    return db.execute(
        f"{source} WHERE wall_ns BETWEEN ? AND ? AND window > ?{is_kind}{is_workload}"
        " ORDER BY wall_ns DESC, number DESC LIMIT ?",
        (
            *(asked.since_ns, asked.until_ns, asked.after, *asked.kinds),
            *((asked.workload,) if asked.workload else ()),
            asked.limit,
        ),
    ).fetchall()
