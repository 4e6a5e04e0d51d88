# SPDX-License-Identifier: MIT
"""Reading a record: with or without an agent that writes to it.

Questions in; frozen values out.  Times are wall clock nanoseconds.  Rows come
oldest first, and where a limit cuts, the newest are kept.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from vagus.flow import (
    Basis,
    Mode,
    Proposal,
    Record,
    Stance,
    Verdict,
    Window,
    WorkloadWindow,
)
from vagus.record import schema
from vagus.record.alive import lives
from vagus.record.changes import Changes, Differ
from vagus.record.found import (
    Decision,
    EffectRow,
    EventRow,
    LeaseRow,
    Moment,
    RefusalRow,
    Summary,
    effect_of,
    event_of,
    lease_end_of,
    lease_of,
    lease_row_of,
    moment_of,
    refusal_of,
    step_of,
)
from vagus.record.happened import Asked, happened
from vagus.record.pack import Unpacker

FOREVER_NS = (1 << 63) - 1
_DAMAGE = (sqlite3.DatabaseError, zlib.error, msgspec.DecodeError)


class Reader:
    """Owns a read-only connection; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the record; RecordError where that cannot be."""
        self.path = path
        self._db = schema.open_reader(path)
        self._stances = msgspec.json.Decoder(list[Stance])
        self._lives: bool | None = None
        self._face_decoder = msgspec.msgpack.Decoder(WorkloadWindow)
        self._faces: dict[int, WorkloadWindow] = {}

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def __enter__(self) -> Reader:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; what a damaged file gives rise to becomes a RecordError."""
        self.close()
        if isinstance(error, _DAMAGE):
            raise schema.damaged(self.path, error) from error

    def latest(self) -> Moment | None:
        """Return the newest window, or None in an empty record."""
        last: int | None = self._db.execute("SELECT max(id) FROM windows").fetchone()[0]
        return None if last is None else self.moment(last)

    def moment(self, window: int) -> Moment | None:
        """Return one window by its number, or None where it is gone."""
        return next(self._moments(window, window), None)

    def moments(
        self, since_ns: int = 0, until_ns: int = FOREVER_NS
    ) -> Iterator[Moment]:
        """Yield the windows of a time range."""
        yield from self._moments(*self._numbers(since_ns, until_ns))

    def _numbers(self, since_ns: int, until_ns: int) -> tuple[int, int]:
        """Return the first and last window of a time range; 0 and -1 where none is."""
        # Both at once: for min(id) alone SQLite would read all windows before it.
        first, last = self._db.execute(
            "SELECT min(id), max(id) FROM windows WHERE wall_ns BETWEEN ? AND ?",
            (since_ns, until_ns),
        ).fetchone()
        return (0, -1) if first is None else (first, last)

    def _moments(self, first: int, last: int) -> Iterator[Moment]:
        """Yield windows by number."""
        unpacker = Unpacker(self._face)
        for row in self._windows(first, last):
            if row["id"] < first:
                unpacker.learn(row["data"], bool(row["is_key"]))
                continue
            window, packed = unpacker.unpack(row["data"], bool(row["is_key"]))
            yield moment_of(row, window, packed, unpacker)

    def _windows(self, first: int, last: int) -> sqlite3.Cursor:
        """Return the rows of windows by number, from the key row before the first."""
        key: int | None = self._db.execute(
            "SELECT max(id) FROM windows WHERE is_key AND id <= ?", (first,)
        ).fetchone()[0]
        return self._db.execute(
            "SELECT * FROM windows WHERE id BETWEEN ? AND ? ORDER BY id",
            (first if key is None else key, last),
        )

    def _face(self, number: int) -> WorkloadWindow:
        """Return a face by its number; one that was read is remembered."""
        face = self._faces.get(number)
        if face is None:
            found = self._db.execute("SELECT data FROM faces WHERE id = ?", (number,))
            face = self._faces[number] = self._face_decoder.decode(found.fetchone()[0])
        return face

    def between(self, since_ns: int, until_ns: int) -> Iterator[Record]:
        """Yield records of a time range, as they were put (but redacted)."""
        first, last = self._numbers(since_ns, until_ns)
        having = self._having(first, last)
        for moment in self._moments(first, last):
            yield Record(
                wall_ns=moment.wall_ns,
                window=moment.window,
                cost=moment.cost,
                policy=moment.policy,
                counters=moment.counters,
                cpu=moment.cpu,
                **self._beside(moment.id, having),
            )

    def window_before(self, since_ns: int, until_ns: int) -> Window | None:
        """Return the window just before those of a time range, or None."""
        first, _ = self._numbers(since_ns, until_ns)
        moment = self.moment(first - 1)
        return moment.window if moment else None

    def changes(self, since_ns: int, until_ns: int) -> Iterator[Changes]:
        """Yield records of a time range without what is as in the one before."""
        first, last = self._numbers(since_ns, until_ns)
        having = self._having(first, last)
        differ = Differ(self._face)
        for row in self._windows(first, last):
            if row["id"] < first:
                differ.learn(row["data"])
            else:
                beside = self._beside(row["id"], having)
                yield differ.take(row["data"], row["wall_ns"], beside)

    def _having(self, first: int, last: int) -> dict[str, set[int]]:
        """Return by table the windows that have rows in it: most have none."""
        return {
            table: {
                row["window"]
                for row in self._db.execute(
                    f"SELECT DISTINCT window FROM {table} WHERE window BETWEEN ? AND ?",
                    (first, last),
                )
            }
            for table in _DEPENDENT
        }

    def _beside(self, window: int, having: dict[str, set[int]]) -> dict[str, Any]:
        """Return the fields of a record that have tables of their own."""
        found: dict[str, Any] = {}
        if window in having["verdicts"] or window in having["decisions"]:
            proposal, verdict, basis = self._decided(window)
            found |= {"proposal": proposal, "verdict": verdict, "basis": basis}
        if window in having["refusals"]:
            failed = self._refusals("stage = 'apply' AND window = ?", (window,))
            found["failed"] = [refusal_of(one) for one in failed]
        for table, (field, value_of) in _BESIDE.items():
            if window in having[table]:
                found[field] = [value_of(row) for row in self._rows(table, window)]
        return found

    def _decided(
        self, window: int
    ) -> tuple[Proposal | None, Verdict | None, Basis | None]:
        """Return what was decided in a window, or verified anew in it."""
        verdicts = self._rows("verdicts", window)
        if verdicts:
            decision = self.decision(verdicts[0]["decision"])
            proposal = decision.proposal if decision else None
            text = verdicts[0]["basis"]
            basis = msgspec.json.decode(text, type=Basis) if text else None
            return proposal, self._verdict(verdicts[0]), basis
        decisions = self._decisions("window = ?", (window,), 1)
        return (decisions[0].proposal if decisions else None), None, None

    def _verdict(self, row: sqlite3.Row) -> Verdict:
        refused = self._refusals(
            "stage = 'verify' AND window = ? AND decision = ?",
            (row["window"], row["decision"]),
        )
        return Verdict(
            allowed=self._stances.decode(row["allowed"]),
            refused=[refusal_of(one) for one in refused],
            mode=Mode(row["mode"]),
            advised=self._stances.decode(row["advised"]),
        )

    def _rows(self, table: str, window: int) -> list[sqlite3.Row]:
        query = f"SELECT * FROM {table} WHERE window = ? ORDER BY rowid"
        return self._db.execute(query, (window,)).fetchall()

    def decisions(
        self,
        since_ns: int = 0,
        until_ns: int = FOREVER_NS,
        workload: str = "",
        limit: int = -1,
    ) -> list[Decision]:
        """Return decisions; of one workload, where it is named."""
        where, values = "wall_ns BETWEEN ? AND ?", [since_ns, until_ns]
        if not workload:
            return self._decisions(where, (*values,), limit)
        return self._decisions(
            f"{where} AND (EXISTS (SELECT 1 FROM json_each(stances) WHERE"
            " json_extract(value, '$.workload') = ?) OR id IN"
            " (SELECT decision FROM leases WHERE workload = ?))",
            (*values, workload, workload),
            limit,
        )

    def decision(self, number: int) -> Decision | None:
        """Return one decision, or None."""
        if number > FOREVER_NS:  # more than SQLite can be asked for
            return None
        found = self._decisions("id = ?", (number,), 1)
        return found[0] if found else None

    def allowed(self, number: int) -> list[Stance] | None:
        """Return what a decision last let stand or advised; None without one.

        Verdicts that let nothing stand, since it was undone, are passed over.
        """
        if self.decision(number) is None:
            return None
        row = self._db.execute(
            "SELECT allowed, advised FROM verdicts WHERE decision = ?"
            " AND (allowed != '[]' OR advised != '[]') ORDER BY rowid DESC LIMIT 1",
            (number,),
        ).fetchone()
        return [s for text in row or () for s in self._stances.decode(text)]

    def _decisions(
        self, where: str, values: tuple[object, ...], limit: int
    ) -> list[Decision]:
        rows = self._db.execute(
            f"SELECT * FROM decisions WHERE {where} ORDER BY id DESC LIMIT ?",
            (*values, limit),
        ).fetchall()
        return [self._decision(row) for row in reversed(rows)]

    def _decision(self, row: sqlite3.Row) -> Decision:
        proposal = Proposal(
            decider=row["decider"],
            stances=self._stances.decode(row["stances"]),
            cause=row["cause"],
            took_ms=row["took_ms"],
            model=row["model"],
            prompt=zlib.decompress(row["prompt"]).decode(),
            answer=zlib.decompress(row["answer"]).decode(),
            fallback=row["fallback"],
            objective=row["objective"],
        )
        verdicts = self._db.execute(
            "SELECT * FROM verdicts WHERE decision = ? ORDER BY rowid", (row["id"],)
        ).fetchall()
        return Decision(
            id=row["id"],
            window=row["window"],
            wall_ns=row["wall_ns"],
            policy=row["policy"],
            proposal=proposal,
            verdict=self._verdict(verdicts[-1]) if verdicts else None,
            verdicts=len(verdicts),
        )

    def refused(self, decision: int) -> list[RefusalRow]:
        """Return what verification and the kernel refused of a decision, once each."""
        return [*dict.fromkeys(self._refusals("decision = ?", (decision,)))]

    def _refusals(self, where: str, values: tuple[object, ...]) -> list[RefusalRow]:
        query = (
            "SELECT stage, code, sentence, workload, resource FROM refusals"
            f" WHERE {where} ORDER BY rowid"
        )
        return [RefusalRow(*row) for row in self._db.execute(query, values)]

    def leases(
        self, *, decision: int = 0, workload: str = "", limit: int = -1
    ) -> list[LeaseRow]:
        """Return leases with their ends: of a decision, of a workload, or all."""
        where, values = _where(
            {"leases.decision": decision, "leases.workload": workload}
        )
        rows = self._db.execute(
            f"{_LEASES} {where} ORDER BY leases.id DESC LIMIT ?", (*values, limit)
        ).fetchall()
        return [self._lease(row) for row in reversed(rows)]

    def _lease(self, row: sqlite3.Row) -> LeaseRow:
        return lease_row_of(row, bool(row["is_latest"]) and self.agent_lives())

    def agent_lives(self) -> bool:
        """Say whether the latest session's agent still runs, as of the first call."""
        if self._lives is None:
            query = "SELECT boot, pid FROM sessions ORDER BY id DESC LIMIT 1"
            row = self._db.execute(query).fetchone()
            self._lives = row is not None and lives(row["boot"], row["pid"])
        return self._lives

    def live_leases(self) -> list[LeaseRow]:
        """Return the leases of the latest session whose end was not recorded.

        They are held as long as that agent lives: see `is_current` of each.
        """
        rows = self._db.execute(
            f"{_LEASES} WHERE lease_ends.lease IS NULL AND leases.session ="
            " (SELECT max(id) FROM sessions) ORDER BY leases.id"
        )
        latest = {row["lease"]: row for row in rows}  # a replaced value counts last
        return [self._lease(row) for row in latest.values()]

    def effects(self, decision: int = 0, workload: str = "") -> list[EffectRow]:
        """Return what the judge found: of a decision, of a workload, or all."""
        where, values = _where({"decision": decision, "workload": workload})
        rows = self._db.execute(f"SELECT * FROM effects {where} ORDER BY rowid", values)
        return [effect_of(row) for row in rows]

    def events(
        self,
        since_ns: int = 0,
        until_ns: int = FOREVER_NS,
        *,
        workload: str = "",
        kinds: tuple[str, ...] = (),
        after: int = 0,
        limit: int = -1,
    ) -> tuple[list[EventRow], int]:
        """Return what happened, and the window to ask after next."""
        return happened(
            self._db, Asked(since_ns, until_ns, workload, kinds, after, limit)
        )

    def policy(self, name: str) -> str:
        """Return the text of a policy by its hash; '' where it is not kept."""
        found = self._db.execute("SELECT text FROM policies WHERE hash = ?", (name,))
        row = found.fetchone()
        return "" if row is None else str(row["text"])

    def is_altered(self, name: str) -> bool:
        """Say whether the text of a policy is another one without its secrets."""
        query = "SELECT 1 FROM policies WHERE hash = ? AND altered"
        return self._db.execute(query, (name,)).fetchone() is not None

    def summary(self) -> Summary:
        """Return what the record holds; counts every table."""
        tables = ["sessions", "policies", "windows", "decisions", "verdicts"]
        tables += ["refusals", "leases", "lease_ends", "effects", "events"]
        rows = {
            table: int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
            for table in tables
        }
        first, last, skipped = self._db.execute(
            "SELECT min(wall_ns), max(wall_ns), sum(skipped) FROM windows"
        ).fetchone()
        return Summary(
            path=str(self.path),
            bytes=self.path.stat().st_size,
            schema=int(self._db.execute("PRAGMA user_version").fetchone()[0]),
            rows=rows,
            first_ns=first or 0,
            last_ns=last or 0,
            skipped=skipped or 0,
        )


# Field of a record and its values, by the table that holds them.
_BESIDE: dict[str, tuple[str, Callable[[sqlite3.Row], Any]]] = {
    "leases": ("granted", lease_of),
    "steps": ("steps", step_of),
    "lease_ends": ("ended", lease_end_of),
    "effects": ("effects", lambda row: effect_of(row).effect),
    "events": ("events", lambda row: event_of(row).event),
}
_DEPENDENT = ("decisions", "verdicts", "refusals", *_BESIDE)
_LEASES = """
    SELECT leases.*, leases.session = (SELECT max(id) FROM sessions) AS is_latest,
        lease_ends.wall_ns AS end_wall_ns, lease_ends.now, lease_ends.end,
        lease_ends.cause, lease_ends.took_ns
    FROM leases LEFT JOIN lease_ends ON lease_ends.session = leases.session
        AND lease_ends.lease = leases.lease
"""


def _where(wanted: dict[str, int | str]) -> tuple[str, list[int | str]]:
    """Return a WHERE clause for the columns that are asked for, and its values."""
    asked = {column: value for column, value in wanted.items() if value}
    if not asked:
        return "", []
    return "WHERE " + " AND ".join(f"{one} = ?" for one in asked), [*asked.values()]
