# SPDX-License-Identifier: MIT
"""The recorder: records in from the loop, rows in a SQLite file out.

put() never waits: a thread of the recorder's own takes records from a bounded
queue and commits them at least once a second.  A full disk cannot stall
anything: records then stay in memory (bounded, oldest lost first, counted) and
are written when the disk takes them again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from vagus.errors import RecordError
from vagus.flow import Record
from vagus.record import redact, redact_policy, schema
from vagus.record.alive import boot_id
from vagus.record.rows import Session, Writer
from vagus.record.trim import Limits, trim

QUEUE_RECORDS = 256  # four minutes of windows of 1 s
MEMORY_RECORDS = 600  # kept while the disk takes nothing: ten minutes
COMMIT_S = 0.5  # from the first record of a transaction to its commit
RETRY_S = 2.0  # between two tries at a disk that took nothing
TRIM_S = 60.0  # between two looks at the limits
CLOSE_S = 5.0  # the longest that close() waits for the disk


@dataclass(frozen=True, slots=True)
class RecorderState:
    """What the recorder has to say of itself, since it was opened."""

    written: int  # records committed
    waiting: int  # records in the queue and in memory
    lost: int  # records that fitted nowhere
    trouble: str  # why nothing reaches the disk; "" when all is well


@dataclass(frozen=True, slots=True)
class _Policy:
    wall_ns: int
    name: str
    text: str  # not redacted yet


_Item = Record | _Policy


class Recorder:
    """Owns the file, the queue and the writer thread; a context manager."""

    def __init__(
        self,
        path: Path,
        *,
        limits: Limits | None = None,
        redactor: redact.Redactor | None = None,
        version: str = "",
        warn: Callable[[str], None] | None = None,
        queue_records: int = QUEUE_RECORDS,
        memory_records: int = MEMORY_RECORDS,
    ) -> None:
        """Open or make the file and start the thread.

        RecordError where the file can never be used; a full disk is no error.
        """
        self.path = path
        self._limits = limits or Limits()
        self._redactor = redactor or redact.redactor()
        self._warn = warn or logging.getLogger("vagus.record").warning
        self._session = _session(version)
        self._queue: queue.Queue[_Item | None] = queue.Queue(queue_records)
        self._pending: deque[_Item] = deque()
        self._memory_records = memory_records
        self._written = self._overflow = self._dropped = self._skipped = 0
        self._trouble = ""
        self._db: sqlite3.Connection | None = None
        self._writer: Writer | None = None
        self._deadline = float("inf")  # of close(), monotonic seconds
        self._open_first()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> bool:
        """Hand over a record without waiting; False where the queue was full."""
        return self._offer(record)

    def put_policy(self, wall_ns: int, policy: str, text: str) -> bool:
        """Hand over the text of a policy, to be kept under its hash."""
        return self._offer(_Policy(wall_ns, policy, text))

    def _offer(self, item: _Item) -> bool:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self._overflow += 1
            return False
        return True

    def state(self) -> RecorderState:
        """Return the counters; any thread may ask."""
        return RecorderState(
            written=self._written,
            waiting=self._queue.qsize() + len(self._pending),
            lost=self._overflow + self._dropped,
            trouble=self._trouble,
        )

    def close(self) -> None:
        """Write what is left, for at most CLOSE_S, and close the file."""
        self._deadline = time.monotonic() + CLOSE_S
        try:
            self._queue.put(None, timeout=CLOSE_S)
        except queue.Full:
            return  # the disk hangs; the daemon thread ends with the process
        self._thread.join(CLOSE_S)

    def __enter__(self) -> Recorder:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    # ------------------------------------------------- the writer thread alone

    def _run(self) -> None:
        next_trim = 0.0
        while True:
            is_last = self._gather()
            self._flush()
            if is_last:
                break
            if time.monotonic() >= next_trim and not self._trouble:
                next_trim = time.monotonic() + (0.2 if self._trim() else TRIM_S)
        self._finish()

    def _gather(self) -> bool:
        """Move records from the queue to memory for COMMIT_S; True at the end."""
        end = time.monotonic() + (RETRY_S if self._trouble else COMMIT_S)
        while (left := end - time.monotonic()) > 0:
            try:
                item = self._queue.get(timeout=left)
            except queue.Empty:
                return False
            if item is None:
                return True
            self._pending.append(item)
            if len(self._pending) <= self._memory_records:
                continue
            if not self._trouble:
                return False  # many at once: write them now
            while len(self._pending) > self._memory_records:
                self._pending.popleft()
                self._dropped += 1
        return False

    def _flush(self) -> None:
        """Write everything that waits in one transaction, or say why not."""
        if not self._pending:
            return
        try:
            self._write_all()
        except (sqlite3.Error, OSError, RecordError) as error:
            self._fail(error)
        else:
            self._recover()

    def _write_all(self) -> None:
        db, writer = self._opened()
        lost = self._overflow + self._dropped
        skipped, written = lost - self._skipped, 0
        db.execute("BEGIN IMMEDIATE")
        for item in self._pending:
            if self._write_one(db, writer, item, skipped):
                written += 1
                skipped = 0
        db.execute("COMMIT")
        writer.committed()
        self._skipped = lost - skipped
        self._written += written
        self._pending.clear()

    def _write_one(
        self, db: sqlite3.Connection, writer: Writer, item: _Item, skipped: int
    ) -> bool:
        """Write one item; True for a record, False where it was a policy or bad.

        What SQLite or msgspec cannot encode (a lone surrogate, a number over 64
        bits) is dropped and counted: one bad record must not cost the others.
        """
        if isinstance(item, _Policy):
            clean, is_altered = redact_policy.policy(item.text, self._redactor)
            writer.write_policy(item.wall_ns, item.name, clean, is_altered)
            return False
        db.execute("SAVEPOINT one")
        try:
            writer.write(redact.record(item, self._redactor), skipped)
        except (TypeError, ValueError, OverflowError) as error:
            db.execute("ROLLBACK TO one")
            db.execute("RELEASE one")
            writer.rolled_back()
            self._dropped += 1
            self._warn(f"window {item.window.tick} could not be recorded: {error}")
            return False
        db.execute("RELEASE one")
        return True

    def _opened(self) -> tuple[sqlite3.Connection, Writer]:
        if self._db is None:
            self._db = schema.open_writer(self.path)
            if self._writer is not None:
                self._writer.rolled_back(self._db)
        if self._writer is None:
            self._writer = Writer(self._db, self._session)
        return self._db, self._writer

    def _fail(self, error: Exception) -> None:
        """Go on in memory; the file is opened again at the next try."""
        if not self._trouble:
            self._warn(
                f"the record {self.path} takes nothing ({error}); keeping the last"
                f" {self._memory_records} windows in memory; free some space, and"
                " they will be written"
            )
        self._trouble = str(error)
        self._shut()

    def _recover(self) -> None:
        if self._trouble:
            self._warn(
                f"the record {self.path} is written again;"
                f" {self._overflow + self._dropped} windows were lost"
            )
            self._trouble = ""

    def _trim(self) -> bool:
        try:
            return trim(self._opened()[0], self._limits, time.time_ns())
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return False

    def _finish(self) -> None:
        """Try again until close() gives up; count what is then lost."""
        while self._pending and time.monotonic() + 0.2 < self._deadline:
            time.sleep(0.1)
            self._flush()
        self._dropped += len(self._pending)
        self._shut()

    def _shut(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            # A full disk can refuse the last checkpoint.
            with contextlib.suppress(sqlite3.Error):
                db.close()

    # ------------------------------------------------------ the caller's thread

    def _open_first(self) -> None:
        """Open the file now, so that a wrong path is an error at the start."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._opened()
        except (sqlite3.OperationalError, OSError) as error:
            if not _may_pass(self.path):
                raise RecordError(
                    f"the record {self.path} cannot be written ({error}); name"
                    " another file with --record, or run as root"
                ) from error
            self._fail(error)
        except sqlite3.DatabaseError as error:
            raise RecordError(
                f"{self.path} is not a record ({error}); move it away, or name"
                " another file with --record"
            ) from error


def _may_pass(path: Path) -> bool:
    """Say whether trouble with this file can end by itself, as a full disk does."""
    target = path if path.exists() else path.parent
    return target.exists() and os.access(target, os.W_OK) and not path.is_dir()


def _session(version: str) -> Session:
    host = os.uname()
    return Session(
        wall_ns=time.time_ns(),
        boot=boot_id(),
        kernel=host.release,
        host=host.nodename,
        version=version,
        pid=os.getpid(),
    )
