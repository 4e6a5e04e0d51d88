# SPDX-License-Identifier: MIT
"""Whatever is proposed, whoever runs: no verdict leaves the policy's bounds.

The rules are written here a second time, as simply as possible, and not shared
with the code under test.
"""

import copy
import re
from collections import Counter
from fnmatch import fnmatchcase

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.counts import CASES

from vagus import verify as v
from vagus.codes import Code
from vagus.flow import (
    Act,
    Identity,
    Mode,
    Proposal,
    Quality,
    Resource,
    Role,
    Stance,
    Use,
    Window,
    Word,
    WorkloadWindow,
)
from vagus.policy.model import Policy

S = 1_000_000_000
NAMES = ["shop", "backup", "build", "db", "x", "core", "evil name", "\x1b[2J", "a.b"]
PLACES = [
    "/system.slice/{}.service",
    "/user.slice/user-1000.slice/user@1000.service/{}.service",
    "/system.slice/docker-1.scope/{}",
    "/{}",
    "/secret.slice/{}.scope",
    "/user.slice/user-1000.slice/session-2.scope",
    "/system.slice/docker-1.scope",
    "/lxc.payload.c1/{}.service",
]
EXES = ["", "/usr/bin/nginx", "/tmp/nginx", "/usr/bin/python3", "/opt/x/y"]
PATTERNS = ["db", "db.service", "/secret.slice/**", "*il*", "core", "system.slice"]

names = st.sampled_from(NAMES)
stances = st.builds(
    Stance,
    workload=names,
    act=st.sampled_from(Act),
    resource=st.sampled_from(Resource),
    strength=st.sampled_from([1, 2, 3]) | st.integers(-2, 5),
)
modes = st.sampled_from([mode.value for mode in Mode])
entries = st.fixed_dictionaries(
    {},
    optional={
        "match": st.sampled_from(
            [{"comm": "nginx"}, {"cgroup": "/system.slice/*"}, {"exe": "/usr/**"}]
        ),
        "slo": st.just({"run_queue_p99": "2ms"}),
        "protect": st.booleans(),
        "mode": modes,
        "role": st.sampled_from(["web", "backup"]),
    },
)
safe_names = st.sampled_from(["shop", "backup", "build", "db", "x", "core"])


@st.composite
def policies(draw):
    """Return any policy that verification could meet, mostly an enforcing one."""
    policy = Policy.model_validate(
        {
            "mode": draw(st.sampled_from(["enforce"]) | modes),
            "objective": draw(st.sampled_from(["", "Keep the shop fast."])),
            "workloads": draw(st.dictionaries(safe_names, entries, max_size=5)),
            "never_touch": draw(st.lists(st.sampled_from(PATTERNS), max_size=2)),
            "budget": {
                "actions_per_minute": draw(st.integers(0, 8)),
                "workloads": draw(st.integers(0, 6)),
                "cooldown": draw(st.sampled_from(["0", "1s", "30s"])),
            },
        }
    )
    return policy.approving(draw(st.just([]) | st.lists(stances, max_size=3)))


@st.composite
def workloads(draw, name):
    """Return any workload, hostile ones included."""
    return WorkloadWindow(
        name=name,
        cgroup=draw(st.sampled_from(PLACES)).format(name.replace("/", "_")),
        cgroup_id=1,
        identity=Identity(
            unit_description=draw(st.sampled_from(["", "A unit"])),
            exe=draw(st.sampled_from(EXES)),
            comm="nginx",
        ),
        role=Role("web", "service", "model"),
        numbers={},
        words=draw(st.dictionaries(st.sampled_from(Resource), st.sampled_from(Word))),
        uses=draw(st.dictionaries(st.sampled_from(Resource), st.sampled_from(Use))),
        policy=draw(st.sampled_from(["", "shop", "core", "backup"])),
        by=draw(st.sampled_from(["", "comm", "unit"])),
    )


@st.composite
def windows(draw):
    """Return a window of up to six workloads."""
    chosen = draw(st.lists(names, unique=True, max_size=6))
    seen = {name: draw(workloads(name)) for name in chosen}
    quality = draw(st.sampled_from([Quality(), Quality(lost={"ring": 1})]))
    return Window(1, 0, S, seen, {}, quality)


