# SPDX-License-Identifier: MIT
"""vagus.ko over generic netlink: leases, tracked workloads, counters.

The numbers are the compiled contract's (vagus.abi).  Leases belong to the socket
that asked for them: they end when it closes, however this process ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

import msgspec

from vagus import flow
from vagus.abi import (
    ABI_VERSION,
    GENL_GROUP,
    GENL_NAME,
    Attr,
    Cmd,
    LeaseAttr,
    LeaseCause,
    LeaseEnd,
    LeaseKind,
    WorkloadAttr,
)
from vagus.errors import AbiMismatch, KernelError, ModuleMissing, PrivilegeError
from vagus.netlink import (
    NETLINK_ADD_MEMBERSHIP,
    NETLINK_GENERIC,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    SOL_NETLINK,
    GenericNetlinkSocket,
    NetlinkError,
    genlmsg,
    nla,
)

# Leases in one message; their answer stays below 64 KiB, well under BATCH_MAX.
BATCH = 32
EVENT_BYTES = 65536
# Ends of thousands of leases may come at once.
EVENT_BUFFER_BYTES = 4 << 20
# Linux include/uapi/asm-generic/socket.h; Python's socket does not name it.
SO_RCVBUFFORCE = 33

_REQUEST = NLM_F_REQUEST | NLM_F_ACK
_U64 = {Attr.EVENTS, Attr.DROPS, Attr.LIMITED, Attr.GRANTED, Attr.RENEWED}
_U64 |= {Attr.RESTORED, Attr.LOST, Attr.FAILED, Attr.SWITCHES}
_U64 |= {Attr.RUNQ_THRESHOLD_NS, Attr.RECLAIM_THRESHOLD_NS}
_U32 = {Attr.ABI, Attr.SLOTS, Attr.RING_BYTES, Attr.RATE_PER_S, Attr.LIVE}
_U32 |= {Attr.ENDED, Attr.TRACKED}

_LEASE_FORMS = {
    LeaseAttr.ID: "uint64",
    LeaseAttr.KIND: "uint32",
    LeaseAttr.FD: "int32",
    LeaseAttr.VALUE: "asciiz",
    LeaseAttr.RESTORE: "asciiz",
    LeaseAttr.TTL_MS: "uint32",
    LeaseAttr.PIDFD: "int32",
    LeaseAttr.TID: "uint32",
    LeaseAttr.COOKIE: "uint64",
    LeaseAttr.OLD: "asciiz",
    LeaseAttr.PATH: "asciiz",
    LeaseAttr.OWNER: "uint32",
    LeaseAttr.ERROR: "int32",
    LeaseAttr.MESSAGE: "asciiz",
    LeaseAttr.END: "uint32",
    LeaseAttr.NOW: "asciiz",
    LeaseAttr.TIME_NS: "uint64",
    LeaseAttr.TOOK_NS: "uint64",
    LeaseAttr.CAUSE: "uint32",
}


class _Message(genlmsg):  # type: ignore[misc]
    """A message of the family; attributes are named like the enums' members."""

    nla_map = (
        *((int(a), a.name, "uint64") for a in sorted(_U64)),
        *((int(a), a.name, "uint32") for a in sorted(_U32)),
        (int(Attr.LEASE), Attr.LEASE.name, "lease", 1 << 15),
        (int(Attr.WORKLOAD), Attr.WORKLOAD.name, "workload", 1 << 15),
    )

    class lease(nla):  # type: ignore[misc]
        """One lease."""

        nla_map = tuple((int(a), a.name, form) for a, form in _LEASE_FORMS.items())

    class workload(nla):  # type: ignore[misc]
        """One tracked workload."""

        nla_map = (
            (int(WorkloadAttr.CGROUP_ID), "CGROUP_ID", "uint64"),
            (int(WorkloadAttr.SLOT), "SLOT", "uint32"),
            (int(WorkloadAttr.GENERATION), "GENERATION", "uint32"),
            (int(WorkloadAttr.ERROR), "ERROR", "int32"),
        )


class Grant(msgspec.Struct, frozen=True):
    """A lease to ask for: a knob by its descriptor, or a thread by pidfd and id."""

    fd: int | None  # open for reading and writing; None for a task lease
    value: str
    ttl_ms: int
    restore: str | None = None  # instead of the value found
    kind: int = LeaseKind.KNOB
    pidfd: int | None = None
    tid: int | None = None
    cookie: int = 0


class Granted(msgspec.Struct, frozen=True):
    """What came of a Grant; `error` is 0 or a negative errno, with its words."""

    id: int
    old: str
    value: str  # as read back
    error: int
    message: str
    cookie: int
    path: str


class LiveLease(msgspec.Struct, frozen=True):
    """A lease that lives now, of whatever owner."""

    id: int
    kind: LeaseKind
    owner: int  # netlink port id
    path: str
    old: str
    value: str
    left_ms: int
    cookie: int


class Tracked(msgspec.Struct, frozen=True):
    """A tracked workload; `gone` where its cgroup was removed."""

    cgroup_id: int
    slot: int
    generation: int
    gone: bool


