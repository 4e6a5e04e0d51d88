# SPDX-License-Identifier: MIT
"""What a loop is made of: the shapes it needs, and one value that holds them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vagus.apply.reflex import Reflex
from vagus.cost import CostMeter
from vagus.flow import (
    Decider,
    Effect,
    Found,
    Identity,
    Record,
    Role,
    Sensor,
    SourceState,
)
from vagus.judge import Judge
from vagus.policy.model import Policy
from vagus.window import Windower

TICK_NS = 1_000_000_000
REFLEX_NS = 100_000_000


class Finder(Protocol):
    """The part of sense.discover.Discovery that the loop needs."""

    name: str

    @property
    def found(self) -> Mapping[str, Found]:
        """Return the workloads by name."""

    def poll(self, touched: Sequence[int] = ()) -> bool:
        """Return True where the workloads changed."""

    def follow(self) -> dict[str, tuple[str, int]]:
        """Return what a sensor follows."""

    def set_policy(self, policy: Policy) -> None:
        """Match by another policy."""

    def fileno(self) -> int:
        """Return a descriptor to poll."""

    def state(self) -> SourceState:
        """Return counters."""

    def close(self) -> None:
        """Give the watches back."""


class Roles(Protocol):
    """Knows what programs are for; never waits."""

    def role(self, identity: Identity, given: Role | None = None) -> Role:
        """Return the role as far as it is known; the policy's word wins."""


class Port(Protocol):
    """Where clients knock."""

    def fileno(self) -> int:
        """Return a descriptor to poll."""

    def service(self) -> None:
        """Answer without waiting."""


@dataclass
class Parts:
    """What a loop is made of; wire.py makes the real ones."""

    policy: Policy
    finder: Finder
    sensors: list[Sensor]
    windower: Windower
    fast: Windower
    decider: Decider
    reflex: Reflex
    cost: CostMeter
    put: Callable[[Record], object]
    publish: Callable[[Record], object]
    reload: Callable[[], Policy]  # raises PolicyError
    rewire: Callable[[Policy], Decider]  # a new policy's decider
    spare: Callable[[Policy], Decider]  # for when the policy's decider breaks
    attach: Callable[[], str]  # tries to get the module; why not
    model: Callable[[], dict[str, int]] = dict  # counters of the engine
    # Has the sensors read these workloads alone; None: everybody, and the machine.
    narrow: Callable[[Collection[str] | None], None] = lambda names: None
    urge: Callable[[bool], None] = lambda is_urgent: None  # the agent's own share
    roles: Roles | None = None
    reward: Callable[[Effect], object] = lambda effect: None
    describe: Callable[[Found], Identity] = lambda found: found.identity
    port: Port | None = None
    judge: Judge = field(init=False)
    clock: Callable[[], int] = time.monotonic_ns
    wall: Callable[[], int] = time.time_ns
    used: Callable[[], int] = time.thread_time_ns  # CPU time of the loop, in ns
    tick_ns: int = TICK_NS
    reflex_ns: int = REFLEX_NS

    def __post_init__(self) -> None:
        """Have the judge go by what makes the words."""
        self.judge = Judge(self.windower.telling)
