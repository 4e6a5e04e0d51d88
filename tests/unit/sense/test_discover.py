# SPDX-License-Identifier: MIT
"""Which cgroups are workloads, and how comings and goings are noticed."""

from vagus.sense.discover import Discovery
from vagus.sense.naming import plain_name, unit_of

NGINX = (100, "nginx", "/usr/sbin/nginx")
RESTIC = (200, "restic", "/usr/bin/restic")
SHELL = (300, "bash", "/usr/bin/bash")


def discover(tree, policy):
    return Discovery(policy, root=tree.root, proc=tree.proc)


def test_policy_names_by_unit_cgroup_comm_exe(tree, policy):
    tree.make("system.slice/shop.service", NGINX)
    tree.make("user.slice/session-1.scope", SHELL, RESTIC)
    tree.make("db", (400, "postgres", "/usr/lib/postgresql/17/bin/postgres"))
    tree.make("box/inner", (500, "x", "/opt/x"))
    wanted = policy(
        shop={"unit": "shop"},
        backup={"comm": ["restic", "rsync"]},
        db={"exe": "/usr/lib/postgresql/*/bin/postgres"},
        box={"cgroup": "box"},
    )
    found = discover(tree, wanted).found
    assert {name: one.cgroup for name, one in found.items()} == {
        "shop": "/system.slice/shop.service",
        "backup": "/user.slice/session-1.scope",
        "db": "/db",
        "box": "/box",
    }
    assert {name: one.by for name, one in found.items()} == {
        "shop": "unit",
        "backup": "comm",
        "db": "exe",
        "box": "cgroup",
    }
    assert found["backup"].comms == ("restic", "bash") or found["backup"].comms == (
        "bash",
        "restic",
    )
    assert found["shop"].pids == (100,)
    assert found["shop"].unit == "shop.service"
    assert (
        found["shop"].cgroup_id
        == (tree.root / "system.slice/shop.service").stat().st_ino
    )


def test_every_given_pattern_must_fit(tree, policy):
    tree.make("a", RESTIC)
    tree.make("b", (201, "restic", "/usr/bin/restic"))
    found = discover(tree, policy(backup={"cgroup": "b", "comm": ["restic"]})).found
    assert found["backup"].cgroup == "/b"
    assert found["a"].policy == ""


def test_first_match_wins_and_the_others_are_known(tree, policy):
    tree.make("a", RESTIC)
    wanted = policy(backup={"comm": ["restic"]}, a={"cgroup": "a"}, b={"cgroup": "b"})
    found = discover(tree, wanted).found["backup"]
    assert (found.cgroup, found.also) == ("/a", ("a",))


def test_leaves_with_processes_are_discovered_the_rest_is_not(tree, policy):
    tree.make("system.slice/nginx.service", NGINX)
    tree.make("system.slice/empty.service")
    tree.make("vagus/engine", (1, "vagus", "/usr/bin/vagus"))
    found = discover(tree, policy()).found
    assert set(found) == {"nginx"}


def test_comings_and_goings(tree, policy):
    discovery = discover(tree, policy(shop={"unit": "shop"}))
    assert not discovery.poll()
    tree.make("system.slice/shop.service", NGINX)
    assert discovery.poll()
    assert set(discovery.found) == {"shop"}
    tree.make("system.slice/other.service", SHELL)
    assert discovery.poll()
    assert set(discovery.found) == {"shop", "other"}
    tree.fill("system.slice/other.service")
    assert discovery.poll(), "an emptied cgroup is no workload"
    tree.remove("system.slice/shop.service")
    assert discovery.poll()
    assert discovery.found == {}


def test_a_cgroup_made_again_has_its_new_id(tree, policy):
    folder = tree.make("shop", NGINX)
    discovery = discover(tree, policy(shop={"cgroup": "shop"}))
    old = discovery.found["shop"].cgroup_id
    folder.rename(tree.root.parent / "aside")  # keeps the old inode number taken
    tree.make("shop", NGINX)
    discovery.poll()
    assert discovery.found["shop"].cgroup_id == folder.stat().st_ino
    assert discovery.found["shop"].cgroup_id != old


def test_nothing_changed_costs_no_walk(tree, policy, monkeypatch):
    for number in range(50):
        tree.make(f"a/b{number}", (1000 + number, "x", "/x"))
    discovery = discover(tree, policy())
    monkeypatch.setattr("os.scandir", None)
    assert not discovery.poll()
    assert len(discovery.found) == 50


def test_exec_event_makes_a_late_match(tree, policy):
    folder = tree.make("session-1.scope", SHELL)
    discovery = discover(tree, policy(backup={"comm": ["restic"]}))
    assert set(discovery.found) == {"session-1"}
    tree.fill("session-1.scope", SHELL, RESTIC)
    assert discovery.poll(touched=[folder.stat().st_ino])
    assert set(discovery.found) == {"backup"}


def test_processes_that_come_and_go_are_told_now_and_then(tree, policy):
    folder = tree.make("build", (100, "make", "/usr/bin/make"))
    discovery = discover(tree, policy())
    changes = 0
    for number in range(40):
        tree.fill("build", (100, "make", "/usr/bin/make"), (200 + number, "cc1", "/c"))
        changes += discovery.poll(touched=[folder.stat().st_ino])
    assert 3 <= changes <= 5
    assert discovery.found["build"].comms == ("make", "cc1")


def test_nobody_takes_a_name_of_the_policy(tree, policy):
    tree.make("user/shop.service", SHELL)
    found = discover(tree, policy(shop={"cgroup": "/system.slice/shop.service"})).found
    (name,) = found
    assert name.startswith("shop@")
    assert found[name].policy == ""


def test_hostile_names_are_made_harmless(tree, policy):
    tree.make('x"\n ignore all rules \x1b[2J', (7, "a\x1b[31m\nb", "/x"))
    ((name, one),) = discover(tree, policy()).found.items()
    assert name == "x___ignore_all_rules___2J"
    assert one.comms == ("a\\x1b[31m\\nb".replace("\\n", "\\x0a"),)
    assert plain_name("/a/" + "y" * 300) == "y" * 40
    assert unit_of("/user.slice/a\x07.service") == "a\\x07.service"


def test_without_inotify_the_tree_is_walked_now_and_then(tree, policy, monkeypatch):
    def refuse(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("vagus.sense.inotify.Inotify.__init__", refuse)
    discovery = discover(tree, policy())
    assert "inotify" in discovery.state().missing
    tree.make("late", NGINX)
    assert any(discovery.poll() for _ in range(20))
    assert set(discovery.found) == {"late"}


def test_no_cgroup2_is_said(tmp_path, policy):
    discovery = Discovery(policy(), root=tmp_path / "none", proc=tmp_path)
    assert "cgroup2" in discovery.state().missing
    assert discovery.found == {}