class Module:
    """The agent's one connection to vagus.ko; owns two sockets."""

    def __init__(self, sysfs: Path = Path("/sys/kernel/vagus")) -> None:
        """Connect; raise ModuleMissing, AbiMismatch or PrivilegeError."""
        if not sysfs.exists():
            raise ModuleMissing("vagus.ko is not loaded: run `modprobe vagus`")
        self._owner = GenericNetlinkSocket(ext_ack=True)
        self._events: socket.socket | None = None
        self.events_lost = 0  # times that the kernel had no room for an end of a lease
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        """Find the family, check its version, listen to its events."""
        self._owner.module_err_level = "debug"
        try:
            self._owner.bind(GENL_NAME, _Message)
        except NetlinkError as error:
            _fail(error.code, str(error))
        abi = self.info()["abi"]
        if abi != ABI_VERSION:
            raise AbiMismatch(
                f"vagus.ko speaks version {abi} of the contract and this agent "
                f"{ABI_VERSION}: load the module that belongs to the agent"
            )
        self._events = _listen(self._owner.mcast_groups[GENL_GROUP])

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close; every lease of this owner ends."""
        self.close()

    def close(self) -> None:
        """Close both sockets; every lease of this owner ends."""
        self._owner.close()
        if self._events is not None:
            self._events.close()

    def fileno(self) -> int:
        """Return the descriptor that is readable when a lease has ended."""
        return -1 if self._events is None else self._events.fileno()

    # -------------------------------------------------------------------- leases

    def grant(self, grants: Sequence[Grant]) -> list[Granted]:
        """Set each value for its time to live; answers come in the same order."""
        answers = self._leases(Cmd.GRANT, [_grant_attrs(g) for g in grants])
        return [
            Granted(
                id=a.get("ID", 0),
                old=a.get("OLD", ""),
                value=a.get("VALUE", ""),
                error=a.get("ERROR", 0),
                message=a.get("MESSAGE", ""),
                cookie=a.get("COOKIE", 0),
                path=a.get("PATH", ""),
            )
            for a in answers
        ]

    def renew(self, ids: Iterable[int], ttl_ms: int) -> dict[int, int]:
        """Give leases a new time to live; 0 or a negative errno by id."""
        asked = [[("ID", id_), ("TTL_MS", ttl_ms)] for id_ in ids]
        return {a["ID"]: a["ERROR"] for a in self._leases(Cmd.RENEW, asked)}

    def revoke(self, ids: Iterable[int]) -> dict[int, int]:
        """End leases and wait until the old values are back; errors by id.

        A knob whose write may block (memory.high) is not waited for.
        """
        asked = [[("ID", id_)] for id_ in ids]
        return {a["ID"]: a["ERROR"] for a in self._leases(Cmd.REVOKE, asked)}

    def off(self) -> int:
        """End every lease of every owner; return how many."""
        (answer,) = self._ask(Cmd.OFF, [])
        return int(answer.get_attr("ENDED"))

    def leases(self) -> list[LiveLease]:
        """Return the leases that live now, of every owner, oldest first."""
        found = []
        for answer in self._ask(Cmd.LEASES, [], NLM_F_REQUEST | NLM_F_DUMP):
            for a in _nests(answer, Attr.LEASE):
                found.append(
                    LiveLease(
                        id=a["ID"],
                        kind=LeaseKind(a["KIND"]),
                        owner=a["OWNER"],
                        path=a["PATH"],
                        old=a["OLD"],
                        value=a["VALUE"],
                        left_ms=a["TTL_MS"],
                        cookie=a["COOKIE"],
                    )
                )
        return found

    def ended(self) -> list[flow.LeaseEnd]:
        """Return the leases of any owner that ended since the last call; never waits.

        Where the kernel had no room for them, they are missing: `events_lost`.
        """
        ends: list[flow.LeaseEnd] = []
        while self._events is not None:
            try:
                data = self._events.recv(EVENT_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.events_lost += 1
                continue
            ends += [_end(a) for m in _decode(data) for a in _nests(m, Attr.LEASE)]
        return ends

    # ----------------------------------------------------------------- workloads

    def track(self, ids: Iterable[int]) -> dict[int, int]:
        """Count for these cgroups; slot in the table, or negative errno, by id."""
        found = {}
        for a in self._workloads(Cmd.TRACK, ids):
            found[a["CGROUP_ID"]] = a["ERROR"] if a.get("ERROR") else a["SLOT"]
        return found

    def untrack(self, ids: Iterable[int]) -> dict[int, int]:
        """Count no more; 0 or a negative errno by id."""
        answers = self._workloads(Cmd.UNTRACK, ids)
        return {a["CGROUP_ID"]: a.get("ERROR", 0) for a in answers}

    def tracked(self) -> list[Tracked]:
        """Return what is tracked, by whomever, with what is gone marked."""
        answers = self._ask(Cmd.TRACKED, [], NLM_F_REQUEST | NLM_F_DUMP)
        return [
            Tracked(a["CGROUP_ID"], a["SLOT"], a["GENERATION"], bool(a.get("ERROR")))
            for answer in answers
            for a in _nests(answer, Attr.WORKLOAD)
        ]

    # -------------------------------------------------------------------- module

    def info(self) -> dict[str, int]:
        """Return version, parameters and counters, named as Attr in small letters."""
        (answer,) = self._ask(Cmd.INFO, [])
        return {str(name).lower(): int(value) for name, value in answer["attrs"]}

    def config(
        self,
        runq_threshold_ns: int | None = None,
        reclaim_threshold_ns: int | None = None,
        rate_per_s: int | None = None,
    ) -> None:
        """Set what goes to the ring; None leaves as it is."""
        wanted = {
            Attr.RUNQ_THRESHOLD_NS: runq_threshold_ns,
            Attr.RECLAIM_THRESHOLD_NS: reclaim_threshold_ns,
            Attr.RATE_PER_S: rate_per_s,
        }
        attrs = [(a.name, v) for a, v in wanted.items() if v is not None]
        self._ask(Cmd.CONFIG, attrs)

    # ------------------------------------------------------------------ messages

    def _leases(
        self, command: Cmd, asked: Sequence[list[tuple[str, Any]]]
    ) -> Iterator[Mapping[str, Any]]:
        for start in range(0, len(asked), BATCH):
            batch = asked[start : start + BATCH]
            attrs = [(Attr.LEASE.name, {"attrs": a}) for a in batch]
            for answer in self._ask(command, attrs):
                yield from _nests(answer, Attr.LEASE)

    def _workloads(
        self, command: Cmd, ids: Iterable[int]
    ) -> Iterator[Mapping[str, Any]]:
        asked = list(ids)
        for start in range(0, len(asked), BATCH):
            attrs = [
                (Attr.WORKLOAD.name, {"attrs": [("CGROUP_ID", id_)]})
                for id_ in asked[start : start + BATCH]
            ]
            for answer in self._ask(command, attrs):
                yield from _nests(answer, Attr.WORKLOAD)

    def _ask(
        self, command: Cmd, attrs: Sequence[tuple[str, Any]], flags: int = _REQUEST
    ) -> list[Any]:
        """Send one message and return the answers; raise what the module says."""
        message = _Message()
        message["cmd"] = int(command)
        message["version"] = ABI_VERSION
        message["attrs"] = list(attrs)
        try:
            answers = self._owner.nlm_request(message, self._owner.prid, flags)
        except NetlinkError as error:
            _fail(error.code, str(error.args[1]))
        return [a for a in answers if isinstance(a, _Message)]


def _listen(group: int) -> socket.socket:
    """Open a socket of its own for the family's events."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
    try:
        with contextlib.suppress(PermissionError):
            events.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, EVENT_BUFFER_BYTES)
        events.bind((0, 0))
        events.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    except OSError as error:
        events.close()
        _fail(error.errno or errno.EIO, "CAP_SYS_ADMIN is needed")
    return events


