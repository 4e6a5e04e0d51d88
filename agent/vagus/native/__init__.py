# SPDX-License-Identifier: MIT
"""The kernel's memory and eBPF objects as context managers over vagus._native.

Each owns what it opens.  A module that was unloaded meanwhile is ModuleMissing,
never a signal.
"""

from vagus.native.bpf import BpfMap, BpfObject, Program
from vagus.native.probes import BlockStat, MemoryStat, Probes, ProcessStat
from vagus.native.ring import ALL_TYPES, RING_PATH, Fold, RawEvent, Ring, RingCounts
from vagus.native.table import TABLE_PATH, Cell, Table

__all__ = [
    "ALL_TYPES",
    "RING_PATH",
    "TABLE_PATH",
    "BlockStat",
    "BpfMap",
    "BpfObject",
    "Cell",
    "Fold",
    "MemoryStat",
    "Probes",
    "ProcessStat",
    "Program",
    "RawEvent",
    "Ring",
    "RingCounts",
    "Table",
]
