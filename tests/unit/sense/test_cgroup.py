# SPDX-License-Identifier: MIT
"""Cgroup files of a fake tree: read economically, never fatal."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vagus.sense import files
from vagus.sense.cgroup import IDLE_LOOKS, LINGER_READS, CgroupSensor
from vagus.sense.psi import PsiSensor


@pytest.fixture
def sensor(tree):
    tree.make("shop")
    made = CgroupSensor(tree.root, tree.proc, tree.sys)
    made.follow({"shop": ("/shop", 1)})
    yield made
    made.close()


def by_signal(samples, workload="shop"):
    return {s.signal: s.value for s in samples if s.workload == workload}


def test_what_is_read(tree, sensor):
    tree.usage("shop", 1234)
    (tree.root / "shop/io.stat").write_text(
        "8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0 cost.new=5\n"
        "253:0 rbytes=100 wbytes=200 rios=1 wios=2\n259:0\n"
    )
    (tree.sys / "dev/block/253:0/slaves/sda").mkdir(parents=True)
    (tree.root / "shop/memory.stat").write_text(
        "pgmajfault 3\nworkingset_refault_anon 2\nworkingset_refault_file 5\n"
    )
    assert by_signal(sensor.read()) == {
        "cpu_usage_us": 1234,
        "memory_bytes": 1048576,
        "major_faults": 3,
        "refaults": 7,
        "oom_kills": 0,
        "memory_high_events": 0,
        "read_bytes": 100,
        "write_bytes": 200,
        "read_ios": 1,
        "write_ios": 2,
    }
    assert sensor.state().missing == ""


def test_the_machine_is_read_too(sensor):
    machine = by_signal(sensor.read(), "")
    assert machine["memory_total_bytes"] == 1_024_000_000
    assert machine["memory_available_bytes"] == 409_600_000
    assert machine["cpus"] >= 1


def test_an_idle_cgroup_costs_nothing_and_wakes(tree):
    names = [f"w{number}" for number in range(IDLE_LOOKS)]
    for name in names:
        tree.make(name)
    sensor = CgroupSensor(tree.root, tree.proc, tree.sys)
    sensor.follow({name: (f"/{name}", 1) for name in names})
    for _ in range(LINGER_READS + 1):
        sensor.read()
    assert sensor.active() == []
    tree.usage("w5", 77)
    samples = sensor.read()
    assert by_signal(samples, "w5")["cpu_usage_us"] == 77
    assert {s.workload for s in samples} == {"", "w5"}
    assert by_signal(samples, "w5")["idle"] == 0
    sensor.close()


def test_many_idle_ones_are_looked_at_in_turn(tree):
    names = [f"w{number}" for number in range(4 * IDLE_LOOKS)]
    for name in names:
        tree.make(name)
    hinted: list[str] = []
    sensor = CgroupSensor(tree.root, tree.proc, tree.sys, hints=lambda: hinted)
    sensor.follow({name: (f"/{name}", 1) for name in names})
    for _ in range(LINGER_READS + 1):
        sensor.read()
    before = sensor.state().seen
    sensor.read()
    assert sensor.state().seen - before <= IDLE_LOOKS + 1
    tree.usage("w100", 5)
    hinted.append("w100")
    sensor.read()
    assert sensor.active() == ["w100"]
    hinted.clear()
    tree.usage("w190", 5)
    for _ in range(4):
        sensor.read()
    assert "w190" in sensor.active()
    sensor.close()


def test_a_vanished_cgroup_is_no_failure(tree, sensor):
    assert by_signal(sensor.read())
    tree.remove("shop")
    sensor._files.close()
    assert by_signal(sensor.read()) == {}
    assert by_signal(sensor.read()) == {}
    sensor.follow({})
    assert by_signal(sensor.read()) == {}


def test_a_missing_controller_is_named_with_its_remedy(tree, sensor):
    (tree.root / "shop/io.stat").unlink()
    found = by_signal(sensor.read())
    assert "read_bytes" not in found
    assert "cpu_usage_us" in found
    (lacking,) = sensor.lacking()
    assert "io controller" in lacking
    assert "IOAccounting" in lacking
    assert sensor.state().missing == ""


def test_no_cgroup2_is_named(tmp_path):
    sensor = CgroupSensor(tmp_path / "none", tmp_path, tmp_path)
    sensor.follow({"shop": ("/shop", 1)})
    sensor.read()
    assert "cgroup2" in sensor.state().missing


def test_psi_totals(tree):
    tree.make("shop")
    tree.pressure("shop", some_cpu=500, some_io=7)
    (tree.proc / "pressure/cpu").write_text("some avg10=1.00 total=900 new=3\n")
    sensor = PsiSensor(tree.root, tree.proc, triggers=False)
    sensor.follow({"shop": ("/shop", 1)})
    samples = sensor.read()
    assert by_signal(samples)["psi_cpu_some_us"] == 500
    assert by_signal(samples)["psi_io_some_us"] == 7
    assert by_signal(samples, "")["psi_cpu_some_us"] == 900
    assert sensor.state().missing == ""
    sensor.close()


def test_psi_that_is_off_is_named(tree):
    for file in (tree.proc / "pressure").iterdir():
        file.unlink()
    (tree.proc / "pressure").rmdir()
    sensor = PsiSensor(tree.root, tree.proc)
    assert "psi=1" in sensor.state().missing
    assert sensor.read() == []
    assert sensor.fileno() == -1
    assert sensor.trigger_problem
    sensor.close()


def test_psi_reads_only_who_is_active(tree):
    for name in ("a", "b"):
        tree.make(name)
    sensor = PsiSensor(tree.root, tree.proc, triggers=False, active=lambda: ["a", "x"])
    sensor.follow({"a": ("/a", 1), "b": ("/b", 2)})
    assert {s.workload for s in sensor.read()} == {"", "a"}
    sensor.only = {"b"}
    assert {s.workload for s in sensor.read()} == {"b"}
    sensor.only = None
    assert {s.workload for s in sensor.read()} == {"", "a"}
    sensor.close()


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(max_size=300))
def test_parsers_take_anything(data):
    for values in (files.flat(data), files.pressure(data)):
        assert all(isinstance(value, int) for value in values.values())
    assert all(files.nested(data).values())
    assert set(files.picked(data, [b"a", b"1"])) <= {b"a", b"1"}
    assert files.number(data) is None or files.number(data) >= 0


def test_some_lines_of_many_are_read():
    data = b"anon 1\nfile_anon 2\nfile 3\nfile_x max\nlast 4"
    keys = (b"file", b"last", b"anon", b"file_x", b"fil")
    assert files.picked(data, keys) == {b"file": 3, b"last": 4, b"anon": 1}


def test_kept_descriptors_are_few(tree):
    kept = files.Kept(tree.root, limit=5)
    for number in range(20):
        tree.make(f"c{number}")
        assert kept.read(f"/c{number}", "cpu.stat")
    assert len(kept._open) == 5
    descriptors = list(kept._open.values())
    kept.close()
    assert not any(Path(f"/proc/self/fd/{fd}").exists() for fd in descriptors)


def test_fields_that_a_newer_kernel_adds_change_nothing(tree):
    """In every file, in every place of it."""
    files_ = ("cpu.stat", "memory.stat", "memory.events", "io.stat", "cpu.pressure")
    told = []
    for is_newer in (False, True):
        folder = tree.make("shop")
        tree.usage("shop", 1234)
        tree.pressure("shop", some_cpu=500)
        (folder / "io.stat").write_text("8:0 rbytes=100 wbytes=200 rios=1 wios=2\n")
        (folder / "memory.events").write_text("high 4\noom_kill 2\n")
        for file in (folder / name for name in files_ if is_newer):
            text = file.read_text().replace("rbytes", "a=b new=7 rbytes")
            text = f"\x00\xff\nusage_usec\nnew 1 2 3\n{text}usage_usec2 9\n\nend"
            file.write_text(text)
        if is_newer:
            meminfo = tree.proc / "meminfo"
            meminfo.write_text(f"New: ? kB\n\nNew:\n{meminfo.read_text()}New2:\n")
        sensors = [
            CgroupSensor(tree.root, tree.proc, tree.sys),
            PsiSensor(tree.root, tree.proc, triggers=False),
        ]
        for sensor in sensors:
            sensor.follow({"shop": ("/shop", 1)})
        samples = [one for sensor in sensors for one in sensor.read()]
        told.append([(s.workload, s.signal, s.value) for s in samples])
        assert [sensor.state().missing for sensor in sensors] == ["", ""]
        for sensor in sensors:
            sensor.close()
    assert told[0] == told[1]
    assert ("shop", "oom_kills", 2) in told[0]
    assert ("", "memory_available_bytes", 409_600_000) in told[0]
