# SPDX-License-Identifier: MIT
"""The policy as typed values; every description is what `policy explain` prints.

Names in YAML are the aliases (`lease`), names in Python carry the unit
(`lease_ms`).  Built by load.py only, which knows where each value stood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    PrivateAttr,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from vagus.flow import Act, Mode, Resource, Stance
from vagus.policy import fields as f
from vagus.policy.knobs import KNOBS, SCHED_EXT, Bound
from vagus.policy.limits import Limits
from vagus.policy.thresholds import Thresholds
from vagus.policy.units import NS_PER, show
from vagus.policy.workload import Workload

S = NS_PER["s"]
# What keeps the machine reachable and recorded when everything else goes wrong.
SPARED = (
    "init.scope",
    "ssh.service",
    "sshd.service",
    "dbus.service",
    "dbus-broker.service",
    "systemd-journald.service",
    "systemd-logind.service",
    "systemd-oomd.service",
    "systemd-udevd.service",
)
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Pick(f.Part):
    """A fixed stance, written 'protect cpu 2', 'yield io 1' or 'leave'."""

    act: Act
    resource: Resource = Resource.CPU
    strength: int = 1

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _core: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Say that it is text."""
        words = r"^\s*(leave|(protect|yield)\s+(cpu|io|memory)(\s+[123])?)\s*$"
        return {"type": "string", "pattern": words, "description": cls.__doc__}

    @model_validator(mode="before")
    @classmethod
    def _read(cls, raw: object) -> object:
        words = raw.split() if isinstance(raw, str) else []
        if words == ["leave"]:
            return {"act": "leave", "strength": 0}
        acts, resources = ("protect", "yield"), tuple(Resource)
        good = len(words) in (2, 3) and words[0] in acts and words[1] in resources
        if not good or words[2:] not in ([], ["1"], ["2"], ["3"]):
            raise f.wrong(
                f"expected 'leave', or protect|yield, cpu|io|memory and 1..3, such as"
                f" 'yield cpu 2', not {show(raw)}"
            )
        return {
            "act": words[0],
            "resource": words[1],
            "strength": int((words[2:] or ["1"])[0]),
        }


