# SPDX-License-Identifier: MIT
"""One CO-RE object through libbpf, and its maps."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec

from vagus._native import ffi, lib
from vagus.errors import FeatureMissing
from vagus.native.failure import raise_for

# enum bpf_map_type of Linux include/uapi/linux/bpf.h: per-CPU hash, array, LRU hash.
PERCPU_TYPES = frozenset((5, 6, 10))


class Program(msgspec.Struct, frozen=True):
    """One eBPF program of an object."""

    name: str
    hook: str  # "tp_btf/sched_process_exec"
    missing: str  # why it does not run, or "" where it does


class BpfObject:
    """One CO-RE object: options and shared maps, then start(), then its maps.

    >>> with BpfObject(path) as block:
    ...     block.set_option("outlier_ns", 20_000_000)
    ...     block.start()
    ...     block.missing()
    """

    def __init__(self, path: Path) -> None:
        """Read the object file; nothing is loaded yet."""
        out = ffi.new("struct vagus_bpf **")
        if not path.exists():
            raise FeatureMissing(f"{path} is not there; build it: make ebpf")
        ret = lib.vagus_bpf_open(os.fsencode(path), out)
        self._handle = out[0]
        self._name = path.name
        self._maps: dict[tuple[str, int | None], BpfMap] = {}
        if ret:
            log = self.log()
            self.close()
            raise_for(ret, f"reading {path}", log)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Detach every program and free every map; a second call does nothing."""
        handle, self._handle = self._handle, ffi.NULL
        self._maps.clear()
        lib.vagus_bpf_close(handle)

    def log(self) -> str:
        """Return what libbpf said in the last call, its last lines."""
        if self._handle == ffi.NULL:
            return "out of memory"
        text: bytes = ffi.string(lib.vagus_bpf_log(self._handle))
        return text.decode(errors="replace").strip()[-2000:]

    def set_option(self, name: str, value: int) -> None:
        """Give a const volatile option another value; before start()."""
        ret = lib.vagus_bpf_set_option(self._handle, name.encode(), value)
        self._check(ret, f"option {name}={value}")

    def share_map(self, name: str, owner: BpfObject) -> None:
        """Use another started object's map of the same name; before start()."""
        ret = lib.vagus_bpf_reuse_map(self._handle, name.encode(), owner.map_fd(name))
        self._check(ret, f"map {name}")

    def resize_map(self, name: str, entries: int) -> None:
        """Set how many entries a map has room for; before start()."""
        ret = lib.vagus_bpf_resize_map(self._handle, name.encode(), entries)
        self._check(ret, f"map {name}")

    def leave_out(self, program: str) -> None:
        """Do not load a program; before start()."""
        ret = lib.vagus_bpf_leave_out(self._handle, program.encode())
        self._check(ret, f"program {program}")

    def start(self) -> None:
        """Load and attach what this kernel has hooks for; see missing()."""
        if not Path("/sys/kernel/btf/vmlinux").exists():
            raise FeatureMissing(
                f"{self._name}: the kernel has no BTF (CONFIG_DEBUG_INFO_BTF);"
                " eBPF signals stay unknown"
            )
        self._check(lib.vagus_bpf_load(self._handle), "loading")
        self._check(lib.vagus_bpf_attach(self._handle), "attaching")

    def set_ops(self, name: str, field: str, value: int) -> None:
        """Give a field of a struct sched_ext_ops another value; before start()."""
        ret = lib.vagus_bpf_set_ops(self._handle, name.encode(), field.encode(), value)
        self._check(ret, f"{name}.{field}={value}")

    def attach_ops(self, name: str) -> None:
        """Attach a struct_ops map, such as a sched_ext scheduler; after start()."""
        ret = lib.vagus_bpf_attach_ops(self._handle, name.encode())
        self._check(ret, f"attaching {name}")

    def detach_ops(self) -> None:
        """Undo attach_ops(); without one, do nothing."""
        lib.vagus_bpf_detach_ops(self._handle)

    def programs(self) -> Iterator[Program]:
        """Name every program and why it does not run, if so."""
        name, hook = ffi.new("char const **"), ffi.new("char const **")
        state = ffi.new("int *")
        index = 0
        while not lib.vagus_bpf_program(self._handle, index, name, hook, state):
            missing = os.strerror(-state[0]) if state[0] else ""
            yield Program(
                ffi.string(name[0]).decode(), ffi.string(hook[0]).decode(), missing
            )
            index += 1

    def missing(self) -> dict[str, str]:
        """Return the programs that do not run, each with hook and reason."""
        return {
            program.name: f"{program.hook}: {program.missing}"
            for program in self.programs()
            if program.missing
        }

    def map_fd(self, name: str) -> int:
        """Return the descriptor of a map, which stays the object's."""
        fd = lib.vagus_bpf_map_fd(self._handle, name.encode())
        self._check(fd, f"map {name}")
        return fd

    def map(self, name: str, sum_words: int | None = None) -> BpfMap:
        """Return a map of the started object; the same one each time."""
        key = name, sum_words
        if key not in self._maps:  # to find one, and its sizes, costs system calls
            fd, what = self.map_fd(name), f"{self._name}: map {name}"
            self._maps[key] = BpfMap(fd, what, sum_words)
        return self._maps[key]

    def _check(self, ret: int, what: str) -> None:
        """Raise with libbpf's words where a call failed."""
        if ret < 0:
            raise_for(ret, f"{self._name}: {what}", self.log())


