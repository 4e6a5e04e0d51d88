# SPDX-License-Identifier: MIT
"""Scenario files: the shipped ones are whole, a wrong one says what to do."""

import arms
import plan
import pytest
import scene
import yaml

from vagus.policy.load import load

HERE = plan.HERE


@pytest.mark.parametrize("name", plan.scenarios())
def test_shipped_scenarios_are_whole(name, tmp_path):
    raw = yaml.safe_load((HERE / f"{name}.yaml").read_text())
    assert raw["name"] == name
    for variant in scene.variants(raw):
        found = scene.read(HERE / f"{name}.yaml", variant)
        file = tmp_path / f"{variant}.yaml"
        file.write_text(yaml.safe_dump(arms.policy(found, "llm")))
        policy = load(file)
        assert policy.objective == found.phases[0].objective


def test_all_five_scenarios_are_there():
    wanted = {"web", "cache", "database", "turnabout", "healthy"}
    assert wanted <= set(plan.scenarios())


def test_unlabelled_tells_the_deciders_nothing_but_a_sentence():
    found = scene.read(HERE / "web.yaml", "unlabelled")
    text = arms.policy(found, "llm")
    assert "workloads" not in text
    assert not any(key in text["objective"] for key in ("shop", "nginx"))


def test_hidden_units_and_descriptions_say_nothing(tmp_path):
    raw = yaml.safe_load((HERE / "web.yaml").read_text())
    raw["variants"]["blind"] = {"hide": ["workloads", "units", "descriptions"]}
    path = tmp_path / "web.yaml"
    path.write_text(yaml.safe_dump(raw))
    for service in scene.read(path, "blind").services.values():
        assert service.unit.startswith("job-")
        assert service.description == service.unit


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"phases": [{"neighbors": []}]}, "no key 'neighbors'; known: .*neighbours"),
        ({"hurt": 3}, "no key 'hurt'; known: hurts"),
        ({"variants": {"x": {"hide": ["names"]}}}, "cannot hide names; known: "),
        ({"services": {"shop": {"start": "apache"}}}, "no starter 'apache' .*nginx"),
        (
            {"services": {"shop": {"start": "nginx", "work": "fun"}}},
            "cannot be counted by fun; known: cpu",
        ),
        ({"services": {"shop": {"start": "nginx"}}}, "no service 'build'|no load"),
    ],
)
def test_wrong_scenario_says_what_to_do(tmp_path, change, complaint):
    raw = yaml.safe_load((HERE / "web.yaml").read_text())
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(raw | change))
    with pytest.raises(scene.BadScenario, match=complaint):
        scene.read(path)


def test_unknown_variant_and_arm_say_what_there_is():
    with pytest.raises(scene.BadScenario, match="known: named, unlabelled"):
        scene.read(HERE / "web.yaml", "secret")
    with pytest.raises(SystemExit, match="no arm 'oomd'; known: default, expert"):
        plan.plan(["web"], {"ARMS": "oomd"})
    with pytest.raises(scene.BadScenario, match="no scenario 'webb'; known: cache"):
        plan.plan(["webb"], {})


def test_arms_are_interleaved_forth_and_back():
    one, two = plan.plan(["web"], {"N": "2"})
    assert one["arms"] == ["default", "expert", "llm", "expert", "llm"]
    assert two["arms"] == ["llm", "expert", "default", "expert", "llm"]
    assert one["seed"] != two["seed"]
    (bare,) = plan.plan(["web"], {"AA": "no"})
    assert bare["arms"] == ["default", "expert", "llm"]


def test_all_variants_are_played_when_all_are_wanted():
    found = plan.plan(["web"], {"VARIANT": "all"})
    assert [one["variant"] for one in found] == ["named", "unlabelled"]
