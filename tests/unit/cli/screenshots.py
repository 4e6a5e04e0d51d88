# SPDX-License-Identifier: MIT
"""Make the README's pictures, docs/top.svg and docs/explain.svg, of the tests' story.

usage: python tests/unit/cli/screenshots.py
"""

import asyncio
import importlib.util
import io
import os
import re
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP / "agent"))

from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

from vagus.cli import explain  # noqa: E402
from vagus.cli.board import Tracker  # noqa: E402
from vagus.cli.live import Top  # noqa: E402
from vagus.cli.paint import Paint  # noqa: E402
from vagus.cli.story import tell  # noqa: E402
from vagus.record.read import Reader  # noqa: E402
from vagus.record.store import Recorder  # noqa: E402

SIZE = (80, 24)


def story():
    """The story that the unit tests record."""
    path = TOP / "tests/unit/conftest.py"
    spec = importlib.util.spec_from_file_location("story", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recorded(folder: Path, tale) -> Path:
    """Record the story up to where the shop is well again."""
    path = folder / "record.db"
    with Recorder(path) as recorder:
        for tick in range(1, 60):
            recorder.put(tale.record(tick))
    return path


async def top(path: Path, tale) -> str:
    """Draw the live view at the moment when the shop suffers."""
    tracker = Tracker()
    for tick in range(1, 36):
        tracker.follow(tale.record(tick), {1: 7_200, 2: 9_900})
    app = Top(path.with_name("none"), path)
    async with app.run_test(size=SIZE) as pilot:
        while app._board is None:
            await pilot.pause(0.05)
        app._ended.set()
        app.show(tracker.board(), "")
        await pilot.pause(0.3)
        return app.export_screenshot(title="vagus top")


def told(path: Path, now_ns: int) -> str:
    """Draw the story of the decision."""
    with Reader(path) as reader:
        found = tell(reader, 1)
    text = explain.screen(found, now_ns, Paint(True), SIZE[0])
    console = Console(
        record=True, width=SIZE[0], file=io.StringIO(), force_terminal=True
    )
    console.print(Text.from_ansi(text))
    return console.export_svg(title="vagus explain shop")


def main() -> None:
    tale = story()
    now_ns = tale.START_WALL_NS + 60 * 10**9
    os.environ |= {"TZ": "UTC", "VAGUS_NOW_NS": str(tale.START_WALL_NS + 35 * 10**9)}
    time.tzset()
    with tempfile.TemporaryDirectory() as folder:
        path = recorded(Path(folder), tale)
        pictures = {"top": asyncio.run(top(path, tale)), "explain": told(path, now_ns)}
    for name, picture in pictures.items():
        file = TOP / f"docs/{name}.svg"
        # A viewer's own font will do: nothing is to be fetched from elsewhere.
        file.write_text(re.sub(r"@font-face \{[^}]*\}\s*", "", picture))
        print(file.relative_to(TOP))


if __name__ == "__main__":
    main()
