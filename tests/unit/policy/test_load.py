# SPDX-License-Identifier: MIT
"""Reading policies: every mistake at once, each at its place, never a crash."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.counts import CASES

from vagus.errors import PolicyError
from vagus.flow import Act, Mode, Resource, Stance
from vagus.policy import load, nodes

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda p: p.stem)
def test_messages_are_as_recorded(path):
    """Every message of the check; VAGUS_GOLDEN=write records them anew."""
    checked = load.check(path.read_bytes(), path.name)
    said = "\n".join([*checked.errors, *checked.warnings]) + "\n"
    recorded = path.with_suffix(".txt")
    if os.environ.get("VAGUS_GOLDEN") == "write":
        recorded.write_text(said)
    assert said == recorded.read_text()
    assert (checked.policy is None) == bool(checked.errors)


def test_every_wrong_golden_line_is_reported_at_that_line():
    """In golden policies each line with a mistake says so in a comment."""
    for path in GOLDEN.glob("*.yaml"):
        lines = path.read_text().splitlines()
        marked = {n for n, line in enumerate(lines, 1) if line.endswith("#!")}
        checked = load.check(path.read_bytes(), "p")
        found = {int(m.split(":")[1]) for m in (*checked.errors, *checked.warnings)}
        assert found == marked, path


def test_bad_file_raises_all_lines_at_once():
    with pytest.raises(PolicyError) as caught:
        load.loads("mode: enforced\ndecider: 7\n", "policy.yaml")
    assert caught.value.exit_code == 2
    assert str(caught.value).splitlines() == [
        "policy.yaml:1:7: mode: expected observe, advise or enforce, not 'enforced';"
        " did you mean enforce?",
        "policy.yaml:2:10: decider: expected llm, rules, bandit, static, none or"
        " random, not 7",
    ]


def test_missing_file_names_the_path(tmp_path):
    with pytest.raises(PolicyError, match=r"gone\.yaml: No such file"):
        load.load(tmp_path / "gone.yaml")


def test_file_of_a_directory_is_an_error_too(tmp_path):
    with pytest.raises(PolicyError, match="Is a directory"):
        load.load(tmp_path)


def test_design_page_policy_means_what_it_says(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(
        """\
version: 1
objective: "Keep the shop fast. Backups and builds can wait. Never touch postgres."
mode: enforce                 # observe | advise | enforce
decider: llm                  # llm | rules | bandit | static | none
workloads:                    # optional: what is not named is discovered
  shop:   {match: {cgroup: "shop.service"}, slo: {run_queue_p99: 2ms}}
  backup: {match: {comm: [restic, rsync]}}
never_touch: [postgresql.service, ssh.service, init.scope]
limits:
  cpu.weight:  {min: 10, max: 1000}
  memory.high: {min: 64M, headroom: 10%}
