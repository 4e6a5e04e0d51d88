# SPDX-License-Identifier: MIT
"""What an operator may tell the running loop."""

from pathlib import Path

import pytest
from tests.unit.test_loop import POLICY, Bench, S, Scripted

from vagus.cli.board import Tracker
from vagus.errors import DaemonError
from vagus.flow import Act, Mode, Proposal, Resource, Stance
from vagus.orders import orders

PROTECT = [Stance("shop", Act.PROTECT, Resource.CPU, 2)]
SHOP = "role: web, slo: {psi_cpu: 20%}"


def of_shop(mode: str) -> str:
    """Return the policy in which the shop has a mode of its own."""
    return POLICY.replace(SHOP, f"{SHOP}, mode: {mode}")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def told(bench, number, **args):
    return orders(bench.loop, {"7": PROTECT}.get)[number](args)


def test_approval_reaches_a_workload_that_is_only_advised_on(tmp_path):
    bench = Bench(tmp_path, of_shop("advise"))
    bench.run(8)
    assert bench.machine.number("shop") == 100
    told(bench, "approve", id="7")
    bench.run(2)
    assert bench.machine.number("shop") == 1000


def test_standing_down_reaches_a_workload_with_a_mode_of_its_own(tmp_path):
    bench = Bench(tmp_path, of_shop("enforce"))
    bench.run(6)
    assert bench.machine.number("shop") > 100
    told(bench, "undo", id="all")
    bench.run(10)
    assert bench.machine.number("shop") == 100


def test_mode_of_one_workload(bench):
    assert told(bench, "mode", unit="shop") == "the mode of shop is enforce"
    told(bench, "mode", unit="shop", mode="advise")
    bench.run(6)
    assert bench.machine.number("shop") == 100
    assert bench.machine.number("build") < 100
    assert told(bench, "mode", unit="shop") == "the mode of shop is advise"
    told(bench, "mode", mode="enforce")  # for all: the single one is over
    bench.run(6)
    assert bench.machine.number("shop") > 100
    with pytest.raises(DaemonError, match="no workload 'nobody'; it has: shop, build"):
        told(bench, "mode", unit="nobody")


def test_sentence_on_trial_shows_its_plan_and_changes_nothing(bench):
    decider = bench.loop.parts.decider = Scripted()
    told(bench, "try", sentence="The build can wait.")
    assert told(bench, "trial").verdict is None
    decider.proposal = Proposal("llm", [], "late", objective="another")
    bench.run(1)
    assert decider.objective == "The build can wait."
    assert told(bench, "trial").verdict is None, "an answer to another sentence"
    stances = [Stance("build", Act.YIELD, Resource.CPU, 2)]
    answer = Proposal("llm", stances, "it waits", objective="The build can wait.")
    decider.proposal = answer
    bench.run(1)
    trial = told(bench, "trial")
    assert trial.verdict.allowed == stances
    assert trial.mode is Mode.ENFORCE
    bench.run(5)
    assert decider.objective == ""
    assert bench.machine.number("build") == 100
    assert not any(r.proposal and r.proposal.stances for r in bench.records)


def test_decider_that_does_not_answer_a_trial_is_asked_as_before(bench):
    decider = bench.loop.parts.decider = Scripted()
    bench.run(1)
    told(bench, "try", sentence="The build can wait.")
    bench.run(29)
    assert decider.objective == "The build can wait."
    bench.run(2)
    assert decider.objective == ""


def test_order_counts_at_once_while_a_sentence_is_on_trial(bench):
    decider = bench.loop.parts.decider = Scripted(*PROTECT)
    bench.run(3)
    assert bench.loop.course.standing
    told(bench, "try", sentence="The build can wait.")
    told(bench, "mode", mode="advise")
    decider.proposal = None  # it does not answer
    bench.run(2)
    assert bench.loop.course.standing == []


def test_nothing_to_try_is_said(bench):
    with pytest.raises(DaemonError, match="say what matters"):
        told(bench, "try", sentence=" ")


def test_say_holds_as_long_as_asked(bench):
    decider = bench.loop.parts.decider = Scripted()
    decider.name = "llm"
    assert told(bench, "say", sentence="x", span="5m") == "for 5 min: x"
    bench.run(1)
    assert decider.objective == "x"
    bench.machine.now += 301_000_000_000
    bench.run(1)
    assert decider.objective == ""
    with pytest.raises(DaemonError, match="later"):
        told(bench, "say", sentence="x", span="later")


def test_orders_change_the_mode_and_come_back(bench):
    told = orders(bench.loop, lambda number: None)
    bench.run(5)
    assert "observe" in told["mode"]({"mode": "observe"})
    bench.run(40)
    assert bench.machine.number("shop") == 100
    told["mode"]({"mode": "enforce"})
    bench.run(5)
    assert bench.machine.number("shop") > 100
    with pytest.raises(DaemonError, match="no mode"):
        told["mode"]({"mode": "sudo"})


