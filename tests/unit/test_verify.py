# SPDX-License-Identifier: MIT
"""Verification, rule by rule."""

import msgspec
import pytest

from vagus import verify as v
from vagus.codes import Code
from vagus.flow import (
    Act,
    Identity,
    Mode,
    Proposal,
    Resource,
    Role,
    Stance,
    Window,
    Word,
    WorkloadWindow,
)
from vagus.policy import load

S = 1_000_000_000
NOW = 1_000 * S
POLICY = """\
mode: enforce
objective: Keep the shop fast. The backup can wait.
workloads:
  shop: {slo: {run_queue_p99: 2ms}}
  backup:
  core: {protect: true}
  spare: {mode: observe}
  careful: {mode: advise}
  chosen: {match: {comm: nginx}, slo: {io_p99: 5ms}}
never_touch: [postgresql.service, /secret.slice/**, dont-*]
budget: {actions_per_minute: 4, workloads: 3, cooldown: 5s}
"""
MANAGER = "/user.slice/user-1000.slice/user@1000.service"
USERS = f"{MANAGER}/app.slice"
SESSION = "/user.slice/user-1000.slice/session-2.scope"
PLACES = {
    "postgres": "/system.slice/system-postgresql.slice/postgresql@15-main.service",
    "hidden": "/secret.slice/x.service",
    "mine": f"{USERS}/mine.service",
}


def workload(name, word=Word.BAD, cgroup="", exe="", description="", policy="", by=""):
    """Return a workload that suffers so on every resource."""
    return WorkloadWindow(
        name=name,
        cgroup=cgroup or PLACES.get(name, f"/system.slice/{name}.service"),
        cgroup_id=1,
        identity=Identity(unit_description=description, exe=exe, comm="nginx"),
        role=Role("web", "service", "model"),
        numbers={},
        words=dict.fromkeys(Resource, word),
        uses={},
        policy=policy,
        by=by,
    )


def window(*names, **words):
    """Return a window with these workloads and always a bystander."""
    listed = [workload(name) for name in (*names, "bystander")]
    listed += [workload(name, word) for name, word in words.items()]
    return Window(1, 0, S, {one.name: one for one in listed}, {})


def protect(name, resource=Resource.CPU, strength=1):
    return Stance(name, Act.PROTECT, resource, strength)


def yields(name, resource=Resource.CPU, strength=1):
    return Stance(name, Act.YIELD, resource, strength)


def ask(
    stances,
    seen=None,
    policy=POLICY,
    state=None,
    now=NOW,
    decider="llm",
    fallback="",
):
    """Verify stances; by default of workloads that are all there."""
    if seen is None:
        seen = window(*(stance.workload for stance in stances))
    proposal = Proposal(decider, list(stances), "because", fallback=fallback)
    if isinstance(policy, str):
        policy = load.loads(policy)
    return v.verify(proposal, seen, policy, state or v.VerifyState(), now)


def refused(stance, **how):
    """Return the only refusal, of a stance that then does not stand."""
    verdict, state = ask([stance], **how)
    assert verdict.allowed == [] and state.standing == {}
    (found,) = verdict.refused
    assert (found.workload, found.resource) == (stance.workload, stance.resource)
    return found.code, found.sentence


def test_what_passes_stands():
    verdict, state = ask([protect("shop"), yields("backup")])
    assert verdict.allowed == [protect("shop"), yields("backup")]
    assert verdict.refused == []
    assert verdict.mode is Mode.ENFORCE
    assert state.standing == {"shop": protect("shop"), "backup": yields("backup")}
    assert state.actions_ns == (NOW, NOW)


def test_unknown_workload():
    stance = yields("ghost")
    assert refused(stance, seen=window("shop")) == (
        "unknown_workload",
        "ghost: yield cpu 1 refused: there is no such workload now",
    )


@pytest.mark.parametrize("strength", [-1, 0, 4, 1000])
def test_malformed_strength(strength):
    assert refused(yields("backup", strength=strength)) == (
        "malformed",
        f"backup: yield cpu {strength} refused: strength is 1, 2 or 3, not {strength}",
    )


