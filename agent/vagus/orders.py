# SPDX-License-Identifier: MIT
"""Orders from the command line to the running loop; each returns a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from vagus.errors import DaemonError
from vagus.flow import Act, Mode, Proposal, Stance, Tried, Verdict
from vagus.loop import Loop
from vagus.policy.units import duration_ns
from vagus.verify import READERS
from vagus.wishes import APPROVED_NS, SAID_NS, TRIED_NS, UNDONE_NS

Args = Mapping[str, str]
Order = Callable[[Args], object]
# Returns the stances that a recorded decision allowed; None where there is none.
Lookup = Callable[[str], list[Stance] | None]
# Returns the number of the latest decision if it is this one; 0 where it is not.
Number = Callable[[Proposal, Mode], int]


def unrecorded(proposal: Proposal, mode: Mode) -> int:
    """Return 0: without a record no decision has a number."""
    return 0


def orders(loop: Loop, lookup: Lookup, number: Number = unrecorded) -> dict[str, Order]:
    """Return what a server may be told, by its word."""

    def mode(args: Args) -> str:
        wishes, unit = loop.course.wishes, args.get("unit", "")
        entry = loop.course.policy.workloads.get(unit) if unit else None
        if unit and entry is None:
            known = ", ".join(loop.course.policy.workloads) or "none"
            raise DaemonError(f"the policy names no workload '{unit}'; it has: {known}")
        if "mode" not in args:
            now = (entry and entry.mode) or loop.course.policy.mode
            return f"the mode {f'of {unit} ' if unit else ''}is {now}"
        try:
            wanted = Mode(args["mode"])
        except ValueError:
            known = ", ".join(Mode)
            raise DaemonError(f"'{args['mode']}' is no mode; known: {known}") from None
        if unit:
            modes = wishes.modes | {unit: wanted}
            loop.course.wish(replace(wishes, modes=modes))
            return f"the mode of {unit} is {wanted}"
        loop.course.wish(replace(wishes, mode=wanted, modes={}, approvals={}))
        return f"the mode is {wanted}"

    def say(args: Args) -> str:
        sentence = args.get("sentence", "").strip()
        span_ns = _span(args, SAID_NS)
        until_ns = loop.parts.clock() + span_ns if sentence else 0
        wish = replace(
            loop.course.wishes, objective=sentence, objective_until_ns=until_ns
        )
        loop.course.wish(wish)
        if not sentence:
            return f"the policy's objective is in force: {loop.course.policy.objective}"
        return f"for {span_ns // 60_000_000_000} min: {sentence}{_unread(loop)}"

    def approve(args: Args) -> str:
        number = args.get("id", "")
        stances = _let_stand(number)
        loop.course.approve(number, stances, loop.parts.clock() + APPROVED_NS)
        return f"for an hour, or until undone: {said(stances)}"

    def undo(args: Args) -> str:
        if args.get("id") == "all":
            loop.stand_down("told to undo everything")
            return "everything was given back; the mode is advise"
        number = args.get("id", "")
        stances = _decision(number)
        loop.undo(number, stances, loop.parts.clock() + UNDONE_NS)
        return f"given back, and not tried again for ten minutes: {said(stances)}"

    def mute(args: Args) -> str:
        what, span_ns = args.get("workload", ""), _span(args, SAID_NS)
        names = [what]
        if what not in loop.senses.found:
            if not what.isdecimal():
                known = ", ".join(sorted(loop.senses.found)) or "none"
                raise DaemonError(f"there is no workload '{what}'; there are: {known}")
            names = [*dict.fromkeys(s.workload for s in _let_stand(what))]
        until_ns = loop.parts.clock() + span_ns
        muted = loop.course.wishes.muted | dict.fromkeys(names, until_ns)
        loop.course.wish(replace(loop.course.wishes, muted=muted))
        who = f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
        return f"{who} left alone for {span_ns // 1_000_000_000} s"

    def try_out(args: Args) -> str:
        sentence = args.get("sentence", "").strip()
        if not sentence:
            raise DaemonError('say what matters, for example "The backup can wait."')
        loop.course.tried = Tried(sentence, loop.parts.clock() + TRIED_NS)
        return "the decider is asked; nothing changes by that"

    def trial(args: Args) -> object:
        return loop.course.tried

    def plan(args: Args) -> object:
        verdict = loop.course.verdict or Verdict([], [], loop.course.policy.mode)
        proposal = loop.course.proposal
        return {
            "decision": number(proposal, verdict.mode) if proposal else 0,
            "mode": verdict.mode,
            "objective": loop.course.policy.objective,
            "allowed": verdict.allowed,
            "refused": verdict.refused,
            "advised": verdict.advised,
            "settings": loop.plan(),
        }

    def _decision(number: str) -> list[Stance]:
        stances = lookup(number)
        if stances is None:
            raise DaemonError(f"there is no decision '{number}'; see `vagus decisions`")
        return stances

    def _let_stand(number: str) -> list[Stance]:
        stances = [s for s in _decision(number) if s.act is not Act.LEAVE]
        if not stances:
            raise DaemonError(f"decision {number} let nothing stand")
        return stances

    def reload(args: Args) -> str:
        return loop.reload()

    def noted(verb: str, order: Callable[[Args], str]) -> Order:
        def run(args: Args) -> str:
            said = order(args)
            if verb != "mode" or "mode" in args:  # else it only asks
                about = f"{verb} {args.get('id', '')}".strip()
                loop.senses.note("order", f"{about}: {said}")
            return said

        return run

    told = {"mode": mode, "say": say, "approve": approve, "undo": undo, "mute": mute}
    return {
        **{verb: noted(verb, order) for verb, order in told.items()},
        "try": try_out,
        "trial": trial,
        "plan": plan,
        "reload": reload,
    }


def _unread(loop: Loop) -> str:
    """Say that nobody reads a sentence now; "" where somebody does."""
    name, last = loop.parts.decider.name, loop.course.proposal
    if name not in READERS:
        return f" (but the decider {name} reads no sentence: nothing follows)"
    if last is not None and last.fallback:
        return f" (but the model did not answer last time: {last.fallback})"
    return ""


def _span(args: Args, usual_ns: int) -> int:
    """Return how long an order is to hold, in ns."""
    if "span" not in args:
        return usual_ns
    try:
        return duration_ns(args["span"])
    except ValueError as error:
        raise DaemonError(str(error)) from None


def said(stances: list[Stance]) -> str:
    """Return "shop: protect cpu 2; backup: yield io 1"."""
    each = (f"{s.workload}: {s.act} {s.resource} {s.strength}" for s in stances)
    return "; ".join(each) or "nothing"
