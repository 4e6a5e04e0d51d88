# SPDX-License-Identifier: MIT
"""`vagus plan`: what stands now, or would if the mode let it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from vagus.cli import common, words
from vagus.cli.client import Client
from vagus.cli.lines import Page
from vagus.cli.paint import Cell, Paint, width_for
from vagus.errors import DaemonError, RecordError
from vagus.flow import Mode, Refusal, Setting, Stance
from vagus.record.read import Reader


class Plan(msgspec.Struct, frozen=True):
    """The agent's answer, as --json prints it."""

    mode: Mode  # of what stands: how far Vagus goes with it
    objective: str  # the sentence in force
    allowed: list[Stance]  # what stands
    refused: list[Refusal]  # what does not, and why
    settings: list[Setting]  # what is held, or would be
    source: str = "agent"  # agent, or record where none answered: of then, not of now
    decision: int = 0  # what `vagus approve` takes; 0 while it is not on record
    advised: list[Stance] = []  # would stand besides, of workloads only advised on


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    common.socket_option(parser)
    common.record_option(parser)
    common.json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Ask the agent, or else its record, and print the plan."""
    found = present(args.socket, args.record)
    if args.json:
        common.print_json(found)
    else:
        print(page(found, common.paint(), width_for(sys.stdout) or 80), end="")
    return 0


def present(socket: Path, record: Path) -> Plan:
    """Ask the agent, or else read its record; RecordError where neither can be."""
    try:
        with Client(socket) as client:
            return msgspec.json.decode(client.ask("plan"), type=Plan)
    except DaemonError as error:
        try:
            return from_record(record)
        except RecordError as other:
            raise RecordError(f"{error}\n{other}") from other


def from_record(path: Path) -> Plan:
    """Return what the latest verdict let stand; RecordError where there is none."""
    with Reader(path) as reader:
        decisions = reader.decisions(limit=1)
        if not decisions or decisions[0].verdict is None:
            raise RecordError("nothing was decided yet; wait for the first decision")
        held = [row for row in reader.live_leases() if row.is_current]
    verdict = decisions[0].verdict
    settings = [
        Setting(row.workload, row.knob, row.path, row.value, row.why) for row in held
    ]
    objective = decisions[0].proposal.objective
    return Plan(
        *(verdict.mode, objective, verdict.allowed, verdict.refused, settings),
        source="record",
        decision=decisions[0].id,
        advised=verdict.advised,
    )


def page(found: Plan, paint: Paint, columns: int) -> str:
    """Return a plan as text."""
    sheet = Page(paint, columns)
    will = "is held" if found.mode is Mode.ENFORCE else "would be held; nothing is"
    none = "no objective"
    if found.source != "agent":
        will = "was let stand last, from the record; no agent answers"
        none = "not on record with that decision"
    sheet.head(f"{paint('bold', found.mode.value)}: what {will}")
    sheet.part("FOR", [found.objective or none])
    sheet.part("STANCES", [words.stances(found.allowed)])
    if found.advised:
        sheet.part("ADVISED", [words.stances(found.advised)])
    advised = {one.workload for one in found.advised}
    settings = _settings(one for one in found.settings if one.workload not in advised)
    would = _settings(one for one in found.settings if one.workload in advised)
    refused: list[list[str | Cell]] = [
        [one.workload, one.code, one.sentence] for one in found.refused
    ]
    for label, rows in (("SETTINGS", settings), ("REFUSED", refused)):
        if rows:
            sheet.rows(label, rows)
        else:
            sheet.part(label, ["none"], "dim")
    if would:
        sheet.rows("WOULD BE", would)
    if found.decision and (found.mode is Mode.ADVISE or found.advised):
        sheet.part("APPROVE", [f"vagus approve {found.decision}"])
    return sheet.text()


def _settings(settings: Iterable[Setting]) -> list[list[str | Cell]]:
    return [[one.workload, one.knob, one.value, one.why] for one in settings]
