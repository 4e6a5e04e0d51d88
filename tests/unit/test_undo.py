# SPDX-License-Identifier: MIT
"""What was undone, refuted or approved, for its time and no longer."""

from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.test_loop import POLICY, Bench, S, Scripted
from tests.unit.test_orders import PROTECT, SHOP, told, verdicts

from vagus.errors import DaemonError
from vagus.flow import Act, Mode, Proposal, Resource, Stance
from vagus.orders import orders
from vagus.policy.load import loads
from vagus.verify import VerifyState, verify
from vagus.wishes import Wishes


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# --------------------------------------------------------------------- undoing


def test_undo_gives_back_at_once_and_not_step_by_step(bench):
    bench.loop.parts.decider = Scripted(*PROTECT)
    bench.run(4)
    assert bench.machine.number("shop") == 1000
    told(bench, "undo", id="7")
    assert bench.machine.number("shop") == 100
    bench.run(3)
    assert bench.machine.number("shop") == 100
    refused = verdicts(bench)[-1].refused
    assert [one.code for one in refused] == ["quarantine"]
    assert "the operator undid it" in refused[0].sentence


def test_undo_takes_nothing_else_back(bench):
    yields = Stance("build", Act.YIELD, Resource.CPU, 1)
    bench.loop.parts.decider = Scripted(*PROTECT, yields)
    bench.run(4)
    held = bench.machine.number("build")
    assert held < 100
    told(bench, "undo", id="7")
    assert (bench.machine.number("shop"), bench.machine.number("build")) == (100, held)


def test_what_was_undone_may_be_decided_the_other_way_round(bench):
    other = Stance("shop", Act.YIELD, Resource.CPU, 1)
    decider = bench.loop.parts.decider = Scripted(*PROTECT)
    bench.text = POLICY.replace(f", {SHOP[11:]}", "")  # without an SLO it may yield
    bench.loop.reload()
    bench.loop.parts.decider = decider
    bench.run(4)
    assert bench.machine.number("shop") == 1000
    told(bench, "undo", id="7")
    decider.proposal = Proposal("rules", [other], "a test")
    bench.run(3)
    assert bench.machine.number("shop") < 100


@pytest.mark.parametrize(
    "verb, args",
    [
        ("mute", {"workload": "build"}),
        ("mode", {"mode": "advise", "unit": "build"}),
        ("say", {"sentence": "Another word."}),
    ],
)
def test_what_was_undone_stays_so_for_its_time_whatever_else_is_ordered(
    bench, verb, args
):
    bench.loop.parts.decider = Scripted(*PROTECT)
    bench.run(4)
    told(bench, "undo", id="7")
    bench.run(1)
    told(bench, verb, **args)
    bench.run(5)
    assert bench.machine.number("shop") == 100
    bench.machine.now += 600 * S
    bench.run(2)
    assert bench.machine.number("shop") == 1000


def test_decision_that_let_nothing_stand_cannot_be_approved(bench):
    bench.run(6)
    with pytest.raises(DaemonError, match="decision 7 let nothing stand"):
        orders(bench.loop, {"7": []}.get)["approve"]({"id": "7"})
    bench.run(2)
    assert bench.machine.number("shop") > 100


def test_approval_lifts_what_was_undone(bench):
    bench.loop.parts.decider = Scripted(*PROTECT)
    bench.run(4)
    told(bench, "undo", id="7")
    bench.run(2)
    told(bench, "approve", id="7")
    bench.run(2)
    assert bench.machine.number("shop") == 1000


def refuted(bench):
    """Have the judge refute a stance, and return whether verification says so."""
    wrong = Stance("build", Act.PROTECT, Resource.CPU, 2)
    bench.loop.parts.decider = Scripted(wrong)
    (bench.machine.root / "build/cpu.weight").write_text("10\n")
    bench.run(25)
    return waiting(bench)


def waiting(bench):
    verdict = bench.loop.course.verdict
    return [refusal.sentence.partition(";")[0] for refusal in verdict.refused]


REFUTED = ["build: protect cpu 2 refused: it did not help"]


@pytest.mark.parametrize(
    "verb, args",
    [
        ("mute", {"workload": "shop"}),
        ("mode", {"mode": "advise", "unit": "shop"}),
        ("mode", {"mode": "advise"}),
    ],
)
def test_what_the_judge_refuted_outlives_an_order_about_something_else(
    bench, verb, args
):
    assert refuted(bench) == REFUTED
    told(bench, verb, **args)
    bench.run(2)
    assert waiting(bench) == REFUTED
    assert bench.loop.course.standing == []


def test_what_the_judge_refuted_may_help_under_another_objective(bench):
    assert refuted(bench) == REFUTED
    told(bench, "say", sentence="Another word.")
    bench.run(1)
    assert waiting(bench) == []
    assert bench.loop.course.standing


def test_what_the_judge_refuted_may_help_among_other_workloads(bench):
    assert refuted(bench) == REFUTED
    bench.text = POLICY.replace("psi_cpu: 20%", "psi_cpu: 30%")
    decider = bench.loop.parts.decider
    bench.loop.parts.rewire = lambda policy: decider
    bench.loop.reload()
    bench.run(1)
    assert waiting(bench) == []


