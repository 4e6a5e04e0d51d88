# SPDX-License-Identifier: MIT
"""A disk whose power goes: what is on it at any moment, and nothing that was cached.

The file system lies on a device-mapper device.  Suspended without flushing, its
backing store holds just what a disk would hold when the machine lost power then;
a copy of it is mounted, which replays the file system's journal, and read.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.unit.record import writing

from vagus.record import schema
from vagus.record.read import Reader

SIZE = 64 << 20
NAME = "vagus-power"


def run(*argv: str | Path) -> str:
    """Run a tool; return its output."""
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@contextlib.contextmanager
def loop(image: Path) -> Iterator[str]:
    """Attach a file as a block device."""
    device = run("losetup", "--find", "--show", image)
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


@contextlib.contextmanager
def mounted(device: str | Path, place: Path) -> Iterator[Path]:
    """Mount an ext4 file system."""
    place.mkdir(exist_ok=True)
    run("mount", "-t", "ext4", device, place)
    try:
        yield place
    finally:
        run("umount", place)


class Disk:
    """A disk in memory with a file system on it, which can lose its power."""

    def __init__(self, image: Path, place: Path) -> None:
        """Remember both; see disk()."""
        self.image, self.place = image, place

    def cut(self, copy: Path, note: Path) -> int:
        """Copy what is on the disk now; return when the last record came before."""
        run("dmsetup", "suspend", "--nolockfs", "--noflush", NAME)
        try:
            last_ns = writing.last_ns(note)
            shutil.copyfile(self.image, copy)
        finally:
            run("dmsetup", "resume", NAME)
        return last_ns


@contextlib.contextmanager
def disk(work: Path) -> Iterator[Disk]:
    """Make a disk of SIZE bytes below work, which should be in memory."""
    image = work / "disk"
    with image.open("wb") as file:
        file.truncate(SIZE)
    with loop(image) as device:
        table = f"0 {SIZE // 512} linear {device} 0"
        run("dmsetup", "create", NAME, "--table", table)
        try:
            run("mkfs.ext4", "-q", f"/dev/mapper/{NAME}")
            with mounted(f"/dev/mapper/{NAME}", work / "place") as place:
                yield Disk(image, place)
        finally:
            run("dmsetup", "remove", "--retry", NAME)


def found(copy: Path, place: Path, last_ns: int) -> tuple[float, str]:
    """Return the seconds that are lost on a copy, and what the integrity check says."""
    with loop(copy) as device, mounted(device, place) as there:
        return left(there / "record.db", last_ns)


def left(path: Path, last_ns: int) -> tuple[float, str]:
    """Return the same for the record itself; it is read to its end."""
    with Reader(path) as reader:
        latest = reader.latest()
        assert latest is not None
        lost_s = max(0, last_ns - latest.wall_ns) / 1e9
        assert sum(1 for _ in reader.moments()) > 0
    db = schema.open_writer(path)
    said = str(db.execute("PRAGMA integrity_check").fetchone()[0])
    db.close()
    return lost_s, said


def cuts(work: Path, count: int, pause_s: tuple[float, ...]) -> list[tuple[float, str]]:
    """Cut the power under a writer so many times; return what each left behind."""
    told = []
    with disk(work) as one:
        path, note = one.place / "record.db", work / "note"
        writer = writing.start(path, note)
        try:
            while not path.exists() or not _windows(path):
                assert writer.poll() is None, "the writer died"
                time.sleep(0.1)
            for number in range(count):
                time.sleep(pause_s[number % len(pause_s)])
                last_ns = one.cut(work / "copy", note)
                told.append(found(work / "copy", work / "after", last_ns))
        finally:
            writer.kill()
            writer.wait()
    return told


def _windows(path: Path) -> bool:
    with contextlib.suppress(Exception), Reader(path) as reader:
        return reader.latest() is not None
    return False
