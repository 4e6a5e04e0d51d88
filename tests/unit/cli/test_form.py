# SPDX-License-Identifier: MIT
"""The model's signs, told in words."""

from vagus.cli.form import answered, told

PROMPT = (
    "<stance> keep the<w2> fast. the<w1> can wait.<backup program><service><w1>____\n"
    "<stance> keep the<w1> fast. the<w2> can wait.<web><service><w1>____\n"
    "<now><good><w1>____<cpu:ok:busy><io:ok:heavy><w2>____"
    "<cpu:critical:busy><io:ok:light>________<w1>____<w2>____"
)
ANSWER = (
    "<stance> keep the<w2> fast. the<w1> can wait.<backup program><service><w1><wait>\n"
    "<stance> keep the<w1> fast. the<w2> can wait.<web><service><w1><first>\n"
    "<now><good><w1><wait><cpu:ok:busy><io:ok:heavy><w2><first>"
    "<cpu:critical:busy><io:ok:light><cpu:3><io:0><w1><yield:cpu:1><w2>"
    "<protect:cpu:3>"
)
NAMES = ["backup", "shop"]


def test_a_prompt_is_told_in_lines():
    assert told(PROMPT, NAMES) == [
        "keep the shop fast. the backup can wait.",
        "backup (backup program, service): cpu ok busy, io ok heavy",
        "shop (web, service): cpu critical busy, io ok light",
    ]
    assert told(PROMPT, NAMES, ["shop"]) == [
        "keep the shop fast. the backup can wait.",
        "shop (web, service): cpu critical busy, io ok light",
    ]


def test_whom_a_sentence_speaks_of_together_is_told_by_name():
    prompt = (
        "<stance><w1><w2> before<w2><web><service><slo><w1>____\n"
        "<stance><w1><w2> before<w2><web><service><w1>____\n"
        "<stance><w2> before<w1><backup><deferrable><w1>____\n"
        "<now><good>"
    )
    told_of = told(prompt, ["a", "b", "c"])
    assert told_of[0] == "a b before c"
    assert told_of[1] == "a (web, service, slo): "
    nothing = told("<stance><none><web><service><w1>____\n<now><good>", ["a"])
    assert nothing == ["a (web, service): "]


def test_an_answer_is_told_by_workload():
    assert answered(PROMPT, ANSWER, NAMES) == [
        "trouble: cpu 3, io 0",
        "backup: wait, yield cpu 1",
        "shop: first, protect cpu 3",
    ]


def test_workloads_of_which_the_same_is_said_share_a_line():
    same = ANSWER.replace("<yield:cpu:1>", "<leave>").replace(
        "<protect:cpu:3>", "<leave>"
    )
    same = same.replace("<first>", "<wait>")
    assert answered(PROMPT, same, NAMES)[1:] == ["backup, shop: wait, leave"]
    assert answered(PROMPT, ANSWER, NAMES, ["shop"])[1:] == [
        "shop: first, protect cpu 3"
    ]


def test_other_prompts_stay_as_they_are():
    assert told("one\ntwo", NAMES) == ["one", "two"]
    assert answered("one", '{"a": 1}', NAMES) == ['{"a": 1}']
    assert answered(PROMPT, "nonsense", NAMES) == ["nonsense"]


def test_a_workload_without_a_name_keeps_its_sign():
    assert answered("<w9>____", "<w9><x>", NAMES) == ["w9: x"]
