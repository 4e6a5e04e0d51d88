# SPDX-License-Identifier: MIT
from enum import IntEnum
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagus import abi
from vagus._native import ffi

ENUMS = {
    "enum vagus_event_type": ("VAGUS_EVENT_", abi.EventType),
    "enum vagus_cmd": ("VAGUS_CMD_", abi.Cmd),
    "enum vagus_attr": ("VAGUS_A_", abi.Attr),
    "enum vagus_workload_attr": ("VAGUS_W_", abi.WorkloadAttr),
    "enum vagus_lease_attr": ("VAGUS_L_", abi.LeaseAttr),
    "enum vagus_lease_kind": ("VAGUS_LEASE_", abi.LeaseKind),
    "enum vagus_lease_end": ("VAGUS_END_", abi.LeaseEnd),
    "enum vagus_lease_cause": ("VAGUS_CAUSE_", abi.LeaseCause),
    "enum vagus_hist_kind": ("VAGUS_HIST_", abi.HistKind),
    "enum vagus_block_op": ("VAGUS_BLOCK_", abi.BlockOp),
    "enum vagus_counter": ("VAGUS_COUNTER_", abi.Counter),
    "enum vagus_sched_class": ("VAGUS_SCHED_", abi.SchedClass),
}
NO_MEANING = {
    "UNSPEC",
    "PAD",
    "MAX",
    "KIND_MAX",
    "KINDS",
    "OPS",
    "CLASSES",
    "VAGUS_COUNTERS",
}


@pytest.mark.parametrize("c_name", ENUMS)
def test_every_enumerator_has_a_python_name(c_name: str) -> None:
    prefix, python = ENUMS[c_name]
    in_header = {
        name.removeprefix(prefix): value
        for name, value in ffi.typeof(c_name).relements.items()
        if not name.startswith("__")
    }
    for name in NO_MEANING:
        in_header.pop(name, None)
    assert in_header == {member.name: member.value for member in python}


def test_constants_of_the_header_have_python_names() -> None:
    for name, value in ffi.typeof("enum vagus_const").relements.items():
        assert getattr(abi, name.removeprefix("VAGUS_")) == value


def test_genl_name_is_text() -> None:
    assert (abi.GENL_NAME, abi.GENL_GROUP) == ("vagus", "events")


def test_buckets_cover_everything_without_gap() -> None:
    bounds = abi.hist_bounds_ns()
    assert len(bounds) == abi.HIST_BUCKETS
    assert bounds[0][0] == 0
    assert bounds[-1][1] == abi.U64_MAX + 1
    assert all(a[1] == b[0] for a, b in pairwise(bounds))


def test_bucket_width_is_at_most_a_quarter_of_its_value() -> None:
    for low, high in abi.hist_bounds_ns()[1:-1]:
        assert (high - low) / low <= 0.25


@given(st.integers(0, abi.U64_MAX))
def test_bucket_holds_its_value(value_ns: int) -> None:
    low, high = abi.hist_bounds_ns()[abi.hist_bucket(value_ns)]
    assert low <= value_ns < high


def test_fields_are_where_the_compiler_put_them() -> None:
    assert abi.fields("struct vagus_event")["comm"] == 48
    assert abi.size_bytes("struct vagus_exec") == 200


def test_enums_are_integers_for_struct_packing() -> None:
    assert issubclass(abi.Cmd, IntEnum)
    assert abi.Cmd.INFO.to_bytes(1, "little") == b"\x01"