# ------------------------------------------------------------------- approvals

BUILD = [Stance("build", Act.YIELD, Resource.CPU, 1)]


def two(bench):
    """Return orders of an agent that only advises, with decisions 7, 8 and 9."""
    known = {"7": PROTECT, "8": BUILD, "9": [*PROTECT, *BUILD]}
    bench.loop.parts.decider = Scripted()
    bench.run(1)
    return orders(bench.loop, known.get)


def standing(bench):
    bench.run(2)
    return {stance.workload for stance in bench.loop.course.standing}


@pytest.fixture
def adviser(tmp_path):
    return Bench(tmp_path, POLICY.replace("mode: enforce", "mode: advise"))


def test_approvals_stand_beside_each_other(adviser):
    order = two(adviser)
    order["approve"]({"id": "7"})
    adviser.machine.now += 1800 * S
    order["approve"]({"id": "8"})
    assert standing(adviser) == {"shop", "build"}
    adviser.machine.now += 1800 * S
    assert standing(adviser) == {"build"}, "each for its own hour"
    adviser.machine.now += 1800 * S
    assert standing(adviser) == set()
    assert adviser.loop.course.policy.mode is Mode.ADVISE


def test_undo_ends_the_approval_that_it_names_and_no_other(adviser):
    order = two(adviser)
    order["approve"]({"id": "7"})
    order["approve"]({"id": "8"})
    assert standing(adviser) == {"shop", "build"}
    order["undo"]({"id": "8"})
    assert standing(adviser) == {"shop"}


def test_undo_takes_its_stances_out_of_every_approval(adviser):
    """Decision 9 is the operator's own, as it came on record by the approvals."""
    order = two(adviser)
    order["approve"]({"id": "7"})
    order["approve"]({"id": "8"})
    assert standing(adviser) == {"shop", "build"}
    order["undo"]({"id": "9"})
    assert standing(adviser) == set()
    assert adviser.loop.course.policy.mode is Mode.ADVISE


def test_later_approval_of_the_same_workload_counts(adviser):
    order = orders(
        adviser.loop,
        {"7": PROTECT, "8": [replace(PROTECT[0], strength=1)]}.get,
    )
    for number, strength in (("7", 2), ("8", 1), ("7", 2)):
        order["approve"]({"id": number})
        adviser.run(2)
        assert [s.strength for s in adviser.loop.course.standing] == [strength]


@pytest.mark.parametrize("end", ["undo", "hour"])
def test_after_an_approval_the_decider_s_word_holds_again(bench, end):
    bench.loop.parts.decider = Scripted(*BUILD)
    bench.run(2)
    told(bench, "approve", id="7")
    assert standing(bench) == {"shop", "build"}, "nobody else loses what stands"
    if end == "undo":
        told(bench, "undo", id="7")
    bench.machine.now += 3600 * S
    assert standing(bench) == {"build"}


def test_advice_goes_on_beside_what_is_approved(adviser):
    order = two(adviser)
    decider = adviser.loop.parts.decider
    order["approve"]({"id": "7"})
    adviser.run(2)
    decider.proposal = Proposal("scripted", BUILD, "the build is new")
    adviser.run(2)
    last = [r for r in adviser.records if r.verdict][-1]
    assert last.verdict.allowed == PROTECT and last.verdict.advised == BUILD
    assert last.proposal.cause == "the build is new; approved by the operator: shop"
    plan = order["plan"]({})
    assert (plan["mode"], plan["advised"]) == (Mode.ENFORCE, BUILD)
    assert {s.workload for s in plan["settings"]} == {"shop", "build"}
    assert adviser.machine.number("shop") == 1000
    assert adviser.machine.number("build") == 100
    assert order["mode"]({}) == "the mode is advise"
    order["approve"]({"id": "8"})
    assert standing(adviser) == {"shop", "build"}


def test_after_an_approval_before_any_decision_nothing_stands(bench):
    bench.loop.parts.decider = decider = Scripted()
    decider.proposal = None
    bench.run(1)
    told(bench, "approve", id="7")
    assert standing(bench) == {"shop"}
    bench.machine.now += 3600 * S
    assert standing(bench) == set()
    assert verdicts(bench)[-1].allowed == []


def test_each_verdict_among_orders_follows_from_its_basis(adviser):
    """As `vagus replay --check` takes it."""
    order = two(adviser)
    for verb, args in (
        ("approve", {"id": "7"}),
        ("approve", {"id": "8"}),
        ("undo", {"id": "8"}),
        ("mute", {"workload": "9"}),
        ("mode", {"mode": "enforce"}),
        ("mode", {"mode": "observe"}),
    ):
        order[verb](args)
        adviser.run(2)
    decided = [r for r in adviser.records if r.basis]
    assert len(decided) >= 6
    for record in decided:
        wishes = msgspec.json.decode(record.basis.wishes, type=Wishes)
        state = msgspec.json.decode(record.basis.state, type=VerifyState)
        local = datetime.fromisoformat(record.basis.local)
        policy = wishes.over(loads(adviser.text), local)
        now_ns = record.basis.now_ns
        again, _ = verify(record.proposal, record.window, policy, state, now_ns)
        assert again == record.verdict
