# SPDX-License-Identifier: MIT
import errno
import mmap
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vagus import abi, native
from vagus._native import ffi, lib
from vagus.abi import EventType
from vagus.errors import (
    AbiMismatch,
    FeatureMissing,
    KernelError,
    ModuleMissing,
    PrivilegeError,
)
from vagus.native import failure

PAGE = mmap.PAGESIZE
BUSY, DISCARD = 1 << 31, 1 << 30


class Producer:
    """The kernel's side of a ring, in a buffer of our own."""

    def __init__(self, data_bytes: int = 4096, page: int = 64) -> None:
        self.page, self.size = page, data_bytes
        self.memory = bytearray(2 * page + 2 * data_bytes)

    @property
    def consumer(self) -> int:
        return struct.unpack_from("<Q", self.memory, 0)[0]

    @property
    def position(self) -> int:
        return struct.unpack_from("<Q", self.memory, self.page)[0]

    @position.setter
    def position(self, value: int) -> None:
        struct.pack_into("<Q", self.memory, self.page, value)

    def start_at(self, position: int) -> None:
        struct.pack_into("<Q", self.memory, 0, position)
        self.position = position

    def put(self, payload: bytes, bits: int = 0, length: int | None = None) -> bool:
        length = len(payload) if length is None else length
        record = struct.pack("<II", length | bits, 0) + payload
        record += bytes(-len(record) % 8)
        if self.position + len(record) - self.consumer > self.size:
            return False
        for i, byte in enumerate(record):
            at = (self.position + i) % self.size
            self.memory[2 * self.page + at] = byte
            self.memory[2 * self.page + self.size + at] = byte
        self.position += len(record)
        return True

    def ring(self, **options: object) -> native.Ring:
        return native.Ring.memory(self.memory, self.page, **options)


def event(
    value: int = 1,
    cgroup_id: int = 7,
    kind: int = EventType.RUNQ,
    comm: bytes = b"shop",
    extra: int = 0,
) -> bytes:
    return struct.pack("<QQIIIIQQ16s", 9, cgroup_id, kind, 1, 2, 3, value, extra, comm)


def exec_event(args: bytes, args_len: int | None = None, uid: int = 1000) -> bytes:
    used = len(args) if args_len is None else args_len
    return event(kind=EventType.EXEC) + struct.pack("<II128s", uid, used, args)


# -------------------------------------------------------------------- ring


def test_event_arrives_with_every_field() -> None:
    producer = Producer()
    producer.put(event(value=5, extra=6))
    with producer.ring() as ring:
        assert ring.drain() == [
            native.RawEvent(9, 7, EventType.RUNQ, 1, 2, 3, 5, 6, b"shop", 0, b"")
        ]
        assert ring.drain() == []
        assert ring.counts().seen == 1
    assert producer.consumer == producer.position


def test_exec_carries_uid_and_arguments() -> None:
    producer = Producer()
    producer.put(exec_event(b"restic\0backup\0"))
    with producer.ring() as ring:
        (got,) = ring.drain()
    assert (got.uid, got.args) == (1000, b"restic\0backup\0")


def test_lying_lengths_are_cut_and_comm_always_ends() -> None:
    producer = Producer()
    producer.put(exec_event(b"a" * 128, args_len=2**32 - 1))
    producer.put(event(comm=b"x" * 16))
    with producer.ring() as ring:
        first, second = ring.drain()
    assert first.args == b"a" * 128
    assert second.comm == b"x" * 15


def test_record_of_a_newer_kind_is_kept_as_far_as_known() -> None:
    producer = Producer()
    producer.put(event(kind=40) + b"z" * 500)
    with producer.ring(keep=[40]) as ring:
        (got,) = ring.drain()
    assert got.type == 40


def test_busy_record_stops_and_is_read_once_committed() -> None:
    producer = Producer()
    producer.put(event(1))
    at = 2 * producer.page + producer.position
    producer.put(event(2), bits=BUSY)
    producer.put(event(3))
    with producer.ring() as ring:
        assert [e.value for e in ring.drain()] == [1]
        assert ring.drain() == []
        struct.pack_into("<I", producer.memory, at, 64)
        assert [e.value for e in ring.drain()] == [2, 3]


def test_discarded_and_short_records_are_counted_and_passed_over() -> None:
    producer = Producer()
    producer.put(event(1), bits=DISCARD)
    producer.put(b"short")
    producer.put(b"")
    producer.put(event(2))
    with producer.ring() as ring:
        assert [e.value for e in ring.drain()] == [2]
        assert ring.counts() == native.RingCounts(1, 0, 1, 2, 0, late=1)


def test_records_read_long_after_they_were_made_are_late() -> None:
    producer = Producer()
    now = time.monotonic_ns()
    for age_ns in (0, 1_000_000_000, 3_000_000_000, 60_000_000_000):
        producer.put(struct.pack("<Q", now - age_ns) + event()[8:])
    with producer.ring() as ring:
        ring.drain()
        assert (ring.counts().seen, ring.counts().late) == (4, 2)