def test_second_stance_for_a_workload():
    verdict, _ = ask([yields("backup"), protect("backup"), yields("backup")])
    assert verdict.allowed == [yields("backup")]
    (found,) = verdict.refused
    assert found.code == "duplicate"
    assert found.sentence == (
        "backup: protect cpu 1 refused: one stance for a workload, and it has"
        " yield cpu 1"
    )


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("postgres", "postgresql.service"),
        ("hidden", "/secret.slice/**"),
        ("dont-look", "dont-*"),
    ],
)
def test_never_touch_beats_everything(name, pattern):
    for stance in (protect(name), yields(name)):
        said = refused(stance, decider="static")
        assert said[0] == "never_touch"
        assert said[1].endswith(f"refused: never_touch has {pattern}")


def test_observed_workload_is_left_alone():
    code, sentence = refused(yields("spare"))
    assert code == "mode"
    assert sentence == "spare: yield cpu 1 refused: its mode is observe"


def test_observe_mode_refuses_everything():
    verdict, state = ask(
        [protect("shop"), yields("careful")],
        policy=POLICY.replace("enforce", "observe"),
    )
    assert verdict.mode is Mode.ADVISE  # careful has a mode of its own
    assert verdict.allowed == [yields("careful")]
    assert [r.code for r in verdict.refused] == ["mode"]
    assert state.standing == {}


def test_advised_workload_in_enforce_mode():
    verdict, state = ask([yields("backup"), yields("careful")])
    assert verdict.allowed == [yields("backup")]
    assert verdict.advised == [yields("careful")]
    assert "careful" not in state.standing


def test_advice_costs_nothing_and_stands_nowhere():
    policy = POLICY.replace("enforce", "advise")
    verdict, state = ask([protect("shop"), yields("backup")], policy=policy)
    assert verdict.mode is Mode.ADVISE
    assert len(verdict.allowed) == 2
    assert state == v.VerifyState()


@pytest.mark.parametrize("decider", ["llm", "static", "rules", "bandit", "random"])
def test_hard_protection_is_hard_for_everybody(decider):
    assert refused(yields("core"), decider=decider) == (
        "protected",
        "core: yield cpu 1 refused: the policy has protect: true for it",
    )


def test_turnabout_sentence_makes_the_shop_yield():
    policy = POLICY.replace(
        "Keep the shop fast. The backup can wait.",
        "Finish the backup; the shop can wait.",
    )
    verdict, _ = ask([yields("shop"), protect("backup")], policy=policy)
    assert verdict.allowed == [yields("shop"), protect("backup")]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"decider": "rules"}, "rules does not read the objective"),
        ({"decider": "random"}, "random does not read the objective"),
        (
            {"decider": "llm", "fallback": "no model"},
            "llm does not read the objective",
        ),
        (
            {
                "policy": POLICY.replace(
                    "Keep the shop fast. The backup can wait.", "''"
                )
            },
            "there is none",
        ),
    ],
)
def test_slo_yields_only_by_the_operators_word(how, reason):
    code, sentence = refused(yields("shop"), **how)
    assert code == "objective"
    assert sentence == f"shop: yield cpu 1 refused: it has an SLO, and {reason}"


def test_static_stances_are_the_operators_word():
    verdict, _ = ask([yields("shop")], decider="static")
    assert verdict.allowed == [yields("shop")]


