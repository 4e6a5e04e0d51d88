# SPDX-License-Identifier: MIT
"""`vagus say`: tell the agent what matters now; its plan is shown first."""

from __future__ import annotations

import argparse
import sys
import time

import msgspec

from vagus.cli import common, words
from vagus.cli.client import Client
from vagus.cli.lines import Page
from vagus.cli.paint import Cell, Paint, width_for
from vagus.errors import DaemonError
from vagus.flow import Tried

PATIENCE_S = 30.0  # for the decider's answer; it is asked once a second at most
ASK_AGAIN_S = 0.2


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "sentence", help="\"The backup must be done by six.\"; '' for the policy's own"
    )
    parser.add_argument(
        "--for", dest="span", metavar="TIME", default="1h", help="how long (1h)"
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--yes", action="store_true", help="no plan, no question")
    choice.add_argument("--dry-run", action="store_true", help="only show the plan")
    common.socket_option(parser)
    common.json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Show the plan, ask where somebody is there to answer, give the order."""
    with Client(args.socket) as client:
        plain = args.yes or not args.sentence.strip()
        found = None if plain else tried(client, args.sentence)
        if found and not args.json:
            print(page(found, common.paint(), width_for(sys.stdout) or 80), end="")
        said = ""
        if _wanted(args, found is not None):
            given = {"sentence": args.sentence, "span": args.span}
            said = client.order("say", given)
    if args.json:
        common.print_json({"plan": found, "answer": said})
    else:
        print(said or "nothing was changed")
    return 0


def tried(client: Client, sentence: str) -> Tried:
    """Have the agent's decider answer a sentence; DaemonError where it does not."""
    client.order("try", {"sentence": sentence})
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = msgspec.json.decode(client.ask("trial"), type=Tried | None)
        if found is not None and found.verdict is not None:
            return found
        time.sleep(ASK_AGAIN_S)
    raise DaemonError(
        f"the decider did not answer within {PATIENCE_S:.0f} s; see `vagus doctor`,"
        " or say it without a plan by --yes"
    )


def _wanted(args: argparse.Namespace, shown: bool) -> bool:
    """Tell whether the sentence is to be in force."""
    if args.dry_run:
        return False
    if args.yes or args.json or not shown or not sys.stdin.isatty():
        return True
    answer = input(f"In force for {args.span}? [Y/n] ")
    return answer.strip().lower() in ("", "y", "yes")


def page(found: Tried, paint: Paint, columns: int) -> str:
    """Return what a sentence would lead to as text."""
    sheet = Page(paint, columns)
    sheet.head(f"{paint('bold', 'would follow')} ({found.mode.value})")
    sheet.part("FOR", [found.sentence])
    proposal, verdict = found.proposal, found.verdict
    if proposal is not None:
        sheet.part("BECAUSE", [f"{proposal.decider}: {proposal.cause}"])
        if proposal.fallback:
            sheet.part("FALLBACK", [proposal.fallback], "yellow")
    if verdict is not None:
        sheet.part("STANCES", [words.stances(verdict.allowed) or "none: nothing to do"])
        refused: list[list[str | Cell]] = [
            [one.workload, one.code, one.sentence] for one in verdict.refused
        ]
        if refused:
            sheet.rows("REFUSED", refused)
    return sheet.text()
