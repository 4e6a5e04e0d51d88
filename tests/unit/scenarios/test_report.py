# SPDX-License-Identifier: MIT
"""The lab refuses what proves nothing, and shows who cheats."""

import dataclasses
import math

import measures
import pages
import pytest
import report

ALONE = ("alone", 5.0, 0.0)
HURT = ("default", 1900.0, 30.0)
EXPERT = ("expert", 5.5, 10.0)


def test_scenario_that_does_not_hurt_is_rejected(web, played):
    result = played([ALONE, ("default", 12.5, 30.0)])
    with pytest.raises(measures.Rejected, match=r"2\.5 times alone, under 3"):
        measures.check(web, result)


def test_scenario_that_hurts_is_accepted(web, played):
    measures.check(web, played([ALONE, HURT]))


def test_server_that_does_not_answer_alone_is_rejected(web, played):
    with pytest.raises(measures.Rejected, match="had no answer"):
        measures.check(web, played([("alone", 2000.0, 0.0), HURT]))


def test_throttling_everybody_shows_as_lost_work(played):
    result = played([ALONE, HURT, EXPERT, ("llm", 5.0, 0.1), ("throttle", 5.0, 0.0)])
    protected, work = report.verdicts(result)
    assert protected.endswith(": met")
    assert "leaves them: 0.01" in work and work.endswith("NOT MET")
    assert "shown as lost work" in report.honest(result)[-1]


def test_work_is_also_said_as_if_the_agent_took_no_cpu():
    use = {"build": 12.0, "backup": 8.0, "vagus": 5.0}
    seconds = [measures.Second([], 0, use, {"build": 4.0, "backup": 8.0})] * 3
    expert = [measures.Second([], 0, {}, {"build": 5.0, "backup": 10.0})] * 2
    assert measures.worked(seconds, expert) == pytest.approx(0.8)
    assert measures.given_back(seconds, expert) == pytest.approx(1.0)


def test_good_decider_is_not_called_a_cheat(played):
    result = played([ALONE, HURT, EXPERT, ("llm", 5.5, 9.8), ("throttle", 5.5, 9.8)])
    assert all(line.endswith(": met") for line in report.verdicts(result))
    assert "NOT SHOWN" in report.honest(result)[-1]


def test_doing_nothing_shows_as_no_effect(played):
    boots = [
        [ALONE, EXPERT, ("default", hurt, 30.0), ("none", same, 30.0)]
        for hurt, same in ((1900, 1890), (1880, 1900), (1910, 1905))
    ]
    assert report.honest(played(*boots))[1].endswith("no effect")


def test_doing_nothing_protects_nobody(played):
    result = played([ALONE, HURT, EXPERT, ("llm", 1900.0, 30.0)])
    assert report.verdicts(result)[0].endswith("NOT MET")


def test_of_arms_played_once_no_effect_is_known(played):
    result = played([ALONE, HURT, EXPERT, ("none", 1890.0, 30.0)])
    assert report.honest(result)[1].endswith("not known")


def test_wild_noise_is_no_effect(played):
    arms = [ALONE, EXPERT, ("default", 900.0, 30.0), ("none", 700.0, 30.0)]
    again = [ALONE, EXPERT, ("default", 700.0, 30.0), ("none", 900.0, 30.0)]
    assert report.honest(played(arms, again))[1].endswith("no effect")


def test_something_that_helps_is_no_nothing(played):
    arms = [ALONE, HURT, EXPERT, ("none", 900.0, 30.0)]
    assert report.honest(played(arms, arms, arms))[1].endswith("AN EFFECT")


def test_model_must_beat_the_others_with_room_between(played, web):
    near = [ALONE, HURT, EXPERT, ("llm", 6.0, 9.0), ("rules", 6.0, 9.0)]
    far = [ALONE, HURT, EXPERT, ("llm", 6.0, 9.0), ("rules", 900.0, 9.0)]
    result = played(near, far, far)
    assert "NOT MET" in report._beats(result, "llm", "rules")
    assert report._beats(result, "llm", "bandit").endswith(": not measured")


def test_model_beats_who_is_far_off(played):
    far = [ALONE, HURT, EXPERT, ("llm", 6.0, 9.0), ("rules", 900.0, 9.0)]
    assert report._beats(played(far, far, far), "llm", "rules").endswith(": met")


def test_settled_is_counted_from_the_trouble_and_not_before_it(web, row_of, tmp_path):
    one = row_of("llm", 5.0, 10.0)
    for request in one["requests"]["shop"]:
        if 1.0 <= request[0] < 6.0:  # the neighbours need a second to hurt
            request[1] = 1900.0
    settled = measures.settle_s(measures.arm_of(web, 0, one, tmp_path), 5.0)
    assert settled == pytest.approx(6.0, abs=0.3)


def test_who_never_suffered_settled_at_once_and_who_always_did_never(
    web, row_of, tmp_path
):
    well, ill = row_of("llm", 5.0, 10.0), row_of("none", 1900.0, 10.0)
    assert measures.settle_s(measures.arm_of(web, 0, well, tmp_path), 5.0) == 0.0
    assert math.isnan(measures.settle_s(measures.arm_of(web, 0, ill, tmp_path), 5.0))


def test_same_arm_twice_in_one_boot_is_told(played):
    twice = [ALONE, HURT, EXPERT, ("expert", 6.6, 10.0)]
    line = report.noise(played(twice, [ALONE, HURT, EXPERT]))
    assert "differs by 20.0 %" in line and "1 A/A pairs" in line


