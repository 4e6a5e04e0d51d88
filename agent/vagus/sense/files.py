# SPDX-License-Identifier: MIT
"""Cgroup files: kept descriptors, read with pread, parsed forgivingly."""

from __future__ import annotations

import errno
import os
import re
import resource
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

RETRY_READS = 30  # an absent file is looked for again after so many reads
_GONE = (errno.ENODEV, errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


class Kept:
    """Descriptors of cgroup files, opened at the first read; bounded in number."""

    def __init__(self, root: Path, limit: int = 2048) -> None:
        """Keep at most `limit` descriptors below `root`, the longest used."""
        self._root = str(root)
        # A quarter of what the process may open: others need descriptors too.
        self._limit = min(limit, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        self._open: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._absent: dict[tuple[str, str], int] = {}
        self.reads = 0
        self.refused: dict[str, int] = {}  # file -> errno, other than "gone"

    def read(self, cgroup: str, file: str, size: int = 8192) -> bytes | None:
        """Return a file's text; None where file or cgroup does not exist."""
        key = (cgroup, file)
        left = self._absent.get(key)
        if left:
            self._absent[key] = left - 1
            return None
        try:
            data = os.pread(self._descriptor(key), size, 0)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.close()
            self._drop(key)
            self._absent[key] = RETRY_READS
            if error.errno not in _GONE:
                self.refused[file] = error.errno or 0
            return None
        self.reads += 1
        return data

    def forget(self, cgroup: str) -> None:
        """Close what is kept of a cgroup that went or fell idle."""
        for key in [key for key in self._open if key[0] == cgroup]:
            self._drop(key)
        for key in [key for key in self._absent if key[0] == cgroup]:
            del self._absent[key]

    def close(self) -> None:
        """Close everything."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        self._absent.clear()

    def _descriptor(self, key: tuple[str, str]) -> int:
        fd = self._open.get(key)
        if fd is not None:
            self._open.move_to_end(key)
            return fd
        path = f"{self._root}{key[0].rstrip('/')}/{key[1]}"
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._absent.pop(key, None)
        self._open[key] = fd
        if len(self._open) > self._limit:
            os.close(self._open.popitem(last=False)[1])
        return fd

    def _drop(self, key: tuple[str, str]) -> None:
        fd = self._open.pop(key, None)
        if fd is not None:
            os.close(fd)


def flat(data: bytes) -> dict[bytes, int]:
    """Read 'key value' lines; a line that is anything else is passed over."""
    values: dict[bytes, int] = {}
    for line in data.split(b"\n"):
        key, _, value = line.partition(b" ")
        if value.isdigit():
            values[key] = int(value)
    return values


def picked(data: bytes, keys: Iterable[bytes]) -> dict[bytes, int]:
    """Read these of many 'key value' lines; the others are not looked at."""
    text, values = b"\n" + data, {}
    for key in keys:
        at = text.find(b"\n" + key + b" ")
        if at < 0:
            continue
        value = text[at + len(key) + 2 :].partition(b"\n")[0]
        if value.isdigit():
            values[key] = int(value)
    return values


def nested(data: bytes) -> dict[bytes, dict[bytes, int]]:
    """Read 'name key=value key=value' lines, as io.stat's; the rest passes."""
    lines: dict[bytes, dict[bytes, int]] = {}
    for line in data.split(b"\n"):
        name, *pairs = line.split(b" ")
        values = {}
        for pair in pairs:
            key, _, value = pair.partition(b"=")
            if value.isdigit():
                values[key] = int(value)
        if values:
            lines[name] = values
    return lines


def number(data: bytes | None) -> int | None:
    """Read a file of one number; None for "max", garbage or nothing."""
    text = data.strip() if data else b""
    return int(text) if text.isdigit() else None


_TOTAL = re.compile(rb"^(some|full)\b[^\n]*?\btotal=(\d+)", re.M)


def pressure(data: bytes) -> dict[bytes, int]:
    """Read a pressure file: b"some", b"full" -> microseconds stalled so far."""
    return {kind: int(total) for kind, total in _TOTAL.findall(data)}
