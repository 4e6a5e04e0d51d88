# SPDX-License-Identifier: MIT
"""Sensors of the kernel's memory: a table in a file, a ring in a buffer."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vagus import abi
from vagus.abi import EventType, HistKind
from vagus.flow import Found
from vagus.native import RawEvent, Ring
from vagus.policy.model import Policy
from vagus.sense.block import BlockSensor
from vagus.sense.memory import MemorySensor
from vagus.sense.probes import SharedProbes
from vagus.sense.process import ProcessSensor
from vagus.sense.ringevents import RingSensor
from vagus.sense.rings import KEPT, drain, to_event
from vagus.sense.table import TOLD_NS, TableSensor
from vagus.window import Windower

S = 1_000_000_000
CELL = abi.fields("struct vagus_cell")
CELL_BYTES = abi.size_bytes("struct vagus_cell")


class TableFile:
    """A table of four slots and one CPU in a file, as the module would map it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.slots: dict[int, int] = {}
        self.cells = 4096
        size = self.cells + 4 * CELL_BYTES
        head = struct.pack("<IIIIQQ", abi.ABI_VERSION, 4, 1, CELL_BYTES, 64, self.cells)
        path.write_bytes(head.ljust(-(-size // 4096) * 4096, b"\0"))

    def track(self, ids):
        answers = {}
        for id_ in ids:
            if len(self.slots) == 4:
                answers[id_] = -28
                continue
            slot = self.slots[id_] = len(self.slots)
            answers[id_] = slot
            self.write(64 + 16 * slot, struct.pack("<QII", id_, 1, 0))
        return answers

    def untrack(self, ids):
        for id_ in tuple(ids):
            self.slots.pop(id_)

    def write(self, at: int, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    def wait(self, id_: int, values_ns: list[int], switches: int) -> None:
        """Count run-queue waits of a workload, from zero."""
        counts = [0] * abi.HIST_BUCKETS
        for value in values_ns:
            counts[abi.hist_bucket(value)] += 1
        base = self.cells + self.slots[id_] * CELL_BYTES
        at = CELL["hist"] + 4 * abi.HIST_BUCKETS * HistKind.RUNQ
        self.write(base + at, struct.pack(f"<{len(counts)}I", *counts))
        self.write(base + CELL["sum_ns"], struct.pack("<Q", sum(values_ns)))
        self.write(base + CELL["switches"], struct.pack("<I", switches))
        self.write(base, struct.pack("<I", 2 * switches))


@pytest.fixture
def table(tmp_path):
    return TableFile(tmp_path / "table")


def test_waits_become_the_windows_percentiles(table):
    now = 10 * S
    sensor = TableSensor(table, table.path, clock=lambda: now)
    sensor.follow({"shop": ("/shop", 77)})
    assert sensor.state().missing == ""
    windower = Windower(Policy(), clock=lambda: now)
    found = {"shop": Found("shop", "/shop", 77, policy="shop")}

    def window():
        states = {"table": sensor.state()}
        return windower.build(1, sensor.read(), found, {}, states).workloads["shop"]

    window()
    now += S
    table.wait(77, [5_000_000] * 99 + [90_000_000] * 2, 101)
    shop = window()
    assert shop.numbers["runq_count"] == 101
    assert shop.numbers["runq_p50_ns"] == pytest.approx(5e6, rel=0.12)
    assert shop.numbers["runq_p99_ns"] == pytest.approx(90e6, rel=0.12)
    assert shop.words["cpu"] == "critical"
    assert sensor.active() == ["shop"]
    sensor.close()
    assert table.slots == {}


def test_what_the_reflex_read_is_still_told_to_the_tick(table):
    now = 10 * S
    sensor = TableSensor(table, table.path, clock=lambda: now)
    sensor.follow({"shop": ("/shop", 77)})
    sensor.read()
    table.wait(77, [1_000_000], 1)
    assert [s.value for s in sensor.read() if s.signal == "switches"] == [1]
    now += S // 2
    assert [s.value for s in sensor.read() if s.signal == "switches"] == [1]
    now += TOLD_NS
    assert sensor.read() == []
    assert sensor.active() == []


def test_reflex_reads_some_rows_and_the_tick_misses_none_of_the_others(table):
    now = 10 * S
    sensor = TableSensor(table, table.path, clock=lambda: now)
    sensor.follow({"shop": ("/shop", 77), "build": ("/build", 78)})
    sensor.read()
    table.wait(77, [1_000_000], 1)
    table.wait(78, [1_000_000], 2)

    def switches(only):
        sensor.only = only
        found = [s for s in sensor.read() if s.signal == "switches"]
        return {one.workload: one.value for one in found}

    assert switches({"shop", "gone"}) == {"shop": 1}
    table.wait(77, [1_000_000] * 2, 3)
    assert switches({"shop"}) == {"shop": 3}
    assert switches({"gone"}) == {}
    assert switches(None) == {"shop": 3, "build": 2}
    assert sorted(sensor.active()) == ["build", "shop"]
    now += TOLD_NS + 1
    assert switches({"shop"}) == {}
    sensor.follow({"build": ("/build", 78), "shop": ("/shop", 79)})
    table.wait(79, [1_000_000], 5)
    assert switches({"shop"}) == {"shop": 5}
    sensor.close()


def test_workloads_come_and_go_and_a_full_table_is_said(table):
    sensor = TableSensor(table, table.path)
    sensor.follow({str(n): (f"/{n}", n) for n in range(1, 7)})
    assert len(table.slots) == 4
    assert sensor.refused == 2
    assert sensor.state().missing == ""
    sensor.follow({})
    assert table.slots == {}


def test_a_module_that_goes_away_is_missing_and_no_signal(table):
    sensor = TableSensor(table, table.path)
    sensor.follow({"shop": ("/shop", 77)})
    os.truncate(table.path, 0)
    assert sensor.read() == []
    assert "vagus.ko" in sensor.state().missing
    sensor.follow({"shop": ("/shop", 77), "other": ("/other", 78)})
    assert sensor.read() == []
    sensor.close()


def test_everything_missing_is_said_with_a_remedy(tmp_path):
    ring = RingSensor(tmp_path / "ring")
    probes = SharedProbes(tmp_path)
    sensors = [
        TableSensor(None, tmp_path / "table"),
        ring,
        ProcessSensor(probes),
        BlockSensor(probes),
        MemorySensor(probes),
    ]
    remedies = ["modprobe", "modprobe", "make ebpf", "make ebpf", "make ebpf"]
    for sensor, remedy in zip(sensors, remedies, strict=True):
        sensor.follow({"shop": ("/shop", 1)})
        assert sensor.read() == []
        assert sensor.events() == []
        assert sensor.fileno() == -1
        assert remedy in sensor.state().missing
        sensor.close()
        sensor.close()


def raw(**fields):
    names = RawEvent.__struct_fields__
    values = dict.fromkeys(names, 0) | {"comm": b"x", "args": b""} | fields
    return RawEvent(**values)


def test_events_read_well():
    names = {7: "shop", 8: "build"}

    def told(**fields):
        event = to_event(raw(cgroup_id=7, **fields), "ring", lambda i: names.get(i, ""))
        assert event.workload == "shop"
        return event.kind, event.value, event.unit, event.detail

    assert told(type=EventType.RUNQ, value=9, extra=8) == (
        "runq",
        9,
        "ns",
        "behind build",
    )
    assert told(type=EventType.EXIT, value=9, extra=5) == ("exit", 5, "ns", "signal 9")
    assert told(type=EventType.EXIT, value=0x700)[3] == "exit 7"
    assert told(type=EventType.EXIT, value=0x86)[3] == "signal 6, core dumped"
    assert told(type=EventType.BLOCK, value=1, extra=4096)[3] == "4096 bytes"
    assert told(type=EventType.OOM, value=3)[2:] == ("pages", "limit of the machine")
    assert told(type=EventType.OOM, value=3, extra=8)[3] == "limit of build"
    assert told(type=EventType.OOM, value=3, extra=9)[3] == "limit of cgroup 9"
    assert told(type=99)[0] == "type-99"


@pytest.mark.parametrize("argument", [b"a" * 200, "ü".encode() * 100, b"\xff" * 200])
def test_arguments_that_the_kernel_cut_are_told_as_cut(argument):
    given = (b"/bin/x\0" + argument + b"\0")[: abi.ARGS_LEN]
    one = raw(type=EventType.EXEC, args=given)
    detail = to_event(one, "process", lambda _: "").detail
    assert detail.startswith("/bin/x ")
    assert detail.endswith("…") and detail.count("…") == 1
    assert len(detail) <= 97
    whole = raw(type=EventType.EXEC, args=b"/bin/x\0-v\0")
    assert to_event(whole, "process", lambda _: "").detail == "/bin/x -v"


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(max_size=16), st.binary(max_size=128), st.integers(0, 2**32 - 1))
def test_what_a_process_chose_is_harmless(name, args, kind):
    event = to_event(raw(comm=name, args=args, type=kind), "process", lambda _: "")
    assert (event.comm + event.detail + event.kind).isprintable()


def ring_of(count: int) -> Ring:
    """Return a ring that holds so many exec records of workload 7."""
    data = 1 << 20
    memory = bytearray(2 * 4096 + 2 * data)
    body = struct.pack("<QQIIIIQQ16s", 9, 7, EventType.EXEC, 0, 2, 3, 1, 0, b"cc")
    body += struct.pack("<II128s", 0, 2, b"cc")
    record = struct.pack("<II", len(body), 0) + body
    memory[8192 : 8192 + count * len(record)] = record * count
    struct.pack_into("<Q", memory, 4096, count * len(record))
    return Ring.memory(memory, batch=KEPT)


def test_more_than_a_batch_is_folded_and_nothing_is_lost():
    count = 3 * KEPT + 5
    with ring_of(count) as ring:
        events, started = drain(ring, "process", lambda _: "build")
        assert started == {7}
        assert len(events) == KEPT + 1
        assert events[-1].detail == f"and {count - KEPT} more"
        assert events[-1].value == count - KEPT
        assert ring.counts().seen == count
        assert drain(ring, "process", lambda _: "") == ([], set())
