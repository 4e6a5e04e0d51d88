# SPDX-License-Identifier: MIT
"""Every exception of Vagus.

VagusError
├── PolicyError        the policy file is wrong; one line for each mistake
├── KernelError        the kernel side is not as needed
│   ├── ModuleMissing  vagus.ko is not loaded, or was unloaded
│   ├── AbiMismatch    the module speaks another version of the contract
│   ├── FeatureMissing the kernel lacks something, named
│   └── LeaseRefused   the module refused a lease
├── PrivilegeError     root or a capability is needed
├── ModelError         the engine cannot be used
│   └── ModelMissing   the model file is not there
├── RecordError        the record cannot be read or written
└── DaemonError        the running agent cannot be reached
"""

from __future__ import annotations


class VagusError(Exception):
    """Root of the tree; str() is one sentence with the remedy."""

    exit_code = 1


class PolicyError(VagusError):
    """The policy is wrong: 'FILE:LINE:COLUMN: FIELD: what was expected'."""

    exit_code = 2


class KernelError(VagusError):
    """The kernel side is not as needed."""

    exit_code = 3


class ModuleMissing(KernelError):
    """vagus.ko is not loaded, or went away."""


class AbiMismatch(KernelError):
    """The module speaks another version of the contract."""


class FeatureMissing(KernelError):
    """The kernel lacks something that was asked for."""


class LeaseRefused(KernelError):
    """The module refused a lease; errno and its own words."""


class PrivilegeError(VagusError):
    """Root or a capability is needed."""

    exit_code = 4


class ModelError(VagusError):
    """The engine cannot be used."""

    exit_code = 5


class ModelMissing(ModelError):
    """The model file is not there."""


class RecordError(VagusError):
    """The record cannot be read or written."""

    exit_code = 6


class DaemonError(VagusError):
    """The running agent cannot be reached."""

    exit_code = 7
