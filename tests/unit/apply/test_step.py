# SPDX-License-Identifier: MIT
"""A step on record holds all that the law was given, and nobody's command line."""

import msgspec
from tests.unit.apply.test_law import ANY, Machine, give, ground, protect, window

from vagus.apply.aims import View
from vagus.apply.law import enforce
from vagus.apply.step import again, taken
from vagus.flow import Identity, Resource, Word

SECRET = "--password=hunter2"


def reading(word):
    """A reading in which the shop suffers so, with arguments."""
    seen = window(shop=word)
    loads = {
        name: msgspec.structs.replace(one, identity=Identity(args=SECRET))
        for name, one in seen.workloads.items()
    }
    return msgspec.structs.replace(seen, workloads=loads)


def test_a_step_between_two_ticks_comes_out_again():
    """Only the fast reading shows the trouble that makes the law act harder."""
    calm = window(shop=Word.OK)
    machine = Machine(View(calm, ground(), ANY, reading(Word.CRITICAL)))
    stances = [give("backup", Resource.IO, 3), protect("shop")]
    for full in (True, False, False):
        before, held = machine.state, dict(machine.held)
        withdrawn = [("build", Resource.CPU)]
        law = enforce(
            stances, machine.view, held, before, full=full, withdrawn=withdrawn
        )
        if not full:
            view = machine.view
            step = taken(stances, view, held.values(), before, withdrawn, law.settings)
            assert again(step, view.window) == law.settings
            assert SECRET.encode() not in step.given
        machine.tick(*stances, full=full, withdrawn=withdrawn)
    assert any(lease.setting.knob == "io.max" for lease in machine.held.values())


def test_another_ground_leads_to_other_settings():
    view = View(window(shop=Word.BAD), ground(), ANY)
    machine = Machine(view)
    law = enforce([protect("shop")], view, {}, machine.state)
    elsewhere = msgspec.structs.replace(view, ground=ground(cgroups={}))
    step = taken([protect("shop")], elsewhere, [], machine.state, [], law.settings)
    assert again(step, view.window) != law.settings
