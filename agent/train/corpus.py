# SPDX-License-Identifier: MIT
"""Preprocess: package metadata of the distribution -> programs with roles, split.

Reads what `apt-get update` left under /var/lib/apt/lists.  A program family is a
source package; whole families are held out of training.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from train.programs import by_reading
from vagus.decide.prompt import plain

LISTS = Path("/var/lib/apt/lists")
HELPER = "/usr/lib/apt/apt-helper"  # reads lists however they are compressed
HELD_SHARE = 8  # one family in so many
SENTENCES, SHORTEST = 4, 20  # of a description, and characters of one


@dataclass(frozen=True, slots=True)
class Program:
    """A package that may run as a workload."""

    package: str
    family: str
    synopsis: str
    role: str  # "" where it has none of ours, or nobody read it
    read: bool  # its role, or that it has none, was decided by reading
    section: str = ""  # of the distribution, without its area
    about: tuple[str, ...] = ()  # sentences of its long description


def packages(lists: Path = LISTS) -> list[Program]:
    """Return every package of the lists, once; needs `apt-get update` before.

    Long descriptions are there where the update was told to fetch English ones.
    Of a package in several lists the first counts, by the lists' names.
    """
    found: dict[str, Program] = {}
    known = by_reading()
    about: dict[str, str] = {}
    for path in sorted(lists.glob("*_Translation-en*")):
        for fields in stanzas(read_list(path)):
            about.setdefault(fields["Package"], fields.get("Description-en", ""))
    for path in sorted(lists.glob("*_Packages*")):
        for fields in stanzas(read_list(path)):
            if fields["Package"] not in found:
                program = read_program(fields, known, about.get(fields["Package"], ""))
                found[program.package] = program
    if not found:
        raise SystemExit(f"{lists} has no package lists: run apt-get update first")
    return list(found.values())


def read_list(path: Path) -> str:
    """Return the text of a package list."""
    done = subprocess.run(
        [HELPER, "cat-file", str(path)], check=True, capture_output=True, text=True
    )
    return done.stdout


def sentences(description: str) -> tuple[str, ...]:
    """Return the first sentences of a long description, its paragraphs joined."""
    some = re.split(r"(?<=[.!?;:]) +(?=[A-Z\"'(])|(?<= )\. ", description)
    told = (" ".join(one.split()) for one in some)
    return tuple(one for one in told if len(one) > SHORTEST)[:SENTENCES]


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Return the paragraphs of a Packages file as fields."""
    for paragraph in text.split("\n\n"):
        folded = re.sub(r"\n[ \t]+", " ", paragraph)
        pairs = (line.partition(": ") for line in folded.splitlines())
        fields = {name: value for name, _, value in pairs}
        if "Package" in fields:
            yield fields


def read_program(
    fields: Mapping[str, str], known: Mapping[str, str], description: str = ""
) -> Program:
    """Return a package with its role, if somebody read it.

    `description`: the long one, which begins with the synopsis.
    """
    package = fields["Package"]
    family = fields.get("Source", package).split(" ")[0]
    synopsis = fields.get("Description", "").split("\n")[0]
    section = fields.get("Section", "").rpartition("/")[2]
    role, read = known.get(package, ""), package in known
    about = sentences(description.removeprefix(synopsis))
    return Program(package, family, synopsis, role, read, section, about)


def is_held(family: str) -> bool:
    """Tell whether a program family is held out; by its name alone."""
    return hashlib.sha256(family.encode()).digest()[0] % HELD_SHARE == 0


def names(programs: list[Program], out: bool, taken: frozenset[str]) -> list[str]:
    """Return package names usable as workload names, of one side of the split."""
    good = re.compile(r"[a-z][a-z0-9-]{2,13}")
    return [
        p.package
        for p in programs
        if is_held(p.family) is out
        and good.fullmatch(p.package)
        and not p.package.startswith(("lib", "python3-", "golang-", "node-", "r-"))
        and not set(plain(p.package, 24).split()) & taken
    ]
