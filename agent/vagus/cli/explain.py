# SPDX-License-Identifier: MIT
"""`vagus explain ID|UNIT|PID`: one decision as a story of one screen."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vagus.cli import after, common, form, units, words
from vagus.cli.lines import Page
from vagus.cli.paint import Cell, Paint, width_for, word_cell
from vagus.cli.story import Seen, Story, also, find, tell
from vagus.flow import Act
from vagus.record.read import Reader
from vagus.text import escape

WIDTH = 80  # where the terminal does not say
MOST = 6  # lines of one part without --full


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "what",
        metavar="ID|UNIT|PID",
        help="a decision, a workload, or a process (pid:N where N is a decision, too)",
    )
    parser.add_argument(
        "--full", action="store_true", help="the whole prompt and answer"
    )
    common.record_option(parser)
    common.json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print the story of one decision."""
    with Reader(args.record) as reader:
        proc = Path("/proc")
        story = tell(reader, find(reader, args.what, proc))
        note = also(reader, args.what, proc)
    if args.json:
        common.print_json(story)
        return 0
    columns = width_for(sys.stdout) or WIDTH
    print(screen(story, common.now_ns(), common.paint(), columns, args.full), end="")
    if note:
        print(escape(note, 200))
    return 0


def screen(
    story: Story, now_ns: int, paint: Paint, columns: int, is_full: bool = False
) -> str:
    """Return the story as text."""
    page = Page(paint, columns)
    page.head(_title(story, now_ns, paint))
    _seen(page, story, is_full)
    _told(page, story, is_full)
    _refused(page, story, is_full)
    _wrote(page, story, is_full)
    _then(page, story, now_ns)
    page.part("UNDO", [story.undo])
    return page.text()


def _title(story: Story, now_ns: int, paint: Paint) -> str:
    when = f"{units.clock(story.wall_ns, now_ns)}, {units.ago(story.wall_ns, now_ns)}"
    who = f"{story.decider}, {units.duration(story.took_ms * 1e6)}"
    if story.model:
        who += f", model {words.model(story.model)}"
    return f"{paint('bold', f'decision {story.id}')}   {when}   {story.mode}   {who}"


def _touched(story: Story) -> list[str]:
    """Return whom the decision wants to change; those it leaves alone are others."""
    acts = [one.workload for one in story.wanted if one.act is not Act.LEAVE]
    return [*dict.fromkeys(acts)]


def _seen(page: Page, story: Story, is_full: bool) -> None:
    named = _touched(story)
    shown = [one for one in story.seen if one.name in named]
    if not shown:  # it leaves everybody alone: those who are worst off
        shown = sorted(story.seen, key=_badness, reverse=True)[:3]
    if is_full:
        shown = story.seen
    page.rows("SEEN", [_seen_row(one) for one in shown], cut=not is_full)
    if others := len(story.seen) - len(shown):
        page.part("", [f"and {others} more; --full shows them"], "dim")
    for source, count in story.quality.lost.items():
        page.part("", [f"{count} records of {source} were lost meanwhile"], "yellow")
    for source, reason in story.quality.missing.items():
        page.part("", [f"nothing from {source}: {reason}"], "yellow")


def _badness(one: Seen) -> int:
    order = ("ok", "warm", "bad", "critical")
    return max((order.index(w) for w in one.words.values() if w in order), default=0)


def _seen_row(one: Seen) -> list[str | Cell]:
    bad = [(key, word) for key, word in one.words.items() if word != "ok"]
    key, word = bad[0] if bad else ("", "ok")
    said = " ".join(filter(None, (key, word)))
    if len(bad) > 1:
        said += f" +{len(bad) - 1}"
    return [one.name, word_cell(word, said), words.numbers(one.numbers)]


def _told(page: Page, story: Story, is_full: bool) -> None:
    names = [*dict.fromkeys(one.workload for one in story.wanted)]
    chosen = [] if is_full else _touched(story)
    if story.fallback:
        page.part("FALLBACK", [story.fallback], "yellow")
    if story.prompt:
        _some(page, "TOLD", form.told(story.prompt, names, chosen), is_full)
    if story.answer:
        answer = form.answered(story.prompt, story.answer, names, chosen)
        _some(page, "ANSWER", answer, is_full)
    wanted = [words.together(story.wanted), f"“{story.cause}”"]
    page.part("WANTED", wanted)


def _some(page: Page, label: str, lines: list[str], is_full: bool) -> None:
    page.part(label, lines if is_full else lines[:MOST])
    if len(lines) > MOST and not is_full:
        page.part("", [f"and {len(lines) - MOST} more; --full shows them"], "dim")


def _refused(page: Page, story: Story, is_full: bool) -> None:
    if not story.refused:
        page.part("REFUSED", ["nothing"], "dim")
        return
    rows: list[list[str | Cell]] = [
        [
            " ".join(filter(None, (one.workload, one.resource))),
            one.code if one.stage == "verify" else f"kernel {one.code}",
            one.sentence,
        ]
        for one in story.refused
    ]
    page.rows("REFUSED", rows if is_full else rows[:MOST])
    if len(rows) > MOST and not is_full:
        page.part("", [f"and {len(rows) - MOST} more; --full shows them"], "dim")


def _wrote(page: Page, story: Story, is_full: bool) -> None:
    if not story.written:
        page.part("WROTE", [f"nothing: {_why_nothing(story)}"], "dim")
        return
    together: dict[tuple[str, str, str], list[str]] = {}
    for steps in after.steps(story.written):
        first, last = steps[0], steps[-1]
        values = [first.old, *dict.fromkeys(one.value for one in steps)]
        shown = values if is_full or len(values) < 4 else [values[0], "…", last.value]
        key = (first.knob, " -> ".join(shown), last.why)
        together.setdefault(key, []).append(first.workload)
    page.rows("WROTE", [[", ".join(who), *what] for what, who in together.items()])


def _why_nothing(story: Story) -> str:
    """Say why a decision wrote nothing."""
    if not _touched(story):
        return "it leaves everything alone"
    how = f"apply it with `vagus approve {story.id}`"
    if story.mode == "observe":
        return "the mode is observe"
    if story.mode == "advise":
        return f"the mode is advise; {how}"
    if any(one.act is not Act.LEAVE for one in story.allowed):
        return "what was allowed already held"
    if story.advised:
        return f"for these the mode is advise; {how}"
    return "nothing was allowed"


def _then(page: Page, story: Story, now_ns: int) -> None:
    rows = after.rows(story.effects, story.written, now_ns)
    if rows:
        page.rows("THEN", rows)
    elif story.written:
        page.part("THEN", ["the judge has not spoken yet"], "dim")
