# SPDX-License-Identifier: MIT
"""docs/json.md says what every verb's --json prints; made from the types themselves.

To write it anew: VAGUS_GOLDEN=write pytest tests/unit/cli/test_json_doc.py
"""

import inspect
import os
import re
import typing
from enum import Enum
from pathlib import Path

import msgspec
import pytest

from vagus import flow
from vagus.cli import (
    backtest,
    board,
    bugreport,
    decisions,
    doctor,
    drift,
    events,
    off,
    plan,
    recheck,
    record,
    story,
)
from vagus.record import changes, found

DOC = Path(__file__).parents[3] / "docs/json.md"
PRINTED = {
    "top": board.Board,
    "decisions": list[decisions.Entry],
    "explain": story.Story,
    "events": events.Entry,
    "plan": plan.Plan,
    "verify": list[drift.Drift],
    "off": off.Result,
    "doctor": doctor.Report,
    "replay --check": recheck.Result,
    "backtest": backtest.Report,
    "record ls": found.Summary,
    "record dump": changes.Changes,
    "record dump --whole": flow.Record,
    "record vacuum": record.Shrunk,
    "bugreport": bugreport.Result,
}
LINES = (
    "events",
    "record dump",
    "record dump --whole",
    "replay",
)  # one object a line
HEAD = """\
<!-- SPDX-License-Identifier: MIT -->
# What `--json` prints

Made from the program's own types; a test compares. Times that end in `_ns` are
nanoseconds: wall clock (since 1970) where the name has `wall`, `since`, `decided`,
`first` or `last` in it, else the machine's monotonic clock, or a length of time.
Numbers of workloads have their unit at the end of their name: `runq_p99_ns`,
`cpu_pct`, `read_bytes_per_s`. A number that is unknown is `null` or not there.
Fields may be added; those that are here keep their meaning.

`mode`, `approve`, `undo`, `mute` and `reload` print `order`, their own arguments and
`answer`, the agent's sentence; `say` prints `plan` and `answer`. `lens` prints `kind`,
`count`, `p50_ns`, `p99_ns`, `lost` (not measured), `counts` (a histogram, each from
`from_ns` on) and `stacks`. `policy check` prints, a file, `file`, `ok`, `errors`,
`warnings` and `hash`; `policy explain` prints `field`, `about`, `default` and `kernel`
where there is one, and `below`; `policy default` prints that policy. `replay --json`
prints what `top` prints, one object a line.
Exit codes are in `vagus --help`.
"""


def comments(kind: type) -> dict[str, str]:
    """Return the comment behind each field of a type, or above it."""
    told = {}
    for line in inspect.getsource(kind).splitlines():
        match = re.match(r"    (\w+): [^#]*(?:#\s*(.*))?$", line)
        if match and not line.startswith("        "):
            told[match[1]] = match[2] or ""
    return told


def name_of(kind: object) -> str:
    """Return a type as the document names it."""
    if kind is type(None):
        return "null"
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (list, tuple, set):
        return f"list of {name_of(args[0])}"
    if origin is dict:
        return f"object of {name_of(args[1])}"
    if args:
        return " or ".join(name_of(one) for one in args)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " \\| ".join(f"`{one.value}`" for one in kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"[{kind.__name__}](#{anchor(kind)})"
    words = {"str": "text", "float": "number", "int": "whole number", "bool": "yes/no"}
    words["bytes"] = "Base64"
    return words[kind.__name__]


def anchor(kind: type) -> str:
    return f"{kind.__module__.rpartition('.')[2]}-{kind.__name__}".lower()


def structs(kind: object) -> list[type]:
    """Return the structs that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [one for part in typing.get_args(kind) for one in structs(part)]


def described(kind: type) -> str:
    said = comments(kind)
    hints = typing.get_type_hints(kind)
    summary = (inspect.getdoc(kind) or "").split("\n")[0]
    rows = "".join(
        f"| `{name}` | {name_of(hints[name])} | {said.get(name, '')} |\n"
        for name in kind.__struct_fields__
    )
    title = f'### <a id="{anchor(kind)}"></a>{kind.__name__}'
    return f"\n{title}\n{summary}\n\n| field | type | meaning |\n|---|---|---|\n{rows}"


def document() -> str:
    rows, queue = [], []
    for verb, kind in PRINTED.items():
        lines = ", one object a line" if verb in LINES else ""
        rows.append(f"| `vagus {verb}` | {name_of(kind)}{lines} |\n")
        queue += structs(kind)
    text = HEAD + "\n| verb | prints |\n|---|---|\n" + "".join(rows)
    known: list[type] = []
    while queue:
        kind = queue.pop(0)
        if kind in known:
            continue
        known.append(kind)
        text += described(kind)
        for hint in typing.get_type_hints(kind).values():
            queue += structs(hint)
    return text


def test_the_document_is_what_the_types_say():
    text, made = DOC.read_text() if DOC.exists() else "", document()
    if os.environ.get("VAGUS_GOLDEN") == "write":
        DOC.write_text(made)
        text = made
    parts = made.split("\n### ")
    assert text.startswith(parts[0])
    for part in parts[1:]:
        # Values of flow.py are everybody's: their fields must be there, no more.
        if 'id="flow-' not in part:
            assert part in text
    for field in flow.Record.__struct_fields__:
        assert f"| `{field}` |" in text


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["top"], PRINTED["top"]),
        (["decisions"], PRINTED["decisions"]),
        (["explain", "1"], PRINTED["explain"]),
        (["doctor"], PRINTED["doctor"]),
        (["record", "ls"], PRINTED["record ls"]),
        (["replay", "--check"], PRINTED["replay --check"]),
        (["record", "dump", "--until", "12:00:01"], PRINTED["record dump"]),
        (
            ["record", "dump", "--whole", "--until", "12:00:01"],
            PRINTED["record dump --whole"],
        ),
    ],
)
def test_what_is_printed_is_of_its_type(vagus, words, kind):
    _, out, _ = vagus(*words, "--json")
    msgspec.json.decode(out, type=kind, strict=False)
