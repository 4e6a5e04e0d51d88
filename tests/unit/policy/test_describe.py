# SPDX-License-Identifier: MIT
"""explain, diff, schema; and tables that are written in two places."""

import json
import re
from pathlib import Path

import pytest

from vagus.decide import prompt
from vagus.errors import PolicyError
from vagus.policy import describe, load, roles
from vagus.policy.knobs import KNOBS, SCHED_EXT
from vagus.policy.model import Policy

ROOT = Path(__file__).parents[3]


def test_every_field_is_explained():
    """No key of the whole tree is without words."""

    def walk(path):
        for key in load.keys_below(Policy, path):
            field = ".".join((*path, key))
            first = describe.explain(field).splitlines()[0]
            assert re.fullmatch(rf"{re.escape(field)}: .{{5,}}", first), field
            walk((*path, key))

    walk(())
    for place in ("workloads.shop", "workloads.shop.match", "workloads.shop.slo"):
        assert "  " in describe.explain(place)
    assert describe.explain().splitlines()[0].startswith("  version: ")


def test_explain_names_default_and_kernel_bounds():
    said = describe.explain("budget.lease")
    assert said.splitlines()[1] == "  default: 10s"
    assert "the kernel takes 1 to 10000 (admin-guide/cgroup-v2)" in describe.explain(
        "limits.cpu.weight"
    )
    assert "default: 12ms" in describe.explain("thresholds.suffers.runq_p99.bad")
    assert "default: false" in describe.explain("workloads.shop.protect")
    assert "it must be given" in describe.explain("workloads.a.slo.function.symbol")


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("bugdet", "bugdet: there is no such field in a policy; did you mean budget?"),
        (
            "budget.leese",
            "leese: there is no such field in budget; did you mean lease?",
        ),
        ("limits.cpu", "cpu: there is no such field in limits"),
    ],
)
def test_unknown_field_is_suggested(field, sentence):
    with pytest.raises(PolicyError) as caught:
        describe.explain(field)
    assert str(caught.value).startswith(sentence)


def test_diff_shows_each_change_in_peoples_units():
    old = load.loads("workloads: {a: , b: }")
    new = load.loads(
        "mode: enforce\nworkloads: {b: , a: {slo: {io_p99: 20ms}}}\n"
        "limits: {memory.high: {min: 64M}, cpu.max: {max: 50%}}\n"
        "budget: {lease: 5s, cooldown: 1min}\nstatic: {a: yield io 2}\n"
        "quiet: [{from: 1:00, to: 2:00}]\nrecord: {size: 1G}"
    )
    assert describe.diff(old, new) == [
        "budget.cooldown: 5s -> 1min",
        "budget.lease: 10s -> 5s",
        "limits.cpu.max.max: (absent) -> 50%",
        "limits.memory.high.min: (absent) -> 64M",
        "mode: advise -> enforce",
        "quiet: [] -> [{from: 01:00, to: 02:00,"
        " days: [mon, tue, wed, thu, fri, sat, sun], mode: observe}]",
        "record.size: 512M -> 1G",
        "static.a: (absent) -> yield io 2",
        "workloads.a.slo.io_p99: (absent) -> 20ms",
        "workloads (the first match wins): a, b -> b, a",
    ]
    assert describe.diff(old, old) == []


def test_schema_is_json_and_knows_the_aliases():
    schema = json.loads(json.dumps(describe.schema()))
    assert schema["additionalProperties"] is False
    assert "cpu.weight" in schema["$defs"]["Limits"]["properties"]
    assert "lease" in schema["$defs"]["Budget"]["properties"]
    limits = set(schema["$defs"]["Limits"]["properties"])
    assert set(KNOBS) == limits | {SCHED_EXT}  # allowed by `scheduler`, or not
    assert schema["properties"]["scheduler"]["enum"] == ["off", "auto", "partial"]


def test_roles_are_those_of_the_stance_page():
    page = (ROOT / "docs/stance.md").read_text()
    rows = re.findall(r"^\| (\w+) \| ([\w, ]+) \|$", page.split("## Roles")[1], re.M)
    listed = {sense: tuple(names.split(", ")) for sense, names in rows[:4]}
    assert listed == dict(roles.ROLES)


def test_roles_are_those_that_the_model_is_asked_for():
    asked = {
        sense: names for sense, names in prompt.ROLES.items() if sense != "unknown"
    }
    assert asked == dict(roles.ROLES)
    assert all(prompt.time_of(name) == roles.time_sense(name) for name in roles.NAMES)
