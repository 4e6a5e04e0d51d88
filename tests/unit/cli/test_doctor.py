# SPDX-License-Identifier: MIT
"""Doctor on fake machines: each lack is named with its remedy."""

import json
import shutil

import pytest

from vagus.cli import checks
from vagus.cli.checks import State


@pytest.fixture
def machine(tmp_path):
    """A machine on which everything is there."""
    files = {
        "proc/self/status": "CapEff:\t000001ffffffffff\n",
        "proc/sys/kernel/osrelease": "7.3.4-amd64\n",
        "proc/sys/net/core/bpf_jit_enable": "1\n",
        "proc/pressure/cpu": "some avg10=0.00\n",
        "proc/7/comm": "nginx\n",
        "sys/module/vagus/version": "1\n",
        "sys/fs/cgroup/cgroup.controllers": "cpu io memory\n",
        "sys/fs/cgroup/cgroup.subtree_control": "cpu io memory\n",
        "sys/fs/cgroup/system.slice/cgroup.subtree_control": "cpu io memory\n",
        "sys/fs/cgroup/io.cost.qos": "8:0 enable=1\n",
        "sys/fs/bpf/progs": "",
        "sys/kernel/btf/vmlinux": "x",
        "sys/kernel/sched_ext/state": "disabled\n",
        "usr/lib/python3/dist-packages/bcc/__init__.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def states(root):
    agent = root / "run/socket"
    return {one.name: one for one in checks.all_checks(root, agent)}


def test_a_whole_machine_is_ok(machine):
    found = states(machine)
    ours = {"bindings", "model", "agent"}  # of this Python and host, not of the tree
    bad = [one for name, one in found.items() if name not in ours]
    assert [one for one in bad if one.state is not State.OK] == []


@pytest.mark.parametrize(
    ("lacking", "name", "state"),
    [
        ("sys/module/vagus/version", "module", State.MISSING),
        ("sys/fs/cgroup/cgroup.controllers", "cgroup2", State.MISSING),
        ("proc/pressure/cpu", "psi", State.OPTIONAL),
        ("sys/kernel/btf/vmlinux", "btf", State.OPTIONAL),
        ("sys/kernel/sched_ext/state", "sched_ext", State.OPTIONAL),
        ("sys/fs/cgroup/io.cost.qos", "iocost", State.OPTIONAL),
        ("sys/fs/bpf/progs", "ebpf", State.OPTIONAL),
        ("usr/lib/python3/dist-packages/bcc/__init__.py", "bcc", State.OPTIONAL),
    ],
)
def test_what_is_lacking_is_named_with_a_remedy(machine, lacking, name, state):
    path = machine / lacking
    path.unlink()
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
    one = states(machine)[name]
    assert one.state is state
    assert one.remedy


def test_a_slice_without_accounting_is_named_with_systemds_word_for_it(machine):
    units = machine / "sys/fs/cgroup/system.slice"
    (units / "cgroup.subtree_control").write_text("cpu memory\n")
    one = states(machine)["units"]
    assert one.state is State.OPTIONAL
    assert "io in system.slice" in one.found
    assert "DefaultIOAccounting=yes" in one.remedy


def test_a_machine_without_slices_is_no_accounting(machine):
    shutil.rmtree(machine / "sys/fs/cgroup/system.slice")
    assert states(machine)["units"].state is State.NOTE


def test_a_kernel_that_is_locked_down_is_named(machine):
    path = machine / "sys/kernel/security/lockdown"
    path.parent.mkdir()
    path.write_text("none integrity [confidentiality]\n")
    assert states(machine)["lockdown"].state is State.OPTIONAL
    path.write_text("none [integrity] confidentiality\n")
    assert states(machine)["lockdown"].state is State.OK


def test_other_controllers_are_named(machine):
    for number, name in (("11", "systemd-oomd"), ("12", "ananicy-cpp")):
        (machine / "proc" / number).mkdir()
        (machine / "proc" / number / "comm").write_text(name + "\n")
    notes = [one.found for one in checks.others(machine)]
    assert [note.split(":")[0] for note in notes] == ["systemd-oomd", "ananicy-cpp"]


def test_another_agent_is_named(machine):
    def start(pid: str, comm: str, *words: str) -> list[str]:
        (machine / "proc" / pid).mkdir()
        (machine / "proc" / pid / "comm").write_text(comm + "\n")
        (machine / "proc" / pid / "cmdline").write_text("\0".join([*words, ""]))
        return [one.found for one in checks.others(machine)]

    start("11", "sudo", "sudo", "vagus", "run")
    start("13", "vagus", "/opt/python", "/opt/bin/vagus", "top")
    (none,) = start("12", "vagus", "/opt/python", "/opt/bin/vagus", "run")
    assert none == "no other resource controller runs"
    (note,) = start("99", "vagus", "python", "vagus", "run", "--policy", "mine.yaml")
    assert note.startswith("vagus: 2 agents (pids 12, 99)")


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        ("vagus run", "run"),
        ("/usr/bin/python3.13 -I /opt/bin/vagus run --policy a", "run"),
        ("python3 -X dev -m vagus.cli.main run", "run"),
        ("python3 /src/agent/vagus/cli/main.py run", "run"),
        ("python3 -m vagus.cli.main top", "top"),
        ("python3 -m vagus.decide.engine_child run", ""),
        ("python3 -c pass vagus run", ""),
        ("python3 -u x.py vagus run", ""),
        ("sudo vagus run", ""),
        ("vi vagus run", ""),
        ("vagus", ""),
        ("", ""),
    ],
)
def test_an_agent_is_known_by_its_command_line(line, verb):
    assert checks.verb(line.split(" ")) == verb


def test_an_agent_that_python_runs_as_a_module_is_named(machine):
    for pid in ("12", "13"):
        (machine / "proc" / pid).mkdir()
        (machine / "proc" / pid / "comm").write_text("python3\n")
        words = ("python3", "-m", "vagus.cli.main", "run", "")
        (machine / "proc" / pid / "cmdline").write_text("\0".join(words))
    (note,) = (one.found for one in checks.others(machine))
    assert note.startswith("vagus: 2 agents (pids 12, 13)")


def test_capabilities_and_delegation_are_looked_at(machine):
    (machine / "proc/self/status").write_text("CapEff:\t0000000000000000\n")
    (machine / "sys/fs/cgroup/cgroup.subtree_control").write_text("cpu memory\n")
    found = states(machine)
    assert found["privilege"].state is State.MISSING
    assert "+io" in found["cgroup2"].remedy


def test_counters_of_each_source_come_from_the_record(vagus):
    _, out, _ = vagus("doctor", "--json")
    counters = json.loads(out)["counters"]
    assert counters["module.seen"] == 900
    assert counters["leases.restored"] == 2
    _, out, _ = vagus("doctor")
    assert "module   seen 900  lost 3" in out
    assert "leases   granted 2  renewed 47  restored 2" in out
    said = "by cgroup knobs: the kernel ended the scheduler: watchdog"
    assert "CPU stances" in out and said in out
