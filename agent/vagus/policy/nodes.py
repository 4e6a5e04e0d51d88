# SPDX-License-Identifier: MIT
"""YAML text to plain data, and where in the text each value stands.

A strict subset: one document, UTF-8, text keys, no tags, no merge keys; plain
scalars are true, false, null, decimal numbers or text, so that 22:00 and `no` stay
what they look like.  Size, depth and the number of values are bounded before
anything is built: anchors cannot blow up, nesting cannot exhaust the stack.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

SIZE_BYTES = 256 * 1024
DEPTH = 32
VALUES = 20_000
KEYS_SHOWN = 64
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
Key = tuple[str | int, ...]


class Spot(NamedTuple):
    """A place in the text; both count from 1."""

    line: int
    column: int


class Mistake(NamedTuple):
    """What is wrong, and where; field is '' for the whole file."""

    spot: Spot
    field: str
    sentence: str


class Tree(NamedTuple):
    """The data of a document with its positions."""

    data: object
    keys: dict[Key, Spot]  # of the key, or of the list item
    values: dict[Key, Spot]


def read(raw: bytes) -> tuple[Tree | None, list[Mistake]]:
    """Parse a document; never raises, whatever the bytes are."""
    if len(raw) > SIZE_BYTES:
        size = f"the file has {len(raw)} bytes; a policy has at most {SIZE_BYTES}"
        return None, [Mistake(Spot(1, 1), "", size)]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = _spot_of(raw[: error.start].decode("utf-8", "replace"))
        what = f"byte 0x{raw[error.start]:02x} is not UTF-8 text"
        return None, [Mistake(where, "", what)]
    return _compose(text)


def _compose(text: str) -> tuple[Tree | None, list[Mistake]]:
    try:
        deep = _too_deep(text)
        if deep is not None:
            return None, [Mistake(deep, "", f"is nested deeper than {DEPTH} levels")]
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        what = f"character {error.character!r:.12} is not allowed in YAML"
        if isinstance(error.character, int):
            what = f"character U+{error.character:04X} is not allowed in YAML"
        return None, [Mistake(_spot_of(text[: error.position]), "", what)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = _spot(mark) if mark else Spot(1, 1)
        return None, [Mistake(where, "", _syntax(error))]
    except (yaml.YAMLError, ValueError, IndexError, RecursionError) as error:
        # PyYAML lets a few of these through, for example on '!<' or '%YAML 9…9'.
        return None, [Mistake(Spot(1, 1), "", f"is not YAML: {error!s:.80}")]
    if node is None:
        return Tree({}, {}, {(): Spot(1, 1)}), []
    walk = _Walk()
    data = walk.value(node, ())
    return Tree(data, walk.keys, walk.values), walk.mistakes


class _Walk:
    """One pass over composed nodes; collects data, positions and mistakes."""

    def __init__(self) -> None:
        self.keys: dict[Key, Spot] = {}
        self.values: dict[Key, Spot] = {}
        self.mistakes: list[Mistake] = []
        self._left = VALUES

    def value(self, node: yaml.Node, path: Key) -> object:
        """Return the data of a node, in the order of the text."""
        self.values[path] = _spot(node.start_mark)
        self._left -= 1
        if self._left == 0:
            self._wrong(node, path, f"is over {VALUES} values, anchors expanded")
        if self._left <= 0:
            return None
        if len(path) > DEPTH:  # an alias inside its own anchor
            self._wrong(node, path, f"is nested deeper than {DEPTH} levels")
            return None
        if node.tag not in _PLAIN_TAGS:
            self._wrong(node, path, f"tags such as {node.tag!s:.40} are not supported")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = enumerate(node.value)
            return [self.value(item, (*path, number)) for number, item in items]
        return _scalar(node) if isinstance(node, yaml.ScalarNode) else None

    def _mapping(self, node: yaml.MappingNode, path: Key) -> dict[str, object]:
        data: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._wrong(key_node, path, "a key must be plain text")
                continue
            key = str(key_node.value)
            inner = (*path, key)
            if key_node.tag == "tag:yaml.org,2002:merge":
                self._wrong(key_node, inner, "merge keys are not supported")
            elif key in data:
                first = self.keys[inner].line
                self._wrong(key_node, inner, f"is there twice; first in line {first}")
            else:
                self.keys[inner] = _spot(key_node.start_mark)
                data[key] = self.value(value_node, inner)
        return data

    def _wrong(self, node: yaml.Node, path: Key, sentence: str) -> None:
        if len(self.mistakes) < KEYS_SHOWN:
            spot = _spot(node.start_mark)
            self.mistakes.append(Mistake(spot, field_text(path), sentence))


_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in (
        *("map", "seq", "str", "int", "float", "bool", "null", "timestamp"),
        *("merge", "value"),
    )
)


def field_text(path: Key) -> str:
    """Write a path as people do: limits.cpu.weight.max, workloads.a.match.comm[0]."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        shown = part if len(part) <= KEYS_SHOWN else part[: KEYS_SHOWN - 1] + "…"
        safe = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in shown)
        text += f".{safe}" if text else safe
    return text


def _scalar(node: yaml.ScalarNode) -> object:
    """Return a plain scalar's value; what is quoted is text."""
    text = str(node.value)
    if node.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _too_deep(text: str) -> Spot | None:
    """Return where nesting passes DEPTH; the event stream needs no stack."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH:
                return _spot(event.start_mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def _syntax(error: yaml.MarkedYAMLError) -> str:
    """Say what PyYAML found, with what it was reading."""
    problem = str(error.problem or "is not YAML")
    context = f" {error.context}" if error.context else ""
    text = f"is not YAML: {problem}{context}"
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return text if len(text) <= 200 else text[:199] + "…"


def _spot(mark: Any) -> Spot:
    """Return the place of a mark; its type differs between PyYAML's two parsers."""
    return Spot(mark.line + 1, mark.column + 1) if mark else Spot(1, 1)


def _spot_of(before: str) -> Spot:
    """Return the place behind some text."""
    lines = before.split("\n")
    return Spot(len(lines), len(lines[-1]) + 1)
