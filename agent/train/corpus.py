# SPDX-License-Identifier: MIT
"""Preprocess: package metadata of the distribution -> programs with roles, split.

Reads what `apt-get update` left under /var/lib/apt/lists.  A program family is a
source package; whole families are held out of training.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
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
    role: str  # "" where it has none of ours, or nothing tells
    read: bool  # the role, or that there is none, was decided by reading
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
    """Return a package with its role: as it was read, else as its tags say.

    `description`: the long one, which begins with the synopsis.
    """
    package = fields["Package"]
    family = fields.get("Source", package).split(" ")[0]
    synopsis = fields.get("Description", "").split("\n")[0]
    tags = frozenset(fields.get("Tag", "").replace(",", " ").split())
    section = fields.get("Section", "").rpartition("/")[2]
    role = known.get(package)
    read = role is not None
    if role is None:
        role = role_of(tags, section, synopsis, package)
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


# -- roles from debtags ------------------------------------------------------------

Test = Callable[[frozenset[str], str, str], bool]


def role_of(tags: frozenset[str], section: str, synopsis: str, package: str) -> str:
    """Return the role that a package's tags tell, or ''."""
    if "role::program" not in tags or re.search(
        r"-(doc|dev|dbg|data|common|plugin\w*|examples)$|^lib", package
    ):
        return ""
    words = f" {synopsis.lower()} "
    return next((role for role, test in RULES if test(tags, section, words)), "")


def tag(*names: str) -> Test:
    return lambda tags, _section, _words: any(name in tags for name in names)


def both(*names: str) -> Test:
    return lambda tags, _section, _words: all(name in tags for name in names)


def says(pattern: str, *needed: str) -> Test:
    """Tell whether the synopsis says so and the package has one of the tags."""
    find = re.compile(pattern)
    return lambda tags, _section, words: bool(
        find.search(words) and (not needed or any(name in tags for name in needed))
    )


DAEMON = ("interface::daemon", "network::server", "network::service")
RULES: tuple[tuple[str, Test], ...] = (
    ("game", tag("use::gameplaying")),
    ("backup", tag("admin::backup")),
    ("backup", says(r"\bback-?ups?\b")),
    ("scan", says(r"anti-?virus|virus scan|rootkit|malware|vulnerability scan")),
    (
        "update",
        says(r"(package|system) (manage|update|upgrade)|upgrade tool|unattended"),
    ),
    ("transcode", says(r"transcod|encoder|(video|audio|dvd|cd) (conver|ripp|encod)")),
    ("browser", says(r"\bweb browser\b|www browser")),
    ("container", tag("admin::virtualization", "hardware::emulation")),
    ("container", says(r"\bcontainers?\b (runtime|engine|manage)|hypervisor|emulator")),
    ("queue", says(r"message (broker|queue)|\bmqtt\b|caching system|object cach")),
    ("database", says(r"database server|(sql|database) (server|engine)|nosql|dbms")),
    ("proxy", says(r"\bproxy|proxies|load balanc", *DAEMON, "use::proxying")),
    ("network", tag("network::vpn", "network::routing", "network::firewall")),
    ("network", both("protocol::dns", "interface::daemon")),
    ("network", both("protocol::dhcp", "interface::daemon")),
    ("network", says(r"\b(vpn|dns|dhcp|ntp|radius|router|ssh)\b", *DAEMON)),
    ("mail", tag("mail::transport-agent")),
    ("mail", says(r"\b(mail|smtp|imap|pop3)\b.*(server|daemon|transport|deliver)")),
    ("files", says(r"(file|nfs|smb|ftp|storage) (server|system|daemon)", *DAEMON)),
    ("web", tag("web::server", "web::application", "web::wiki", "web::blog")),
    ("web", says(r"\b(web|http|https) (server|application|service)|wsgi|fastcgi")),
    (
        "vision",
        says(r"surveillance|object detection|camera (monitor|software)|motion det"),
    ),
    ("learn", says(r"machine learning|deep learning|neural network|classifier")),
    (
        "control",
        says(r"home automation|\bplc\b|\brobot|industrial|smart ?home|fieldbus"),
    ),
    ("monitor", tag("admin::monitoring", "use::monitor")),
    ("index", says(r"\bindex(er|ing)\b|full.?text search|log (analy|rotat|digest)")),
    ("index", tag("security::log-analyzer")),
    ("sync", tag("use::synchronizing", "use::downloading")),
    ("sync", says(r"mirror|synchroni[sz]|download|torrent")),
    ("build", tag("devel::compiler", "devel::buildtools")),
    ("build", says(r"compiler|build (system|tool|automation)|continuous integration")),
    ("media", tag("use::playing", "sound::player", "sound::mixer", "sound::midi")),
    ("media", says(r"\b(player|softphone|video call|voip client|synthesi[sz]er)\b")),
    ("editor", tag("devel::editor", "devel::ide", "office::wordprocessor")),
    ("editor", says(r"\b(text editor|word processor|spreadsheet|editor|ide)\b")),
    ("terminal", says(r"terminal emulator|terminal multiplexer|\bshell\b(?! script)")),
    ("desktop", tag("x11::window-manager", "x11::display-manager", "x11::applet")),
    ("desktop", says(r"window manager|desktop (environment|shell|panel)|compositor")),
    ("compute", both("interface::commandline", "field::physics")),
    ("compute", both("interface::commandline", "field::biology:bioinformatics")),
    ("compute", tag("use::simulating", "science::modelling", "science::calculation")),
    ("compute", says(r"\bsimulat(or|ion)|solver|molecular dynamics|numerical")),
    ("system", tag("admin::boot", "admin::power-management", "use::login")),
    ("system", says(r"\b(init system|device manager|login manager|system daemon)\b")),
)
