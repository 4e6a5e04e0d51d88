# SPDX-License-Identifier: MIT
"""What `vagus run` adds to the loop: the record and the socket."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from vagus.apply.reflex import Reflex
from vagus.cli.board import watched
from vagus.cli.server import Order, Server
from vagus.errors import VagusError
from vagus.flow import Mode, Proposal, Record, Stance
from vagus.loop import Loop
from vagus.orders import orders
from vagus.policy.model import Keep, Policy
from vagus.record import redact
from vagus.record.read import Reader
from vagus.record.store import Recorder
from vagus.record.trim import Limits

log = logging.getLogger("vagus")


class Daemon:
    """Owns recorder and server; both are served in the loop's own thread."""

    def __init__(
        self,
        record: Path | None,
        socket: Path | None,
        policy: Policy,
        version: str = "",
    ) -> None:
        """Open both; None leaves one out."""
        self._in_force: Callable[[], Policy] = lambda: policy
        self._kept: set[str] = set()  # hashes of policies whose text is on record
        self._orders: dict[str, Order] = {}
        self._reflex: Reflex | None = None
        keep = policy.record
        self.recorder = _recorder(record, version, keep) if record else None
        try:
            signals = self._signals
            self.server = Server(socket, self._orders, signals) if socket else None
        except BaseException:
            self._close_record()
            raise

    def close(self) -> None:
        """Hang up, and write what is left of the record."""
        if self.server is not None:
            self.server.close()
        self._close_record()

    def _close_record(self) -> None:
        if self.recorder is not None:
            self.recorder.close()

    def rule(self, loop: Loop) -> None:
        """Take orders for this loop from now on, and show the time left of leases."""
        self._reflex = loop.parts.reflex
        self._in_force = lambda: loop.course.policy
        self._orders |= orders(loop, self.allowed, self.number)

    def put(self, record: Record) -> None:
        """Put a window on record; never waits."""
        if self.recorder is not None:
            self._keep_policy(record)
            self.recorder.put(self._counted(record))

    def publish(self, record: Record) -> None:
        """Show a window to clients; never waits."""
        if self.server is not None:
            left_ms = self._reflex.left_ms if self._reflex else {}
            self.server.publish(self._counted(record), left_ms)

    def _signals(self, policy: str) -> dict[str, str]:
        """Return what the policy in force watches; nothing for another one."""
        now = self._in_force()
        return watched(now) if now.text_hash == policy else {}

    def _counted(self, record: Record) -> Record:
        """Return a record with what the recorder counts, and its trouble."""
        if self.recorder is None:
            return record
        state = self.recorder.state()
        counters = {"record.written": state.written, "record.lost": state.lost}
        record = replace(record, counters=record.counters | counters)
        if not state.trouble:
            return record
        told = f"kept in memory, {state.waiting} windows: {state.trouble}"
        quality = record.window.quality
        quality = replace(quality, missing=quality.missing | {"record": told})
        return replace(record, window=replace(record.window, quality=quality))

    def _keep_policy(self, record: Record) -> None:
        """Record a policy's text when it is first in force.

        It is the text that was loaded: the file may be another one by now.
        """
        policy = self._in_force()
        if self.recorder is None or record.policy != policy.text_hash:
            return
        if record.policy not in self._kept and self.recorder.put_policy(
            record.wall_ns, policy.text_hash, policy.text
        ):
            self._kept.add(record.policy)

    def number(self, proposal: Proposal, mode: Mode) -> int:
        """Return the latest decision's number; 0 where that is not (yet) this one."""
        if self.recorder is None:
            return 0
        try:
            with Reader(self.recorder.path) as reader:
                found = reader.decisions(limit=1)
        except VagusError as error:
            log.warning("%s", error)
            return 0
        wanted = proposal.decider, proposal.stances, mode
        for one in found:
            if (one.proposal.decider, one.proposal.stances, one.mode) == wanted:
                return one.id
        return 0

    def allowed(self, number: str) -> list[Stance] | None:
        """Return what a recorded decision allowed or advised; None without one."""
        if self.recorder is None or not number.isdecimal():
            return None
        try:
            with Reader(self.recorder.path) as reader:
                return reader.allowed(int(number))
        except VagusError as error:
            log.warning("%s", error)
            return None


def _recorder(path: Path, version: str, keep: Keep) -> Recorder:
    """Open the record, with the policy's limits and secrets."""
    return Recorder(
        path,
        limits=Limits(keep.age_ns / 1e9, keep.size_bytes),
        redactor=redact.redactor(keep.secrets, builtin=keep.redact),
        version=version,
    )
