# SPDX-License-Identifier: MIT
"""Wiring: from a policy and a few roots to a loop that runs."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vagus.apply import own
from vagus.apply.classes import Classes
from vagus.apply.ground import Surveyor
from vagus.apply.leases import Holder
from vagus.apply.reflex import Reflex
from vagus.apply.sched import SchedExt
from vagus.cost import CostMeter
from vagus.decide.bandit import Bandit
from vagus.decide.engine import Engine
from vagus.decide.identity import Describer
from vagus.decide.instant import Instant
from vagus.decide.none import Nothing
from vagus.decide.random_set import RandomSet
from vagus.decide.role import RoleBook
from vagus.decide.rules import Rules
from vagus.decide.stance import LlmDecider
from vagus.decide.static import Static
from vagus.errors import ModelError, VagusError
from vagus.flow import Decider, Effect, Identity, Record, Role, Sensor
from vagus.kmod import Module
from vagus.loop import Loop
from vagus.parts import Parts, Port
from vagus.policy.knobs import LEAVE_ALONE_NS
from vagus.policy.load import load
from vagus.policy.model import Policy
from vagus.record.redact import redactor
from vagus.sense.block import BlockSensor
from vagus.sense.cgroup import CgroupSensor
from vagus.sense.discover import Discovery
from vagus.sense.lens import LensSensor
from vagus.sense.memory import MemorySensor
from vagus.sense.probes import SharedProbes, objects_folder
from vagus.sense.process import ProcessSensor
from vagus.sense.psi import PsiSensor
from vagus.sense.ringevents import RingSensor
from vagus.sense.table import TableSensor
from vagus.window import Windower

# The reflex looks every 100 ms while somebody has a stance; after a pause longer
# than this what it remembers is not of now.
STALE_NS = 1_500_000_000
log = logging.getLogger("vagus")


@dataclass
class Options:
    """What an agent needs to know besides its policy."""

    policy: Path
    no_model: bool = False
    cgroups: Path = Path("/sys/fs/cgroup")
    proc: Path = Path("/proc")
    sysfs: Path = Path("/sys")
    put: Callable[[Record], object] = lambda record: None
    publish: Callable[[Record], object] = lambda record: None
    port: Port | None = None
    settle: bool = True  # divide the agent's own cgroup
    sensors: list[Sensor] = field(default_factory=list)  # besides the usual
    sched: Mapping[str, int] = field(default_factory=dict)  # of ebpf/sched_state.bpf.h


# Outliers of one workload that the ring tells of in a second: enough to wake the
# reflex and to name a culprit; the table counts every wait anyway.
OUTLIERS_PER_S = 10


class Wiring:
    """Makes the parts of one agent, and makes some of them again when asked."""

    def __init__(self, options: Options, policy: Policy) -> None:
        """Make nothing yet."""
        self.options = options
        self.policy = policy
        self.lens = LensSensor(policy)
        self.sensors: list[Sensor] = []
        self.reflex = Reflex(
            Surveyor(options.cgroups, options.sysfs, options.proc, time.monotonic_ns),
            time.monotonic_ns,
            Classes(self._scheduler, time.monotonic_ns),
        )
        self.engine: Engine | None = None
        self.no_engine = ""
        self.roles = RoleBook(None)
        self.own = own.Own(reason="not asked for")
        self.current: Decider | None = None
        self.fallback = Rules(policy)
        self._module: Module | None = None

    # ------------------------------------------------------------------ module

    def attach(self) -> str:
        """Get hold of the module; return why not, '' where it is held."""
        try:
            module = Module(self.options.sysfs / "kernel/vagus")
        except VagusError as error:
            if not self.reflex.missing.startswith(str(error)):
                self.reflex.detach(str(error))
            self._replace(None)
            return str(error)
        module.config(rate_per_s=OUTLIERS_PER_S)
        self.close_module()
        self._module = module
        self.reflex.attach(
            Holder(
                module,
                self.options.cgroups,
                self.options.sysfs,
                self.policy.budget.lease_ms,
                LEAVE_ALONE_NS,
                time.monotonic_ns,
            )
        )
        self._replace(module)
        return ""

    def _replace(self, module: Module | None) -> None:
        """Make the module's sensors anew, unless they say the same thing already."""
        names = {sensor.name for sensor in self.sensors}
        if module is None and {"table", "ring"} <= names:
            return
        for sensor in [s for s in self.sensors if s.name in ("table", "ring")]:
            sensor.close()
            self.sensors.remove(sensor)
        folder = self.options.sysfs / "kernel/vagus"
        # First, so that what the table saw is known to those that read after it.
        self.sensors[:0] = [
            TableSensor(module, folder / "table"),
            RingSensor(folder / "ring"),
        ]

    def close_module(self) -> None:
        """Close the module's sockets; its leases end with them."""
        if self._module is not None:
            self._module.close()
            self._module = None

    def _scheduler(self, mode: str, yield_pct: float) -> SchedExt:
        """Return a scheduler as the policy wants it; nothing is loaded yet."""
        options = self.options
        agent = self.own.folder
        return SchedExt(
            objects_folder() / "sched.bpf.o",
            mode=mode,
            yield_share_pct=yield_pct,
            engine=(agent / "engine").stat().st_ino if agent else 0,
            agent=agent.stat().st_ino if agent else 0,
            is_late=lambda: self.engine is not None and self.engine.late,
            options=options.sched,
            cgroups=options.cgroups,
            sysfs=options.sysfs / "kernel/sched_ext",
        )

    # ----------------------------------------------------------------- sensors

    def open_sensors(self) -> None:
        """Open every source; what does not work says so by itself."""
        options = self.options
        probes = SharedProbes()
        cgroup = CgroupSensor(
            options.cgroups, options.proc, options.sysfs, hints=self._ran
        )
        self.sensors += [
            cgroup,
            PsiSensor(options.cgroups, options.proc, active=cgroup.active),
            ProcessSensor(probes),
            BlockSensor(probes),
            MemorySensor(probes),
            self.lens,
            *options.sensors,
        ]

    def _ran(self) -> list[str]:
        """Return the workloads that ran lately, as the module's table has it."""
        tables = [one for one in self.sensors if isinstance(one, TableSensor)]
        return [name for table in tables for name in table.active()]

    def urge(self, is_urgent: bool) -> None:
        """Give the agent more of the CPU than others, or less."""
        own.urge(self.own, is_urgent)

    def narrow(self, names: Collection[str] | None) -> None:
        """Have the fast sources read these workloads alone; None: everybody."""
        for sensor in self.sensors:
            if isinstance(sensor, PsiSensor | TableSensor):
                sensor.only = names

    def close_sensors(self) -> None:
        """Give everything back."""
        for sensor in self.sensors:
            with contextlib.suppress(VagusError, OSError):
                sensor.close()

    # ----------------------------------------------------------------- decider

    def rewire(self, policy: Policy) -> Decider:
        """Return a new policy's decider; the old one is the caller's to close."""
        before, self.policy = self.policy, policy
        self.lens.set_policy(policy)
        old = self.current
        is_same = (policy.decider, policy.model) == (before.decider, before.model)
        if isinstance(old, LlmDecider) and self.engine and is_same:
            old.set_policy(policy)  # the model stays loaded, and the roles known
            self.fallback.set_policy(policy)
            return old
        if isinstance(old, Instant) and old.name == policy.decider:
            old.set_policy(policy)  # keeps what it learned
            return old
        return self.decider(policy)

    def decider(self, policy: Policy) -> Decider:
        """Return the decider that a policy names, or what stands in for it."""
        self.current = self._decider(policy)
        return self.current

    def _decider(self, policy: Policy) -> Decider:
        if policy.decider != "llm" or self.options.no_model:
            return plain_decider(policy)
        self.fallback = Rules(policy)
        try:
            self.engine = Engine(
                policy.model.path,
                policy.model.threads,
                settle=functools.partial(self._settle_engine),
                url=policy.model.url or "",
                name=policy.model.name or "",
            )
        except ModelError as error:
            self.engine, self.no_engine = None, str(error)
            log.warning("%s; rules decide instead", error)
        self.roles = RoleBook(self.engine)
        return LlmDecider(policy, self.engine, self.fallback, self.no_engine)

    def spare(self, policy: Policy) -> Decider:
        """Return rules, which stand in for a decider that broke."""
        self.current = Rules(policy)
        return self.current

    def role(self, identity: Identity, given: Role | None = None) -> Role:
        """Return the role as the book of the engine in use has it."""
        return self.roles.role(identity, given)

    def own_cgroup(self) -> str | None:
        """Return the agent's whole cgroup, engine and all; None where undivided."""
        if self.own.folder is None:
            return None
        return f"/{self.own.folder.relative_to(self.options.cgroups)}"

    def _settle_engine(self, pid: int) -> None:
        own.place_engine(self.own, pid)

    def engine_pid(self) -> int:
        """Return the engine's process, or 0."""
        return self.engine.state().pid if self.engine else 0

    def reward(self, effect: Effect) -> None:
        """Tell a decider that learns what its stances did."""
        if isinstance(self.current, Bandit):
            self.current.reward(effect)

    def model_counters(self) -> dict[str, int]:
        """Return what the engine counts."""
        if self.engine is None:
            return {}
        state = self.engine.state()
        return {
            "calls": state.calls,
            "tokens": state.tokens,
            "missed": state.missed,
            "failed": state.failed,
            "starts": state.starts,
        }


