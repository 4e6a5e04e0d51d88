# SPDX-License-Identifier: MIT
"""Records a second: our reader against bcc's Python callbacks, on equal rings.

Runs in the guest as root.  One BPF ring is filled by one program with the same
records again and again; the two readers take turns.  Both sides print the
count, sum and maximum of every workload, which must be equal.
Adds to .output/bench/sense.json.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.vm.bench_sense import publish

from vagus import abi
from vagus.native import Ring

# bcc belongs to the system's Python, which is of the same version.
sys.path.append("/usr/lib/python3/dist-packages")

RECORDS = 100_000
ROUNDS = 5
WORKLOADS = 10
DENSE = 1 << 16  # ids this close together are grouped without sorting
PAGES = 2048  # 8 MiB: 72 bytes a record

PROGRAM = """
struct event {
	u64 time_ns, cgroup_id;
	u32 type, cpu, tgid, tid;
	u64 value, extra;
	char comm[16];
};
BPF_RINGBUF_OUTPUT(events, PAGES);
BPF_ARRAY(position, u64, 1);

TRACEPOINT_PROBE(syscalls, sys_enter_getppid)
{
	int zero = 0;
	u64 *next = position.lookup(&zero);

	if (!next || (bpf_get_current_pid_tgid() >> 32) != FILLER)
		return 0;
	for (int i = 0; i < 50; i++) {
		struct event event = {};

		event.time_ns = bpf_ktime_get_ns();
		event.cgroup_id = 1000 + *next % WORKLOADS;
		event.type = RUNQ;
		event.value = (*next * 2654435761ULL) % 1000000;
		bpf_get_current_comm(event.comm, sizeof(event.comm));
		if (!events.ringbuf_output(&event, sizeof(event), 0))
			(*next)++;
	}
	return 0;
}
"""

Totals = dict[int, tuple[int, int, int]]  # workload -> count, sum, maximum


def load() -> Any:
    """Compile and attach the program that fills the ring."""
    from bcc import BPF

    names = {"PAGES": PAGES, "WORKLOADS": WORKLOADS, "FILLER": os.getpid()}
    names["RUNQ"] = int(abi.EventType.RUNQ)
    flags = [f"-D{name}={value}" for name, value in names.items()]
    return BPF(text=PROGRAM, cflags=[*flags, "-Wno-everything"])


def fill(bpf: Any) -> None:
    """Put the same RECORDS records into the empty ring."""
    position = bpf["position"]
    position[0] = position.Leaf(0)
    while position[0].value < RECORDS:
        before = position[0].value
        os.getppid()
        assert position[0].value > before, "the ring is full or the program silent"


def bcc_reader(bpf: Any) -> Callable[[], Totals]:
    """Return bcc's documented way: a Python callback for every record."""
    totals: dict[int, list[int]] = {}
    events = bpf["events"]

    def callback(_context: object, data: object, _size: int) -> None:
        event = events.event(data)
        total = totals.setdefault(event.cgroup_id, [0, 0, 0])
        total[0] += 1
        total[1] += event.value
        total[2] = max(total[2], event.value)

    events.open_ring_buffer(callback)

    def read() -> Totals:
        totals.clear()
        while sum(total[0] for total in totals.values()) < RECORDS:
            bpf.ring_buffer_poll(0)
        return {key: (n, s, m) for key, (n, s, m) in totals.items()}

    return read


def fold_reader(map_fd: int) -> Callable[[], Totals]:
    """Return our way for what is frequent: added up in C."""
    ring = Ring.bpf(map_fd, keep=())

    def read() -> Totals:
        ring.drain()
        folds = ring.take_folds()
        return {key: (f.count, f.sum, f.max) for (key, _), f in folds.items()}

    return read


def grouped(records: Any) -> Iterator[tuple[int, int, int, int]]:
    """Yield count, sum and maximum of each workload in a view of records."""
    ids, values = records["cgroup_id"], records["value"]
    low = int(ids.min())
    at = (ids - np.uint64(low)).astype(np.intp)
    keys: Sequence[int] = range(low, low + DENSE)
    if int(at.max()) >= DENSE:  # ids far apart: numbered one after the other
        found, at = np.unique(ids, return_inverse=True)
        keys = found.tolist()
    counts, sums = np.bincount(at), np.bincount(at, weights=values)
    most = np.zeros(counts.size, np.uint64)
    np.maximum.at(most, at, values)
    for i in np.flatnonzero(counts).tolist():
        yield keys[i], int(counts[i]), int(sums[i]), int(most[i])


def numpy_reader(map_fd: int) -> Callable[[], Totals]:
    """Return our way for single records: views of them, grouped by numpy."""
    ring = Ring.bpf(map_fd, batch=8192)
    dtype = np.dtype(abi.record_dtype())

    def read() -> Totals:
        sums: Totals = {}
        while ring.drain_records():
            records = np.frombuffer(ring.records(), dtype)
            for key, count, total, most in grouped(records):
                n, s, m = sums.get(key, (0, 0, 0))
                sums[key] = (n + count, s + total, max(m, most))
        return sums

    return read


def measure(bpf: Any) -> tuple[dict[str, list[float]], dict[str, Totals]]:
    """Fill and drain in turns; return records a second and what was read."""
    map_fd = bpf["events"].map_fd
    readers = {
        "bcc": bcc_reader(bpf),
        "vagus": fold_reader(map_fd),
        "vagus_records": numpy_reader(map_fd),
    }
    rates: dict[str, list[float]] = {name: [] for name in readers}
    totals: dict[str, Totals] = {}
    for _ in range(ROUNDS):
        for name, read in readers.items():
            fill(bpf)
            began = time.perf_counter()
            totals[name] = read()
            rates[name].append(RECORDS / (time.perf_counter() - began))
    return rates, totals


def report(rates: dict[str, list[float]], totals: dict[str, Totals]) -> int:
    """Print both sides and publish the numbers; 1 where the sides differ."""
    for key in sorted(totals["bcc"]):
        for name, total in totals.items():
            n, s, m = total[key]
            print(f"workload {key}  {name:14} count {n:7} sum {s:12} max {m:7}")
    medians = {name: statistics.median(rate) for name, rate in rates.items()}
    for name, rate in rates.items():
        spread = f"{min(rate):,.0f} to {max(rate):,.0f}"
        print(f"{name:14} {medians[name]:12,.0f} records/s  ({spread})")
    publish(drain_per_s={name: round(median) for name, median in medians.items()})
    by_record = medians["vagus_records"] / medians["bcc"]
    print(f"           (record by record, in numpy: {by_record:.0f} times)")
    if any(total != totals["bcc"] for total in totals.values()):
        print("the sides do not agree", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Measure and report; 1 where the sides differ."""
    return report(*measure(load()))


if __name__ == "__main__":
    raise SystemExit(main())
