# SPDX-License-Identifier: MIT
"""`vagus run`: the agent itself, with its record and its socket."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vagus.cli import common
from vagus.errors import ModelMissing, PrivilegeError
from vagus.flow import Mode

if TYPE_CHECKING:
    from vagus.loop import Loop
    from vagus.policy.model import Policy

POLICY = "/etc/vagus/policy.yaml"
LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        default=Path(POLICY),
        help=f"what matters here (default: {POLICY}); SIGHUP reads it again",
    )
    parser.add_argument(
        "--no-model", action="store_true", help="let rules decide instead of the model"
    )
    parser.add_argument("--no-record", action="store_true", help="keep no record")
    parser.add_argument("--no-socket", action="store_true", help="serve no clients")
    parser.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=1,
        help="say more (to standard error)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="only warnings")
    common.record_option(parser)
    common.socket_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT, then give everything back."""
    from vagus.policy.load import load

    policy = load(args.policy)
    level = LEVELS[0 if args.quiet else min(args.verbose, 2)]
    logging.basicConfig(level=level, format="%(levelname)s %(message)s")
    check(args, policy)
    with contextlib.ExitStack() as stack:
        _serve(args, policy, stack)
    return 0


def check(args: argparse.Namespace, policy: Policy) -> None:
    """Raise where the agent could not do what the policy says, with the remedy."""
    if os.geteuid() != 0:
        raise PrivilegeError("the agent needs root; run it with sudo")
    named = policy.model.path
    wants_model = policy.decider == "llm" and not args.no_model
    if wants_model and named and not Path(named).is_file():
        raise ModelMissing(
            f"there is no model at {named}, which {args.policy} names; put it there,"
            " name another, or run with --no-model"
        )
    if policy.mode is Mode.ENFORCE:
        # ModuleMissing and AbiMismatch say what to do; advice needs no module.
        from vagus.kmod import Module

        with Module():
            pass


def _serve(
    args: argparse.Namespace, policy: Policy, stack: contextlib.ExitStack
) -> None:
    """Open the record and the socket, make the loop, and run it."""
    from vagus.cli.daemon import Daemon
    from vagus.wake import Waker
    from vagus.wire import Options, agent

    daemon = Daemon(
        record=None if args.no_record else args.record,
        socket=None if args.no_socket else args.socket,
        policy=policy,
        version=common.version(),
    )
    stack.callback(daemon.close)
    options = Options(
        policy=args.policy,
        no_model=args.no_model,
        put=daemon.put,
        publish=daemon.publish,
        port=daemon.server,
    )
    loop: Loop = stack.enter_context(agent(options))
    daemon.rule(loop)
    waker = stack.enter_context(Waker())
    print(started(args, policy), file=sys.stderr, flush=True)
    loop.run(waker)


def started(args: argparse.Namespace, policy: Policy) -> str:
    """Say what begins, in one line."""
    decider = "rules" if args.no_model and policy.decider == "llm" else policy.decider
    return (
        f"vagus: {policy.mode.value}, decided by {decider}, policy {args.policy}"
        f" ({policy.text_hash}), record {'none' if args.no_record else args.record};"
        " ^C gives everything back"
    )
