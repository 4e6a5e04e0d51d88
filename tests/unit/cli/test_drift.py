# SPDX-License-Identifier: MIT
"""What is held against what is there."""

from vagus.cli import off
from vagus.cli.drift import Held, drifts, listing, same
from vagus.cli.paint import Paint


def test_each_held_setting_is_compared(tmp_path):
    knob = tmp_path / "sys/fs/cgroup/shop/cpu.weight"
    knob.parent.mkdir(parents=True)
    knob.write_text("400\n")
    other = tmp_path / "sys/fs/cgroup/shop/io.max"
    other.write_text("8:0 rbps=max wbps=1048576 riops=max wiops=max\n8:16 rbps=1\n")
    wbt = tmp_path / "sys/block/vda/queue/wbt_lat_usec"
    wbt.parent.mkdir(parents=True)
    wbt.write_text("75000\n")
    held = [
        Held(1, 7, "/shop/cpu.weight", "400"),
        Held(2, 7, "/shop/io.max", "8:0 rbps=max wbps=1048576 riops=max wiops=max"),
        Held(3, 7, "/block/vda/queue/wbt_lat_usec", "2000"),
        Held(4, 7, "/gone/cpu.weight", "10"),
    ]
    found = drifts(held, {}, tmp_path)
    assert [one.state for one in found] == ["as held", "as held", "drifted", "gone"]
    assert (found[2].expected, found[2].actual) == ("2000", "75000")
    text = listing(found, Paint(), 120)
    assert "somebody else" in text and "port 7" in text


def test_a_thread_is_compared(tmp_path):
    stat = tmp_path / "proc/42/stat"
    stat.parent.mkdir(parents=True)
    fields = ["0"] * 50
    fields[16], fields[38] = "10", "3"
    stat.write_text("42 (a) b) " + " ".join(fields))
    nice, policy, wrong = drifts(
        [Held(1, 7, "task:42", "10"), Held(2, 7, "task:42", "batch"),
         Held(3, 7, "task:42", "5")],
        {},
        tmp_path,
    )  # fmt: skip
    assert (nice.state, policy.state, wrong.state) == ("as held", "as held", "drifted")


def test_white_space_is_no_difference():
    assert same("4096\t131072\t6291456\n", "4096 131072 6291456")
    assert not same("1000\n", "100")


def test_class_is_held_as_long_as_our_scheduler_is_there(tmp_path):
    held = [Held(-1, 0, "/shop/sched_ext", "protect 2")]
    ops = tmp_path / "sys/kernel/sched_ext/root/ops"
    assert [one.state for one in drifts(held, {}, tmp_path)] == ["gone"]
    ops.parent.mkdir(parents=True)
    for name, state in (("vagus", "as held"), ("bpfland", "gone")):
        ops.write_text(f"{name}\n")
        assert [one.state for one in drifts(held, {}, tmp_path)] == [state]


def test_off_ends_our_scheduler_and_nobody_elses(tmp_path):
    ops = tmp_path / "sys/kernel/sched_ext/root/ops"
    trigger = tmp_path / "proc/sysrq-trigger"
    assert not off.end_scheduler(tmp_path)
    ops.parent.mkdir(parents=True)
    trigger.parent.mkdir()
    ops.write_text("bpfland\n")
    assert not off.end_scheduler(tmp_path) and not trigger.exists()
    ops.write_text("vagus\n")
    assert off.end_scheduler(tmp_path) and trigger.read_text() == "S"
