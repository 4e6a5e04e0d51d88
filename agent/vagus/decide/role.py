# SPDX-License-Identifier: MIT
"""Roles: the model is asked once for each new identity; the policy's word wins."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import PurePosixPath

from vagus.decide.engine import Engine, Filled
from vagus.decide.prompt import role_form, time_of
from vagus.decide.standing import FIRST
from vagus.flow import Identity, Role
from vagus.policy.trust import INTERPRETERS, installed

UNKNOWN = Role("unknown", "unknown", "default")
REMEMBERED = 4096  # identities; the longest unused is forgotten
DEADLINE_MS = 5_000


class RoleBook:
    """Remembers the role of every identity it was asked about."""

    def __init__(self, engine: Engine | None) -> None:
        """Take the engine, or None: then every role is the default."""
        self._engine = engine
        self._known: OrderedDict[Identity, Role] = OrderedDict()
        self._open: set[Identity] = set()

    def role(self, identity: Identity, given: Role | None = None) -> Role:
        """Return the policy's role, the remembered one, or the default for now.

        Never waits: the model's answer is there at a later call.
        """
        if given is not None and "unknown" not in (given.name, given.time_sense):
            return given
        found = self._known.get(identity)
        if found:
            self._known.move_to_end(identity)
        else:
            self._ask(identity)
        return _completed(given, found or UNKNOWN) if given else found or UNKNOWN

    def _ask(self, identity: Identity) -> None:
        """Ask the model once; a failure is asked again at the next call."""
        if self._engine is None or identity in self._open or not self._engine.native:
            return
        card = telling(identity)
        if card == Identity():
            return
        self._open.add(identity)

        def done(result: Filled) -> None:
            self._open.discard(identity)
            if not result.why:
                self._remember(identity, believed(card, result.answers))

        self._engine.submit(role_form(card), DEADLINE_MS, done)

    def _remember(self, identity: Identity, role: Role) -> None:
        self._known[identity] = role
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def believed(card: Identity, answers: Mapping[str, str]) -> Role:
    """Return the role that the model's answers give to who has this card.

    A name and arguments are a process's own words.  They may make it yield, but where
    nothing else tells what it is, nobody comes first by them.
    """
    name, sense = answers["role"].strip("<>"), answers["time"].strip("<>")
    own_words = not (card.unit_description or card.synopsis or installed(card.exe))
    if own_words and sense in FIRST:
        name, sense = "unknown", "unknown"
    return Role(name, sense, source="model")


def telling(identity: Identity) -> Identity:
    """Return what of a card tells what runs, and not only which interpreter runs it.

    `sh -c ...` is no terminal and `python3 train.py` no editor: with arguments, only
    the unit's description says what they are, since arguments are their own word.
    """
    program = PurePosixPath(identity.exe).name or identity.comm
    if not (identity.args and INTERPRETERS.fullmatch(program)):
        return identity
    return Identity(unit_description=identity.unit_description)


def _completed(given: Role, found: Role) -> Role:
    """Return the policy's role with what it leaves open from the model."""
    name = found.name if given.name == "unknown" else given.name
    sense = time_of(name) if given.time_sense == "unknown" else given.time_sense
    return Role(name, sense, "policy")
