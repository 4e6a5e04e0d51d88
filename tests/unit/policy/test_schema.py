# SPDX-License-Identifier: MIT
"""The JSON Schema lets through whatever the loader does, and not much more."""

import ast
import re
from pathlib import Path

import pytest

from vagus.policy import describe, load, nodes

ROOT = Path(__file__).parents[3]
SCHEMA = describe.schema()
KEYS = "|".join(SCHEMA["properties"])
LIKE_ONE = re.compile(rf"^\s*(?:{KEYS}):", re.MULTILINE)
TYPES = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "null": type(None),
    "object": dict,
    "array": list,
}
# All of JSON Schema that describe.schema() uses; another word fails the test.
SAID = {"title", "description", "default", "$schema", "$defs"}


def wrong(data, schema=SCHEMA, at=""):
    """Return where some data are not what a schema says, '' for nowhere."""
    schema = dict(schema)
    if "$ref" in schema:
        found = wrong(data, SCHEMA["$defs"][schema.pop("$ref").rpartition("/")[2]], at)
        if found:
            return found
    for word, value in schema.items():
        if word not in SAID and (found := CHECKS[word](data, value, schema, at)):
            return found
    return ""


def is_of(data, kind):
    if isinstance(data, bool):
        return kind == "boolean"
    return isinstance(data, TYPES[kind])


def one_of_types(data, kinds, _schema, at):
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return "" if any(is_of(data, kind) for kind in kinds) else f"{at} {data!r}: {kinds}"


def each_item(data, items, _schema, at):
    items = {} if not isinstance(data, list) else dict.fromkeys(range(len(data)), items)
    return next((w for n, i in items.items() if (w := wrong(data[n], i, at))), "")


def each_key(data, known, schema, at):
    if not isinstance(data, dict):
        return ""
    other = schema.get("additionalProperties", {})
    for key, value in data.items():
        rule = known.get(key, other)
        if rule is False:
            return f"{at}.{key} is not known"
        if found := wrong(value, rule, f"{at}.{key}"):
            return found
    return ""


CHECKS = {
    "type": one_of_types,
    "enum": lambda data, known, _, at: "" if data in known else f"{at}: {known}",
    "const": lambda data, only, _, at: "" if data == only else f"{at}: {only}",
    "anyOf": lambda data, ways, _, at: min((wrong(data, w, at) for w in ways), key=len),
    "pattern": lambda data, one, _, at: (
        "" if not isinstance(data, str) or re.search(one, data) else f"{at}: {one}"
    ),
    "items": each_item,
    "properties": each_key,
    "additionalProperties": lambda data, rule, schema, at: (
        "" if "properties" in schema else each_key(data, {}, schema, at)
    ),
    "required": lambda data, keys, _, at: (
        "" if not isinstance(data, dict) or set(keys) <= set(data) else f"{at}: {keys}"
    ),
}


def texts():
    """Return everything in the tests and pages that could be a policy."""
    for path in sorted((ROOT / "tests").rglob("*.yaml")):
        yield path.read_text()
    yield load.default_text()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        yield from re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_schema_takes_every_policy_that_is_used_here():
    good = {t for t in texts() if LIKE_ONE.search(t) and load.check(t).policy}
    assert len(good) > 40
    for text in good:
        tree, _ = nodes.read(text.encode())
        assert not wrong(tree.data), text


@pytest.mark.parametrize(
    "text",
    [
        "record: {age: 7d}",
        "quiet: [{from: 22:00, to: '6:30'}]",
        "static: {shop: protect cpu 2, b: leave, c: yield io}\nworkloads: {shop: }",
        "workloads: {shop: {role: web}, b: {}, c: }",
        "never_touch: 5\nworkloads: {a: {match: {comm: [7, x]}}}",
    ],
)
def test_schema_takes_what_people_write(text):
    assert load.check(text).policy
    tree, _ = nodes.read(text.encode())
    assert not wrong(tree.data)


@pytest.mark.parametrize(
    "text",
    [
        "record: {age: true}",
        "quiet: [{from: 25:00, to: 6:00}]",
        "quiet: [{from: 22:00}]",
        "static: {shop: {act: protect}}",
        "static: {shop: protect cpu 4}",
        "workloads: {shop: {rolle: web}}",
        "budgets: {}",
        "mode: enforced",
    ],
)
def test_schema_refuses_what_the_loader_refuses(text):
    assert not load.check(text).policy
    tree, _ = nodes.read(text.encode())
    assert wrong(tree.data)
