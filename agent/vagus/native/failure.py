# SPDX-License-Identifier: MIT
"""What a negative errno of vagus._native means to a user, with the remedy."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

from vagus import abi
from vagus.errors import (
    AbiMismatch,
    FeatureMissing,
    KernelError,
    ModuleMissing,
    PrivilegeError,
)

# Linux Documentation/security: the level in force is in brackets.
LOCKDOWN = Path("/sys/kernel/security/lockdown")

NEEDED = "CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN (capabilities(7))"


def is_locked_down(lockdown: Path = LOCKDOWN) -> bool:
    """Return whether the kernel lets nobody read its memory, root neither."""
    try:
        return "[confidentiality]" in lockdown.read_text()
    except OSError:
        return False


def raise_for(
    number: int, what: str, log: str = "", lockdown: Path = LOCKDOWN
) -> NoReturn:
    """Raise the error that a negative errno stands for, with the remedy."""
    code = -number
    reason = os.strerror(code) + (f"; {log}" if log else "")
    if code in (errno.EPERM, errno.EACCES) and is_locked_down(lockdown):
        raise FeatureMissing(
            f"{what}: {reason}; the kernel is locked down and forbids tracing:"
            " boot it with lockdown=integrity"
        )
    if code in (errno.EPERM, errno.EACCES):
        # In a container, root may be without them.
        remedy = "run as root" if os.geteuid() else f"this root needs {NEEDED}"
        raise PrivilegeError(f"{what}: {reason}; {remedy}")
    raise KernelError(f"{what}: {reason}")


def raise_for_module(number: int, path: Path) -> NoReturn:
    """Raise what a failed access to one of the module's files means."""
    if -number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        raise ModuleMissing(f"{path}: vagus.ko is not loaded; load it: modprobe vagus")
    if -number in (errno.EPROTO, errno.EBADMSG):
        raise AbiMismatch(
            f"{path}: vagus.ko does not speak version {abi.ABI_VERSION} of the"
            " contract; install the agent and the module of the same release"
        )
    if -number == errno.EBUSY:
        raise KernelError(f"{path}: another process reads it; stop that agent first")
    raise_for(number, str(path))
