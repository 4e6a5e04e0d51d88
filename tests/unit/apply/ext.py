# SPDX-License-Identifier: MIT
"""Stands where a kernel with sched_ext cannot be: the object and its maps."""

from __future__ import annotations

import struct
from pathlib import Path

from vagus.apply.sched import ONE


class Map(dict[bytes, bytes]):
    """A BPF map."""

    def put(self, key: bytes, value: bytes) -> None:
        self[key] = value

    def drop(self, key: bytes) -> None:
        self.pop(key, None)

    def read_percpu(self) -> dict[bytes, tuple[int, ...]]:
        return {}


class Ext:
    """The kernel: at most one scheduler is attached; end() ejects it."""

    def __init__(self) -> None:
        self.loaded = 0
        self.attached: Scheduler | None = None
        self.options: dict[str, int] = {}

    def open(self, path: Path) -> Scheduler:
        """Be vagus.native.BpfObject."""
        return Scheduler(self)

    def end(self, kind: int, reason: str, message: str) -> None:
        """Eject, as scx_error() does."""
        assert self.attached
        told = struct.pack("=Qq64s192s", kind, 0, reason.encode(), message.encode())
        self.attached.map("sched_exit").put(ONE, told)

    def classes(self, now_ns: int) -> dict[int, tuple[int, int]]:
        """Return (class, strength) by cgroup id, without what has lapsed."""
        if self.attached is None:
            return {}
        found = {}
        for key, value in self.attached.map("sched_cgroups").items():
            deadline_ns, kind, strength = struct.unpack("=QII", value)
            if deadline_ns > now_ns:
                found[struct.unpack("=Q", key)[0]] = (kind, strength)
        return found


class Scheduler:
    """One loaded object."""

    def __init__(self, kernel: Ext) -> None:
        self._kernel = kernel
        self._maps: dict[str, Map] = {}

    def set_option(self, name: str, value: int) -> None:
        self._kernel.options[name] = value

    def set_ops(self, name: str, field: str, value: int) -> None:
        self._kernel.options[field] = value

    def start(self) -> None:
        self._kernel.loaded += 1

    def attach_ops(self, name: str) -> None:
        assert self._kernel.attached is None
        self._kernel.attached = self

    def map(self, name: str, words: int | None = None) -> Map:
        return self._maps.setdefault(name, Map())

    def close(self) -> None:
        if self._kernel.attached is self:
            self._kernel.attached = None