@pytest.mark.parametrize(
    "one",
    [
        workload("stranger", cgroup="/x.slice/stranger.service", exe="/tmp/nginx"),
        workload("stranger", exe="/usr/bin/python3.13"),
        workload("stranger", exe="/usr/bin/nginx (deleted)"),
        workload("stranger", exe="/usr/../tmp/nginx"),
        # LD_PRELOAD=./miner.so /usr/sbin/nginx: anybody may start what is installed.
        workload("stranger", exe="/usr/sbin/nginx"),
        workload("miner", cgroup=f"{USERS}/miner.scope", exe="/usr/bin/firefox"),
        # What systemd says of a session or a container is not what runs in it.
        workload("session-2", cgroup=SESSION, exe="/usr/bin/x", description="Of eve"),
        workload("box", cgroup="/system.slice/docker-1.scope", description="A box"),
        # A container that calls its own cgroup like a unit of the machine's.
        workload("ssh", cgroup="/lxc.payload.c1/ssh.service", description="OpenSSH"),
        workload("user@1000", cgroup=MANAGER, description="User Manager"),
        workload("stranger", cgroup=f"{USERS}/stranger.service", description="Shop"),
        # Named in the sentence, but by a name of the user's own choice.
        workload("shop", cgroup=f"{USERS}/shop.service", policy="shop", by="unit"),
        workload("backup", cgroup=f"{USERS}/backup.service"),
        # The policy's entry for it goes by the command name alone.
        workload("chosen", policy="chosen", by="comm"),
    ],
)
def test_own_word_is_not_enough_for_protection(one):
    seen = Window(1, 0, S, {one.name: one}, {})
    code, sentence = refused(protect(one.name), seen=seen)
    assert code == "provenance"
    assert sentence.endswith(
        "only its own name and arguments speak for it; name it in the policy"
    )


def test_own_word_is_enough_to_yield():
    """And an SLO that was claimed by a command name does not help against it."""
    chosen = workload("chosen", policy="chosen", by="comm")
    seen = Window(1, 0, S, {"chosen": chosen, "x": workload("x")}, {})
    verdict, _ = ask([yields("chosen")], seen=seen, decider="rules")
    assert verdict.allowed == [yields("chosen")]


@pytest.mark.parametrize(
    "one",
    [
        workload("stranger", description="Some system service"),
        workload("stranger", cgroup="/x.slice/x-y.slice/a.service", description="It"),
        workload("shop", exe="/tmp/x"),
        workload("billing", cgroup="/billing"),
    ],
)
def test_somebody_elses_word_is_enough_for_protection(one):
    seen = Window(1, 0, S, {one.name: one}, {})
    policy = load.loads(POLICY).with_objective("The Billing comes first.")
    verdict, _ = ask([protect(one.name)], seen=seen, policy=policy)
    assert verdict.allowed == [protect(one.name)]


def test_what_a_person_approved_needs_no_other_word():
    one = workload("stranger", exe="/tmp/x")
    seen = Window(1, 0, S, {n: workload(n) for n in ("shop", "core")}, {})
    seen.workloads["stranger"] = one
    stances = [protect("stranger"), yields("shop")]
    verdict, _ = ask(stances, seen=seen, decider="operator")
    assert verdict.allowed == stances
    for hard in (yields("core"), protect("postgres")):
        assert refused(hard, decider="operator")[0] in ("protected", "never_touch")


@pytest.mark.parametrize(
    ("mode", "others", "advised"),
    [
        (Mode.OBSERVE, [], []),
        (Mode.ADVISE, [], [yields("backup")]),
        (Mode.ENFORCE, [yields("backup")], []),
    ],
)
def test_what_is_approved_stands_in_any_mode(mode, others, advised):
    policy = load.loads(POLICY).with_mode(mode).approving([protect("x")])
    verdict, _ = ask([protect("x"), yields("backup")], policy=policy)
    assert verdict.mode is Mode.ENFORCE
    assert verdict.allowed == [protect("x"), *others]
    assert verdict.advised == advised
    # While it has to wait nothing stands in its place that only it was let.
    state = v.VerifyState({"x": yields("x")}, changed_ns={"x": NOW - S})
    verdict, _ = ask([protect("x")], state=state, policy=policy)
    assert verdict.allowed == ([yields("x")] if mode is Mode.ENFORCE else [])


def test_a_name_inside_another_word_is_no_mention():
    one = workload("hop", cgroup="/hop")
    seen = Window(1, 0, S, {one.name: one}, {})
    policy = load.loads(POLICY).with_objective("Keep the shop and hop-scotch fast.")
    assert refused(protect("hop"), seen=seen, policy=policy)[0] == "provenance"


def test_second_cgroup_of_an_entry_has_its_rights():
    one = workload("core@77", cgroup="/system.slice/core.service", policy="core")
    seen = Window(1, 0, S, {one.name: one, "x": workload("x")}, {})
    assert refused(yields("core@77"), seen=seen)[0] == "protected"


