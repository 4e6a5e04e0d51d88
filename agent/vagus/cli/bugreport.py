# SPDX-License-Identifier: MIT
"""`vagus bugreport`: what somebody who helps needs, in one file; nothing is sent.

Everything in it was redacted before it was recorded; the file is for its owner
alone, to be read before it is given away.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from vagus.cli import common, units
from vagus.cli.checks import all_checks
from vagus.cli.doctor import report
from vagus.errors import RecordError, VagusError
from vagus.record.read import Reader

WINDOWS_S = 300  # of whole windows
DECISIONS = 50
ABOUT = """\
A bug report of Vagus.  Nothing was sent anywhere: read it before you give it away.

versions.json    program, Python, kernel
doctor.json      what works here and what does not, with the counters
leases.json      what the kernel module holds now
record.json      what the record holds
decisions.json   the newest decisions with prompts, answers and verdicts
windows.jsonl    the last {minutes} minutes, one JSON object a line
policy.yaml      the policy in force then

Command lines, prompts and answers were redacted before they were recorded.  Names
of units and programs, and the host's name, are in it.
"""


class Result(msgspec.Struct, frozen=True):
    """What was written, as --json prints it."""

    path: str
    bytes: int
    parts: list[str]
    missing: dict[str, str]  # part -> why it is not there


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="a .tar.gz (here, dated)"
    )
    common.socket_option(parser)
    common.record_option(parser)
    common.json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    now = common.now_ns()
    path = args.output or Path(f"vagus-bugreport-{units.at(now):%Y%m%d-%H%M%S}.tar.gz")
    parts, missing = _gather(args.record, args.socket, now)
    try:
        size = write(path, parts)
    except OSError as error:
        raise RecordError(
            f"{path} cannot be written ({error.strerror}); name another file with -o"
        ) from error
    found = Result(str(path), size, [*parts], missing)
    if args.json:
        common.print_json(found)
        return 0
    print(f"{path}: {units.size(size)}, {len(parts)} files; nothing was sent")
    for part, why in missing.items():
        print(f"without {part}: {why}")
    print("read it before you give it away: tar xzf FILE; README.txt says what is what")
    return 0


def _gather(
    record: Path, socket: Path, now_ns: int
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the parts by name, and why others are not there."""
    about = ABOUT.format(minutes=WINDOWS_S // 60)
    parts: dict[str, bytes] = {"README.txt": about.encode()}
    missing: dict[str, str] = {}
    parts["versions.json"] = _json(_versions())
    parts["doctor.json"] = _json(report(all_checks(Path("/"), socket), record))
    with _unless(missing, "leases.json"):
        parts["leases.json"] = _json(_leases())
    with _unless(missing, "the record"), Reader(record) as reader:
        parts["record.json"] = _json(reader.summary())
        parts["decisions.json"] = _json(reader.decisions(limit=DECISIONS))
        parts |= _windows(reader, now_ns)
    return parts, missing


@contextlib.contextmanager
def _unless(missing: dict[str, str], part: str) -> Iterator[None]:
    """Go on without a part, and say why."""
    try:
        yield
    except VagusError as error:
        missing[part] = str(error)


def _windows(reader: Reader, now_ns: int) -> dict[str, bytes]:
    """Return the newest windows, and the policy they were under."""
    latest = reader.latest()
    if latest is None:
        return {}
    since = min(now_ns, latest.wall_ns) - WINDOWS_S * 10**9
    lines = b"".join(
        msgspec.json.encode(one) + b"\n"
        for one in reader.between(since, latest.wall_ns)
    )
    return {
        "windows.jsonl": lines,
        "policy.yaml": reader.policy(latest.policy).encode("utf-8", "backslashreplace"),
    }


def _versions() -> dict[str, str]:
    return {
        "vagus": common.version(),
        "python": sys.version,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": str(os.cpu_count()),
        "system": _os_name(),
    }


def _os_name() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return ""


def _leases() -> list[object]:
    from vagus.kmod import Module

    with Module() as module:
        return [*module.leases()]


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=1)


def write(path: Path, parts: dict[str, bytes]) -> int:
    """Write a .tar.gz that its owner alone can read; return its bytes."""
    folder = path.name.removesuffix(".gz").removesuffix(".tar")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)  # also where the file was there
    with (
        os.fdopen(descriptor, "wb") as file,
        tarfile.open(fileobj=file, mode="w:gz") as archive,
    ):
        for name, data in parts.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime = len(data), int(time.time())
            archive.addfile(entry, io.BytesIO(data))
    return path.stat().st_size