proposals = st.builds(
    Proposal,
    decider=st.sampled_from(["llm", "rules", "bandit", "static", "random", "??"]),
    stances=st.lists(stances, max_size=9),
    cause=st.just(""),
    fallback=st.sampled_from(["", "no model"]),
)
states = st.builds(
    v.VerifyState,
    # Of the right shape, but of any strength and of workloads now forbidden.
    standing=st.lists(
        stances.filter(lambda s: s.act is not Act.LEAVE),
        unique_by=lambda s: s.workload,
        max_size=4,
    ).map(lambda listed: {s.workload: s for s in listed}),
    changed_ns=st.dictionaries(names, st.integers(0, 200 * S), max_size=4),
    actions_ns=st.lists(st.integers(0, 200 * S), max_size=9).map(tuple),
    quarantine=st.lists(
        st.builds(v.Quarantine, stance=stances, until_ns=st.integers(0, 300 * S)),
        max_size=3,
    ).map(tuple),
)
nows = st.integers(100 * S, 300 * S)


def spared(policy, one):
    """Say in the simplest way whether never_touch covers a workload."""
    parts = one.cgroup.split("/")
    for pattern in policy.never_touch:
        texts = [one.name, one.policy, *parts]
        if any(
            fnmatchcase(t, p) for t in texts for p in (pattern, f"{pattern}.service")
        ):
            return True
        if pattern == "/secret.slice/**" and one.cgroup.startswith("/secret.slice/"):
            return True
    return False


def is_approved(policy, stance):
    return any(
        (one.workload, one.act, one.resource)
        == (stance.workload, stance.act, stance.resource)
        for one in policy.approved
    )


def stays_in_bounds(window, policy, state, now, verdict, after):
    allowed = [*verdict.allowed, *verdict.advised]
    per_workload = Counter(s.workload for s in allowed)
    assert all(count == 1 for count in per_workload.values())
    assert len(verdict.allowed) <= policy.budget.workloads
    for stance in allowed:
        one = window.workloads[stance.workload]
        entry = policy.workloads.get(one.policy or one.name)
        mode = (entry and entry.mode) or policy.mode
        mode = Mode.ENFORCE if is_approved(policy, stance) else mode
        assert not spared(policy, one)
        assert stance.strength in (1, 2, 3)
        assert stance.act is not Act.LEAVE
        assert mode is not Mode.OBSERVE
        if stance in verdict.allowed:
            assert mode is verdict.mode
        for held in state.quarantine:
            same = (held.stance.workload, held.stance.act, held.stance.resource) == (
                stance.workload,
                stance.act,
                stance.resource,
            )
            if same and held.until_ns > now:
                assert stance.strength > held.stance.strength
    for resource in Resource:
        yielding = {
            s.workload
            for s in verdict.allowed
            if s.act is Act.YIELD and s.resource is resource
        }
        assert not yielding or yielding != window.workloads.keys()
    if verdict.mode is not Mode.ENFORCE:
        assert after.standing == {}
    else:
        assert list(after.standing.values()) == verdict.allowed


def lowers_nothing_protected(proposal, window, policy, verdict):
    reads = proposal.decider == "llm" and not proposal.fallback and policy.objective
    for stance in (*verdict.allowed, *verdict.advised):
        one = window.workloads[stance.workload]
        entry = policy.workloads.get(one.policy or one.name)
        if stance.act is not Act.YIELD or entry is None:
            continue
        # By place, in a system unit: nobody can have chosen that for himself.
        match = entry.match
        by_unit = match.unit == f"{one.policy or one.name}.service"
        is_there = one.cgroup == f"/system.slice/{one.policy or one.name}.service"
        by_slice = match.cgroup and one.cgroup.startswith("/system.slice/")
        if (by_unit and is_there) or (by_slice and one.cgroup.count("/") == 2):
            assert not entry.protect
            spoken = proposal.decider == "static" or is_approved(policy, stance)
            assert entry.slo is None or reads or spoken