def test_quarantine_holds_up_to_its_strength_and_time():
    refuted = yields("backup", strength=2)
    state = v.quarantined(v.VerifyState(), refuted, NOW + 90 * S)
    assert refused(yields("backup"), state=state) == (
        "quarantine",
        "backup: yield cpu 1 refused: it did not help; not before 90 s",
    )
    assert refused(refuted, state=state)[0] == "quarantine"
    for other in (yields("backup", Resource.IO), protect("backup")):
        assert ask([other], state=state)[0].allowed == [other]
    verdict, after = ask([refuted], state=state, now=NOW + 90 * S)
    assert verdict.allowed == [refuted] and after.quarantine == ()


def test_lowered_strength_is_quarantined_too():
    state = v.quarantined(v.VerifyState(), yields("backup", strength=2), NOW + S)
    verdict, _ = ask([yields("backup", strength=3)], state=state)
    assert verdict.allowed == []
    assert [r.code for r in verdict.refused] == ["strength", "quarantine"]


def test_strength_three_follows_two():
    verdict, state = ask([yields("backup", strength=3)])
    assert verdict.allowed == [yields("backup", strength=2)]
    assert [(r.code, r.sentence) for r in verdict.refused] == [
        (
            "strength",
            "backup: yield cpu 3 refused: 3 follows a standing 2 or a critical word;"
            " 2 for now",
        )
    ]
    verdict, _ = ask([yields("backup", strength=3)], state=state, now=NOW + 5 * S)
    assert verdict.allowed == [yields("backup", strength=3)]


def test_a_standing_two_on_another_resource_does_not_count():
    _, state = ask([yields("backup", Resource.IO, 2)])
    verdict, _ = ask([yields("backup", strength=3)], state=state, now=NOW + 5 * S)
    assert verdict.allowed == [yields("backup", strength=2)]


def test_critical_word_allows_strength_three_at_once():
    seen = window("backup", shop=Word.CRITICAL)
    stances = [protect("shop", strength=3), yields("backup", strength=3)]
    assert ask(stances, seen=seen)[0].allowed == stances


def test_ones_own_critical_word_does_not_make_others_yield_hard():
    seen = window("backup", stranger=Word.CRITICAL)
    verdict, _ = ask([yields("backup", strength=3)], seen=seen)
    assert verdict.allowed == [yields("backup", strength=2)]


def test_somebody_must_gain():
    seen = Window(1, 0, S, {n: workload(n) for n in ("backup", "x")}, {})
    verdict, state = ask([yields("backup"), yields("x")], seen=seen)
    assert verdict.allowed == [] and state.standing == {}
    assert {r.sentence for r in verdict.refused} == {
        "backup: yield cpu 1 refused: everybody would yield, so nobody would gain",
        "x: yield cpu 1 refused: everybody would yield, so nobody would gain",
    }
    mixed = [yields("backup"), yields("x", Resource.IO)]
    assert ask(mixed, seen=seen)[0].allowed == mixed


def test_cooldown_keeps_the_former_stance():
    _, state = ask([yields("backup")])
    verdict, after = ask([protect("backup")], state=state, now=NOW + 4 * S)
    assert verdict.allowed == [yields("backup")]
    assert [(r.code, r.sentence) for r in verdict.refused] == [
        (
            "cooldown",
            "backup: protect cpu 1 refused: it was changed lately; not before 1.0 s",
        )
    ]
    assert after.changed_ns == state.changed_ns
    verdict, _ = ask([protect("backup")], state=after, now=NOW + 5 * S)
    assert verdict.allowed == [protect("backup")]


def test_cooldown_does_not_keep_what_is_forbidden_meanwhile():
    _, state = ask([yields("backup")])
    policy = POLICY.replace("dont-*", "backup")
    verdict, after = ask([protect("backup")], state=state, policy=policy)
    assert verdict.allowed == [] and after.standing == {}


def test_withdrawal_is_always_allowed_and_starts_a_cooldown():
    _, state = ask([yields("backup")])
    seen = window("backup")
    for gone in ([], [Stance("backup", Act.LEAVE, strength=0)]):
        verdict, after = ask(gone, seen=seen, state=state, now=NOW + 1)
        assert verdict.allowed == [] and verdict.refused == []
        assert after.changed_ns["backup"] == NOW + 1
        code, _ = refused(yields("backup"), seen=seen, state=after, now=NOW + 2)
        assert code == "cooldown"


