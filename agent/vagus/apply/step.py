# SPDX-License-Identifier: MIT
"""One step of the law as it is put on record, so that it can be taken again; pure.

Everything that enforce() is given, but the window: that is on record already.  The
ground and the 100 ms reading are kept as they were read, so the same code must come
to the same settings, whatever machine is here now.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from vagus.apply.aims import View
from vagus.apply.ground import Ground
from vagus.apply.law import Key, LawState, enforce
from vagus.apply.law import slot as slot_of
from vagus.flow import Handle, Identity, Lease, Setting, Stance, Step, Window
from vagus.policy.knobs import Bound


class Given(msgspec.Struct, frozen=True):
    """What one step was made from; Step.given is this as MessagePack."""

    stances: list[Stance]
    ground: Ground
    bounds: dict[str, Bound]
    fast: Window | None
    held: list[Lease]
    state: LawState
    withdrawn: list[Key]
    handle: Handle = Handle.CGROUP
    own: dict[str, dict[str, Bound]] = {}


_DECODER = msgspec.msgpack.Decoder(Given)


def taken(
    stances: Sequence[Stance],
    view: View,
    held: Collection[Lease],
    state: LawState,
    withdrawn: Collection[Key],
    settings: list[Setting],
) -> Step:
    """Return a step for the record: what the law was given, and what it said."""
    given = Given(
        stances=list(stances),
        ground=view.ground,
        bounds=view.bounds,
        fast=_nameless(view.fast) if view.fast else None,
        held=list(held),
        state=state,
        withdrawn=sorted(withdrawn),
        handle=view.handle,
        own=view.own,
    )
    return Step(view.window.tick, msgspec.msgpack.encode(given), settings)


def again(step: Step, window: Window) -> list[Setting]:
    """Return what the law says today to what a step was made from.

    `window`: the one of the step's tick.  msgspec.ValidationError where the step is
    of another version of the law, whose remembered state has other parts.
    """
    given = _DECODER.decode(step.given)
    seen = window, given.ground, given.bounds, given.fast, given.handle, given.own
    view = View(*seen)
    held = {slot_of(one.setting.knob, one.setting.path): one for one in given.held}
    law = enforce(
        given.stances,
        view,
        held,
        given.state,
        full=given.fast is None,
        withdrawn=given.withdrawn,
    )
    return law.settings


def _nameless(window: Window) -> Window:
    """Return a reading without command lines: nothing to redact, nothing to store."""
    bare = {
        name: msgspec.structs.replace(one, identity=Identity())
        for name, one in window.workloads.items()
    }
    return msgspec.structs.replace(window, workloads=bare)
