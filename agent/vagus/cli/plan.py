# SPDX-License-Identifier: MIT
"""`vagus plan`: what stands now, or would if the mode let it."""

from __future__ import annotations

import argparse
import sys

import msgspec

from vagus.cli import common, words
from vagus.cli.client import Client
from vagus.cli.lines import Page
from vagus.cli.paint import Cell, Paint, width_for
from vagus.flow import Mode, Refusal, Setting, Stance


class Plan(msgspec.Struct, frozen=True):
    """The agent's answer, as --json prints it."""

    mode: Mode  # how far Vagus may go
    objective: str  # the sentence in force
    allowed: list[Stance]  # what stands
    refused: list[Refusal]  # what does not, and why
    settings: list[Setting]  # what is held, or would be


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    common.socket_option(parser)
    common.json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Ask the agent and print its plan."""
    with Client(args.socket) as client:
        found = msgspec.json.decode(client.ask("plan"), type=Plan)
    if args.json:
        common.print_json(found)
    else:
        print(page(found, common.paint(), width_for(sys.stdout) or 80), end="")
    return 0


def page(found: Plan, paint: Paint, columns: int) -> str:
    """Return a plan as text."""
    sheet = Page(paint, columns)
    will = "is held" if found.mode is Mode.ENFORCE else "would be held; nothing is"
    sheet.head(f"{paint('bold', found.mode.value)}: what {will}")
    sheet.part("FOR", [found.objective or "no objective"])
    sheet.part("STANCES", [words.stances(found.allowed)])
    settings: list[list[str | Cell]] = [
        [one.workload, one.knob, one.value, one.why] for one in found.settings
    ]
    refused: list[list[str | Cell]] = [
        [one.workload, one.code, one.sentence] for one in found.refused
    ]
    for label, rows in (("SETTINGS", settings), ("REFUSED", refused)):
        if rows:
            sheet.rows(label, rows)
        else:
            sheet.part(label, ["none"], "dim")
    return sheet.text()
