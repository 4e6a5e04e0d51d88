# SPDX-License-Identifier: MIT
"""A policy's text without secrets, and still a policy.

Only free text is looked at: the objective, a server's address, patterns of secrets,
and comments.  Names, globs and numbers stay as they are, whatever they look like
(`auth:` may be a workload, 64 digits a container): replay needs them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import yaml

from vagus.record.redact import Redactor

# Where free text stands.  Nothing that was decided follows from the last of them.
OBJECTIVE, ADDRESS = ("objective",), ("model", "url")
SECRETS = ("record", "secrets")
_COMMENT = re.compile("#[^\\r\\n\\x85\\u2028\\u2029]*")
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")  # an anchor, which an alias may need
Edit = tuple[int, int, str]  # from, to, what stands there instead


def policy(text: str, redact: Redactor) -> tuple[str, bool]:
    """Return the text without secrets, and whether another policy came of it.

    What is no YAML is redacted as one text.
    """
    if not redact.patterns:
        return text, False
    try:
        values = [*_values(text, redact)]
        clean = _edited(text, [*values, *_comments(text, redact)])
        yaml.compose(clean, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, IndexError, RecursionError):
        clean = redact.text(text)
        return clean, clean != text
    return clean, any(path != SECRETS for path, _ in values)


def _edited(text: str, edits: list[tuple[tuple[str, ...], Edit]]) -> str:
    pieces, at = [], 0
    for _, (start, end, new) in sorted(edits, key=lambda one: one[1]):
        if start >= at:  # not a comment inside what is replaced anyway
            pieces += [text[at:start], new]
            at = end
    return "".join([*pieces, text[at:]])


def _values(text: str, redact: Redactor) -> Iterator[tuple[tuple[str, ...], Edit]]:
    """Yield what replaces each free text that holds a secret, with its place."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for path in (OBJECTIVE, ADDRESS, SECRETS):
        for node in _scalars(root, path):
            clean = redact.text(node.value)
            if clean == node.value:
                continue
            start, end = node.start_mark.index, node.end_mark.index
            raw = text[start:end]
            before = _PROPERTIES.match(raw)
            after = raw[len(raw.rstrip()) :]  # of a block, the end of its line
            quoted = json.dumps(clean, ensure_ascii=False)  # as YAML has it, too
            new = (before[0] if before else "") + quoted + after
            yield path, (start, end, new)


def _scalars(node: yaml.Node | None, path: tuple[str, ...]) -> list[yaml.ScalarNode]:
    """Return the scalars at a place, or in the list at a place."""
    for key in path:
        entries = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for name, value in entries if name.value == key), None)
    found = node.value if isinstance(node, yaml.SequenceNode) else [node]
    # By where it stands: what an alias repeats is there once.
    there = {n.start_mark.index: n for n in found if isinstance(n, yaml.ScalarNode)}
    return [*there.values()]


def _comments(text: str, redact: Redactor) -> Iterator[tuple[tuple[str, ...], Edit]]:
    """Yield what replaces each stretch between two tokens that holds a secret."""
    end = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        start = token.start_mark.index
        between = text[end:start]
        clean = _COMMENT.sub(lambda at: "#" + redact.text(at[0][1:]), between)
        if clean != between:
            yield (), (end, start, clean)
        end = max(end, token.end_mark.index)
