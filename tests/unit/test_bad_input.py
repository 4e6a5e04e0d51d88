# SPDX-License-Identifier: MIT
"""A whole agent where there is nothing to sense with, and where much goes away."""

import shutil

import pytest

from vagus.wire import Options, agent

POLICY = """version: 1
mode: enforce
decider: rules
workloads: {shop: {match: {cgroup: /shop}, role: web, slo: {psi_cpu: 20%}}}
"""


@pytest.fixture
def options(tmp_path):
    """An agent on a machine of three empty folders."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    roots = {name: tmp_path / name for name in ("cgroups", "proc", "sysfs")}
    for path in roots.values():
        path.mkdir()
    records = []
    made = Options(tmp_path / "policy.yaml", put=records.append, settle=False, **roots)
    return made, records


def make_shop(root):
    folder = root / "shop"
    folder.mkdir()
    (folder / "cgroup.events").write_text("populated 1\n")
    (folder / "cgroup.procs").write_text("")
    (folder / "cpu.stat").write_text("usage_usec 0\n")
    return folder


def test_a_machine_without_anything_is_told_and_nothing_is_done(options):
    """No cgroup2, no PSI, no module, no BTF: unknown is a word, and a remedy each."""
    made, records = options
    with agent(made) as loop:
        for _ in range(3):
            loop.tick()
        assert "cgroup2" in loop.parts.finder.state().missing
        assert loop.reload().endswith("in force")
        loop.tick()
    assert len(records) == 4
    missing = records[-1].window.quality.missing
    assert {"cgroup", "psi", "table", "ring", "process", "block", "memory"} <= set(
        missing
    )
    assert "mount it" in missing["cgroup"] and "psi=1" in missing["psi"]
    assert "modprobe" in missing["ring"]
    assert all(missing.values())
    for record in records:
        assert not record.window.workloads and not record.granted


def test_a_cgroup_without_files_is_unknown_and_left_alone(options):
    made, records = options
    (made.cgroups / "shop").mkdir()
    (made.cgroups / "shop/cgroup.events").write_text("populated 1\n")
    with agent(made) as loop:
        for _ in range(3):
            loop.tick()
    shop = records[-1].window.workloads["shop"]
    assert {word.value for word in shop.words.values()} == {"unknown"}
    assert not records[-1].verdict or not records[-1].verdict.allowed


def test_a_cgroup_that_goes_in_the_middle_of_a_tick_ends_its_workload(options):
    """After discovery has found it, and before a sensor reads it."""
    made, records = options
    folder = make_shop(made.cgroups)

    class Remover:
        """The first of all sensors: its following is the moment in between."""

        name = "remover"

        def follow(self, workloads):
            if "shop" in workloads:
                shutil.rmtree(folder)

        def read(self):
            return []

        events = read

        def state(self):
            return loop.parts.sensors[-1].state()

        def fileno(self):
            return -1

        def close(self):
            pass

    with agent(made) as loop:
        loop.parts.sensors.insert(0, Remover())
        loop.tick()
        assert not folder.exists()
        loop.tick()
    first, then = records
    assert "shop" not in then.window.workloads
    assert not first.granted and not then.granted