budget: {actions_per_minute: 12, lease: 10s, agent_cpu: 2%}
"""
    )
    policy = load.load(path)
    assert policy.mode is Mode.ENFORCE
    assert policy.workloads["shop"].slo.numbers() == {"runq_p99_ns": 2_000_000.0}
    assert policy.workloads["backup"].match.comm == ("restic", "rsync")
    assert policy.never_touch == ("postgresql.service", "ssh.service", "init.scope")
    bounds = policy.bounds()
    assert (bounds["cpu.weight"].min, bounds["cpu.weight"].max) == (10, 1000)
    assert bounds["memory.high"].min == 64 << 20
    assert bounds["memory.high"].headroom == 0.1
    assert policy.budget.lease_ms == 10_000
    assert policy.budget.agent_cpu_pct == 2
    assert len(policy.text_hash) == 16


def test_default_policy_advises_and_is_complete():
    policy = load.default()
    assert policy.mode is Mode.ADVISE
    assert load.check(load.default_text()).warnings == []
    written = yaml.safe_load(load.default_text())
    unwritten = load.loads("")
    for key in written:
        assert getattr(policy, key) == getattr(unwritten, key), key


def test_hash_follows_the_text():
    one, other = load.loads("mode: advise"), load.loads("mode: advise\n")
    assert one.model_dump() == other.model_dump()
    assert one.text_hash != other.text_hash
    assert one.text_hash == load.loads("mode: advise").text_hash


def test_workload_without_match_is_the_unit_of_its_name():
    policy = load.loads("workloads: {shop: {role: web}, cache: }")
    assert policy.workloads["shop"].match.unit == "shop.service"
    assert policy.workloads["cache"].match.unit == "cache.service"
    role = policy.workloads["shop"].known_role()
    assert (role.name, role.time_sense, role.source) == ("web", "service", "policy")


def test_static_stances_read_as_sentences():
    policy = load.loads(
        "decider: static\nworkloads: {a: , b: , c: }\n"
        "static: {a: protect cpu 3, b: yield io, c: leave}"
    )
    assert policy.stances() == [
        Stance("a", Act.PROTECT, Resource.CPU, 3),
        Stance("b", Act.YIELD, Resource.IO, 1),
        Stance("c", Act.LEAVE, Resource.CPU, 0),
    ]


def test_slo_replaces_the_guesses_about_its_resource():
    policy = load.loads(
        "workloads: {shop: {slo: {run_queue_p99: 2ms,"
        " function: {exe: /usr/bin/x, symbol: f, p99: 10ms}}}}"
    )
    levels = policy.levels("shop")
    assert levels["runq_p99_ns"] == pytest.approx((1.4e6, 2e6, 6e6))
    assert levels["slo_p99_ns"] == pytest.approx((7e6, 10e6, 30e6))
    assert "psi_cpu_some_pct" not in levels
    assert levels["io_p99_ns"] == policy.levels("")["io_p99_ns"]


def test_one_sided_limits_stay_in_order():
    bounds = load.loads("limits: {nice: {max: -15}, wbt_lat_usec: {min: 2000000}}")
    assert (bounds.bounds()["nice"].min, bounds.bounds()["nice"].max) == (-15, -15)
    wbt = bounds.bounds()["wbt_lat_usec"]
    assert wbt.min <= wbt.max


def test_a_knob_can_be_forbidden():
    policy = load.loads("limits: {memory.high: {allow: false}}")
    assert "memory.high" not in policy.bounds()
    assert "memory.low" in policy.bounds()


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BOMB, "is over 20000 values"),
        ("a: &a [*a]\n", "is nested deeper than 32 levels"),
        ("[" * 100_000, "is nested deeper than 32 levels"),
        ("{" * 100_000, "is nested deeper than 32 levels"),
        ("- " * 100_000, "is nested deeper than 32 levels"),
        ("&a " * 1000, "is not YAML"),
        ("a: 1\n" * 60_000, "the file has"),
        (b"\xff\xfe\x00", "byte 0xff is not UTF-8 text"),
        (b"mode: \xc3", "byte 0xc3 is not UTF-8 text"),
        ("mode: a\0b", "character U+0000 is not allowed"),
        ("mode: advise\n---\nmode: advise\n", "is not YAML"),
        ("!!python/object/apply:os.system [id]", "are not supported"),
        ("mode: !<tag:x> advise", "are not supported"),
        ("? [a, b]\n: c\n", "a key must be plain text"),
        ("? {a: b}\n: c\n", "a key must be plain text"),
        ("<<: {mode: advise}\n", "merge keys are not supported"),
        ("mode: advise\nmode: observe\n", "is there twice; first in line 1"),
        ("- a\n- b\n", "expected a mapping such as 'mode: advise', not a list"),
        ("just text", "expected a mapping such as 'mode: advise', not 'just text'"),
        ("mode: *nowhere", "is not YAML: found undefined alias 'nowhere'"),
        ("%YAML 9.9\n---\nmode: advise", "is not YAML"),
        ("%YAML 1.1 1\n---\n", "is not YAML"),
        ("mode: '\ud800'", "is not UTF-8"),
        ('mode: "\\ud800"', "mode: expected text"),
        ("1: 2\nnull: 3\ntrue: 4\n", "there is no such key"),
        ("version: 99999999999999999999999\n", "expected 1, not"),
        ("budget: {lease: .inf, cooldown: .nan}", "expected a duration"),
        ("limits: {nice: {min: 0x10}}", "expected a whole number, not '0x10'"),
        ("quiet: [{from: 22:00, to: 22:00}]", "no time at all"),
        ("\t mode: x", "is not YAML"),
        ("a: !<!", "is not YAML"),
    ],
)
def test_hostile_text_is_an_error_with_a_place(text, line):
    checked = load.check(text, "p.yaml")
    assert checked.policy is None
    assert any(line in error for error in checked.errors), checked.errors
    for error in checked.errors:
        assert error.isprintable()
        name, row, column, _ = error.split(":", 3)
        assert name == "p.yaml" and int(row) >= 1 and int(column) >= 1
    assert len(checked.errors) <= nodes.KEYS_SHOWN + 1


def test_plain_scalars_stay_what_they_look_like():
    policy = load.loads("objective: no\nquiet: [{from: 22:00, to: 06:00}]")
    assert policy.objective == "no"
    assert (policy.quiet[0].start, policy.quiet[0].end) == (22 * 60, 6 * 60)


@settings(max_examples=CASES, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_a_policy_or_errors(raw):
    checked = load.check(raw)
    assert (checked.policy is None) == bool(checked.errors)


YAML_BITS = st.lists(
    st.sampled_from(
        [
            *("version", "mode", "objective", "workloads", "match", "limits", "slo"),
            *("cpu.weight", "never_touch", "budget", "static", "quiet", "from"),
            *(": ", ":\n", "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", ", "),
            *("&a ", "*a", "!!int ", "!x ", "<<", "? ", "| ", "> ", "'", '"', "#"),
            *("1", "2ms", "64M", "10%", "~", "enforce", "true", ".inf", "\t", "\x85"),
            *("---", "...", "%TAG ! x", "\u2028", "é", "\ufeff", "x" * 300),
        ]
    ),
    max_size=40,
).map("".join)


@settings(max_examples=CASES, deadline=None)
@given(YAML_BITS)
def test_any_yaml_like_text_gives_a_policy_or_errors(text):
    checked = load.check(text)
    assert (checked.policy is None) == bool(checked.errors)
    assert all(line.isprintable() for line in (*checked.errors, *checked.warnings))


KEYS = st.sampled_from(
    [
        *("version", "objective", "mode", "decider", "workloads", "never_touch"),
        *("limits", "reserve", "budget", "thresholds", "model", "decide", "static"),
        *("quiet", "record", "match", "cgroup", "unit", "comm", "exe", "user", "slo"),
        *("cpu.weight", "memory.high", "min", "max", "headroom", "step", "allow"),
        *("run_queue_p99", "function", "suffers", "uses", "warm", "bad", "critical"),
        *("lease", "cooldown", "from", "to", "days", "path", "url", "deadline", "x"),
    ]
) | st.text(max_size=5)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["2ms", "64M", "10%", "enforce", "llm", "22:00", "mon", "shop"]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5)
    ),
    max_leaves=25,
)


@settings(max_examples=CASES, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_any_tree_of_known_keys_gives_a_policy_or_errors(tree):
    checked = load.check(yaml.safe_dump(tree, allow_unicode=True))
    assert (checked.policy is None) == bool(checked.errors)
    assert all(line.isprintable() for line in (*checked.errors, *checked.warnings))


@pytest.mark.parametrize(
    ("first", "second", "covers"),
    [
        ('{unit: "*.service"}', "{unit: shop.service}", True),
        ('{unit: "*.service"}', "{unit: shop}", True),
        ('{unit: "*"}', '{unit: "shop*.service"}', True),
        ('{cgroup: "*.service"}', "{unit: shop}", True),
        ("{unit: shop}", "{cgroup: shop.service}", True),
        ('{unit: "*.service"}', "{cgroup: /system.slice/shop.service}", True),
        ("{cgroup: /system.slice/*}", "{cgroup: /system.slice/shop.service}", True),
        ('{unit: "sh?p.service"}', "{unit: shop}", True),
        ('{exe: "/usr/*"}', "{exe: /usr/bin/x, user: eve}", True),
        ('{comm: ["ng*", x]}', "{comm: [nginx, x], unit: shop}", True),
        # Where it lies, or who runs it, is not said: it may be another.
        ("{cgroup: /system.slice/*}", "{unit: shop}", False),
        ("{cgroup: /shop.service}", "{unit: shop}", False),
        ('{unit: "sh?p.service"}', '{unit: "sh*p.service"}', False),
        ('{unit: "*]"}', '{unit: "sh[op]"}', False),
        ('{unit: "*.service", user: eve}', "{unit: shop}", False),
        ('{unit: "*.service"}', "{comm: nginx}", False),
        # Below a unit the unit chooses the names.
        ('{unit: "*.service"}', "{cgroup: /a.scope/shop.service}", False),
        ('{unit: "shop.service"}', '{unit: "*.service"}', False),
    ],
)
def test_what_can_never_match_is_warned_of(first, second, covers):
    text = f"workloads:\n  web: {{match: {first}}}\n  shop: {{match: {second}}}"
    told = [w for w in load.check(text).warnings if "is never reached: web" in w]
    assert bool(told) is covers, load.check(text)


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("{comm: [restic, rsync]}", "{comm: [scp, rsync]}", "comm rsync"),
        ("{comm: [restic, x]}", '{comm: ["rest*"]}', "comm rest*"),
        ("{unit: shop, user: eve}", "{unit: shop, comm: x}", "shop.service"),
        ('{cgroup: "/a/*", comm: x}', "{cgroup: /a/b, user: eve}", "/a/b"),
        ("{exe: /bin/x, user: eve}", '{exe: "/bin/*", comm: [x]}', "exe /bin/*"),
        # They cannot meet, or have nothing in common that would tell.
        ("{unit: shop, comm: [x, y]}", "{unit: mail, comm: [x, z]}", ""),
        ("{user: eve, comm: [x, y]}", "{user: bob, comm: [x, z]}", ""),
        ("{comm: [x, y]}", "{unit: shop}", ""),
        # The narrow one before the wide one.
        ("{unit: shop}", '{unit: "*.service"}', ""),
        ("{comm: [x]}", '{comm: ["*"]}', ""),
        ("{comm: [x], user: eve}", "{comm: [x, y]}", ""),
    ],
)
def test_conflict_between_two_workloads_is_warned_of(first, second, shared):
    text = f"workloads:\n  web: {{match: {first}}}\n  shop: {{match: {second}}}"
    told = [w for w in load.check(text).warnings if ": web comes first" in w]
    sentence = "workloads.shop.match: web comes first and takes part of it: "
    assert told == ([f"policy.yaml:3:17: {sentence}{shared}"] if shared else [])
