# SPDX-License-Identifier: MIT
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagus import abi, native
from vagus.errors import AbiMismatch, ModuleMissing

CELL = abi.size_bytes("struct vagus_cell")
ROW = abi.size_bytes("struct vagus_row")
HEAD = abi.size_bytes("struct vagus_table")


def table_memory(slots: int = 4, cpus: int = 2) -> bytearray:
    rows, cells = HEAD, HEAD + slots * ROW
    memory = bytearray(cells + slots * cpus * CELL)
    struct.pack_into(
        "<IIIIQQ", memory, 0, abi.ABI_VERSION, slots, cpus, CELL, rows, cells
    )
    for slot in range(slots):
        struct.pack_into("<QII", memory, rows + slot * ROW, 100 + slot, 1, 0)
    return memory


def write_cell(memory: bytearray, slot: int, cpu: int, **values: int) -> None:
    at = HEAD + 4 * ROW + (slot * 2 + cpu) * CELL
    offsets = abi.fields("struct vagus_cell")
    for name, value in values.items():
        size = "<Q" if name in ("sum_ns", "max_ns", "last_preemptor") else "<I"
        struct.pack_into(size, memory, at + offsets[name], value)


def test_slot_is_added_up_over_cpus() -> None:
    memory = table_memory()
    write_cell(memory, 2, 0, seq=2, switches=5, sum_ns=10, max_ns=4, hist=3)
    write_cell(memory, 2, 1, seq=4, switches=6, sum_ns=30, max_ns=9, hist=1)
    write_cell(memory, 2, 0, preempted_by_other=1, last_preemptor=50)
    write_cell(memory, 2, 1, preempted_by_other=3, last_preemptor=60)
    with native.Table.memory(memory) as table:
        assert (table.slots, table.cpus) == (4, 2)
        table.follow([2])
        (cell,) = table.read()
    assert (cell.slot, cell.cgroup_id, cell.generation) == (2, 102, 1)
    assert (cell.switches, cell.sum_ns[0], cell.max_ns[0]) == (11, 40, 9)
    assert (cell.preempted_by_other, cell.last_preemptor) == (4, 60)
    assert cell.hist[abi.HistKind.RUNQ] == (4, *[0] * (abi.HIST_BUCKETS - 1))
    assert len(cell.hist) == abi.HIST_KINDS


def test_counters_of_32_bits_wrap_when_added() -> None:
    memory = table_memory()
    write_cell(memory, 0, 0, switches=2**32 - 1)
    write_cell(memory, 0, 1, switches=2)
    with native.Table.memory(memory) as table:
        table.follow([0])
        assert table.read()[0].switches == 1


def test_only_slots_that_changed_are_returned() -> None:
    memory = table_memory()
    with native.Table.memory(memory) as table:
        table.follow([0, 1, 3])
        assert [cell.slot for cell in table.read()] == [0, 1, 3]
        assert table.read() == []
        write_cell(memory, 1, 0, seq=2, switches=1)
        assert [(cell.slot, cell.switches) for cell in table.read()] == [(1, 1)]
        assert table.read() == []


def test_cell_that_is_being_written_waits_for_the_next_read() -> None:
    memory = table_memory()
    write_cell(memory, 0, 1, seq=3, switches=9)
    with native.Table.memory(memory) as table:
        table.follow([0])
        assert table.read() == []
        write_cell(memory, 0, 1, seq=4)
        assert [cell.switches for cell in table.read()] == [9]


def test_slot_given_to_another_workload_counts_as_changed() -> None:
    memory = table_memory()
    with native.Table.memory(memory) as table:
        table.follow([0])
        table.read()
        struct.pack_into("<QII", memory, HEAD, 999, 2, 0)
        assert [cell.cgroup_id for cell in table.read()] == [999]


def test_slot_that_does_not_exist_gives_nothing() -> None:
    with native.Table.memory(table_memory()) as table:
        table.follow([4, 2**32 - 1])
        assert table.read() == []


def test_table_of_another_abi_is_refused() -> None:
    memory = table_memory()
    struct.pack_into("<I", memory, 0, abi.ABI_VERSION + 1)
    with pytest.raises(AbiMismatch):
        native.Table.memory(memory)


Number = st.one_of(st.integers(0, 5000), st.integers(0, 2**32 - 1))


@given(Number, Number, Number, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_random_heads_are_refused_or_stay_inside(
    slots: int, cpus: int, cell: int, rows: int, cells: int
) -> None:
    memory = table_memory()
    struct.pack_into(
        "<IIIIQQ", memory, 0, abi.ABI_VERSION, slots, cpus, cell, rows, cells
    )
    try:
        table = native.Table.memory(memory)
    except AbiMismatch:
        return
    with table:
        table.follow(range(min(slots, 16)))
        table.read()


def test_table_that_went_away_is_an_error_and_no_signal(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(table_memory())
    with native.Table.module(path) as table:
        table.follow([0])
        assert len(table.read()) == 1
        os.truncate(path, 0)
        with pytest.raises(ModuleMissing):
            table.read()


def test_table_file_that_is_missing_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModuleMissing, match="modprobe vagus"):
        native.Table.module(tmp_path / "table")
