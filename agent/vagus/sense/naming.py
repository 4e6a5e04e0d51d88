# SPDX-License-Identifier: MIT
"""Names of workloads that nobody named."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from vagus.text import escape

NAME_LIMIT = 40
_UNIT = re.compile(r".+\.(?:service|scope|slice|socket|mount|swap)$")


def unit_of(cgroup: str) -> str:
    """Return the nearest systemd unit in a path; empty outside systemd."""
    for part in reversed(PurePosixPath(cgroup).parts):
        if _UNIT.match(part):
            return escape(part, 128)
    return ""


def plain_name(cgroup: str) -> str:
    """Make a name for a cgroup that nobody named: short and harmless.

    Whoever may make cgroups chooses what they are called, and names are printed
    and quoted to a model: letters, digits and '_.@:-' only.
    """
    last = PurePosixPath(cgroup).name
    last = re.sub(r"\.(?:service|scope)$", "", last)
    last = re.sub(r"\\x2d", "-", last)
    return re.sub(r"[^A-Za-z0-9_.@:-]", "_", last)[:NAME_LIMIT] or "_"