def test_lost_records_add_up() -> None:
    producer = Producer()
    producer.put(event(41, kind=EventType.LOST))
    producer.put(event(1, kind=EventType.LOST))
    with producer.ring(keep=[]) as ring:
        assert ring.drain() == []
        assert (ring.counts().lost, ring.counts().seen) == (42, 0)


def test_length_beyond_the_produced_is_damage_and_reading_goes_on() -> None:
    producer = Producer()
    producer.put(event(1))
    producer.put(event(2), length=4000)
    with producer.ring() as ring:
        assert [e.value for e in ring.drain()] == [1]
        assert ring.counts().malformed == 1
        producer.put(event(3))
        assert [e.value for e in ring.drain()] == [3]


def test_full_batch_leaves_the_rest_for_the_next_call() -> None:
    producer = Producer()
    for value in range(10):
        producer.put(event(value))
    with producer.ring(batch=4) as ring:
        batches = [[e.value for e in ring.drain()] for _ in range(4)]
        assert ring.counts().seen == 10
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], []]


def test_positions_wrap_around_2_to_the_64() -> None:
    producer = Producer()
    producer.start_at(2**64 - 64)
    # The buffer's own arithmetic must wrap as the kernel's.
    record = struct.pack("<II", 64, 0) + event(5)
    for i, byte in enumerate(record):
        at = (2**64 - 64 + i) % 4096
        producer.memory[2 * 64 + at] = byte
        producer.memory[2 * 64 + 4096 + at] = byte
    producer.position = (2**64 - 64 + len(record)) % 2**64
    with producer.ring() as ring:
        assert [e.value for e in ring.drain()] == [5]


def test_folds_add_up_all_records_by_workload_and_type() -> None:
    producer = Producer()
    for value in (3, 9, 4):
        producer.put(event(value, cgroup_id=1))
    producer.put(event(100, cgroup_id=2, kind=EventType.BLOCK))
    with producer.ring(keep=[EventType.BLOCK]) as ring:
        assert [e.value for e in ring.drain()] == [100]
        assert ring.take_folds() == {
            (1, EventType.RUNQ): native.Fold(3, 16, 9),
            (2, EventType.BLOCK): native.Fold(1, 100, 100),
        }
        assert ring.take_folds() == {}


def test_fold_table_without_room_counts_what_it_left_out() -> None:
    producer = Producer()
    for cgroup_id in range(6):
        producer.put(event(cgroup_id=cgroup_id))
    with producer.ring(folds=4, keep=[]) as ring:
        ring.drain()
        assert sum(fold.count for fold in ring.take_folds().values()) == 4
        assert ring.counts().unfolded == 2


def test_numpy_sees_kept_records_without_a_copy() -> None:
    producer = Producer()
    producer.put(event(11))
    producer.put(exec_event(b"ls\0"))
    with producer.ring() as ring:
        assert ring.drain_records() == 2
        seen = np.frombuffer(ring.records(), np.dtype(abi.record_dtype()))
        assert seen["value"].tolist() == [11, 1]
        assert seen["comm"].tolist() == [b"shop", b"shop"]
        assert seen["args_len"].tolist() == [0, 3]
        assert not seen.flags.owndata


Steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 2**64 - 1), st.booleans()),
        st.just("drain"),
    ),
    max_size=200,
)


@given(Steps, st.sampled_from([256, 512, 4096]), st.integers(1, 5))
def test_what_is_produced_is_seen_in_order(
    steps: list[object], size: int, batch: int
) -> None:
    producer = Producer(size)
    put: list[int] = []
    seen: list[int] = []
    with producer.ring(batch=batch) as ring:
        for step in steps:
            if step == "drain":
                seen += [e.value for e in ring.drain()]
                continue
            _, value, with_args = step  # type: ignore[misc]
            payload = exec_event(b"x") if with_args else event(value)
            if producer.put(payload):
                put.append(1 if with_args else value)
        while got := ring.drain():
            seen += [e.value for e in got]
        assert ring.counts().seen == len(put)
    assert seen == put


@given(st.binary(min_size=2 * 64 + 2 * 512, max_size=2 * 64 + 2 * 512), st.data())
@settings(max_examples=2000)
def test_random_bytes_never_break_the_reader(raw: bytes, data: st.DataObject) -> None:
    memory = bytearray(raw)
    if data.draw(st.booleans(), "positions near each other"):
        at = data.draw(st.integers(0, 2**64 - 513)) & ~7
        ahead = data.draw(st.integers(0, 64)) * 8
        struct.pack_into("<Q", memory, 0, at)
        struct.pack_into("<Q", memory, 64, at + ahead)
    before = bytes(memory)
    with native.Ring.memory(memory, 64, batch=8, folds=16) as ring:
        for _ in range(4):
            for got in ring.drain():
                assert len(got.args) <= abi.ARGS_LEN
                assert len(got.comm) < abi.COMM_LEN
    # Only the consumer's position may change.
    assert memory[8:] == before[8:]


