# SPDX-License-Identifier: MIT
"""The decider `rules`, against the stance page where no sentence is read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vagus.decide.rules import Rules
from vagus.decide.standing import Standing, standing
from vagus.flow import (
    Act,
    Identity,
    Quality,
    Resource,
    Role,
    Stance,
    Use,
    Window,
    Word,
    WorkloadWindow,
)
from vagus.policy import load, roles

S = 1_000_000_000
RESOURCES = [resource.value for resource in Resource]


def workload(name, role="unknown", **on):
    """Return a workload; cpu=("bad", "busy") says how it suffers and uses."""
    words, uses = dict.fromkeys(RESOURCES, Word.OK), dict.fromkeys(RESOURCES, Use.IDLE)
    for resource, (word, use) in on.items():
        words[resource], uses[resource] = Word(word), Use(use)
    sense = roles.time_sense(role)
    return WorkloadWindow(
        name, f"/{name}", 1, Identity(), Role(role, sense, "model"), {}, words, uses
    )


def window(*listed, second=1, good=True):
    quality = Quality() if good else Quality(lost={"ring": 3})
    seen = {one.name: one for one in listed}
    return Window(second, (second - 1) * S, second * S, seen, {}, quality)


def said(decider, seen, objective="Keep everybody happy."):
    """Return the stances that do something, as text."""
    decider.consider(seen, objective)
    proposal = decider.answer()
    return None if proposal is None else shown(proposal.stances)


def shown(stances):
    return [
        f"{s.workload}: {s.act} {s.resource} {s.strength}"
        for s in stances
        if s.act is not Act.LEAVE
    ]


def rules(text=""):
    return Rules(load.loads(text))


SHOP = ("shop", "web")
# Cases of docs/stance.md without a sentence, and others read without theirs.
CASES = {
    "case 12": (
        [
            workload("desk", "desktop", cpu=("critical", "busy")),
            workload("build", "build", cpu=("ok", "heavy")),
            workload("mystery", cpu=("ok", "heavy")),
        ],
        ["desk: protect cpu 2", "build: yield cpu 2"],
    ),
    "case 20": (
        [
            workload("billing", "compute", io=("critical", "busy")),
            workload("copy", "backup", io=("ok", "heavy")),
        ],
        ["billing: protect io 2", "copy: yield io 2"],
    ),
    "bad is gentle": (
        [
            workload("shop", "web", cpu=("bad", "busy")),
            workload("build", "build", cpu=("warm", "heavy")),
        ],
        ["shop: protect cpu 1", "build: yield cpu 1"],
    ),
    "warm is no trouble without a sentence": (
        [
            workload("shop", "web", cpu=("warm", "busy")),
            workload("build", "build", cpu=("ok", "heavy")),
        ],
        [],
    ),
    "unknown is never acted upon": (
        [
            workload("shop", "web", cpu=("unknown", "busy")),
            workload("build", "build", cpu=("ok", "heavy")),
        ],
        [],
    ),
    "unknown use does not yield": (
        [
            workload("shop", "web", cpu=("bad", "busy")),
            workload("build", "build", cpu=("ok", "unknown")),
        ],
        ["shop: protect cpu 1"],
    ),
    "light use does not yield": (
        [
            workload("shop", "web", cpu=("bad", "busy")),
            workload("build", "build", cpu=("ok", "light")),
        ],
        ["shop: protect cpu 1"],
    ),
    "who may wait has no trouble": (
        [
            workload("build", "build", cpu=("critical", "heavy")),
            workload("copy", "backup", cpu=("ok", "heavy")),
        ],
        [],
    ),
    "two who matter": (
        [
            workload("shop", "web", cpu=("bad", "heavy")),
            workload("desk", "desktop", cpu=("critical", "heavy")),
        ],
        ["shop: protect cpu 1", "desk: protect cpu 2"],
    ),
    "one stance each, on the worst resource": (
        [
            workload("shop", "web", cpu=("bad", "busy"), memory=("critical", "light")),
            workload("build", "build", cpu=("ok", "heavy"), memory=("ok", "heavy")),
        ],
        ["shop: protect memory 2", "build: yield memory 2"],
    ),
    "tie: cpu before io": (
        [
            workload("shop", "web", cpu=("bad", "busy"), io=("bad", "light")),
            workload("build", "build", cpu=("ok", "heavy"), io=("ok", "heavy")),
        ],
        ["shop: protect cpu 1", "build: yield cpu 1"],
    ),
    "trouble elsewhere": (
        [
            workload("shop", "web", io=("bad", "busy")),
            workload("build", "build", cpu=("ok", "heavy")),
        ],
        ["shop: protect io 1"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_worked_cases(name):
    listed, expected = CASES[name]
    assert said(
        rules("workloads: {billing: {slo: {io_p99: 5ms}}}"), window(*listed)
    ) == (expected)


def test_poor_quality_is_gentle():
    listed, _ = CASES["case 12"]
    assert said(rules(), window(*listed, good=False)) == [
        "desk: protect cpu 1",
        "build: yield cpu 1",
    ]


def test_policy_role_goes_before_the_models():
    policy = load.loads(
        "workloads: {a: {role: backup}, b: {slo: {io_p99: 1s}, role: backup},"
        " c: {time_sense: interactive}, d: {protect: true}, e: }"
    )
    seen = {name: standing(policy, workload(name, "web")) for name in "abcdef"}
    assert seen == {
        "a": Standing.LATER,
        **dict.fromkeys("bcdef", Standing.FIRST),
    }


def test_the_sentence_is_not_read():
    listed, expected = CASES["bad is gentle"]
    for sentence in ("", "Finish the build; the shop can wait.", "\x00" * 99):
        assert said(rules(), window(*listed), sentence) == expected


def test_descriptions_and_names_are_not_read():
    listed, expected = CASES["bad is gentle"]
    loud = [
        WorkloadWindow(
            *(one.name, one.cgroup, one.cgroup_id),
            Identity(
                "protect me",
                "at any price",
                exe="/bin/king",
                comm="root",
                args="--first",
            ),
            *(one.role, one.numbers, one.words, one.uses, ["king"]),
        )
        for one in listed
    ]
    assert said(rules(), window(*loud)) == expected


def test_unchanged_stances_are_said_again_after_the_interval():
    decider = rules("decide: {min_interval: 3s}")
    listed, expected = CASES["case 12"]
    answers = [said(decider, window(*listed, second=n)) for n in range(1, 8)]
    assert answers == [expected, None, None, expected, None, None, expected]


def test_changed_stances_are_said_at_once():
    decider = rules("decide: {min_interval: 1h}")
    listed, expected = CASES["case 12"]
    assert said(decider, window(*listed)) == expected
    milder = [workload("desk", "desktop"), *listed[1:]]
    assert said(decider, window(*milder, second=2)) is None  # held
    calm = [workload("desk", "desktop"), workload("build", "build")]
    assert said(decider, window(*calm, second=3)) == []


def test_stances_are_held_while_somebody_competes():
    decider = rules("decide: {min_interval: 100ms}")
    build = workload("build", "build", cpu=("ok", "heavy"))
    shop = workload("shop", "web", cpu=("critical", "busy"))
    helped = workload("shop", "web", cpu=("ok", "busy"))
    hard = ["shop: protect cpu 2", "build: yield cpu 2"]
    assert said(decider, window(shop, build)) == hard
    assert said(decider, window(helped, build, second=2)) == hard
    other = workload("other", cpu=("ok", "idle"))
    assert said(decider, window(helped, build, other, second=3)) == hard
    gone = window(helped, other, second=4)
    assert said(decider, gone) == []
    assert said(decider, window(helped, build, second=5)) == []


@pytest.mark.parametrize(
    ("rival", "is_held"),
    [(("bad", "light"), True), (("ok", "busy"), True), (("ok", "light"), False)],
)
def test_protection_is_held_while_others_compete_though_nobody_yields(rival, is_held):
    """Below a parent's memory.max nobody takes much of the machine's."""
    decider = rules("decide: {min_interval: 100ms}")
    shop = workload("shop", "web", memory=("bad", "busy"))
    backup = workload("backup", "backup", memory=("bad", "light"))
    protected = ["shop: protect memory 1"]
    assert said(decider, window(shop, backup)) == protected
    helped = workload("shop", "web", memory=("warm", "busy"))
    backup = workload("backup", "backup", memory=rival)
    seen = window(helped, backup, second=2)
    assert said(decider, seen) == (protected if is_held else [])


def test_hold_ends_with_the_competition():
    decider = rules("decide: {min_interval: 100ms}")
    shop = workload("shop", "web", cpu=("bad", "busy"))
    build = workload("build", "build", cpu=("ok", "busy"))
    assert said(decider, window(shop, build)) != []
    quiet = workload("build", "build", cpu=("ok", "light"))
    assert said(decider, window(workload("shop", "web"), quiet, second=2)) == []


def test_cause_names_who_suffers_and_who_takes():
    decider = rules()
    decider.consider(window(*CASES["case 12"][0]), "")
    proposal = decider.answer()
    assert proposal.decider == "rules"
    assert proposal.cause == "desk: cpu critical; build takes it"
    assert decider.answer() is None
    assert decider.fileno() == -1


ON = st.dictionaries(
    st.sampled_from(RESOURCES), st.tuples(st.sampled_from(Word), st.sampled_from(Use))
)
ANY = st.builds(
    lambda name, role, on: workload(name, role, **on),
    st.sampled_from("abcdefgh"),
    st.sampled_from([*roles.NAMES, "unknown"]),
    ON,
)


@settings(deadline=None)
@given(st.lists(ANY, max_size=8, unique_by=lambda one: one.name), st.booleans())
def test_any_window_gives_one_right_stance_each(listed, good):
    decider = rules()
    seen = window(*listed, good=good)
    decider.consider(seen, "")
    stances = decider.answer().stances
    assert [s.workload for s in stances] == list(seen.workloads)
    for stance in stances:
        one = seen.workloads[stance.workload]
        first = one.role.time_sense in ("interactive", "service")
        later = one.role.time_sense in ("throughput", "deferrable")
        if stance == Stance(one.name, Act.LEAVE, strength=0):
            continue
        assert 1 <= stance.strength <= (2 if good else 1)
        if stance.act is Act.PROTECT:
            assert first and one.words[stance.resource] in (Word.BAD, Word.CRITICAL)
        else:
            assert later and one.uses[stance.resource] in (Use.BUSY, Use.HEAVY)
