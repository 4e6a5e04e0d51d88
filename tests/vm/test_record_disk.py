# SPDX-License-Identifier: MIT
"""A disk that is really full, and one that becomes read-only."""

import importlib.util
import os
import subprocess
import time
from pathlib import Path

import pytest

from vagus.errors import RecordError
from vagus.record.read import Reader
from vagus.record.store import Recorder


@pytest.fixture(scope="module")
def tick_record():
    """The story that the unit tests record."""
    path = Path(__file__).parents[1] / "unit/conftest.py"
    spec = importlib.util.spec_from_file_location("story", path)
    story = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(story)
    return story.record


@pytest.fixture
def tiny(tmp_path):
    """A file system of 512 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", path], check=True
    )
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_full_disk_keeps_windows_in_memory_until_there_is_room(tiny, tick_record):
    warnings = []
    with Recorder(tiny / "r.db", warn=warnings.append) as recorder:
        recorder.put(tick_record(1))
        assert wait_until(lambda: recorder.state().written == 1)
        (tiny / "ballast").write_bytes(b"x" * free(tiny))
        for tick in range(2, 60):
            assert recorder.put(tick_record(tick))
            time.sleep(0.02)
        assert wait_until(lambda: recorder.state().trouble)
        assert "full" in recorder.state().trouble
        assert "free some space" in warnings[0]
        (tiny / "ballast").unlink()
        assert wait_until(lambda: recorder.state().written == 59)
        assert not recorder.state().trouble
        assert "written again" in warnings[1]
    with Reader(tiny / "r.db") as reader:
        assert [one.window.tick for one in reader.moments()] == [*range(1, 60)]


def test_a_disk_that_is_full_from_the_start_does_not_stop_the_agent(tiny, tick_record):
    (tiny / "ballast").write_bytes(b"x" * free(tiny))
    with Recorder(tiny / "r.db", warn=lambda _: None) as recorder:
        recorder.put(tick_record(1))
        time.sleep(1)
        assert recorder.state().trouble
        (tiny / "ballast").unlink()
        assert wait_until(lambda: recorder.state().written == 1)


def test_a_disk_that_becomes_read_only_and_back(tiny, tick_record):
    with Recorder(tiny / "r.db", warn=lambda _: None) as recorder:
        recorder.put(tick_record(1))
        assert wait_until(lambda: recorder.state().written == 1)
    subprocess.run(["mount", "-o", "remount,ro", tiny], check=True)
    with Reader(tiny / "r.db") as reader:
        assert reader.latest().window.tick == 1
    with pytest.raises(RecordError, match="cannot be written"):
        Recorder(tiny / "r.db")
    subprocess.run(["mount", "-o", "remount,rw", tiny], check=True)
    Recorder(tiny / "r.db").close()


def free(path):
    """Return the bytes that still fit, but for two pages."""
    found = os.statvfs(path)
    return max(0, found.f_bavail * found.f_bsize - 8192)