def _fail(number: int, words: str) -> NoReturn:
    """Raise the exception for an errno that answers a whole message."""
    if number in (errno.ENOENT, errno.ENOTSUP):
        # No such family (any more); or the module knows no such attribute or flag.
        if "unknown to this command" in words:
            raise KernelError(f"vagus.ko: {words}")
        raise ModuleMissing("vagus.ko is not loaded: run `modprobe vagus`")
    if number in (errno.EPERM, errno.EACCES):
        raise PrivilegeError(f"vagus.ko: {words}: run as root")
    raise KernelError(f"vagus.ko: {words} ({os.strerror(number)})")


def _grant_attrs(grant: Grant) -> list[tuple[str, Any]]:
    named = {
        "KIND": int(grant.kind),
        "FD": grant.fd,
        "PIDFD": grant.pidfd,
        "TID": grant.tid,
        "VALUE": grant.value,
        "RESTORE": grant.restore,
        "TTL_MS": grant.ttl_ms,
        "COOKIE": grant.cookie,
    }
    return [(name, value) for name, value in named.items() if value is not None]


def _decode(data: bytes) -> Iterator[Any]:
    """Decode the messages of one datagram of the events' socket."""
    offset = 0
    while offset < len(data):
        message = _Message(data, offset=offset)
        message.decode()
        if message["cmd"] == Cmd.EVENT:
            yield message
        offset += (message["header"]["length"] + 3) & ~3


def _nests(message: Any, attr: Attr) -> Iterator[dict[str, Any]]:
    """Return the repeated nests of a message as dictionaries."""
    for name, value in message["attrs"]:
        if name == attr.name:
            yield dict(value["attrs"])


def _end(attrs: Mapping[str, Any]) -> flow.LeaseEnd:
    return flow.LeaseEnd(
        id=attrs["ID"],
        path=attrs["PATH"],
        old=attrs["OLD"],
        now=attrs["NOW"],
        end=LeaseEnd(attrs["END"]).name.lower(),
        cause=LeaseCause(attrs["CAUSE"]).name.lower(),
        time_ns=attrs["TIME_NS"],
        took_ns=attrs["TOOK_NS"],
    )
