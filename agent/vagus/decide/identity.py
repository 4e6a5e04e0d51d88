# SPDX-License-Identifier: MIT
"""Identity cards: what the machine itself says of a workload's program.

Reads systemd's unit files, dpkg's lists of installed files and its status file;
starts no process and speaks to no bus.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from vagus.flow import Found, Identity
from vagus.text import args, escape

UNIT_FOLDERS = (  # systemd's own order: the administrator's word first
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/transient",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
)
PROGRAMS = re.compile(
    r"^(?:\S*/(?:s?bin|libexec|games)/\S+|/usr/lib/\S+/[^/.\s]+)$", re.MULTILINE
)
# A field of a paragraph: its name, and its lines with those that go on.
FIELD = re.compile(r"^(Package|Section|Description): (.*(?:\n[ \t].*)*)$", re.MULTILINE)
LIMIT = 120  # characters of a unit's description, of a synopsis, of arguments
LONG = 240  # characters of a package's description
REMEMBERED = 4096  # cards; the longest unused is forgotten


class Package(NamedTuple):
    """What an installed package says of itself."""

    synopsis: str = ""
    section: str = ""  # of the distribution, without its area: "net"
    description: str = ""  # at most LONG characters


NO_PACKAGE = Package()


class Describer:
    """Makes identity cards and remembers them."""

    def __init__(
        self, root: Path = Path("/"), redact: Callable[[str], str] | None = None
    ) -> None:
        """Read nothing yet; root is where the system's files begin.

        Without `redact`, which takes secrets out of what a unit and a process say
        of themselves, cards have no arguments.
        """
        self._root = root
        self._redact = redact
        self._owners: dict[str, Package] | None = None  # of program paths
        self._cards: OrderedDict[tuple[object, ...], Identity] = OrderedDict()

    def describe(self, found: Found) -> Identity:
        """Return the card of a workload; what is not known is ''."""
        comm = found.comms[0] if found.comms else ""
        pid = found.pids[0] if found.pids else 0
        key = (found.unit, found.exe, comm, pid)
        card = self._cards.get(key)
        if card is None:
            package = self.package(found.exe)
            card = self._cards[key] = Identity(
                unit_description=self.unit_description(found.unit),
                **package._asdict(),
                exe=found.exe,
                comm=self._clean(comm),
                args=self.arguments(pid),
            )
            while len(self._cards) > REMEMBERED:
                self._cards.popitem(last=False)
        self._cards.move_to_end(key)
        return card

    def unit_description(self, unit: str) -> str:
        """Return Description= of a unit's file, redacted; '' where it has none.

        That of a transient unit (`systemd-run`) is its command line.
        """
        if not unit or "/" in unit or unit.startswith("."):
            return ""
        template = re.sub(r"@.*(\.\w+)$", r"@\1", unit)
        for name in (unit, template):
            for folder in UNIT_FOLDERS:
                text = _text(self._root / folder / name)
                found = re.search(r"^Description=(.*)$", text, re.MULTILINE)
                if found:
                    return escape(self._clean(found[1].strip()[:4096]), LIMIT)
        return ""

    def _clean(self, text: str) -> str:
        return self._redact(text) if self._redact else text

    def package(self, exe: str) -> Package:
        """Return the package that has a program; an empty one where none is known."""
        if not exe.startswith("/"):
            return NO_PACKAGE
        if self._owners is None:
            self._owners = self._read_packages()
        return self._owners.get(merged(exe), NO_PACKAGE)

    def arguments(self, pid: int) -> str:
        """Return a process's arguments after its name, redacted; '' where gone."""
        if not pid or self._redact is None:
            return ""
        try:
            with open(self._root / f"proc/{pid}/cmdline", "rb") as file:
                raw = file.read(4096)
        except OSError:
            return ""
        return escape(self._redact(args(raw.partition(b"\0")[2], 4096)), LIMIT)

    def _read_packages(self) -> dict[str, Package]:
        """Return every installed program with its package."""
        packages = read_status(_text(self._root / "var/lib/dpkg/status"))
        owners: dict[str, Package] = {}
        for file in (self._root / "var/lib/dpkg/info").glob("*.list"):
            package = packages.get(file.stem.partition(":")[0])
            if package:
                for path in PROGRAMS.findall(_text(file)):
                    owners.setdefault(merged(path), package)
        return owners


def merged(path: str) -> str:
    """Return a path as it is where /bin is /usr/bin."""
    return re.sub(r"^/(bin|sbin|lib|lib64)/", r"/usr/\1/", path)


def read_status(text: str) -> dict[str, Package]:
    """Return the packages that describe themselves, from dpkg's status file."""
    found: dict[str, Package] = {}
    for paragraph in text.split("\n\n"):
        fields = dict(FIELD.findall(paragraph))
        synopsis, _, long = fields.get("Description", "").partition("\n")
        if synopsis and "Package" in fields:
            lines = (line.strip() for line in long.splitlines())
            found[fields["Package"]] = Package(
                escape(synopsis, LIMIT),
                escape(fields.get("Section", "").rpartition("/")[2], LIMIT),
                escape(" ".join(line for line in lines if line != "."), LONG),
            )
    return found


def _text(path: Path) -> str:
    """Return a file's text; '' where it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
