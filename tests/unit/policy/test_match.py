# SPDX-License-Identifier: MIT
"""Which workload a cgroup is, and what is never touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagus.policy import load
from vagus.policy.match import (
    Subject,
    given_names,
    match,
    placed,
    spared_by,
    unit_placed,
)

USERS = "/user.slice/user-1000.slice/user@1000.service/app.slice"


@pytest.mark.parametrize(
    ("pattern", "cgroup", "fits"),
    [
        ("shop.service", "/system.slice/shop.service", True),
        ("shop.service", "/shop.slice/web.slice/shop.service", True),
        ("shop.service", "/system.slice/shop.service/worker", False),
        ("shop.*", "/system.slice/shop.service", True),
        ("web.slice/shop.service", "/shop.slice/web.slice/shop.service", True),
        ("shop", "/batch/shop", True),
        ("*", "/system.slice/shop.service", True),
        # Whoever owns the unit above chose these names.
        ("shop.service", f"{USERS}/shop.service", False),
        ("shop.service", "/system.slice/docker-1.scope/shop.service", False),
        ("/**/shop.service", f"{USERS}/shop.service", True),
        (f"{USERS}/shop.service", f"{USERS}/shop.service", True),
        ("/system.slice/*", "/system.slice/shop.service", True),
        ("/system.slice/*", "/system.slice/shop.service/worker", False),
        ("/system.slice/**", "/system.slice/shop.service/worker", True),
        ("/**", "/anything/at/all", True),
        ("/system.slice", "/", False),
    ],
)  # fmt: skip
def test_cgroup_globs(pattern, cgroup, fits):
    assert placed(pattern, cgroup) is fits


@pytest.mark.parametrize(
    ("pattern", "cgroup", "fits"),
    [
        ("shop", "/system.slice/shop.service", True),
        ("shop.service", "/system.slice/shop.service", True),
        ("shop", "/shop", False),
        ("shop@*.service", "/system.slice/system-shop.slice/shop@1.service", True),
        ("shop", f"{USERS}/shop.service", False),
        ("session-*.scope", "/user.slice/user-0.slice/session-3.scope", True),
        ("shop", "/", False),
    ],
)
def test_unit_globs(pattern, cgroup, fits):
    assert unit_placed(pattern, cgroup) is fits


def test_names_below_a_unit_are_not_given_by_the_machine():
    assert given_names("/a.slice/b.service/c.service") == ["a.slice", "b.service"]
    assert given_names("/batch/restic") == ["batch", "restic"]


def test_first_match_wins_and_later_ones_are_told():
    policy = load.loads(
        "workloads: {a: {match: {unit: x}}, b: {match: {comm: y}},"
        " c: {match: {exe: /usr/bin/*}}}"
    )
    hit = match(policy, [Subject("/s.slice/x.service", "y", "/usr/bin/y")])
    assert (hit.name, hit.by, hit.also) == ("a", "unit", ("b", "c"))
    assert match(policy, [Subject("/s.slice/z.service", "z", "/opt/z")]) is None


def test_every_given_line_must_hold_in_one_process():
    policy = load.loads("workloads: {a: {match: {comm: y, exe: /usr/bin/y}}}")
    apart = [Subject("/c", "y", "/tmp/y"), Subject("/c", "z", "/usr/bin/y")]
    assert match(policy, apart) is None
    assert match(policy, [*apart, Subject("/c", "y", "/usr/bin/y")]).by == "exe"


def test_long_command_names_match_by_their_first_15_bytes():
    policy = load.loads("workloads: {a: {match: {comm: kworker-something-long}}}")
    assert match(policy, [Subject("/c", "kworker-somethi")]).by == "comm"


@pytest.mark.parametrize(("user", "fits"), [("0", True), ("root", True), ("1", False)])
def test_users_by_name_or_number(user, fits):
    policy = load.loads(f"workloads: {{a: {{match: {{user: {user}}}}}}}")
    assert bool(match(policy, [Subject("/c", "x", "/x", 0)])) is fits


def test_a_user_that_does_not_exist_is_nobody():
    policy = load.loads("workloads: {a: {match: {user: no-such-user}}}")
    assert match(policy, [Subject("/c", "x", "/x", 0)]) is None


@pytest.mark.parametrize(
    ("pattern", "name", "cgroup", "spared"),
    [
        ("postgres", "postgres", "/x", True),
        ("postgresql.service", "db", "/system.slice/postgresql.service", True),
        ("postgresql", "db", "/system.slice/postgresql.service", True),
        (
            "postgresql.service",
            "db",
            "/system.slice/system-postgresql.slice/postgresql@15-main.service",
            True,
        ),
        ("postgresql.service", "db", "/system.slice/postgresql.service/child", True),
        ("postgresql.service", "db", f"{USERS}/postgresql.service", True),
        ("system.slice", "x", "/system.slice/anything.service", True),
        ("/system.slice/a.service", "x", "/system.slice/a.service/b", True),
        ("/system.slice/a.service", "x", "/other.slice/a.service", False),
        ("web.slice/a.service", "x", "/top.slice/web.slice/a.service/b", True),
        ("ssh*", "sshd", "/x", True),
        ("ssh.service", "shop", "/system.slice/shop.service", False),
        ("*", "anything", "/", True),
        ("**/a", "x", "/b/a/c", True),
    ],
)
def test_never_touch(pattern, name, cgroup, spared):
    policy = load.loads(f"never_touch: ['{pattern}']")
    assert spared_by(policy, name, cgroup) == (pattern if spared else "")


NAME = st.text("ab*?[]!", min_size=1, max_size=4)


@given(st.lists(NAME | st.just("**"), max_size=6), st.lists(NAME, max_size=6))
def test_any_globs_are_compared_in_finite_time(pattern, names):
    placed("/" + "/".join(pattern), "/" + "/".join(names))


@given(st.lists(st.text("ab.", min_size=1, max_size=3), min_size=1, max_size=6))
def test_a_path_matches_itself_and_double_stars(names):
    path = "/" + "/".join(names)
    assert placed(path, path)
    assert placed("/**", path)
    assert placed(f"/**/{names[-1]}", path)
