# SPDX-License-Identifier: MIT
"""`vagus top` on a terminal of 80x24, following the record where no agent runs."""

import asyncio

import pytest
from tests.unit.cli.terminal import begun, lines, settled
from tests.unit.cli.test_server import Agent

from vagus.cli import screen
from vagus.cli.live import StoryScreen, Top


def drive(story, tmp_path, *keys, size=(80, 24)):
    """Start the view, press keys, and return the screen and the application."""

    async def run():
        app = Top(tmp_path / "none", story)
        async with app.run_test(size=size) as pilot:
            await begun(app, pilot)
            for key in keys:
                await pilot.press(key)
                await pilot.pause(0.5)
            rows = [app._text(cell, "left") for cell in screen.row(app._board.lines[0])]
            app.styles_seen = {str(cell.style) for cell in rows}
            return lines(app), app, type(app.screen)

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def environment(vagus):
    """The fixed time and zone of the other tests."""


def test_everything_is_readable_at_80_by_24(story, tmp_path):
    shown, _, _ = drive(story, tmp_path)
    text = "\n".join(shown)
    assert len(shown) == 24 and max(map(len, shown)) <= 80
    for word in ("shop", "backup", "postgres", "410 µs", "protect cpu 2", "enforce"):
        assert word in text
    assert "no agent runs here" in text  # where it comes from is said
    assert "explain" in shown[-1] and "quit" in shown[-1]


def test_numbers_are_aligned_to_the_right(story, tmp_path):
    shown, _, _ = drive(story, tmp_path)
    rows = [line for line in shown if " µs " in line]
    assert len({line.index("µs") for line in rows}) == 1


def test_a_key_explains_the_selected_line(story, tmp_path):
    shown, _, top = drive(story, tmp_path, "down", "e")
    assert top is StoryScreen
    assert shown[0].strip().startswith("decision 1 ")  # the backup's latest
    shown, _, top = drive(story, tmp_path, "e", "escape")
    assert top is not StoryScreen


def test_windows_that_come_while_a_story_is_read_do_no_harm(story, tmp_path):
    async def run():
        app = Top(tmp_path / "none", story)
        async with app.run_test(size=(80, 24)) as pilot:
            while app._board is None:
                await pilot.pause(0.05)
            await pilot.press("e")
            while not isinstance(app.screen, StoryScreen):
                await pilot.pause(0.05)
            app.show(app._board, "still here")
            await pilot.press("escape")
            await pilot.pause(0.5)
            return "\n".join(lines(app))

    shown = asyncio.run(run())
    assert "still here" in shown or "no agent runs here" in shown


def test_orders_without_an_agent_say_so(story, tmp_path):
    _, app, _ = drive(story, tmp_path, "u")
    assert any("vagus run" in note.message for note in app._notifications)


def test_keys_order_what_belongs_to_the_selected_line(story, tmp_path, tick_record):
    given = []

    def order(verb):
        return lambda args: given.append((verb, args["id"])) or f"{verb} done"

    async def run():
        app = Top(tmp_path / "socket", story)
        async with app.run_test(size=(80, 24)) as pilot:
            await begun(app, pilot)
            for key in ("u", "down", "a"):
                await pilot.press(key)
                await settled(app, pilot)
            return [note.message for note in app._notifications]

    orders = {verb: order(verb) for verb in ("undo", "approve")}
    with Agent(tmp_path / "socket", orders) as agent:
        agent.publish(tick_record(40))
        told = asyncio.run(run())
    assert given == [("undo", "2"), ("approve", "1")]  # the latest of shop, of backup
    assert "undo done" in told and "approve done" in told


def test_a_pause_holds_the_screen(story, tmp_path):
    _, app, _ = drive(story, tmp_path, "p")
    assert app._paused


def test_no_colour_where_none_is_wanted(story, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    _, app, _ = drive(story, tmp_path)
    assert app.styles_seen == {""}
    monkeypatch.delenv("NO_COLOR")
    _, app, _ = drive(story, tmp_path)
    assert "green" in app.styles_seen


def test_an_empty_record_is_said(tmp_path):
    async def run():
        app = Top(tmp_path / "none", tmp_path / "missing.db")
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause(0.5)
            return "\n".join(lines(app))

    shown = " ".join(asyncio.run(run()).split())
    assert "no agent runs here" in shown and "there is no record" in shown
