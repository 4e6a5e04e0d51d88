# SPDX-License-Identifier: MIT
"""The roles that docs/stance.md lists, with their usual time sense."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ROLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "interactive": ("desktop", "browser", "editor", "terminal", "game", "media"),
        "service": (
            *("web", "database", "queue", "proxy", "mail", "files", "network"),
            *("control", "monitor", "vision", "container", "system"),
        ),
        "throughput": ("build", "compute", "learn", "transcode"),
        "deferrable": ("backup", "sync", "update", "index", "scan"),
    }
)
NAMES = tuple(name for names in ROLES.values() for name in names)


def time_sense(role: str) -> str:
    """Return the usual time sense of a role; 'unknown' for no known role."""
    return next((sense for sense, names in ROLES.items() if role in names), "unknown")