def test_orders_say_reaches_the_decider_for_an_hour(bench):
    told = orders(bench.loop, lambda number: None)
    bench.loop.parts.decider = decider = Scripted()
    told["say"]({"sentence": "Finish the build."})
    bench.run(1)
    assert decider.objective == "Finish the build."
    bench.machine.now += 3601 * S
    bench.run(1)
    assert decider.objective == ""


def test_orders_approve_enforces_advice_and_undo_ends_it(tmp_path):
    bench = Bench(tmp_path, POLICY.replace("mode: enforce", "mode: advise"))
    advice = [Stance("shop", Act.PROTECT, Resource.CPU, 2)]
    told = orders(bench.loop, {"7": advice}.get)
    bench.run(4)
    told["approve"]({"id": "7"})
    bench.run(2)
    assert bench.machine.number("shop") == 1000
    told["undo"]({"id": "7"})
    bench.run(30)
    assert bench.machine.number("shop") == 100
    with pytest.raises(DaemonError, match="no decision"):
        told["approve"]({"id": "8"})


def test_orders_undo_all_gives_back_at_once(bench):
    told = orders(bench.loop, lambda number: None)
    bench.run(5)
    told["undo"]({"id": "all"})
    assert bench.machine.number("shop") == 100
    bench.run(5)
    assert bench.machine.number("shop") == 100
    assert bench.loop.course.policy.mode is Mode.ADVISE


def test_orders_mute_leaves_a_workload_alone_for_its_time(bench):
    told = orders(bench.loop, lambda number: None)
    bench.run(5)
    told["mute"]({"workload": "build", "span": "30s"})
    bench.run(2)
    assert bench.machine.number("build") == 100
    bench.run(35)
    assert bench.machine.number("build") < 100
    with pytest.raises(DaemonError, match="no workload"):
        told["mute"]({"workload": "nobody"})


# ------------------------------------------------------------------- on record


def verdicts(bench):
    return [r.verdict for r in bench.records if r.verdict]


def shown(bench):
    """Return what `vagus top` shows after these records."""
    tracker = Tracker()
    for record in bench.records:
        tracker.follow(record)
    return tracker.board()


@pytest.mark.parametrize("how", ["mode", "off"])
def test_mode_that_changes_nothing_else_is_a_verdict_on_record(bench, how):
    bench.run(8)
    assert shown(bench).mode == "enforce"
    if how == "mode":
        told(bench, "mode", mode="advise")
    else:
        bench.machine.revoke(list(bench.machine.live), "off")
    bench.run(2)
    before, after = verdicts(bench)[-2:]
    assert (before.mode, after.mode) == (Mode.ENFORCE, Mode.ADVISE)
    assert before.allowed == after.allowed
    assert shown(bench).mode == "advise"


def test_observe_lets_nothing_stand_in_plan_and_top(bench):
    bench.run(8)
    assert told(bench, "plan")["allowed"]
    told(bench, "mode", mode="observe")
    bench.run(2)
    assert told(bench, "plan")["allowed"] == []
    assert shown(bench).mode == "observe"
    assert not any(line.stances for line in shown(bench).lines)
    count = len(verdicts(bench))
    bench.run(5)
    assert len(verdicts(bench)) == count, "said once"


def test_what_was_said_before_observe_does_not_come_back_with_the_mode(bench):
    bench.loop.parts.decider = Scripted(*PROTECT)
    bench.run(2)
    told(bench, "mode", mode="observe")
    bench.run(2)
    told(bench, "mode", mode="enforce")
    bench.run(2)
    assert bench.loop.course.standing == []


def test_approval_of_the_very_same_stances_is_a_decision_of_the_operator(tmp_path):
    bench = Bench(tmp_path, POLICY.replace("mode: enforce", "mode: advise"))
    bench.loop.parts.decider = Scripted(*PROTECT)
    bench.run(2)
    told(bench, "approve", id="7")
    bench.run(2)
    last = [r for r in bench.records if r.proposal][-1]
    assert last.proposal.decider == "operator"
    assert (last.verdict.mode, last.verdict.allowed) == (Mode.ENFORCE, PROTECT)


def test_every_order_is_an_event_and_a_question_is_none(bench):
    decider = bench.loop.parts.decider = Scripted()
    decider.name = "llm"
    bench.run(2)
    told(bench, "mode")
    told(bench, "plan")
    told(bench, "trial")
    told(bench, "mode", mode="advise")
    told(bench, "approve", id="7")
    told(bench, "undo", id="7")
    told(bench, "mute", workload="build")
    told(bench, "say", sentence="The build can wait.")
    bench.run(1)
    events = [e for r in bench.records for e in r.events]
    assert {(e.source, e.kind) for e in events} == {("agent", "order")}
    assert [e.detail for e in events] == [
        "mode: the mode is advise",
        "approve 7: for an hour, or until undone: shop: protect cpu 2",
        "undo 7: given back, and not tried again for ten minutes: shop: protect cpu 2",
        "mute: build is left alone for 3600 s",
        "say: for 60 min: The build can wait.",
    ]


