# SPDX-License-Identifier: MIT
"""Policy text -> Policy, or every mistake at once as FILE:LINE:COLUMN: FIELD: ...

Live reload: the caller keeps the policy it has when load() raises.
"""

from __future__ import annotations

import hashlib
import types
import typing
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vagus.errors import PolicyError
from vagus.policy import fields, nodes, units
from vagus.policy.lint import warnings
from vagus.policy.model import Policy
from vagus.policy.nodes import Key, Mistake, Spot, Tree

DEFAULT = "default.yaml"


class Checked(NamedTuple):
    """What a check found; policy is None where there are errors."""

    policy: Policy | None
    errors: list[str]
    warnings: list[str]


def load(path: Path) -> Policy:
    """Read a policy file; raise PolicyError with a line for each mistake."""
    try:
        with path.open("rb") as file:
            raw = file.read(nodes.SIZE_BYTES + 1)
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}; name a policy file") from error
    return loads(raw, str(path))


def loads(raw: bytes | str, name: str = "policy.yaml") -> Policy:
    """Read a policy from text; raise PolicyError with a line for each mistake."""
    checked = check(raw, name)
    if checked.policy is None:
        raise PolicyError("\n".join(checked.errors))
    return checked.policy


def default() -> Policy:
    """Return the policy of a machine where nobody wrote one: advise only."""
    return loads(default_text(), DEFAULT)


def default_text() -> str:
    """Return the text of that policy, to begin one's own with."""
    return resources.files("vagus.policy").joinpath(DEFAULT).read_text("utf-8")


def check(raw: bytes | str, name: str = "policy.yaml") -> Checked:
    """Check a policy; never raises, whatever the bytes are."""
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    tree, mistakes = nodes.read(data)
    policy = None
    if tree is not None:
        policy, found = _validated(tree)
        mistakes = mistakes + found
    if mistakes or policy is None or tree is None:
        return Checked(None, _lines(mistakes, name), [])
    digest = hashlib.sha256(data).hexdigest()[:16]
    notes = [_placed(tree, path, what) for path, what in warnings(policy)]
    stamped = policy.stamped(data.decode(), digest)
    return Checked(stamped, [], _lines(notes, name))


def _lines(mistakes: list[Mistake], name: str) -> list[str]:
    """Return one line for each mistake, in the order of the text."""
    return [
        f"{name}:{spot.line}:{spot.column}: "
        + (f"{field}: {sentence}" if field else sentence)
        for spot, field, sentence in sorted(dict.fromkeys(mistakes))
    ]


def _validated(tree: Tree) -> tuple[Policy | None, list[Mistake]]:
    if not isinstance(tree.data, dict):
        what = f"expected a mapping such as 'mode: advise', not {_shown(tree.data)}"
        return None, [Mistake(tree.values[()], "", what)]
    try:
        return Policy.model_validate(tree.data), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        return None, [_mistake(tree, detail) for detail in details]


def _mistake(tree: Tree, detail: ErrorDetails) -> Mistake:
    """Turn a finding of pydantic into a mistake at its place in the text."""
    path = _path(tree, detail["loc"])
    if detail["type"] == "extra_forbidden":
        key = str(path[-1])
        return _placed(tree, path, _unknown(path[:-1], key), at_key=True)
    if detail["type"] == "missing":
        missing = (*path, str(detail["loc"][-1]))
        spot = tree.values.get(path, Spot(1, 1))
        return Mistake(spot, nodes.field_text(missing), "is missing")
    at_key = detail["loc"][-1:] == ("[key]",)
    return _placed(tree, path, _sentence(detail), at_key)


def _placed(tree: Tree, path: Key, sentence: str, at_key: bool = False) -> Mistake:
    spots = tree.keys if at_key else tree.values
    spot, inner = spots.get(path), path
    while spot is None:
        inner = inner[:-1]
        spot = tree.values.get(inner)
    return Mistake(spot, nodes.field_text(path), sentence)


def _path(tree: Tree, loc: tuple[int | str, ...]) -> Key:
    """Return the part of a location that is a place in the text."""
    path: Key = ()
    for part in loc:
        if (*path, part) not in tree.values:
            break
        path = (*path, part)
    return path


def _unknown(parent: Key, key: str) -> str:
    """Say what a key might have been: here, or where else it belongs."""
    known = keys_below(Policy, parent)
    close = fields.nearest(key, known)
    if close:
        return f"there is no such key{close}"
    home = next((p for p in _parents() if key in keys_below(Policy, p)), None)
    if home is not None:
        return f"there is no such key here; it belongs under {nodes.field_text(home)}"
    return f"there is no such key; known here: {', '.join(known)}"


def _parents() -> list[Key]:
    """Return the parts of a policy whose keys are fixed."""
    return [
        *((name,) for name in keys_below(Policy, ()) if keys_below(Policy, (name,))),
        ("workloads", "NAME"),
        ("workloads", "NAME", "match"),
        ("workloads", "NAME", "slo"),
    ]


def keys_below(model: type[BaseModel], path: Key) -> list[str]:
    """Return the keys that a policy may have at a place; [] for a leaf."""
    found = part_at(model, path)
    if found is None:
        return []
    return [field.alias or name for name, field in found.model_fields.items()]


def part_at(model: type[BaseModel], path: Key) -> type[BaseModel] | None:
    """Return the model of the part at a place; None for a leaf or no such place."""
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            entries = current.model_fields.items()
            of = {field.alias or name: field.annotation for name, field in entries}
            current = _inside(of.get(str(part)))
        elif typing.get_origin(current) in (dict, tuple):
            current = _inside(typing.get_args(current)[-2:][current_index(current)])
        else:
            return None
    if isinstance(current, type) and issubclass(current, BaseModel):
        return current
    return None


def current_index(container: Any) -> int:
    """Return which argument of dict[K, V] or tuple[V, ...] holds the values."""
    return 1 if typing.get_origin(container) is dict else 0


def _inside(annotation: Any) -> Any:
    """Take Optional and Annotated off a type."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _inside(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        real = [a for a in typing.get_args(annotation) if a is not type(None)]
        return _inside(real[0])
    return annotation


def _sentence(detail: ErrorDetails) -> str:
    """Return a finding of pydantic as one of our sentences."""
    given, kind = detail["input"], detail["type"]
    context = detail.get("ctx", {})
    if kind == "vagus":
        return str(detail["msg"])
    if kind in ("enum", "literal_error"):
        expected = str(context.get("expected", "")).replace("'", "")
        listed = expected.replace(" or ", ", ").split(", ")
        close = fields.nearest(str(given), listed) if isinstance(given, str) else ""
        return f"expected {expected}, not {_shown(given)}{close}"
    wanted = {
        "string_type": "text",
        "string_unicode": "text",
        "dict_type": "a mapping",
        "model_type": "a mapping",
        "model_attributes_type": "a mapping",
        "tuple_type": "a list",
        "bool_type": "true or false",
        "bool_parsing": "true or false",
        "float_type": "a number",
        "float_parsing": "a number",
    }.get(kind)
    if wanted is None:
        return f"{detail['msg']}, not {_shown(given)}"
    return f"expected {wanted}, not {_shown(given)}"


def _shown(given: object) -> str:
    return units.show(given)
