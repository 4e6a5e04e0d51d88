# SPDX-License-Identifier: MIT
"""`vagus policy check|diff|explain|schema|default`: policy files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vagus.cli import common
from vagus.policy import describe, load, nodes


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="every mistake, with line and column")
    check.add_argument("file", type=Path, nargs="+")
    common.json_option(check)
    diff = actions.add_parser("diff", help="what another policy would change")
    diff.add_argument("old", type=Path)
    diff.add_argument("new", type=Path)
    common.json_option(diff)
    explain = actions.add_parser("explain", help="what a field means")
    explain.add_argument("field", nargs="?", default="", help="budget.lease; all")
    common.json_option(explain)
    actions.add_parser("schema", help="the JSON Schema, for editors")
    default = actions.add_parser("default", help="a policy to begin one's own with")
    common.json_option(default)


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    actions = {
        "check": _check,
        "diff": _diff,
        "explain": _explain,
        "schema": _schema,
        "default": _default,
    }
    return actions[args.action](args)


def _check(args: argparse.Namespace) -> int:
    """Print mistakes and warnings; 2 where there is a mistake."""
    worst, found = 0, []
    for file in args.file:
        try:
            raw = file.read_bytes()
        except OSError as error:
            checked = load.Checked(None, [f"{file}: {error.strerror}"], [])
        else:
            checked = load.check(raw, str(file))
        worst = max(worst, 2 if checked.errors else 0)
        found.append(_checked(file, checked))
        if not args.json:
            _print_checked(file, checked)
    if args.json:
        common.print_json(found)
    return worst


def _checked(file: Path, checked: load.Checked) -> dict[str, object]:
    return {
        "file": str(file),
        "ok": not checked.errors,
        "errors": checked.errors,
        "warnings": checked.warnings,
        "hash": checked.policy.text_hash if checked.policy else None,
    }


def _print_checked(file: Path, checked: load.Checked) -> None:
    paint = common.paint()
    for line in checked.errors:
        print(f"{paint('red', 'wrong')}    {line}")
    for line in checked.warnings:
        print(f"{paint('yellow', 'warning')}  {line}")
    if checked.policy is not None:
        policy = checked.policy
        print(
            f"{paint('green', 'ok')}       {file}: {policy.mode.value},"
            f" {len(policy.workloads)} workloads, decider {policy.decider},"
            f" hash {policy.text_hash}"
        )


def _diff(args: argparse.Namespace) -> int:
    lines = describe.diff(load.load(args.old), load.load(args.new))
    if args.json:
        common.print_json(lines)
        return 0
    print("\n".join(lines) or "the same policy")
    return 0


def _explain(args: argparse.Namespace) -> int:
    if args.json:
        common.print_json(describe.facts(args.field))
    else:
        print(describe.explain(args.field))
    return 0


def _schema(args: argparse.Namespace) -> int:
    common.print_json(describe.schema())
    return 0


def _default(args: argparse.Namespace) -> int:
    text = load.default_text()
    if args.json:
        tree, _ = nodes.read(text.encode())
        common.print_json(tree.data if tree else None)
    else:
        sys.stdout.write(text)
    return 0
