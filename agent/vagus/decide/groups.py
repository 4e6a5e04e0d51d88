# SPDX-License-Identifier: MIT
"""What operators call all workloads of a role: role -> nouns, English and Chinese.

groups.tsv has only what can hardly mean anything else: "mail" or "update" may be a
verb.  Whatever is not there stays text, and the model reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType


def _listed() -> dict[str, tuple[str, ...]]:
    nouns: dict[str, tuple[str, ...]] = {}
    text = Path(__file__).with_name("groups.tsv").read_text("utf-8")
    for line in text.splitlines():
        role, noun = line.split("\t")
        nouns[role] = (*nouns.get(role, ()), noun)
    return nouns


GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(_listed())
