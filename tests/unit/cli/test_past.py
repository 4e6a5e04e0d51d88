# SPDX-License-Identifier: MIT
"""`vagus replay` on a terminal: stepping to and fro in the view of `vagus top`."""

import argparse
import asyncio

import pytest
from tests.unit.cli.terminal import begun, lines, settled

from vagus.cli import replay
from vagus.cli.live import StoryScreen
from vagus.cli.past import Past

S = 10**9
START = 1_795_435_200


@pytest.fixture(autouse=True)
def environment(vagus):
    """The fixed time and zone of the other tests."""


def drive(story, first, last, *keys, changes=False, speed=0.001):
    """Show windows of the story; press keys; return the screen and application."""
    args = argparse.Namespace(record=story, changes=changes)

    def boards():
        return replay._boards(args, (START + first) * S, (START + last) * S)

    async def run():
        app = Past(story, boards, speed)
        async with app.run_test(size=(80, 24)) as pilot:
            await begun(app, pilot)
            for key in keys:
                await pilot.press(key)
                await settled(app, pilot)
            await settled(app, pilot)
            return lines(app), app, type(app.screen)

    return asyncio.run(run())


def test_the_past_looks_as_top_did(story, golden):
    shown, _, _ = drive(story, 33, 90, "p")
    golden("past-80x24.txt", "\n".join(shown) + "\n")


@pytest.mark.parametrize(
    ("keys", "tick"),
    [
        ([], 33),
        (["right"], 34),
        (["right", "right", "left"], 34),
        (["left"], 33),
        (["right", "right", "right", "right"], 35),
    ],
)
def test_keys_step_to_and_fro(story, keys, tick):
    shown, _, _ = drive(story, 33, 35, *keys)
    assert f"tick {tick}  from the record, 12:00:{tick}" in shown[0]
    assert ("the end of that time" in "".join(shown)) == (tick == 35)


def test_it_goes_on_by_itself_to_the_end(story):
    shown, _, _ = drive(story, 33, 60, changes=True, speed=1000)
    assert "tick 50 " in shown[0] and "the end of that time" in "".join(shown)


def test_the_story_told_is_the_one_known_then(story):
    shown, _, top = drive(story, 45, 90, "p", "e")
    assert top is StoryScreen and shown[0].strip().startswith("decision 1 ")


def test_orders_cannot_be_given_to_the_past(story):
    _, app, _ = drive(story, 33, 34, "p")
    assert "u" not in app._bindings.key_to_bindings


def test_a_time_without_windows_is_an_error_and_no_view(vagus, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    code, _, err = vagus("replay", "-t", "now")
    assert code == 6 and "record ls" in err
