# SPDX-License-Identifier: MIT
"""Run verbs as a person does, at a fixed time of day."""

import os
import re
import time
from pathlib import Path

import pytest

from vagus.cli.main import main

GOLDEN = Path(__file__).parent / "golden"
NOW_NS = 1_795_435_200 * 10**9 + 100 * 10**9  # ten seconds after the story's end


@pytest.fixture
def vagus(monkeypatch, capsys, story, tmp_path):
    """Run `vagus ...` on the story; return exit code, output and errors."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("VAGUS_NOW_NS", str(NOW_NS))
    monkeypatch.setenv("VAGUS_RECORD", str(story))
    monkeypatch.setenv("VAGUS_SOCKET", str(tmp_path / "no-socket"))
    monkeypatch.setenv("COLUMNS", "80")
    time.tzset()

    def call(*words):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
        found = capsys.readouterr()
        return code, found.out, found.err

    yield call
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def golden(story, tmp_path):
    """Compare a text with the one kept; VAGUS_GOLDEN=write keeps it anew."""

    def same(name, text):
        text = text.replace(str(story), "RECORD").replace(str(tmp_path), "TMP")
        # How many pages a file takes is SQLite's affair.
        text = re.sub(r"(size +|\"bytes\": )[\d.]+( KiB)?", r"\1SIZE", text)
        path = GOLDEN / name
        if os.environ.get("VAGUS_GOLDEN") == "write":
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, newline="")
        assert text == path.read_bytes().decode()

    return same
