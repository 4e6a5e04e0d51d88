# SPDX-License-Identifier: MIT
"""What a record tells: the story of the record's tests, read by the lab."""

import math

import told

START_S, DECIDED_S = 5_000.0, 5_032.0


def test_story_is_counted(story):
    found = told.told(story, START_S + 25, START_S + 29, START_S + 85)
    assert found["react_s"] == DECIDED_S - (START_S + 25)
    assert (found["writes"], found["decisions"], found["calls"]) == (2, 2, 2)
    assert (found["effects_kept"], found["effects_reverted"]) == (1, 1)
    assert found["effects_coincident"] == 0
    assert math.isnan(found["tokens"])  # nobody counted them in that record
    # Both knobs went there and back within the hour's minute.
    assert round(found["flips_per_min"] * 60 / 60, 6) == 2


def test_before_anything_happened_nothing_is_told(story):
    found = told.told(story, START_S, START_S + 5, START_S + 20)
    assert math.isnan(found["react_s"]) and found["writes"] == 0
    assert found["writes_all"] == 2 and found["flips_per_min"] == 0


def test_inference_is_where_the_engine_used_the_cpu(story):
    assert told.inferring(story) == [(DECIDED_S - 1, DECIDED_S)]


def test_knob_texts_are_numbers():
    texts = ("max 100000", "5000 100000", "default 10", "64", "")
    assert [told.number(text) for text in texts] == [math.inf, 5000, 10, 64, 0]
