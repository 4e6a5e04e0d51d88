# SPDX-License-Identifier: MIT
"""What the surveyor reads of a tree; a fake one will do."""

from pathlib import Path

import pytest

from vagus.apply.ground import Surveyor
from vagus.flow import Act, Resource, Stance

S = 1_000_000_000


class Tree:
    """A small cgroupfs and sysfs in a folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.now = root, S
        self.cgroups, self.sysfs, self.proc = (root / n for n in ("cg", "sys", "proc"))
        self.write("proc/meminfo", "MemTotal:  1000 kB\n")
        for name in ("b.slice", "b.slice/job", "b.slice/empty"):
            self.write(f"cg/{name}/cpu.weight", "100\n")
            self.write(f"cg/{name}/cgroup.procs", "")
        self.write("cg/b.slice/job/cgroup.procs", "42\n")
        self.surveyor = Surveyor(self.cgroups, self.sysfs, self.proc, lambda: self.now)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def survey(self, resource: Resource):
        stance = Stance("job", Act.YIELD, resource, 1)
        return self.surveyor.survey([stance], {"job": "/b.slice/job"})


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_survey_reads_the_workload_and_what_is_above(tree):
    ground = tree.survey(Resource.CPU)
    assert ground.knobs == {
        "/b.slice/cpu.weight": "100",
        "/b.slice/job/cpu.weight": "100",
    }
    assert ground.populated == {"/b.slice/job"}


def test_survey_rates_need_two_readings_and_take_the_busiest_disk(tree):
    tree.write(
        "cg/b.slice/job/io.stat",
        "8:0 rbytes=0 wbytes=100 rios=0 wios=1 dbytes=0 dios=0\n"
        "8:16 rbytes=5 wbytes=0 rios=1 wios=0\n",
    )
    assert tree.survey(Resource.IO).flows == {}
    tree.now += 2 * S
    tree.write(
        "cg/b.slice/job/io.stat",
        "8:0 rbytes=0 wbytes=2000100 rios=0 wios=21\n"
        "8:16 rbytes=10 wbytes=0 rios=2 wios=0\n",
    )
    flow = tree.survey(Resource.IO).flows["/b.slice/job"]
    assert (flow.device, flow.bytes_per_s, flow.ios_per_s) == ("8:0", 1e6, 10.0)


def test_survey_reads_a_rate_once_however_many_stances_ask(tree):
    def later() -> int:  # as a real clock: no two readings at the same time
        tree.now += 1000
        return tree.now

    tree.surveyor = Surveyor(tree.cgroups, tree.sysfs, tree.proc, later)
    stance = Stance("job", Act.YIELD, Resource.IO, 1)
    harder = Stance("job", Act.YIELD, Resource.IO, 2)
    stat = "8:0 rbytes={0} wbytes=0 rios=0 wios=0\n"
    for total in (0, 4_000_000):
        tree.write("cg/b.slice/job/io.stat", stat.format(total))
        ground = tree.surveyor.survey([stance, harder], {"job": "/b.slice/job"})
        tree.now += S
    assert ground.flows["/b.slice/job"].bytes_per_s == pytest.approx(4e6, rel=0.01)


def test_survey_working_set_leaves_out_inactive_cache(tree):
    tree.write("cg/b.slice/job/memory.current", "1000\n")
    tree.write("cg/b.slice/job/memory.stat", "anon 5\ninactive_file 400\n")
    ground = tree.survey(Resource.MEMORY)
    assert ground.working_set == {"/b.slice/job": 600.0}
    assert ground.memory_bytes == 1000 * 1024


def test_survey_reads_what_anybody_keeps_from_reclaim(tree):
    tree.write("cg/a.slice/memory.min", "4096\n")
    tree.write("cg/a.slice/memory.low", "max\n")
    tree.write("cg/b.slice/memory.low", "0\n")
    tree.write("cg/a.slice/inner/memory.min", "4096\n")
    assert tree.survey(Resource.MEMORY).kept == {
        "/a.slice/memory.min": 4096,
        "/a.slice/memory.low": float("inf"),
    }
    assert tree.survey(Resource.CPU).kept == {}


def test_survey_finds_iocost_and_writeback(tree):
    tree.write("cg/io.cost.qos", "8:0 enable=1 ctrl=auto\n8:16 enable=0\n")
    tree.write("sys/devices/pci/sda/queue/wbt_lat_usec", "2000\n")
    (tree.root / "sys/dev/block").mkdir(parents=True)
    (tree.root / "sys/dev/block/8:0").symlink_to(tree.root / "sys/devices/pci/sda")
    for wrote in ("0", "1000"):
        text = f"8:0 rbytes=0 wbytes={wrote} rios=0 wios=1\n"
        tree.write("cg/b.slice/job/io.stat", text)
        ground = tree.survey(Resource.IO)
        tree.now += S
    assert ground.iocost == {"8:0"}
    assert ground.disks == {"8:0": "/devices/pci/sda/queue/wbt_lat_usec"}
    assert ground.knobs["/devices/pci/sda/queue/wbt_lat_usec"] == "2000"


def test_survey_vanished_cgroup_is_left_out(tree):
    gone = Stance("gone", Act.YIELD, Resource.CPU, 1)
    ground = tree.surveyor.survey([gone], {"gone": "/nowhere/at/all"})
    assert ground.knobs == {} and ground.populated == frozenset()


def test_survey_without_stances_reads_nothing(tree):
    ground = tree.surveyor.survey([], {"job": "/b.slice/job"})
    assert ground.knobs == {} and ground.cgroups == {"job": "/b.slice/job"}
