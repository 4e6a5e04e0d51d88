# SPDX-License-Identifier: MIT
"""A scenario file as values, in the variant that is played.

A scenario has services (with a starter each), phases (who is protected, who are
the neighbours, what the operator says, what an expert would set) and variants
(what is hidden from the deciders).  Read with read(); a mistake in the file is a
sentence that says what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))
from starters import STARTERS, Service

HIDEABLE = ("workloads", "units", "descriptions")
WORKS = ("cpu", "io", "lines", "requests")
KEYS = {
    *("name", "title", "services", "phases", "variants", "hurts", "slo_ms"),
    "slice",
}
PHASE_KEYS = {
    *("name", "objective", "protected", "neighbours", "settle_s", "measure_s"),
    "expert",
}


class BadScenario(SystemExit):
    """The scenario file cannot be played; the text says why."""


@dataclass(frozen=True)
class Phase:
    """A span in which one sentence holds and the same programs run."""

    name: str
    objective: str
    protected: str
    neighbours: tuple[str, ...]
    settle_s: float
    measure_s: float
    expert: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Scene:
    """A scenario in one of its variants."""

    name: str
    title: str
    variant: str
    hidden: frozenset[str]
    services: Mapping[str, Service]
    phases: tuple[Phase, ...]
    hurts: float  # p99 with neighbours over p99 alone, at least; 0: must not hurt
    slo_ms: float  # a second whose p99 is over this is an SLO-violation second
    slice: Mapping[str, Any] = field(default_factory=dict)

    def units(self) -> list[str]:
        """Return the unit names of all services."""
        return [service.unit for service in self.services.values()]

    def loaded(self, phase: Phase) -> list[Service]:
        """Return the services with a load in a phase, the protected one first."""
        keys = (phase.protected, *phase.neighbours)
        return [self.services[key] for key in keys if self.services[key].load]


def variants(raw: Mapping[str, Any]) -> list[str]:
    """Return the names of a scenario's variants."""
    return list(raw["variants"])


def read(path: Path, variant: str = "") -> Scene:
    """Read a scenario file; raise BadScenario with what is wrong."""
    raw = yaml.safe_load(path.read_text())
    if not isinstance(raw, dict) or "services" not in raw:
        raise BadScenario(f"{path.name}: a scenario needs name, services, phases")
    _known(raw, KEYS, path.name)
    variant = variant or next(iter(raw["variants"]))
    if variant not in raw["variants"]:
        known = ", ".join(raw["variants"])
        raise BadScenario(f"{path.name}: no variant '{variant}'; known: {known}")
    asked = raw["variants"][variant] or {}
    hidden = frozenset(asked.get("hide", ()))
    if unknown := sorted(hidden - set(HIDEABLE)):
        known = ", ".join(HIDEABLE)
        raise BadScenario(f"{path.name}: cannot hide {unknown[0]}; known: {known}")
    services = {
        key: _service(path.name, key, number, entry, raw, hidden)
        for number, (key, entry) in enumerate(raw["services"].items(), 1)
    }
    objectives = asked.get("objectives", [])
    phases = tuple(
        _phase(path.name, entry, objectives[number : number + 1], services)
        for number, entry in enumerate(raw["phases"])
    )
    return Scene(
        name=raw["name"],
        title=raw["title"],
        variant=variant,
        hidden=hidden,
        services=services,
        phases=phases,
        hurts=float(raw["hurts"]),
        slo_ms=float(raw["slo_ms"]),
        slice=raw.get("slice", {}),
    )


def _known(raw: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in raw:
        if key not in known:
            raise BadScenario(
                f"{where}: there is no key '{key}'; known: {', '.join(sorted(known))}"
            )


def _service(
    where: str,
    key: str,
    number: int,
    entry: Mapping[str, Any],
    raw: Mapping[str, Any],
    hidden: frozenset[str],
) -> Service:
    options = dict(entry)
    start, load = options.pop("start"), options.pop("load", None)
    role = options.pop("role", "")
    if start not in STARTERS:
        known = ", ".join(STARTERS)
        raise BadScenario(f"{where}: no starter '{start}' ({key}); known: {known}")
    unit = f"job-{number}" if "units" in hidden else key
    description = options.pop("describe", key)
    properties = dict(options.pop("properties", {}))
    if "slice" in raw:
        properties["Slice"] = "lab.slice"
    work = options.pop("work", "requests" if load else "cpu")
    if work not in WORKS:
        known = ", ".join(WORKS)
        raise BadScenario(f"{where}: {key} cannot be counted by {work}; known: {known}")
    return Service(
        key=key,
        unit=unit,
        description=unit if "descriptions" in hidden else description,
        start=start,
        options=options,
        properties=properties,
        load=load,
        work=work,
        role=role,
    )


def _phase(
    where: str,
    entry: Mapping[str, Any],
    objective: list[str],
    services: Mapping[str, Service],
) -> Phase:
    _known(entry, PHASE_KEYS, where)
    named = [entry["protected"], *entry["neighbours"], *entry.get("expert", {})]
    for key in named:
        if key not in services:
            known = ", ".join(services)
            raise BadScenario(f"{where}: there is no service '{key}'; known: {known}")
    if not services[entry["protected"]].load:
        raise BadScenario(
            f"{where}: {entry['protected']} has no load to be measured by"
        )
    return Phase(
        name=entry["name"],
        objective=objective[0] if objective else entry["objective"],
        protected=entry["protected"],
        neighbours=tuple(entry["neighbours"]),
        settle_s=float(entry["settle_s"]),
        measure_s=float(entry["measure_s"]),
        expert=entry.get("expert", {}),
    )
