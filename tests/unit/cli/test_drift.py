# SPDX-License-Identifier: MIT
"""What is held against what is there."""

from vagus.cli import off
from vagus.cli.drift import Held, drifts, listing, losses, same
from vagus.cli.paint import Paint
from vagus.record.found import End, LeaseRow

S = 1_000_000_000
NOW = 10_000 * S


def row(lease, path, ended_s, end="lost", is_current=True):
    """Return a recorded lease of value 400 that ended so long ago."""
    ended = End(NOW - ended_s * S, "555", end, "deadline", 0)
    knob = path.rsplit("/", 1)[1]
    return LeaseRow(
        *(lease, NOW - 900 * S, 1, lease, path.split("/")[1], knob, path),
        *("protect cpu 2", "400", "100", "400", 10_000, is_current, ended),
    )


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


def test_what_an_administrator_took_over_is_told(tmp_path):
    """The lease is lost at its renewal: then no dump of the module has it."""
    knob = tmp_path / "sys/fs/cgroup/shop/cpu.weight"
    knob.parent.mkdir(parents=True)
    knob.write_text("555\n")
    past = [
        row(1, "/shop/cpu.weight", 300),
        row(2, "/shop/cpu.weight", 40),
        row(3, "/shop/io.weight", 700),  # long ago: free again
        row(4, "/web/cpu.weight", 40, end="restored"),
        row(5, "/held/cpu.weight", 40),
        row(6, "/old/cpu.weight", 40, is_current=False),
    ]
    held = [Held(7, 0, "/held/cpu.weight", "300")]
    shop, old = losses(past, held, tmp_path, NOW)
    assert (shop.state, shop.expected, shop.actual) == ("lost", "400", "555")
    assert (shop.lost_ns, shop.alone_until_ns) == (NOW - 40 * S, NOW + 560 * S)
    assert (old.path, old.actual, old.alone_until_ns) == ("/old/cpu.weight", "", 0)
    text = listing([shop, old], Paint(), 100, NOW)
    assert text.splitlines()[-2:] == [
        "cpu.weight of shop: somebody else set it 40s ago; left alone for another 560s",
        "cpu.weight of old: somebody else set it 40s ago; free again",
    ]


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