def test_p999_only_with_enough_samples(played):
    arms = [ALONE, HURT]
    assert math.isnan(played(arms).median("default", "p999_ms"))


def test_p999_with_enough_samples(played):
    arms = [ALONE, HURT]  # 1,500 a play
    assert played(*[arms] * 7).median("default", "p999_ms") > 1900


def test_who_lost_is_told_with_numbers(played):
    result = played([ALONE, HURT, EXPERT, ("llm", 1900.0, 30.0)])
    (line,) = report.lost(result, "llm")
    assert "380.00 times alone" in line
    assert "held no knob" in line and "never well again" in line
    assert "10 seconds were over the SLO" in line


def test_rows_are_as_promised(played):
    for one in report.rows_of(played([ALONE, HURT])):
        assert {"scenario", "variant", "arm", "metric", "median", "lo", "hi", "n"} <= {
            *one
        }


def test_page_says_what_was_rejected_and_how_to_do_it_again(played):
    made = {"commands": ["make bench-lab N=3"], "commits": ["abc"]}
    made |= {"kernels": ["7.3"]}
    made |= {"versions": {"gcc": "14"}, "seeds": {"bootstrap": 1}}
    result = played([ALONE, HURT, EXPERT])
    text = pages.page(made, [(result, report.section(result))], ["cache: no load"])
    assert "**Rejected:**" in text and "cache: no load" in text
    assert "`make bench-lab N=3`" in text and "bootstrap 1" in text
    assert "| default | 1 |" in text
    assert "nothing was played twice: no intervals" in text and "aims met" not in text


def test_page_says_first_whether_it_helps_and_how_sure_that_is(played):
    made = {"commands": [], "commits": [], "kernels": [], "versions": {}, "seeds": {}}
    twice = [ALONE, HURT, EXPERT, ("llm", 5.5, 9.8), ("expert", 5.5, 8.0)]
    result = played(twice)
    text = pages.page(made, [(result, report.section(result))], [])
    helps = text.index("| web, named | 380 (")
    assert helps < text.index("## web, named") and "| 2 of 2 |" in text
    assert "known from 1 to 1 repeated plays" in text


def test_arm_without_a_decider_is_the_same_in_every_variant(web, row_of, tmp_path):
    hidden = dataclasses.replace(web, variant="unlabelled")
    arms = []
    for scene, scale in ((web, 1.0), (hidden, 1.1)):
        for name, ms in (("expert", 5.0), ("llm", 6.0)):
            one = row_of(name, ms * scale, 10.0) | {"record": ""}
            arm = measures.arm_of(scene, 0, one, tmp_path)
            record = {"record": "x.db" if name == "llm" else ""}
            arms.append((scene, dataclasses.replace(arm, row={**one, **record})))
    floor = measures.floors(arms)["p99"]
    assert floor.pairs == 1  # the expert's; the model was told something else
    assert floor.sd == pytest.approx(0.07 / math.sqrt(0.1), abs=0.02)  # of one pair


def test_each_share_of_the_cpu_has_a_noise_of_its_own(played):
    result = played([ALONE, HURT, EXPERT], [ALONE, HURT, ("expert", 5.5, 14.0)])
    assert result.noise["cpu build"].sd > 2 > result.noise["cpu shop"].sd


def test_another_run_may_ask_before_its_span_begins(played, web, monkeypatch):
    """Asking whether a knob still helps hurts; if it is measured, is chance."""
    arms = played([ALONE, EXPERT, ("llm", 5.5, 9.0), ("llm", 5.6, 9.0)]).arms
    noise = measures.floors([(web, arm) for arm in arms])
    before = measures.result_of(web, "day", arms, noise).found["llm", "p99_ms"]
    assert before.hi < 100
    for arm in arms[2:]:
        for request in arm.row["requests"]["shop"]:
            if 3 <= request[0] < 6:
                request[1] = 400.0
    spans = {"llm": [(103.0, 106.0)]}
    monkeypatch.setattr(measures, "withdrawals", lambda arm: spans.get(arm.name, []))
    found = measures.result_of(web, "day", arms, noise).found["llm", "p99_ms"]
    assert found.median == before.median and found.lo == before.lo and found.hi >= 400


def test_figure_is_drawn(played, tmp_path):
    pages.figure([played([ALONE, HURT, EXPERT])], tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_seconds_in_which_the_machine_stalled_are_left_out(stalling, web):
    result = stalling({ALONE: [], HURT: [3]})
    assert [measures.left_out(arm) for arm in result.arms] == [0, 2]
    assert report.stalls(result).startswith("2 of 20 seconds are left out")
    measures.check(web, result)


def test_machine_that_stalls_all_the_time_measures_nothing(stalling, web):
    result = stalling({ALONE: [], HURT: [2, 4, 6, 8]})
    with pytest.raises(measures.Rejected, match="stalled in 8 of 10 seconds"):
        measures.check(web, result)


def test_no_interval_ends_above_the_time_out(played):
    result = played([ALONE, HURT, EXPERT], [ALONE, HURT, ("expert", 300.0, 8.0)])
    found = {key: result.found["expert", key] for key in ("p99_ms", "isolation")}
    assert found["p99_ms"].hi == 2000 and found["p99_ms"].lo < found["p99_ms"].median
    least = result.found["alone", "p99_ms"].lo
    assert found["isolation"].hi == pytest.approx(2000 / least)
    # The default's median is a time-out, and above what its divisor would allow.
    default = result.found["default", "isolation"]
    assert default.hi == default.median
