# SPDX-License-Identifier: MIT
"""The board as text: the same lines for `top --once`, the live view and replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vagus.cli import units, words
from vagus.cli.board import Board, Held, Judged, Line
from vagus.cli.paint import Cell, Paint, clip, table, word_cell

BARS = "▁▂▃▄▅▆▇█"
LEASE_HEADER = ("WORKLOAD", "KNOB", "OLD -> HELD", ">SINCE", ">LEFT", "WHY")
RESOURCES = ("cpu", "io", "memory")
HEADER = (
    *("WORKLOAD", "CPU", "IO", "MEM"),
    *(">CPU%", ">RUNQ P99", ">IO P99", ">MEMORY", "STANCE"),
)
# Where HEADER and names of usual length do not fit.
NARROW = ("WORKLOAD", "SUFFERS", ">CPU%", ">RUNQ P99", ">MEMORY", "STANCE")
WIDE = 100  # columns that HEADER needs


def page(board: Board, paint: Paint, columns: int, now_ns: int) -> str:
    """Return the whole board as text."""
    parts = [
        "\n".join(head(board, paint, now_ns, columns)) + "\n",
        workloads(board, paint, columns),
    ]
    if board.leases:
        parts.append(leases(board.leases, paint, columns, board.wall_ns))
    if board.effects:
        parts.append(effects(board.effects, paint, columns))
    return "\n".join(parts)


def head(board: Board, paint: Paint, now_ns: int, columns: int = 0) -> list[str]:
    """Return two to six lines about the agent itself."""
    mode = board.mode or "no decision yet"
    first = f"{paint('bold', 'vagus')}  {mode}"
    if board.decider:
        took = units.duration(board.took_ms * 1e6)
        first += f"  {board.decider} in {took}, {units.ago(board.decided_ns, now_ns)}"
    is_then = board.wall_ns == now_ns  # a replay: then is told from then
    age = (units.clock if is_then else units.ago)(board.wall_ns, now_ns)
    first += f"  tick {board.tick}"
    if board.source != "agent":
        first += paint("yellow", f"  from the record, {age}")
    lines = [first, _own(board, paint), *_waits(board, columns)]
    if board.cpu is not None:
        said = f"cpu by {words.handle(board.cpu)}"
        lines.append(paint("yellow", said) if board.cpu.ejections else said)
    if board.cause:
        lines.append(f"“{board.cause}”")
    if board.fallback:
        lines.append(paint("yellow", f"fallback: {board.fallback}"))
    return lines


def _own(board: Board, paint: Paint) -> str:
    """Return what the agent costs, and what it lost."""
    texts = []
    if board.cost is not None:
        cost = board.cost
        texts.append(
            f"agent {units.percent(cost.cpu_pct)}, {units.size(cost.rss_bytes)}"
        )
        if cost.engine_rss_bytes:
            texts.append(
                f"engine {units.percent(cost.engine_cpu_pct)},"
                f" {units.size(cost.engine_rss_bytes)}"
            )
    texts += _engine(board.counters, paint)
    lost = {"records": sum(board.quality.lost.values())}
    lost["windows"] = board.counters.get("record.lost", 0)  # of the recorder
    each = ", ".join(f"{count} {what}" for what, count in lost.items() if count)
    texts.append(paint("yellow", f"{each} lost") if each else "0 lost")
    texts += [paint("red", f"no {one}") for one in board.quality.missing]
    return "  ".join(texts)


def _engine(counters: Mapping[str, int], paint: Paint) -> list[str]:
    """Return what went wrong with the engine since the agent started."""
    told = []
    for name, what in (("missed", "late"), ("failed", "without answer")):
        if count := counters.get(f"model.{name}", 0):
            told.append(f"{count} {what}")
    if (again := counters.get("model.starts", 0) - 1) > 0:
        told.append(f"{again} restarts" if again > 1 else "1 restart")
    return [paint("yellow", f"model {', '.join(told)}")] if told else []


def _waits(board: Board, columns: int) -> list[str]:
    """Return the line of how the protected do, by the objective's signal."""
    if not board.history:
        return []
    worst = max(board.history)
    what = units.signal(board.signal)
    scale = f"up to {units.quantity(board.signal, worst)}"
    room = (columns or 80) - len(what) - len(scale) - 4
    return [f"{what} {spark(board.history[-room:], worst)} {scale}"]


def spark(values: Sequence[float], top: float) -> str:
    """Return a line of bars; a full one is the value `top`."""
    if top <= 0:
        return BARS[0] * len(values)
    last = len(BARS) - 1
    return "".join(BARS[min(last, round(value / top * last))] for value in values)


def workloads(board: Board, paint: Paint, columns: int) -> str:
    """Return the table of workloads."""
    is_narrow = 0 < columns < WIDE
    rows = [row(line, is_narrow) for line in board.lines]
    return table(NARROW if is_narrow else HEADER, rows, paint, columns)


def row(line: Line, is_narrow: bool = False) -> list[str | Cell]:
    """Return the cells of one workload, for HEADER or for NARROW."""
    cells: list[str | Cell] = [clip(line.name, 18) if is_narrow else line.name]
    keys = ["cpu_pct", "runq_p99_ns", "io_p99_ns", "memory_bytes"]
    if is_narrow:
        cells.append(_suffers(line))
        keys.remove("io_p99_ns")
    else:
        cells += [word_cell(line.words.get(key, "unknown")) for key in RESOURCES]
    for key in keys:
        value = line.numbers.get(key)
        cells.append(units.DASH if value is None else units.quantity(key, value))
    acts = {one.act.value for one in line.stances}
    said = ", ".join(words.stance(one, with_workload=False) for one in line.stances)
    cells.append(word_cell(acts.pop() if len(acts) == 1 else "", said or units.DASH))
    return cells


def _suffers(line: Line) -> Cell:
    """Return the worst word with its resource, and how many are as bad or less."""
    order = ("ok", "unknown", "warm", "bad", "critical")
    bad = sorted(
        ((order.index(word), key) for key, word in line.words.items() if word != "ok"),
        key=lambda one: -one[0],
    )
    if not bad:
        return word_cell("ok")
    level, key = bad[0]
    more = f" +{len(bad) - 1}" if len(bad) > 1 else ""
    return word_cell(order[level], f"{key} {order[level]}{more}")


def leases(many: Sequence[Held], paint: Paint, columns: int, now_ns: int) -> str:
    """Return the table of what is held."""
    rows = [lease_row(one, now_ns) for one in many]
    return table(LEASE_HEADER, rows, paint, columns)


def lease_row(one: Held, now_ns: int) -> list[str | Cell]:
    """Return the cells of one lease."""
    return [
        clip(one.workload, 18),
        one.knob,
        f"{clip(one.old, 20)} -> {clip(one.value, 20)}",
        units.span((now_ns - one.since_ns) / 1e9),
        units.DASH if one.left_ms is None else units.span(one.left_ms / 1e3),
        one.why,
    ]


def effects(many: Sequence[Judged], paint: Paint, columns: int) -> str:
    """Return the table of what the judge found."""
    rows: list[list[str | Cell]] = [
        [word_cell(one.outcome), words.stance(one.stance), words.change(one)]
        for one in many
    ]
    return table(["JUDGED", "STANCE", "CHANGE"], rows, paint, columns)
