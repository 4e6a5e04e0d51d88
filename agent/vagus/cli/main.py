# SPDX-License-Identifier: MIT
"""The command `vagus`: one module a verb, imported when it is asked for."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence

from vagus.errors import FeatureMissing, VagusError

# verb -> (module, what it is for); in the order that help shows them.
VERBS: dict[str, tuple[str, str]] = {
    "run": ("run", "watch this machine and act by a policy, until stopped"),
    "off": ("off", "give every setting back now, with or without the agent"),
    "top": ("top", "live view of workloads, stances and leases"),
    "decisions": ("decisions", "list what was decided"),
    "explain": ("explain", "tell why something was touched, and whether it helped"),
    "events": ("events", "list kernel events and the ends of leases"),
    "doctor": ("doctor", "check what works here, with a remedy for what does not"),
    "plan": ("plan", "show what stands or would stand now, and what is refused"),
    "approve": ("orders", "apply for an hour what a decision only advised"),
    "undo": ("orders", "take a decision back: ID or 'all'"),
    "mute": ("orders", "leave a workload alone for a while: UNIT or ID"),
    "reload": ("orders", "have the agent read its policy again"),
    "mode": ("orders", "show or set how far Vagus may go: observe, advise, enforce"),
    "say": ("say", "tell the agent in plain words what matters now; plan first"),
    "lens": ("lens", "look deeper for a while: runq, offcpu, biolat, func"),
    "policy": ("policy", "check, compare and explain policy files"),
    "verify": ("drift", "compare every held setting with what the kernel has"),
    "replay": ("replay", "step through the past, or check that it can be recomputed"),
    "backtest": ("backtest", "try another policy or decider on the recorded past"),
    "record": ("record", "list, dump or shrink the record"),
    "bugreport": ("bugreport", "put what a helper needs into one file; sends nothing"),
    "completion": ("completion", "print what a shell needs to complete vagus"),
    "man": ("manual", "print the manual page"),
}

ABOUT = """\
A local language model decides who on this machine is protected and who yields;
the kernel takes every setting back unless told to keep it."""
EPILOG = """\
times (-t): '3m ago', '2h', '14:05', 'yesterday 9:30', '2026-11-23 14:05'
environment: VAGUS_RECORD, VAGUS_SOCKET, NO_COLOR

exit codes:
  0   done                          5   the model cannot be used
  1   an error without a code       6   the record: not to be used, or without
  2   the policy is wrong               what was asked for
  3   the kernel side is not ready  7   the agent: not to be reached, or refuses
  4   root or a capability needed   64  wrong usage
                                    130 interrupted
  doctor, verify, replay --check: 1 where something is missing or differs
"""
NATIVE = "vagus._native"  # bindings/, compiled
USAGE = 64  # EX_USAGE of sysexits.h; argparse's own 2 is the policy's here


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps line breaks, and every verb on one line."""

    def __init__(self, prog: str) -> None:
        """Leave room for the longest verb."""
        # Made for every argument; without a width it asks shutil, a slow import.
        super().__init__(prog, max_help_position=26, width=_columns() - 2)
        # Before Python 3.13 the indent of verbs was not counted in.
        self._action_max_length = 14


def _columns() -> int:
    """Return the columns of the terminal, 80 where there is none."""
    with contextlib.suppress(KeyError, ValueError):
        return int(os.environ["COLUMNS"])
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(1).columns
    return 80


class UsageError(VagusError):
    """The command line cannot be understood."""

    exit_code = USAGE


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and exits with USAGE."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Print one line and exit."""
        verb = self.prog.removeprefix("vagus").strip()
        hint = f"vagus {verb} --help".replace("  ", " ")
        self.exit(USAGE, f"{self.prog}: {message}; see `{hint}`\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        args = _parse(words)
        code: int = args.run(args)
        sys.stdout.flush()
    except VagusError as error:
        return _complain(error)
    except ModuleNotFoundError as error:
        if error.name != NATIVE:
            raise
        remedy = "build it by `make bindings`, or install the package again"
        return _complain(FeatureMissing(f"{NATIVE} is not there: {remedy}"))
    except BrokenPipeError:  # `vagus events | head`
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def _complain(error: VagusError) -> int:
    for line in str(error).splitlines() or [type(error).__name__]:
        print(f"vagus: {line}", file=sys.stderr)
    return error.exit_code


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; only the verb in it has a parser and is imported."""
    wanted = words[0] if words and not words[0].startswith("-") else ""
    if wanted and wanted not in VERBS:
        import difflib

        near = difflib.get_close_matches(wanted, VERBS, 1)
        hint = f"did you mean `vagus {near[0]}`?" if near else "see `vagus --help`"
        raise UsageError(f"'{wanted}' is no verb; {hint}")
    parser = _parser(wanted)
    args = parser.parse_args(words)
    if args.verb is None:
        parser.print_help()
        raise SystemExit(USAGE)
    return args


def _parser(wanted: str) -> Parser:
    parser = Parser(
        prog="vagus",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=Formatter,
    )
    parser.add_argument("--version", action="version", version=_version_of(wanted))
    # Where prog is not said it is worked out, which takes the terminal's width.
    verbs = parser.add_subparsers(
        dest="verb", metavar="VERB", title="verbs", prog="vagus"
    )
    for verb, (module, purpose) in VERBS.items():
        if wanted and verb != wanted:
            continue
        one = verbs.add_parser(
            verb,
            help=purpose,
            description=purpose[0].upper() + purpose[1:] + ".",
            formatter_class=Formatter,
        )
        if verb == wanted:
            found = importlib.import_module(f"vagus.cli.{module}")
            found.arguments(one)
            one.set_defaults(run=found.run)
    return parser


def parser_of(verb: str) -> argparse.ArgumentParser:
    """Return the parser of one verb, as `vagus completion` reads it."""
    parser = argparse.ArgumentParser(prog=f"vagus {verb}")
    importlib.import_module(f"vagus.cli.{VERBS[verb][0]}").arguments(parser)
    return parser


def _version_of(wanted: str) -> str:
    """Return the version; not looked up where a verb is asked for (it is slow)."""
    if wanted:
        return "vagus"
    from vagus.cli.common import version

    return f"vagus {version()}"


if __name__ == "__main__":
    raise SystemExit(main())