def protects_nobody_by_his_own_word(window, policy, verdict):
    for stance in (*verdict.allowed, *verdict.advised):
        one = window.workloads[stance.workload]
        if stance.act is not Act.PROTECT or is_described(one):
            continue
        if is_approved(policy, stance):
            continue
        below_a_unit = "/user@" in one.cgroup or "docker-1.scope/" in one.cgroup
        if not below_a_unit and re.search(
            rf"\b{re.escape(one.name)}\b", policy.objective
        ):
            continue
        entry = policy.workloads.get(one.policy or one.name)
        assert entry is not None, one
        # The operator wrote where it is, or which program.  Not a command name.
        where = entry.match.cgroup or entry.match.unit or ""
        assert entry.match.exe or where.startswith("/" if below_a_unit else "")
        assert entry.match.exe or where


def is_described(one):
    """Return whether it is a service of the machine, and described."""
    is_service = re.fullmatch(r"/system\.slice/[^/]+\.service", one.cgroup)
    return bool(is_service and one.identity.unit_description)


# Half as many: a case is up to eight verdicts, and takes 30 ms to draw and check.
@settings(max_examples=CASES // 2, deadline=None)
@given(
    policies(),
    st.lists(st.tuples(proposals, windows(), st.integers(0, 20 * S)), max_size=8),
)
def test_a_minute_never_has_more_actions_than_the_budget(policy, steps):
    """And no workload changes twice within its cooldown, but out of critical need."""
    state, now = v.VerifyState(), 100 * S
    actions: list[int] = []
    last: dict[str, int] = {}
    for proposal, window, wait in steps:
        now += wait
        before = state.standing
        verdict, state = v.verify(proposal, window, policy, state, now)
        if verdict.mode is not Mode.ENFORCE:
            continue
        begun = [s for s in verdict.allowed if before.get(s.workload) != s]
        for stance in begun:
            old = before.get(stance.workload)
            raised = old is not None and old.strength < stance.strength
            since = now - last.get(stance.workload, -(10**18))
            assert since >= policy.budget.cooldown_ns or raised
            last[stance.workload] = now
        actions += [now] * len(begun)
        recent = [at for at in actions if now - at < 60 * S]
        assert len(recent) <= policy.budget.actions_per_minute


def tells_of_every_refusal(proposal, verdict):
    for refusal in verdict.refused:
        assert Code(refusal.code)
        assert refusal.sentence.startswith(f"{refusal.workload}: ")
    wanted = {s.workload for s in proposal.stances if s.act is not Act.LEAVE}
    told = {r.workload for r in verdict.refused}
    stands = {s.workload for s in (*verdict.allowed, *verdict.advised)}
    assert (
        stands
        <= wanted
        <= stands
        | told
        | set(s.workload for s in proposal.stances if s.act is Act.LEAVE)
    )


@settings(max_examples=CASES, deadline=None)
@given(proposals, windows(), policies(), states, nows)
def test_no_verdict_leaves_the_bounds(proposal, window, policy, state, now):
    inputs = (proposal, window, policy, state)
    before = copy.deepcopy(inputs)
    verdict, after = v.verify(*inputs, now)
    stays_in_bounds(window, policy, state, now, verdict, after)
    lowers_nothing_protected(proposal, window, policy, verdict)
    protects_nobody_by_his_own_word(window, policy, verdict)
    tells_of_every_refusal(proposal, verdict)
    # It depends on its inputs alone, and changes none of them.
    assert inputs == before
    assert v.verify(*before, now) == (verdict, after)


@settings(max_examples=CASES, deadline=None)
@given(proposals, windows(), policies(), nows)
def test_asking_again_changes_nothing(proposal, window, policy, now):
    """The same proposal, as time goes by, settles; it does not flip."""
    state, seen = v.VerifyState(), []
    for turn in range(6):
        verdict, state = v.verify(proposal, window, policy, state, now + turn * 61 * S)
        seen.append(verdict.allowed)
    assert seen[-1] == seen[-2]