def test_vanished_workload_has_no_cooldown():
    _, state = ask([yields("backup")])
    _, state = ask([], seen=window("shop"), state=state, now=NOW + 10 * S)
    verdict, _ = ask([yields("backup")], state=state, now=NOW + 11 * S)
    assert verdict.allowed == [yields("backup")]


def test_critical_trouble_may_raise_within_the_cooldown():
    _, state = ask([protect("shop")])
    seen = window(shop=Word.CRITICAL)
    verdict, _ = ask([protect("shop", strength=3)], seen=seen, state=state)
    assert verdict.allowed == [protect("shop", strength=3)]
    verdict, _ = ask([yields("shop", strength=3)], seen=seen, state=state)
    assert verdict.allowed == [protect("shop")]


def test_budget_of_actions_slides():
    policy = POLICY.replace("workloads: 3", "workloads: 9")
    names = ["a", "b", "c", "d", "e"]
    verdict, state = ask([yields(n) for n in names], policy=policy)
    assert [s.workload for s in verdict.allowed] == names[:4]
    (found,) = verdict.refused
    assert (found.code, found.sentence) == (
        "budget",
        "e: yield cpu 1 refused: 4 actions a minute are used up",
    )
    again = [yields(n) for n in names]
    verdict, _ = ask(again, policy=policy, state=state, now=NOW + 60 * S - 1)
    assert [r.code for r in verdict.refused] == ["budget"]
    verdict, _ = ask(again, policy=policy, state=state, now=NOW + 60 * S)
    assert len(verdict.allowed) == 5


def test_budget_goes_to_the_protected_and_the_strong_first():
    stances = [yields("a"), yields("b", strength=2), protect("shop")]
    policy = POLICY.replace("actions_per_minute: 4", "actions_per_minute: 2")
    verdict, _ = ask(stances, policy=policy)
    assert verdict.allowed == [yields("b", strength=2), protect("shop")]


def test_workloads_at_once():
    verdict, state = ask([yields(n) for n in "abcd"])
    assert len(verdict.allowed) == 3
    (found,) = verdict.refused
    assert (found.code, found.sentence) == (
        "workloads",
        "d: yield cpu 1 refused: 3 workloads at once, and no more",
    )
    assert len(state.standing) == 3


def test_a_smaller_budget_ends_what_is_too_much():
    _, state = ask([yields(n) for n in "abc"])
    policy = POLICY.replace("workloads: 3", "workloads: 1")
    verdict, after = ask([yields(n) for n in "abc"], policy=policy, state=state)
    assert len(verdict.allowed) == 1 == len(after.standing)


def test_unchanged_stances_cost_nothing():
    _, state = ask([yields("backup")])
    for turn in range(1, 30):
        verdict, state = ask([yields("backup")], state=state, now=NOW + turn * S)
        assert verdict.allowed == [yields("backup")]
    assert state.actions_ns == (NOW,)


def test_order_is_the_proposals():
    stances = [yields("a"), protect("shop"), yields("b")]
    assert ask(stances)[0].allowed == stances


def test_after_off_nothing_stands():
    _, state = ask([yields("backup", strength=2)])
    state = v.forgotten(state)
    assert state.standing == {} and state.actions_ns == (NOW,)


def test_state_is_a_value_that_can_be_recorded():
    _, state = ask([yields("backup")])
    state = v.quarantined(state, yields("backup"), NOW + S)
    text = msgspec.json.encode(state)
    assert msgspec.json.decode(text, type=v.VerifyState) == state


def test_codes_are_stable():
    assert [code.value for code in Code] == [
        *("duplicate", "malformed", "unknown_workload", "never_touch", "mode"),
        *("protected", "objective", "provenance", "quarantine", "strength"),
        *("nobody_gains", "cooldown", "budget", "workloads"),
        *("knob", "path", "value", "bounds", "step", "working_set", "total"),
    ]
