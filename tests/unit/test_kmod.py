# SPDX-License-Identifier: MIT
"""Messages to and from the module, byte by byte; no module is needed."""

import errno
import struct
from pathlib import Path

import pytest

from vagus import kmod
from vagus.abi import Attr, Cmd, LeaseAttr, LeaseCause, LeaseEnd, LeaseKind
from vagus.errors import KernelError, ModuleMissing, PrivilegeError

NESTED = 1 << 15


def attribute(kind: int, payload: bytes) -> bytes:
    """Encode one attribute as the kernel does."""
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + bytes(-length % 4)


def datagram(command: int, body: bytes) -> bytes:
    """Encode one message of the family, as it comes from the kernel."""
    body = struct.pack("=BBH", command, 1, 0) + body
    return struct.pack("=IHHII", 16 + len(body), 0x20, 0, 0, 0) + body


def end_of_a_lease(number: int) -> bytes:
    """Encode an event: lease `number` was lost."""
    text = {LeaseAttr.PATH: b"/shop/cpu.weight", LeaseAttr.OLD: b"100"}
    text |= {LeaseAttr.VALUE: b"50", LeaseAttr.NOW: b"555"}
    nest = attribute(LeaseAttr.ID, struct.pack("=Q", number))
    for kind, value in text.items():
        nest += attribute(kind, value + b"\0")
    nest += attribute(LeaseAttr.END, struct.pack("=I", LeaseEnd.LOST))
    nest += attribute(LeaseAttr.CAUSE, struct.pack("=I", LeaseCause.CHANGED))
    nest += attribute(LeaseAttr.TIME_NS, struct.pack("=Q", 2**40))
    nest += attribute(LeaseAttr.TOOK_NS, struct.pack("=Q", 1234))
    return datagram(Cmd.EVENT, attribute(Attr.LEASE | NESTED, nest))


def test_grant_is_encoded_as_the_module_reads_it() -> None:
    message = kmod._Message()
    message["cmd"] = int(Cmd.GRANT)
    grant = kmod.Grant(7, "50", 2000, restore="90", cookie=2**63)
    message["attrs"] = [("LEASE", {"attrs": kmod._grant_attrs(grant)})]
    message.encode()
    nest = (
        attribute(LeaseAttr.KIND, struct.pack("=I", LeaseKind.KNOB))
        + attribute(LeaseAttr.FD, struct.pack("=i", 7))
        + attribute(LeaseAttr.VALUE, b"50\0")
        + attribute(LeaseAttr.RESTORE, b"90\0")
        + attribute(LeaseAttr.TTL_MS, struct.pack("=I", 2000))
        + attribute(LeaseAttr.COOKIE, struct.pack("=Q", 2**63))
    )
    assert bytes(message.data)[20:] == attribute(Attr.LEASE | NESTED, nest)


def test_task_lease_names_no_knob() -> None:
    grant = kmod.Grant(None, "idle", 500, kind=LeaseKind.POLICY, pidfd=5, tid=99)
    names = [name for name, _ in kmod._grant_attrs(grant)]
    assert names == ["KIND", "PIDFD", "TID", "VALUE", "TTL_MS", "COOKIE"]


def test_ends_of_leases_are_decoded_and_other_messages_passed_over() -> None:
    data = end_of_a_lease(3) + datagram(Cmd.INFO, b"") + end_of_a_lease(2**40)
    ends = [
        kmod._end(attrs)
        for message in kmod._decode(data)
        for attrs in kmod._nests(message, Attr.LEASE)
    ]
    assert [end.id for end in ends] == [3, 2**40]
    assert (ends[0].path, ends[0].old, ends[0].now) == (
        "/shop/cpu.weight",
        "100",
        "555",
    )
    assert (ends[0].end, ends[0].cause) == ("lost", "changed")
    assert (ends[0].time_ns, ends[0].took_ns) == (2**40, 1234)


def test_module_that_is_not_loaded_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModuleMissing, match="modprobe vagus"):
        kmod.Module(tmp_path / "vagus")


@pytest.mark.parametrize(
    ("number", "words", "kind"),
    [
        (errno.ENOENT, "No such file", ModuleMissing),
        (errno.EOPNOTSUPP, "attribute 7 is unknown to this command", KernelError),
        (errno.EPERM, "CAP_SYS_ADMIN is needed", PrivilegeError),
        (errno.ERANGE, "time to live must be 100 to 3600000 ms", KernelError),
    ],
)
def test_errors_keep_the_modules_own_words(
    number: int, words: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        kmod._fail(number, words)
    assert type(caught.value) is kind
    if kind is not ModuleMissing:
        assert words in str(caught.value)