@pytest.mark.parametrize("bytes_", [0, 64, 64 * 2 + 100, 64 * 2 + 3 * 256])
def test_memory_of_a_wrong_size_is_refused(bytes_: int) -> None:
    with pytest.raises(ValueError, match="not a ring"):
        native.Ring.memory(bytearray(bytes_), 64)


def test_closing_twice_is_harmless() -> None:
    ring = Producer().ring()
    ring.close()
    ring.close()


# ------------------------------------------------- files that come and go


def ring_file(path: Path, data_bytes: int = PAGE) -> Path:
    path.write_bytes(bytes(2 * PAGE + 2 * data_bytes))
    return path


def test_missing_module_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModuleMissing, match="modprobe vagus"):
        native.Ring.module(tmp_path / "ring")


def test_ring_file_of_a_wrong_size_is_another_abi(tmp_path: Path) -> None:
    (tmp_path / "ring").write_bytes(bytes(3 * PAGE))
    with pytest.raises(AbiMismatch, match="same release"):
        native.Ring.module(tmp_path / "ring")


def test_ring_in_a_file_is_read_through_its_mapping(tmp_path: Path) -> None:
    path = ring_file(tmp_path / "ring")
    with native.Ring.module(path) as ring:
        assert ring.data_bytes == PAGE
        with path.open("r+b") as file:
            file.seek(2 * PAGE)
            file.write(struct.pack("<II", 64, 0) + event(77))
            file.seek(PAGE)
            file.write(struct.pack("<Q", 72))
        assert [e.value for e in ring.drain()] == [77]
        assert struct.unpack("<Q", path.read_bytes()[:8]) == (72,)


def test_ring_that_went_away_is_an_error_and_no_signal(tmp_path: Path) -> None:
    # Touching a mapping beyond the end of its file raises SIGBUS, as touching
    # the module's does after rmmod.
    path = ring_file(tmp_path / "ring")
    with native.Ring.module(path) as ring:
        assert ring.drain() == []
        os.truncate(path, 0)
        for _ in range(3):
            with pytest.raises(ModuleMissing, match="not loaded"):
                ring.drain()


FAULT = """
import mmap, os, sys
from pathlib import Path
from vagus import native
path = Path(sys.argv[1])
ring = native.Ring.module(path)
ring.drain()
with path.open("r+b") as file, mmap.mmap(file.fileno(), mmap.PAGESIZE) as mine:
    os.truncate(path, 0)
    print(mine[0])
"""


def test_signal_outside_the_guard_still_kills(tmp_path: Path) -> None:
    path = ring_file(tmp_path / "ring")
    done = subprocess.run([sys.executable, "-c", FAULT, path], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (-signal.SIGBUS, b"")


# ------------------------------------------------------------------ others


def test_object_that_was_not_built_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FeatureMissing, match="make ebpf"):
        native.BpfObject(tmp_path / "block.bpf.o")


def test_the_end_of_what_libbpf_says_is_kept() -> None:
    """The verifier's last line says what is wrong, behind pages of what it tried."""
    out = ffi.new("struct vagus_bpf **")
    path = b"/begin" + b"x" * 40_000
    assert lib.vagus_bpf_open(path, out) < 0
    text: bytes = ffi.string(lib.vagus_bpf_log(out[0]))
    lib.vagus_bpf_close(out[0])
    why = text.rpartition(b"x: ")[2].decode().lower()
    assert "too" in why and "long" in why and b"begin" not in text
    assert 8_000 < len(text) < 16_384


def test_what_libbpf_says_is_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "junk.bpf.o"
    path.write_bytes(b"this is not an object")
    with pytest.raises(KernelError, match=r"libbpf: .*junk"):
        native.BpfObject(path)


def test_errno_becomes_the_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(PrivilegeError, match="this root needs CAP_BPF"):
        failure.raise_for(-errno.EPERM, "loading")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(PrivilegeError, match="run as root"):
        failure.raise_for(-errno.EPERM, "loading")
    with pytest.raises(KernelError, match=r"loading: .*memory"):
        failure.raise_for(-errno.ENOMEM, "loading")


def test_locked_down_kernel_is_told_from_a_missing_privilege(tmp_path: Path) -> None:
    lockdown = tmp_path / "lockdown"
    lockdown.write_text("none integrity [confidentiality]\n")
    with pytest.raises(FeatureMissing, match="lockdown=integrity"):
        failure.raise_for(-errno.EPERM, "loading", lockdown=lockdown)
    lockdown.write_text("none [integrity] confidentiality\n")
    with pytest.raises(PrivilegeError, match="loading: "):
        failure.raise_for(-errno.EPERM, "loading", lockdown=lockdown)
