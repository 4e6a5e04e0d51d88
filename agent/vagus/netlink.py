# SPDX-License-Identifier: MIT
"""The part of pyroute2 that speaks generic netlink, and no more of it.

The package's own first module imports consoles, servers and a database: 14 MB and
100 ms that nothing here uses.  So that module is put in place without being run;
the parts below it are imported as ever.
"""

from __future__ import annotations

import importlib.util
import sys


def _only_what_is_asked_for() -> None:
    """Put the package in place without running its first module."""
    if "pyroute2" in sys.modules:
        return
    spec = importlib.util.find_spec("pyroute2")
    if spec is not None:
        sys.modules["pyroute2"] = importlib.util.module_from_spec(spec)


_only_what_is_asked_for()

from pyroute2.netlink import (  # noqa: E402
    NETLINK_ADD_MEMBERSHIP,
    NETLINK_GENERIC,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    SOL_NETLINK,
    genlmsg,
    nla,
)
from pyroute2.netlink.exceptions import NetlinkError  # noqa: E402
from pyroute2.netlink.generic import GenericNetlinkSocket  # noqa: E402

__all__ = [
    "NETLINK_ADD_MEMBERSHIP",
    "NETLINK_GENERIC",
    "NLM_F_ACK",
    "NLM_F_DUMP",
    "NLM_F_REQUEST",
    "SOL_NETLINK",
    "GenericNetlinkSocket",
    "NetlinkError",
    "genlmsg",
    "nla",
]
