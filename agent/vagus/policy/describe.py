# SPDX-License-Identifier: MIT
"""What a policy may say, for people and editors: explain, diff, JSON Schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from vagus.errors import PolicyError
from vagus.policy import fields, units
from vagus.policy.fields import MS_NS
from vagus.policy.knobs import KNOBS
from vagus.policy.knobs import text as knob_text
from vagus.policy.limits import Limit
from vagus.policy.load import keys_below, part_at
from vagus.policy.model import Pick, Policy, Quiet
from vagus.policy.nodes import Key, field_text
from vagus.policy.thresholds import ByteUses, Percents, ShareUses, Times


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a policy file, for editors."""
    found = Policy.model_json_schema(by_alias=True)
    # A workload may be a name alone: its match is filled in before it is looked at.
    del found["$defs"]["Workload"]["required"]
    named = found["properties"]["workloads"]
    named["additionalProperties"] = {
        "anyOf": [named["additionalProperties"], {"type": "null"}]
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | found


def explain(field: str = "") -> str:
    """Say what a field means, its default, and what is below it.

    Raises PolicyError with a suggestion where there is no such field.
    """
    found = facts(field)
    lines = []
    if field:
        lines.append(f"{found['field']}: {found['about']}")
    if "default" in found:
        lines.append(f"  default: {found['default']}")
    if "kernel" in found:
        lines.append(f"  {found['kernel']}")
    lines += [f"  {key}: {about}" for key, about in found["below"].items()]
    return "\n".join(lines)


def facts(field: str = "") -> dict[str, Any]:
    """Return what explain() says, in parts; what does not apply is not there."""
    path = _find(field)
    found: dict[str, Any] = {"field": field_text(path), "about": ""}
    if path:
        found["about"] = _about(path)
        if part_at(Policy, path) is None:
            found["default"] = _default(path)
        if len(path) > 1 and path[0] == "limits" and path[1] in KNOBS:
            found["kernel"] = _kernel(str(path[1]))
    below = keys_below(Policy, path)
    return found | {"below": {key: _about((*path, key)) for key in below}}


def _kernel(knob: str) -> str:
    """Say what the kernel takes of a knob, and Vagus where no limit is given."""
    of = KNOBS[knob]
    least, most = (knob_text(knob, v) for v in (of.kernel_min, of.kernel_max))
    unit = f" {of.unit}" if of.unit == "us" else ""
    return (
        f"the kernel takes {least} to {most}{unit} ({of.source});"
        f" without a limit here {knob_text(knob, of.least)}"
        f" to {knob_text(knob, of.most)}"
    )


def diff(old: Policy, new: Policy) -> list[str]:
    """Return one line for each value that differs: 'mode: advise -> enforce'."""
    before, after = _flat(old), _flat(new)
    lines = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            was, now = before.get(key, "(absent)"), after.get(key, "(absent)")
            lines.append(f"{key}: {was} -> {now}")
    if list(old.workloads) != list(new.workloads) and not set(old.workloads) ^ set(
        new.workloads
    ):
        order = f"{', '.join(old.workloads)} -> {', '.join(new.workloads)}"
        lines.append(f"workloads (the first match wins): {order}")
    return lines


def _flat(policy: Policy) -> dict[str, str]:
    """Return every value by its dotted name, as people write it."""
    found: dict[str, str] = {}

    def walk(path: Key, value: object, text: str) -> None:
        if isinstance(value, Pick) or not isinstance(value, BaseModel | dict):
            found[field_text(path)] = text
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk((*path, key), inner, _plain(inner))
        else:
            for name, field in type(value).model_fields.items():
                inner = getattr(value, name)
                if inner is not None:
                    walk((*path, field.alias or name), inner, _text(value, name, inner))

    walk((), policy, "")
    return found


def _text(part: BaseModel, name: str, value: object) -> str:
    """Write one value in the unit that its name or its part tells."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return _plain(value)
    if isinstance(part, Limit) and name in ("min", "max"):
        return knob_text(part.knob, value)
    if isinstance(part, Quiet):
        return units.clock_text(int(value))
    if name.endswith("_ns") or isinstance(part, Times):
        return units.duration_text(value)
    if name.endswith("_ms"):
        return units.duration_text(value * MS_NS)
    if name.endswith("_pct") or isinstance(part, Percents | ShareUses):
        return units.percent_text(value)
    if name.endswith("_bytes") or isinstance(part, ByteUses):
        return units.size_text(value)
    return f"{value:g}"


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    if isinstance(value, Pick):
        words = [value.act, value.resource, str(value.strength)]
        return " ".join(words if value.strength else words[:1])
    if isinstance(value, BaseModel):
        items = _items(value)
        return "{" + ", ".join(f"{key}: {text}" for key, text in items) + "}"
    if isinstance(value, dict):
        return "{}" if not value else "{...}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if value != "" else '""'


def _items(part: BaseModel) -> list[tuple[str, str]]:
    return [
        (field.alias or name, _text(part, name, getattr(part, name)))
        for name, field in type(part).model_fields.items()
        if getattr(part, name) is not None
    ]


def _find(field: str) -> Key:
    """Return the path of a dotted name; a knob's own dot is part of its key."""
    path: Key = ()
    left = field
    while left:
        known = [*keys_below(Policy, path), *([left.split(".")[0]] * _free(path))]
        fit = [key for key in known if left == key or left.startswith(f"{key}.")]
        if not fit:
            close = fields.nearest(left, known)
            where = f"in {field_text(path)}" if path else "in a policy"
            raise PolicyError(f"{left}: there is no such field {where}{close}")
        key = max(fit, key=len)
        path, left = (*path, key), left[len(key) + 1 :]
    return path


def _free(path: Key) -> bool:
    """Tell whether any name may stand at a place."""
    return path in (("workloads",), ("static",))


def _about(path: Key) -> str:
    parent, key = part_at(Policy, path[:-1]), str(path[-1])
    if parent is None:
        return "a name of your own" if _free(path[:-1]) else ""
    for name, field in parent.model_fields.items():
        if (field.alias or name) == key:
            own = part_at(Policy, path)
            return _described(parent, name) or (own.__doc__ if own else "") or ""
    return ""


def _described(part: type[BaseModel], name: str) -> str:
    """Return a field's description, or that of the field that it replaces."""
    for base in part.__mro__:
        if issubclass(base, BaseModel):
            field = base.model_fields.get(name)
            if field is not None and field.description:
                return field.description
    return ""


def _default(path: Key) -> str:
    """Return what holds where a policy says nothing."""
    part: BaseModel | None = Policy.plain()
    for key in path[:-1]:
        inner = _field(part, str(key)) if part else ""
        value = getattr(part, inner) if inner else None
        part = value if isinstance(value, BaseModel) else None
    if part is not None:
        name = _field(part, str(path[-1]))
        value = getattr(part, name) if name else None
        return "none" if value is None else _text(part, name, value)
    # Below a name of one's own there is no instance, only the fields.
    model = part_at(Policy, path[:-1])
    for name, field in model.model_fields.items() if model else ():
        if (field.alias or name) == str(path[-1]):
            value = field.get_default()
            if field.is_required():
                return "none; it must be given"
            return "none" if value is None else _plain(value)
    return "none"


def _field(part: BaseModel, key: str) -> str:
    """Return the attribute that a key is, '' for none."""
    for name, field in type(part).model_fields.items():
        if (field.alias or name) == key:
            return name
    return ""