def plain_decider(policy: Policy) -> Decider:
    """Return a decider that needs no model; rules where a model is wanted."""
    if policy.decider == "random":  # other draws in each repetition of a measurement
        return RandomSet(policy, int(os.environ.get("VAGUS_SEED", "0")))
    kinds: dict[str, type[Instant]] = {
        "bandit": Bandit,
        "none": Nothing,
        "static": Static,
    }
    return kinds.get(policy.decider, Rules)(policy)


@contextlib.contextmanager
def agent(options: Options) -> Iterator[Loop]:
    """Make an agent; everything it holds is given back at the end.

    Raise PolicyError where the policy is wrong.
    """
    policy = load(options.policy)
    wiring = Wiring(options, policy)
    with contextlib.ExitStack() as stack:
        stack.callback(wiring.close_module)
        stack.callback(wiring.close_sensors)
        stack.callback(wiring.reflex.release)
        if options.settle:
            cap_pct = policy.model.cpu_pct
            wiring.own = own.settle(options.cgroups, options.proc, os.getpid(), cap_pct)
            if wiring.own.reason:
                log.info("%s", wiring.own.reason)
        # Arguments tell a script from a shell; what is secret in them is taken out.
        describer = Describer(redact=redactor(policy.record.secrets).text)
        describer.package("/sbin/init")  # reads the package lists, once
        finder = Discovery(policy, options.cgroups, options.proc, wiring.own_cgroup())
        stack.callback(finder.close)
        wiring.open_sensors()
        decider = wiring.decider(policy)
        loop = Loop(
            Parts(
                policy=policy,
                finder=finder,
                sensors=wiring.sensors,
                windower=Windower(policy),
                fast=Windower(policy, stale_ns=STALE_NS),
                decider=decider,
                reflex=wiring.reflex,
                cost=CostMeter(wiring.engine_pid, options.proc),
                put=options.put,
                publish=options.publish,
                reload=functools.partial(load, options.policy),
                rewire=wiring.rewire,
                spare=wiring.spare,
                attach=wiring.attach,
                model=wiring.model_counters,
                narrow=wiring.narrow,
                urge=wiring.urge,
                roles=wiring,
                reward=wiring.reward,
                describe=describer.describe,
                port=options.port,
            )
        )
        stack.callback(lambda: loop.parts.decider.close())
        yield loop