class BpfMap:
    """A BPF hash or array by its descriptor, which its object owns.

    Values of per-CPU maps are u64 words: the first sum_words are added up over
    CPUs, of the others the largest is taken.
    """

    def __init__(self, fd: int, name: str, sum_words: int | None = None) -> None:
        """Ask the kernel for the sizes."""
        sizes = [ffi.new("uint32_t *") for _ in range(4)]
        ret = lib.vagus_map_info(fd, *sizes)
        if ret:
            raise_for(ret, name)
        self._fd, self._name = fd, name
        kind, self._key_bytes, self._value_bytes, entries = (s[0] for s in sizes)
        self._entries = entries
        self._is_percpu = kind in PERCPU_TYPES
        self._words = self._value_bytes // 8
        self._sum_words = self._words if sum_words is None else sum_words
        self._keys: Any = None
        self._sums: Any = None

    def get(self, key: bytes) -> bytes | None:
        """Return one entry of a map that is not per-CPU, or None."""
        self._check_sizes(key)
        self._check_one_value()
        value = ffi.new("char[]", self._value_bytes)
        ret = lib.vagus_map_lookup(self._fd, key, value)
        if ret == -errno.ENOENT:
            return None
        if ret:
            raise_for(ret, self._name)
        return bytes(ffi.buffer(value))

    def put(self, key: bytes, value: bytes) -> None:
        """Set one entry."""
        self._check_sizes(key, value)
        self._check_one_value()
        ret = lib.vagus_map_update(self._fd, key, value)
        if ret:
            raise_for(ret, self._name)

    def drop(self, key: bytes) -> None:
        """Remove one entry; one that is not there is no error."""
        self._check_sizes(key)
        ret = lib.vagus_map_delete(self._fd, key)
        if ret and ret != -errno.ENOENT:
            raise_for(ret, self._name)

    def read_percpu(self) -> dict[bytes, tuple[int, ...]]:
        """Return all entries of a per-CPU map, added up over CPUs."""
        if self._keys is None:
            # Kept: filling a new array with zeroes costs more than the reading.
            self._keys = ffi.new("char[]", self._entries * self._key_bytes)
            self._sums = ffi.new("uint64_t[]", self._entries * self._words)
        count = lib.vagus_map_read_percpu(
            self._fd, self._keys, self._sums, self._entries, self._sum_words
        )
        if count < 0:
            raise_for(count, self._name)
        size, words = self._key_bytes, self._words
        keys = bytes(ffi.buffer(self._keys, count * size))
        return {
            keys[i * size : (i + 1) * size]: tuple(
                self._sums[i * words : (i + 1) * words]
            )
            for i in range(count)
        }

    def _check_sizes(self, key: bytes, value: bytes | None = None) -> None:
        """Refuse what the kernel would read or write beyond its end."""
        if len(key) != self._key_bytes:
            raise ValueError(f"{self._name}: a key has {self._key_bytes} bytes")
        if value is not None and len(value) != self._value_bytes:
            raise ValueError(f"{self._name}: a value has {self._value_bytes} bytes")

    def _check_one_value(self) -> None:
        """Refuse a per-CPU map, whose value is as many as there are CPUs."""
        if self._is_percpu:
            raise ValueError(f"{self._name}: per-CPU: use read_percpu()")
