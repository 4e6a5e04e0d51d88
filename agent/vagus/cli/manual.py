# SPDX-License-Identifier: MIT
"""`vagus man`: the manual page as man(7) reads it, made from the parsers themselves."""

from __future__ import annotations

import argparse

from vagus.cli import common, main
from vagus.cli.completion import about
from vagus.cli.run import POLICY

FILES = (
    (POLICY, "the policy; `vagus policy schema` describes it"),
    (common.RECORD, "the record, an SQLite database"),
    (common.SOCKET, "where the agent is spoken to"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say how to read and keep it."""
    parser.epilog = (
        "read: vagus man | man -l -\n"
        "keep: vagus man > /usr/local/share/man/man1/vagus.1"
    )


def run(args: argparse.Namespace) -> int:
    """Print the page."""
    del args
    print(page(), end="")
    return 0


def page() -> str:
    """Return the page."""
    lines = [
        '.TH VAGUS 1 "" "vagus" "User Commands"',
        ".SH NAME",
        "vagus \\- a local language model decides who is protected and who yields",
        ".SH SYNOPSIS",
        ".B vagus",
        ".I VERB",
        "[options]",
        ".SH DESCRIPTION",
        _plain(main.ABOUT),
        ".SH VERBS",
    ]
    for verb, (_, purpose) in main.VERBS.items():
        lines += [f".SS {_plain(verb)}", _plain(f"{purpose[0].upper()}{purpose[1:]}.")]
        lines += _options(main.parser_of(verb))
    lines += [".SH NOTES", ".nf", *map(_plain, main.EPILOG.splitlines()), ".fi"]
    lines.append(".SH FILES")
    for path, text in FILES:
        lines += [".TP", f".I {_plain(path)}", _plain(text)]
    return "\n".join(lines) + "\n"


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """Return every argument of one verb, and of its actions."""
    lines = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                lines += [".TP", f".B {_plain(name)}", _plain(_usage(inner))]
        elif action.dest != "help":
            value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
            if not action.option_strings and action.choices:
                value = "|".join(map(str, action.choices))
            called = ", ".join(action.option_strings)
            lines += [".TP", f".B {_plain(f'{called} {value}'.strip())}"]
            lines.append(_plain(about(action)))
    return lines


def _usage(parser: argparse.ArgumentParser) -> str:
    usage = " ".join(parser.format_usage().split())
    return usage.removeprefix("usage: ").replace(" [-h]", "")


def _plain(text: str) -> str:
    """Return text in which roff sees nothing of its own."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
