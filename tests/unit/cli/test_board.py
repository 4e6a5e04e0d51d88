# SPDX-License-Identifier: MIT
"""What the line of the objective shows."""

import msgspec
import pytest
from msgspec.structs import replace

from vagus.cli import screen
from vagus.cli.board import Tracker, from_record, watched
from vagus.cli.daemon import Daemon
from vagus.cli.paint import Paint
from vagus.policy.load import loads
from vagus.record.store import Recorder

RUNQ_LINE = "run queue p99 "
SLO = """\
version: 1
objective: "Keep the shop fast."
workloads:
  shop: {match: {cgroup: "shop.service"}, slo: SLO}
  backup: {match: {comm: [restic]}}
"""
GIVEN = {
    "{io_p99: 5ms}": ("io_p99_ns", "io p99 ", "up to 2.0 ms"),
    "{psi_io: 20%}": ("psi_io_some_pct", "io pressure ", "up to 12 %"),
    "{psi_io: 20%, io_p99: 5ms}": ("io_p99_ns", "io p99 ", "up to 2.0 ms"),
}
NUMBERS = {"io_p99_ns": 2e6, "psi_io_some_pct": 12.0, "runq_p99_ns": 4e5}


def records(tick_record, ticks=range(1, 35), policy="policy-1"):
    """The story, with a shop that the policy names and a backup that is worse off."""
    for tick in ticks:
        one = tick_record(tick)
        loads_ = dict(one.window.workloads)
        loads_["shop"] = replace(loads_["shop"], policy="shop", numbers=NUMBERS)
        worse = {key: value * 9 for key, value in NUMBERS.items()}
        loads_["backup"] = replace(loads_["backup"], policy="backup", numbers=worse)
        window = replace(one.window, workloads=loads_)
        yield replace(one, window=window, policy=policy)


def head(board):
    lines = screen.head(board, Paint(), board.wall_ns, 80)
    assert max(map(len, lines[:3])) <= 80
    return lines[2]


@pytest.mark.parametrize("slo", GIVEN)
def test_the_line_shows_the_slo_of_the_protected_workload(tick_record, slo):
    watches = watched(loads(SLO.replace("SLO", slo)))
    tracker = Tracker(lambda policy: watches if policy == "policy-1" else {})
    for record in records(tick_record):
        tracker.follow(record)
    board = tracker.board()
    signal, name, most = GIVEN[slo]
    assert (board.signal, {*board.history}) == (signal, {NUMBERS[signal]})
    assert head(board).startswith(name) and head(board).endswith(most)
    for record in records(tick_record, range(35, 40), "policy-2"):
        tracker.follow(record)
    board = tracker.board()
    assert (board.signal, board.history) == ("runq_p99_ns", [4e5] * 5)
    assert head(board).startswith(RUNQ_LINE)


def test_who_is_protected_comes_before_others_with_an_slo(tick_record):
    signals = {"backup": "psi_io_some_pct", "shop": "io_p99_ns"}
    tracker = Tracker(lambda _: signals)
    for record in records(tick_record):
        loads_ = dict(reversed(record.window.workloads.items()))
        tracker.follow(replace(record, window=replace(record.window, workloads=loads_)))
    # The backup's was shown until tick 32, when the shop was protected.
    board = tracker.board()
    assert (board.signal, board.history) == ("io_p99_ns", [2e6] * 3)


def test_the_policy_on_record_says_what_the_line_shows(tick_record, tmp_path):
    path = tmp_path / "r.db"
    with Recorder(path) as recorder:
        recorder.put_policy(1, "policy-1", SLO.replace("SLO", "{psi_io: 20%}"))
        recorder.put_policy(1, "policy-2", "slo: this is no policy")
        for record in records(tick_record):
            recorder.put(record)
    board = from_record(path)
    assert board.signal == "psi_io_some_pct" and board.history[-1] == 12.0
    assert msgspec.json.decode(msgspec.json.encode(board))["signal"] == board.signal
    with Recorder(path) as recorder:
        for record in records(tick_record, range(35, 37), "policy-2"):
            recorder.put(record)
    assert from_record(path).signal == "runq_p99_ns"


def test_the_agent_shows_what_its_own_policy_watches(tick_record, tmp_path):
    policy = loads(SLO.replace("SLO", "{io_p99: 5ms}"))
    daemon = Daemon(None, tmp_path / "socket", policy)
    try:
        for text_hash, signal in ((policy.text_hash, "io_p99_ns"), ("", "runq_p99_ns")):
            for record in records(tick_record, policy=text_hash):
                daemon.publish(record)
            assert daemon.server._tracker.board().signal == signal
    finally:
        daemon.close()
