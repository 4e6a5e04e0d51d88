# SPDX-License-Identifier: MIT
"""One Record as rows of the tables, inside a transaction of the caller."""

from __future__ import annotations

import sqlite3
import zlib
from dataclasses import dataclass

import msgspec

from vagus.flow import (
    Effect,
    Lease,
    LeaseEnd,
    Mode,
    Proposal,
    Record,
    Refusal,
    Stance,
    Verdict,
)
from vagus.record.pack import Packer

RESOURCES = {"cpu": "cpu", "io": "io", "memory": "memory", "wbt_lat_usec": "io"}
RESOURCES |= dict.fromkeys(("nice", "policy", "sched_ext"), "cpu")
_SIGNED = 1 << 63  # SQLite's integers are signed; a cgroup id is not


@dataclass(frozen=True, slots=True)
class Session:
    """One run of the agent: what makes ticks and lease numbers unique."""

    wall_ns: int
    boot: str  # /proc/sys/kernel/random/boot_id
    kernel: str
    host: str
    version: str
    pid: int


class Writer:
    """Writes records into an open database; owns nothing."""

    def __init__(self, db: sqlite3.Connection, session: Session) -> None:
        """Begin a session (its row comes with the first record)."""
        self._db = db
        self._session = session
        self._session_id = 0
        self._packer = Packer(self._face)
        self._named: list[int] = []  # faces that the row in the making names
        # The latest decision and what it is about: another verdict on it is no new
        # one, but in another mode, where it does something else.
        self._last: tuple[tuple[Proposal, Mode | None] | None, int] = (None, 0)
        # Which decision a lease or an effect comes from: the first that allowed the
        # stance that stands.  Who says the same again has changed nothing.
        self._authors: dict[tuple[str, str], int] = {}
        self._standing: list[Stance] = []
        self._committed = self._authors.copy()

    def committed(self) -> None:
        """Note that what was written so far stays."""
        self._committed = self._authors.copy()

    def rolled_back(self, db: sqlite3.Connection | None = None) -> None:
        """Forget what the rolled back transaction had said; go on in db, if given."""
        self._db = db or self._db
        self._packer.reset()
        self._session_id = 0
        self._authors = self._committed.copy()
        self._last = (None, 0)
        self._standing = []

    def write(self, record: Record, skipped: int) -> None:
        """Insert a record; skipped: records lost between the last one and this."""
        if not self._session_id:
            self._session_id = self._begin_session()
        window = self._window(record, skipped)
        decision = self._decision(window, record)
        if record.verdict is not None:
            self._refusals(window, record, decision, "verify", record.verdict.refused)
        self._refusals(window, record, None, "apply", record.failed)
        self._leases(window, record, record.granted)
        self._steps(window, record)
        self._ends(window, record, record.ended)
        self._effects(window, record, record.effects)
        self._events(window, record)

    def write_policy(
        self, wall_ns: int, policy: str, text: str, is_altered: bool
    ) -> None:
        """Keep the text of a policy under its hash."""
        self._db.execute(
            "INSERT OR IGNORE INTO policies VALUES (?, ?, ?, ?)",
            (policy, wall_ns, text, is_altered),
        )

    def _begin_session(self) -> int:
        now = self._session
        found: tuple[int] | None = self._db.execute(
            "SELECT id FROM sessions WHERE wall_ns = ? AND boot = ? AND pid = ?",
            (now.wall_ns, now.boot, now.pid),
        ).fetchone()
        if found is not None:  # the file was closed and opened again meanwhile
            return found[0]
        row = (now.wall_ns, now.boot, now.kernel, now.host, now.version, now.pid)
        return _insert(self._db, "sessions", (None, *row))

    def _face(self, data: bytes) -> int:
        self._db.execute("INSERT OR IGNORE INTO faces (data) VALUES (?)", (data,))
        found = self._db.execute("SELECT id FROM faces WHERE data = ?", (data,))
        number: int = found.fetchone()[0]
        self._named.append(number)
        return number

    def _window(self, record: Record, skipped: int) -> int:
        self._named.clear()
        data, is_key = self._packer.pack(
            record.window, record.cost, record.policy, record.counters, record.cpu
        )
        lost = sum(record.window.quality.lost.values())
        row = (self._session_id, record.wall_ns, is_key, skipped, lost, data)
        number = _insert(self._db, "windows", (None, *row))
        self._db.executemany(
            "INSERT OR REPLACE INTO face_uses VALUES (?, ?)",
            [(face, number) for face in self._named],
        )
        return number

    def _decision(self, window: int, record: Record) -> int | None:
        proposal = record.proposal
        if proposal is None:
            return None
        about = proposal, record.verdict.mode if record.verdict else None
        known, number = self._last
        if about != known:
            row = _decision_row(window, record, proposal)
            number = _insert(self._db, "decisions", row)
            self._last = (about, number)
        if record.verdict is not None:
            self._verdict(window, record, number, record.verdict)
        return number

    def _verdict(
        self, window: int, record: Record, decision: int, verdict: Verdict
    ) -> None:
        row = (window, record.wall_ns, decision, verdict.mode, _json(verdict.allowed))
        basis = _json(record.basis) if record.basis else ""
        _insert(self._db, "verdicts", (*row, _json(verdict.advised), basis))
        # What is only advised writes nothing.
        standing = verdict.allowed if verdict.mode is Mode.ENFORCE else []
        for stance in standing:
            if stance not in self._standing:
                self._authors[stance.workload, stance.resource.value] = decision
                self._authors[stance.workload, ""] = decision
        self._standing = standing

    def _author(self, workload: str, resource: str) -> int | None:
        found = self._authors.get((workload, resource))
        return found or self._authors.get((workload, ""))

    def _refusals(
        self,
        window: int,
        record: Record,
        decision: int | None,
        stage: str,
        refused: list[Refusal],
    ) -> None:
        for one in refused:
            resource = one.resource.value if one.resource else None
            author = decision or self._author(one.workload, resource or "")
            row = (author, stage, one.code, one.sentence, one.workload, resource)
            _insert(self._db, "refusals", (window, record.wall_ns, *row))

    def _leases(self, window: int, record: Record, granted: list[Lease]) -> None:
        for lease in granted:
            want = lease.setting
            resource = RESOURCES.get(want.knob.split(".")[0], "")
            author = self._author(want.workload, resource)
            row = (window, self._session_id, record.wall_ns, author, lease.id)
            what = (want.workload, want.knob, want.path, want.why, want.value)
            held = (lease.old, lease.value, lease.ttl_ms, lease.granted_ns)
            _insert(self._db, "leases", (None, *row, *what, *held))

    def _steps(self, window: int, record: Record) -> None:
        for step in record.steps:
            given, settings = zlib.compress(step.given), _json(step.settings)
            row = (window, record.wall_ns, step.tick, given, settings)
            _insert(self._db, "steps", row)

    def _ends(self, window: int, record: Record, ended: list[LeaseEnd]) -> None:
        for end in ended:
            row = (window, self._session_id, record.wall_ns, end.id, end.path, end.old)
            how = (end.now, end.end, end.cause, end.time_ns, end.took_ns)
            _insert(self._db, "lease_ends", (*row, *how))

    def _effects(self, window: int, record: Record, effects: list[Effect]) -> None:
        for one in effects:
            on = one.stance
            author = self._author(on.workload, on.resource.value)
            row = (window, record.wall_ns, author, on.workload, on.act, on.resource)
            what = (on.strength, one.signal, one.before, one.after, one.noise)
            _insert(self._db, "effects", (*row, *what, one.outcome, one.sentence))

    def _events(self, window: int, record: Record) -> None:
        offset_ns = record.wall_ns - record.window.end_ns
        rows = [
            (
                window,
                one.time_ns + offset_ns,
                one.time_ns,
                one.source,
                one.kind,
                one.workload,
                _signed(one.cgroup_id),
                one.tgid,
                one.tid,
                one.comm,
                one.value,
                one.unit,
                one.detail,
            )
            for one in record.events
        ]
        self._db.executemany(f"INSERT INTO events VALUES ({_marks(13)})", rows)


def _decision_row(
    window: int, record: Record, proposal: Proposal
) -> tuple[object, ...]:
    return (
        None,
        window,
        record.wall_ns,
        proposal.decider,
        proposal.cause,
        proposal.took_ms,
        proposal.model,
        proposal.fallback,
        record.policy,
        _json(proposal.stances),
        zlib.compress(_utf8(proposal.prompt)),
        zlib.compress(_utf8(proposal.answer)),
        _utf8(proposal.objective).decode(),
    )


def _insert(db: sqlite3.Connection, table: str, row: tuple[object, ...]) -> int:
    cursor = db.execute(f"INSERT INTO {table} VALUES ({_marks(len(row))})", row)
    return cursor.lastrowid or 0


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _utf8(text: str) -> bytes:
    """Encode even a lone surrogate, which a hostile name can bring."""
    return text.encode("utf-8", "backslashreplace")


def _signed(number: int) -> int:
    return number - 2 * _SIGNED if number >= _SIGNED else number
