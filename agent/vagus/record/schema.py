# SPDX-License-Identifier: MIT
"""The tables of a record, and opening them.

A record is one SQLite file in WAL mode.  Every row belongs to a window; times
are wall clock nanoseconds, so that rows of different boots can be compared.
PRAGMA user_version counts the migrations that a file has seen.
"""

from __future__ import annotations

import contextlib
import grp
import os
import sqlite3
from pathlib import Path

from vagus.errors import RecordError

APPLICATION_ID = 0x56475553  # "VGUS", so that file(1) and we know our own
BUSY_S = 2.0  # how long to wait for another writer, `vagus record vacuum`
WAL_BYTES = 8 << 20  # what is left of the WAL file after a checkpoint
# What has a meaning in a file: URI (sqlite.org/uri.html).
_QUOTED = {ord("%"): "%25", ord("?"): "%3f", ord("#"): "%23"}
GROUP = "vagus"  # may read a record, as it may read the agent's socket

# One script for each version; never changed after a release, only added to.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY,
        wall_ns INTEGER NOT NULL,
        boot TEXT NOT NULL,
        kernel TEXT NOT NULL,
        host TEXT NOT NULL,
        version TEXT NOT NULL,
        pid INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE policies (
        hash TEXT PRIMARY KEY,
        wall_ns INTEGER NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    CREATE TABLE faces (
        id INTEGER PRIMARY KEY,
        data BLOB NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE windows (
        id INTEGER PRIMARY KEY,
        session INTEGER NOT NULL,
        wall_ns INTEGER NOT NULL,
        is_key INTEGER NOT NULL,
        skipped INTEGER NOT NULL,
        lost INTEGER NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE INDEX windows_wall ON windows (wall_ns);
    CREATE INDEX windows_key ON windows (id) WHERE is_key;
    CREATE TABLE decisions (
        id INTEGER PRIMARY KEY,
        window INTEGER NOT NULL,
        wall_ns INTEGER NOT NULL,
        decider TEXT NOT NULL,
        cause TEXT NOT NULL,
        took_ms REAL NOT NULL,
        model TEXT NOT NULL,
        fallback TEXT NOT NULL,
        policy TEXT NOT NULL,
        stances TEXT NOT NULL,
        prompt BLOB NOT NULL,
        answer BLOB NOT NULL
    ) STRICT;
    CREATE INDEX decisions_wall ON decisions (wall_ns);
    CREATE INDEX decisions_window ON decisions (window);
    CREATE TABLE verdicts (
        window INTEGER NOT NULL,
        wall_ns INTEGER NOT NULL,
        decision INTEGER NOT NULL,
        mode TEXT NOT NULL,
        allowed TEXT NOT NULL,
        advised TEXT NOT NULL,
        basis TEXT NOT NULL
    ) STRICT;
    CREATE INDEX verdicts_window ON verdicts (window);
    CREATE INDEX verdicts_decision ON verdicts (decision);
    CREATE TABLE refusals (
        window INTEGER NOT NULL,
        wall_ns INTEGER NOT NULL,
        decision INTEGER,
        stage TEXT NOT NULL,
        code TEXT NOT NULL,
        sentence TEXT NOT NULL,
        workload TEXT NOT NULL,
        resource TEXT
    ) STRICT;
    CREATE INDEX refusals_window ON refusals (window);
    CREATE INDEX refusals_decision ON refusals (decision);
    CREATE TABLE leases (
        id INTEGER PRIMARY KEY,
        window INTEGER NOT NULL,
        session INTEGER NOT NULL,
        wall_ns INTEGER NOT NULL,
        decision INTEGER,
        lease INTEGER NOT NULL,
        workload TEXT NOT NULL,
        knob TEXT NOT NULL,
        path TEXT NOT NULL,
        why TEXT NOT NULL,
        wanted TEXT NOT NULL,
        old TEXT NOT NULL,
        value TEXT NOT NULL,
        ttl_ms INTEGER NOT NULL,
        granted_ns INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX leases_wall ON leases (wall_ns);
    CREATE INDEX leases_window ON leases (window);
    CREATE INDEX leases_decision ON leases (decision);
    CREATE INDEX leases_lease ON leases (session, lease);
    CREATE TABLE lease_ends (
        window INTEGER NOT NULL,
        session INTEGER NOT NULL,
        wall_ns INTEGER NOT NULL,
        lease INTEGER NOT NULL,
        path TEXT NOT NULL,
        old TEXT NOT NULL,
        now TEXT NOT NULL,
        end TEXT NOT NULL,
        cause TEXT NOT NULL,
        time_ns INTEGER NOT NULL,
        took_ns INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX lease_ends_wall ON lease_ends (wall_ns);
    CREATE INDEX lease_ends_window ON lease_ends (window);
    CREATE INDEX lease_ends_lease ON lease_ends (session, lease);
    CREATE TABLE effects (
        window INTEGER NOT NULL,
        wall_ns INTEGER NOT NULL,
        decision INTEGER,
        workload TEXT NOT NULL,
        act TEXT NOT NULL,
        resource TEXT NOT NULL,
        strength INTEGER NOT NULL,
        signal TEXT NOT NULL,
        before REAL,
        after REAL,
        noise REAL,
        outcome TEXT NOT NULL,
        sentence TEXT NOT NULL
    ) STRICT;
    CREATE INDEX effects_window ON effects (window);
    CREATE INDEX effects_decision ON effects (decision);
    CREATE TABLE events (
        window INTEGER NOT NULL,
        wall_ns INTEGER NOT NULL,
        time_ns INTEGER NOT NULL,
        source TEXT NOT NULL,
        kind TEXT NOT NULL,
        workload TEXT NOT NULL,
        cgroup_id INTEGER NOT NULL,
        tgid INTEGER NOT NULL,
        tid INTEGER NOT NULL,
        comm TEXT NOT NULL,
        value REAL,
        unit TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_wall ON events (wall_ns);
    CREATE INDEX events_window ON events (window);
    """,
    "ALTER TABLE decisions ADD COLUMN objective TEXT NOT NULL DEFAULT '';",
    """
    CREATE TABLE steps (
        window INTEGER NOT NULL,
        wall_ns INTEGER NOT NULL,
        tick INTEGER NOT NULL,
        given BLOB NOT NULL,
        settings TEXT NOT NULL
    ) STRICT;
    CREATE INDEX steps_window ON steps (window);
    """,
    # The last window whose row names a face: those after it, up to the next key row,
    # may need it too.  A table of its own, so that noting it rewrites few pages.
    """
    CREATE TABLE face_uses (
        face INTEGER PRIMARY KEY,
        window INTEGER NOT NULL
    ) STRICT;
    INSERT INTO face_uses
        SELECT id, (SELECT coalesce(max(id), 0) FROM windows) FROM faces;
    """,
    # Whether taking a secret out of a policy's text made another policy of it; until
    # now texts were redacted as a whole, and what came of that may be no policy.
    """
    ALTER TABLE policies ADD COLUMN altered INTEGER NOT NULL DEFAULT 0;
    UPDATE policies SET altered = 1 WHERE text LIKE '%[redacted]%';
    """,
    # Rows of windows hold apart what did not change (pack.Row.same).  Older ones are
    # read as they are; an older Vagus would miss what is in there.
    "",
)


def open_writer(path: Path) -> sqlite3.Connection:
    """Open a record for writing, making or migrating it as needed.

    The connection is for one thread, in autocommit: say BEGIN.  Every commit
    reaches the disk (synchronous=FULL), because in WAL mode NORMAL loses all
    since the last checkpoint when the power goes.  A file that is another
    program's is left as it is.  sqlite3.Error and OSError pass.
    """
    _make(path)
    db = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        _version(db, path)
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _make(path: Path) -> None:
    """Make the file, where there is none, for its owner and GROUP alone.

    SQLite gives its -wal and -shm files the same owner and mode.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring a file to the newest version, each step in one transaction."""
    version = _version(db, path)
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        db.executescript(
            f"BEGIN IMMEDIATE; {script} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {number}; COMMIT;"
        )


def _version(db: sqlite3.Connection, path: Path) -> int:
    """Return the file's version; RecordError where it is not a record of ours."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    application: int = db.execute("PRAGMA application_id").fetchone()[0]
    tables: int = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION_ID and (tables or version):
        raise RecordError(
            f"{path} is a database, but not a record of Vagus; name another file"
        )
    if version > len(MIGRATIONS):
        raise RecordError(
            f"{path} was written by a newer Vagus (schema {version}, this one knows"
            f" {len(MIGRATIONS)}); read it with that version, or name another file"
        )
    return version


def damaged(path: Path, error: Exception) -> RecordError:
    """Return what to say of a record that opened, but cannot be read or written."""
    return RecordError(
        f"the record {path} cannot be used ({error}); if it is damaged, `sqlite3"
        f" {path} .recover` saves what can be saved; else move it away"
    )


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a record for reading, whether or not an agent writes to it now.

    RecordError where it is missing, foreign, of another schema, or not to be read.
    """
    if not path.exists():
        raise RecordError(
            f"there is no record at {path}; start the agent with"
            f" `vagus run --record {path}`, or name one with --record"
        )
    # Without its -wal file the record was closed in order, and a reader that may
    # not create the -shm file (another user) needs no locks either.
    tries = ["mode=ro"]
    if not path.with_name(path.name + "-wal").exists():
        tries.append("mode=ro&immutable=1")
    reason: sqlite3.Error | None = None
    for how in tries:
        try:
            return _open_as(path, how)
        except sqlite3.Error as error:
            reason = error
    raise RecordError(
        f"the record {path} cannot be read ({reason}); run as root or in the group"
        " vagus, or check it with `sqlite3 FILE 'PRAGMA integrity_check'`"
    )


def _open_as(path: Path, how: str) -> sqlite3.Connection:
    uri = f"file:{str(path.absolute()).translate(_QUOTED)}?{how}"
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        version = _version(db, path)
        if version < len(MIGRATIONS):
            raise RecordError(
                f"{path} has schema {version}, this Vagus reads {len(MIGRATIONS)};"
                f" migrate it with `vagus record vacuum --record {path}`"
            )
    except BaseException:
        db.close()
        raise
    return db