def test_order_that_is_refused_is_no_event(bench):
    with pytest.raises(DaemonError):
        told(bench, "approve", id="8")
    bench.run(1)
    assert not any(r.events for r in bench.records)


def test_reload_says_what_is_read_only_at_the_start(bench):
    bench.run(1)
    for more, later in (
        ("record: {age: 1d, redact: false}\nmodel: {cpu: 10%}", True),
        ("", False),  # as it began
        ("model: {deadline: 1s}", False),
    ):
        bench.text = POLICY + more
        said = told(bench, "reload")
        assert "is in force" in said
        what = "; from the next start on: record.age, record.redact, model.cpu"
        assert said.endswith(what) is later
        bench.run(1)
        assert bench.records[-1].events[-1].detail == said
    assert "next start" not in said


# ----------------------------------------------------------------------- plans


def planned(bench):
    """Return the plan, where what stands last is decision 7 on record."""
    return orders(bench.loop, {}.get, lambda proposal, mode: 7)["plan"]({})


def test_plan_in_advise_has_settings_and_what_to_approve(tmp_path):
    bench = Bench(tmp_path, POLICY.replace("mode: enforce", "mode: advise"))
    assert planned(bench)["decision"] == 0, "nothing was decided yet"
    bench.run(6)
    plan = planned(bench)
    assert plan["decision"] == 7
    settings = {(s.workload, s.knob): s for s in plan["settings"]}
    assert ("shop", "cpu.weight") in settings
    assert {workload for workload, _ in settings} == {"shop", "build"}
    # They are what is written once the mode lets it.
    told(bench, "mode", mode="enforce")
    bench.run(1)
    held = bench.reflex.held.values()
    assert {(one.setting.workload, one.setting.value) for one in held} == {
        (one.workload, one.value) for one in settings.values()
    }


def test_plan_in_advise_touches_nothing(tmp_path):
    bench = Bench(tmp_path, POLICY.replace("mode: enforce", "mode: advise"))
    bench.run(6)
    planned(bench)
    assert (bench.machine.number("shop"), bench.machine.number("build")) == (100, 100)
    assert bench.loop.planned == [] and not bench.reflex.held


def test_plan_has_what_is_held_and_what_is_only_advised(tmp_path):
    bench = Bench(tmp_path, of_shop("advise"))
    bench.run(6)
    plan = planned(bench)
    assert [s.workload for s in plan["allowed"]] == ["build"]
    assert [s.workload for s in plan["advised"]] == ["shop"]
    settings = {s.workload: s for s in plan["settings"]}
    assert settings["build"] in bench.loop.planned
    assert settings["shop"] not in bench.loop.planned


def test_plan_in_observe_is_empty(tmp_path):
    bench = Bench(tmp_path, POLICY.replace("mode: enforce", "mode: observe"))
    bench.run(6)
    assert planned(bench)["settings"] == []


# ------------------------------------------------------------------- sentences


def test_say_tells_where_the_decider_reads_no_sentence(bench):
    answer = told(bench, "say", sentence="The build can wait.")
    assert answer == (
        "for 60 min: The build can wait."
        " (but the decider rules reads no sentence: nothing follows)"
    )
    assert "reads no" not in told(bench, "say", sentence="")


def test_say_tells_where_others_answer_for_the_decider_that_reads(bench):
    decider = bench.loop.parts.decider = Scripted()
    decider.name = "llm"
    assert told(bench, "say", sentence="x") == "for 60 min: x"
    decider.proposal = Proposal("llm", PROTECT, "a test", fallback="there is no model")
    bench.run(1)
    assert told(bench, "say", sentence="x") == (
        "for 60 min: x (but the model did not answer last time: there is no model)"
    )


# ---------------------------------------------------------------------- muting


def test_mute_takes_a_decision_for_its_workloads(bench):
    bench.run(5)
    assert told(bench, "mute", workload="7", span="30s").startswith("shop is left")
    bench.run(2)
    assert bench.machine.number("shop") == 100
    assert bench.machine.number("build") < 100
    with pytest.raises(DaemonError, match="no decision '8'"):
        told(bench, "mute", workload="8")


def test_mute_names_everybody_of_a_decision(bench):
    bench.run(2)
    both = [*PROTECT, Stance("build", Act.YIELD, Resource.CPU, 1)]
    mute = orders(bench.loop, {"7": both, "9": []}.get)["mute"]
    assert mute({"workload": "7"}) == "shop, build are left alone for 3600 s"
    with pytest.raises(DaemonError, match="decision 9 let nothing stand"):
        mute({"workload": "9"})


def test_mute_takes_a_workload_whose_name_is_a_number(bench):
    bench.run(2)
    bench.loop.senses.found["7"] = bench.loop.senses.found["shop"]
    assert told(bench, "mute", workload="7") == "7 is left alone for 3600 s"
