# SPDX-License-Identifier: MIT
"""The module's ring -> events: waits and stalls over the threshold."""

from __future__ import annotations

import select
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from vagus.errors import VagusError
from vagus.flow import Event, Sample, SourceState
from vagus.native import RING_PATH, Ring
from vagus.sense.rings import KEPT, Waiter, drain


class RingSensor:
    """Outliers told by vagus.ko; owns the mapping and a descriptor to wait on."""

    name = "ring"

    def __init__(self, path: Path = RING_PATH) -> None:
        """Map the ring; where that fails, state() says why and with what remedy."""
        self._names: dict[int, str] = {}
        self._missing = ""
        self._state = SourceState(0, 0)
        self._ring: Ring | None = None
        self._waiter: Waiter | None = None
        try:
            self._ring = Ring.module(path, batch=KEPT)
            self._waiter = Waiter(self._ring.fileno(), select.EPOLLPRI)
        except (VagusError, OSError) as error:
            self._lose(error)

    def follow(self, workloads: Mapping[str, tuple[str, int]]) -> None:
        """Know the names of these workloads."""
        self._names = {id_: name for name, (_, id_) in workloads.items()}

    def read(self) -> list[Sample]:
        """Return nothing: the table has the numbers."""
        return []

    def events(self) -> list[Event]:
        """Return the outliers since the last call."""
        if self._ring is None or self._waiter is None:
            return []
        self._waiter.clear()
        try:
            events, _ = drain(self._ring, self.name, self.name_of)
        except VagusError as error:
            self._lose(error)
            return []
        return events

    def name_of(self, cgroup_id: int) -> str:
        """Return a workload's name; empty where it is none of ours."""
        return self._names.get(cgroup_id, "")

    def state(self) -> SourceState:
        """Return records seen, lost and late; missing without the module."""
        if self._ring is not None:
            counts = self._ring.counts()
            lost = counts.lost + counts.malformed
            self._state = SourceState(counts.seen, lost, late=counts.late)
        return replace(self._state, missing=self._missing)

    def fileno(self) -> int:
        """Return a descriptor that is readable when records wait, or -1."""
        return self._waiter.fileno() if self._waiter else -1

    def close(self) -> None:
        """Unmap."""
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        """Go on without the ring."""
        self._missing = str(error) if error else self._missing
        if self._waiter is not None:
            self._waiter.close()
            self._waiter = None
        if self._ring is not None:
            self._ring.close()
            self._ring = None