class Budget(f.Part):
    """How much Vagus may do, and cost."""

    actions_per_minute: Annotated[int, f.number(0, 600, "the limit of")] = Field(
        12, description="New or changed stances in any 60 seconds, all together."
    )
    # Under 2 nothing could be set and let go again.
    flips_per_minute: Annotated[int, f.number(2, 600, "the limit of")] = Field(
        2,
        description="How often in any 60 seconds one knob may change direction, from"
        " tighter to looser or back; what is not needed any more is held meanwhile.",
    )
    workloads: Annotated[int, f.number(0, 4096, "the limit of")] = Field(
        16, description="Workloads with a stance at the same time."
    )
    # The module holds leases of 100 ms to 1 h.
    lease_ms: Annotated[
        int, f.duration_ms(S // 10, 3600 * S, "the module's"), f.QUANTITY
    ] = Field(
        10_000,
        alias="lease",
        description="How long the kernel keeps a setting that is not renewed.",
    )
    agent_cpu_pct: Annotated[
        float, f.percentage(0.1, 100, "the limit of"), f.QUANTITY
    ] = Field(
        2.0,
        alias="agent_cpu",
        description="Share of one CPU that the agent's loop should stay under; a mark"
        " to compare with what `vagus top` shows. Nothing is slowed down by it.",
    )
    cooldown_ns: Annotated[int, f.duration(0, 3600 * S, "the limit of"), f.QUANTITY] = (
        Field(
            5 * S,
            alias="cooldown",
            description="A workload's stance is not changed again for this long.",
        )
    )


class Reserve(f.Part):
    """What is left for work that nobody named."""

    cpu_pct: Annotated[float, f.percentage(0.1, 90, "the limit of"), f.QUANTITY] = (
        Field(
            1.0,
            alias="cpu",
            description="Share of CPU that a sibling of weight 100 still gets.",
        )
    )
    memory_pct: Annotated[float, f.percentage(1, 95, "the limit of"), f.QUANTITY] = (
        Field(
            30.0,
            alias="memory",
            description="Share of the machine's memory that memory.low never covers.",
        )
    )
    yield_pct: Annotated[float, f.percentage(0.1, 50, "the limit of"), f.QUANTITY] = (
        Field(
            2.0,
            alias="yield",
            description="Share of the machine that all who yield CPU keep, together,"
            " while the sched_ext scheduler runs.",
        )
    )


class Model(f.Part):
    """The language model; without path and url the one that is shipped."""

    path: f.Path | None = Field(None, description="A GGUF file.")
    url: f.Path | None = Field(
        None, description="An OpenAI-compatible server, such as http://127.0.0.1:8080."
    )
    name: f.Pattern | None = Field(None, description="The server's model to ask.")
    deadline_ms: Annotated[
        int, f.duration_ms(S // 100, 600 * S, "the limit of"), f.QUANTITY
    ] = Field(
        2_000,
        alias="deadline",
        description="The engine is killed when it has not answered by then.",
    )
    threads: Annotated[int, f.number(1, 256, "the limit of")] = Field(
        1, description="Threads of the engine."
    )
    cpu_pct: Annotated[float, f.percentage(1, 25600, "the limit of"), f.QUANTITY] = (
        Field(
            20.0,
            alias="cpu",
            description="Share of one CPU that the engine may use while it decides;"
            " read when the agent starts.",
        )
    )

    @field_validator("url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise f.wrong(f"expected http:// or https://, not {show(url)}")
        return url

    @model_validator(mode="after")
    def _one(self) -> Model:
        if self.path is not None and self.url is not None:
            raise f.wrong("path and url exclude each other")
        return self


class Decide(f.Part):
    """When to ask the decider."""

    min_interval_ns: Annotated[
        int, f.duration(S // 10, 3600 * S, "the limit of"), f.QUANTITY
    ] = Field(
        3 * S,
        alias="min_interval",
        description="At least this long between two decisions; once in it,"
        " trouble that begins is told at once.",
    )


def _regex(text: str) -> str:
    """Check a regular expression, and that it does not match everything."""
    try:
        empty = re.search(text, "")
    except re.error as error:
        raise f.wrong(f"not a regular expression: {error}") from None
    if empty:
        raise f.wrong(f"{show(text)} matches everything; say more of the secret")
    return text


Regex = Annotated[str, AfterValidator(_regex)]


class Keep(f.Part):
    """What the flight recorder keeps, and how long; read when the agent starts."""

    age_ns: Annotated[
        int, f.duration(60 * S, 3650 * 86400 * S, "the limit of"), f.QUANTITY
    ] = Field(7 * 86400 * S, alias="age", description="Older records are removed.")
    size_bytes: Annotated[int, f.size(1 << 20, 1 << 50, "the limit of"), f.QUANTITY] = (
        Field(
            512 << 20,
            alias="size",
            description="The oldest records are removed beyond this.",
        )
    )
    redact: bool = Field(
        True, description="Take what looks like a secret out before it is kept."
    )
    secrets: tuple[Regex, ...] = Field(
        (), description="More of what is a secret here, as regular expressions."
    )


class Quiet(f.Part):
    """A time of day in which Vagus does less."""

    start: Annotated[int, f.clock(), f.CLOCK] = Field(
        alias="from", description="Local time of day, such as '22:00'."
    )
    end: Annotated[int, f.clock(), f.CLOCK] = Field(
        alias="to", description="Local time of day; before `from` it is the next day's."
    )
    days: tuple[Day, ...] = Field(DAYS, description="Days on which it begins.")
    mode: Mode = Field(Mode.OBSERVE, description="The most that Vagus may do then.")

    @model_validator(mode="after")
    def _lasts(self) -> Quiet:
        if self.start == self.end:
            raise f.wrong("from and to are the same; that is no time at all")
        return self


class Policy(f.Part):
    """What the operator wants, and the bounds nobody may leave."""

    version: Literal[1] = Field(1, description="Version of this format.")
    objective: f.Sentence = Field(
        "", description="What matters, in plain words, for the language model."
    )
    mode: Mode = Field(
        Mode.ADVISE,
        description="observe: look only; advise: propose; enforce: act.",
    )
    decider: Literal["llm", "rules", "bandit", "static", "none", "random"] = Field(
        "llm",
        description="Who proposes stances: llm, rules, bandit, static, none, random.",
    )
    workloads: dict[f.Name, Workload] = Field(
        {}, description="Workloads by name; the first that matches wins."
    )
    never_touch: f.Patterns = Field(
        SPARED,
        description="Workloads, units or cgroups that Vagus does not change at all;"
        " globs. Whatever lies inside one is spared as well.",
    )
    scheduler: Literal["off", "auto", "partial"] = Field(
        "off",
        description="CPU stances by Vagus' own sched_ext scheduler, where the kernel"
        " has it. off: by cgroup knobs only; auto: it schedules the whole machine, or"
        " only who yields while some cgroup has a cpu.max; partial: only who yields.",
    )
    limits: Limits = Field(Limits.plain(), description="Bounds of each knob.")
    reserve: Reserve = Field(
        Reserve.plain(), description="What is left for everybody else."
    )
    budget: Budget = Field(
        Budget.plain(), description="How much Vagus may do, and cost."
    )
    thresholds: Thresholds = Field(
        Thresholds.plain(), description="From which number which word holds."
    )
    model: Model = Field(Model.plain(), description="The language model.")
    decide: Decide = Field(Decide.plain(), description="When to ask the decider.")
    static: dict[f.Name, Pick] = Field(
        {}, description="Stances of the decider `static`: 'shop: protect cpu 2'."
    )
    quiet: tuple[Quiet, ...] = Field(
        (), description="Times of day in which Vagus does less."
    )
    record: Keep = Field(
        Keep.plain(), description="How much history is kept; read at the start."
    )
    _text_hash: str = PrivateAttr("")
    _text: str = PrivateAttr("")
    _approved: tuple[Stance, ...] = PrivateAttr(())

    @field_validator("workloads", mode="before")
    @classmethod
    def _by_unit(cls, raw: object) -> object:
        """Let a workload without a match be the unit of its own name."""
        if not isinstance(raw, dict):
            return raw
        return {name: _matched(name, entry) for name, entry in raw.items()}

    @property
    def text_hash(self) -> str:
        """Return the SHA-256 of the text it was loaded from, 16 digits."""
        return self._text_hash

    @property
    def text(self) -> str:
        """Return the text it was loaded from."""
        return self._text

    def bounds(self, own: Limits | None = None) -> dict[str, Bound]:
        """Return what may be set, by knob; `own`: the limits of one workload."""
        found = self.limits.bounds(own)
        if self.scheduler != "off":
            facts = KNOBS[SCHED_EXT]
            found[SCHED_EXT] = Bound(facts.least, facts.most)
        return found

    @property
    def approved(self) -> tuple[Stance, ...]:
        """Return what the operator approved: it may stand in any mode."""
        return self._approved

    def modes(self) -> set[Mode]:
        """Return the policy's mode and all that single workloads have."""
        own = {entry.mode for entry in self.workloads.values() if entry.mode}
        return {self.mode, *own} | ({Mode.ENFORCE} if self.approved else set())

    def levels(self, workload: str = "") -> dict[str, tuple[float, float, float]]:
        """Return (warm, bad, critical) by number key, as the SLO moves them.

        `workload` is a key of workloads; any other name has no SLO.
        """
        entry = self.workloads.get(workload)
        slo = entry.slo.numbers() if entry and entry.slo else {}
        return self.thresholds.levels(slo)

    def stances(self) -> list[Stance]:
        """Return the stances of the decider `static`."""
        return [
            Stance(name, pick.act, pick.resource, pick.strength)
            for name, pick in self.static.items()
        ]

    def stamped(self, text: str, text_hash: str) -> Policy:
        """Return the same policy with its text, and the hash of that."""
        copy = self.model_copy()
        copy._text, copy._text_hash = text, text_hash
        return copy

    def approving(self, stances: Iterable[Stance]) -> Policy:
        """Return the policy under which these may stand, whatever the mode."""
        copy = self.model_copy()
        copy._approved = tuple(stances)
        return copy

    def with_objective(self, sentence: str) -> Policy:
        """Return the policy under a temporary objective."""
        return self.model_copy(update={"objective": sentence})

    def with_mode(self, mode: Mode, workload: str = "") -> Policy:
        """Return the policy in another mode, as a whole or for one workload."""
        if not workload:
            return self.model_copy(update={"mode": mode})
        entry = self.workloads[workload].model_copy(update={"mode": mode})
        return self.model_copy(update={"workloads": self.workloads | {workload: entry}})


def from_next_start(begun: Policy, now: Policy) -> list[str]:
    """Return the fields that differ, and are read only when the agent starts."""
    record = type(now.record).model_fields.items()
    found = [
        f"record.{field.alias or name}"
        for name, field in record
        if getattr(begun.record, name) != getattr(now.record, name)
    ]
    return [*found, "model.cpu"] if begun.model.cpu_pct != now.model.cpu_pct else found


def _matched(name: object, entry: object) -> object:
    entry = {} if entry is None else entry
    if not isinstance(entry, dict) or "match" in entry:
        return entry
    return {"match": {"unit": f"{name}.service"}} | entry
