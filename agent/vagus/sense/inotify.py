# SPDX-License-Identifier: MIT
"""Directory watches: what changed in a tree, without walking it."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import NamedTuple

# include/uapi/linux/inotify.h
MODIFY, CREATE, DELETE = 0x2, 0x100, 0x200
OVERFLOW, IGNORED = 0x4000, 0x8000
ONLYDIR, ISDIR = 0x01000000, 0x40000000
_HEAD = struct.Struct("iIII")


class Change(NamedTuple):
    """One event: the watch (-1 on overflow), its mask, the name inside."""

    watch: int
    mask: int
    name: str


class Inotify:
    """An inotify instance; closed by close()."""

    def __init__(self) -> None:
        """Open it; OSError where the user's limit of instances is reached."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise _error("inotify_init1")

    def add(self, path: str) -> int:
        """Watch a directory for entries made, removed, written; OSError."""
        mask = MODIFY | CREATE | DELETE | ONLYDIR
        watch: int = self._libc.inotify_add_watch(self.fd, os.fsencode(path), mask)
        if watch < 0:
            raise _error(path)
        return watch

    def remove(self, watch: int) -> None:
        """Stop watching; a watch that the kernel already ended is no failure."""
        self._libc.inotify_rm_watch(self.fd, watch)

    def read(self) -> list[Change]:
        """Return what happened since the last call, oldest first."""
        changes: list[Change] = []
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return changes
            changes += _parse(data)

    def close(self) -> None:
        """End every watch."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _parse(data: bytes) -> list[Change]:
    """Take struct inotify_event records apart."""
    changes, offset = [], 0
    while offset + _HEAD.size <= len(data):
        watch, mask, _, length = _HEAD.unpack_from(data, offset)
        offset += _HEAD.size
        name = data[offset : offset + length].rstrip(b"\0")
        changes.append(Change(watch, mask, os.fsdecode(name)))
        offset += length
    return changes


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
