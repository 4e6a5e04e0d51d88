# SPDX-License-Identifier: MIT
"""Evaluation: held-out scores beside their controls, twins, hostile texts, latency.

Runs the GGUF through the agent's own filler and engine, as in production:
python -m train.evaluate --model M.gguf --programs held.json --out model.json
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import cast

import msgspec

from train import hostile, twins
from train.corpus import LISTS, Program
from train.handwritten import handwritten
from train.programs import USUAL
from train.right import Situation, right, standing
from train.split import load_known
from train.tasks import Source, situation
from vagus.decide.engine import SHIPPED, Engine, fill_now
from vagus.decide.filler import Filler, Native
from vagus.decide.follow import following
from vagus.decide.grammar import valid
from vagus.decide.prompt import (
    Reading,
    read_stances,
    role_form,
    role_names,
    stance_form,
    stance_of,
    stance_signs,
    time_of,
)
from vagus.flow import Act, Identity, Stance

Decide = Callable[[Situation], list[Stance]]
Read = Callable[[Situation], Reading]
Scores = dict[str, float]


def reader(filler: Filler) -> Read:
    """Return the model as a reader of situations; the same one is read once."""
    fill = cache(filler.fill)

    def read(s: Situation) -> Reading:
        answers, _ = fill(stance_form(s.sentence, s.cards, s.good))
        return read_stances(answers, [card.name for card in s.cards])

    return read


def by_model(read: Read) -> Decide:
    """Return the model as a decider of situations."""
    return lambda s: read(s).stances


def by_agent(read: Read) -> Decide:
    """Return what the agent makes of the model: its reading, and what follows."""
    return lambda s: following(read(s).standings, s.cards, s.good).stances


def by_rules(s: Situation) -> list[Stance]:
    """Decide as rules do: weak standings from policy and role, no sentence."""
    standings = [standing(card, ()) for card in s.cards]
    return following(standings, s.cards, s.good).stances


def at_random(rng: random.Random) -> Decide:
    return lambda s: [stance_of(rng.choice(stance_signs()), c.name) for c in s.cards]


def constant(sign: str) -> Decide:
    return lambda s: [stance_of(sign, card.name) for card in s.cards]


def score(decide: Decide, situations: Sequence[Situation]) -> Scores:
    """Return shares: of workloads right, of situations all right, of untouched."""
    hit = total = whole = calm = untouched = 0
    for s in situations:
        want, got = right(s).stances, decide(s)
        same = [a == b for a, b in zip(want, got, strict=True)]
        hit, total, whole = hit + sum(same), total + len(same), whole + all(same)
        if all(stance.act is Act.LEAVE for stance in want):
            calm += 1
            untouched += all(stance.act is Act.LEAVE for stance in got)
    return {
        "right": round(hit / total, 4),
        "all_right": round(whole / len(situations), 4),
        "do_nothing": round(untouched / calm, 4) if calm else -1.0,
        "situations": len(situations),
    }


def draw(
    split: str, names: Sequence[str], seed: int, count: int, chinese: float
) -> list[Situation]:
    source = Source(random.Random(seed), split, names, chinese)
    return [situation(source) for _ in range(count)]


def stance_scores(
    decide: Decide, names: Sequence[str], count: int
) -> dict[str, object]:
    """Return the scores of every set, in the words of the benchmark's keys."""
    sets = {
        "trained_wordings": draw("train", names, 11, count, 0.15),
        "held_out_wordings": draw("held", names, 12, count, 0.0),
        "novel": draw("novel", names, 13, count, 0.0),
        "chinese": draw("held", names, 14, count, 1.0),
        "hand_written": handwritten(random.Random(15)),
    }
    scored = {name: score(decide, drawn) for name, drawn in sets.items()}
    held = scored["held_out_wordings"]
    return {
        **{name: one["right"] for name, one in scored.items()},
        "all_right": held["all_right"],
        "do_nothing": held["do_nothing"],
        "sets": scored,
    }


def control_scores(
    model: Decide, names: Sequence[str], pairs: Sequence[twins.Pair]
) -> dict[str, Scores]:
    """Return each control's score on twins and, per workload, on held-out wordings."""
    held = draw("held", names, 12, 300, 0.0)
    rng = random.Random(16)
    deciders: dict[str, Decide] = {
        "full": model,
        "shuffled": lambda s: model(twins.shuffled(rng, s)),
        "no_names": lambda s: twins.renamed_back(model(twins.without_names(s)), s),
        "no_objective": lambda s: model(twins.without_objective(s)),
        "constant": best_constant(held),
        "rules": by_rules,
        "random": at_random(rng),
    }
    return {
        name: {
            "twins": round(twins.both_right(decide, pairs), 4),
            "right": score(decide, held)["right"],
        }
        for name, decide in deciders.items()
    }


def best_constant(situations: Sequence[Situation]) -> Decide:
    """Return the one answer that is right most often."""
    deciders = [constant(sign) for sign in stance_signs()]
    return max(deciders, key=lambda decide: score(decide, situations)["right"])


def role_scores(filler: Filler, programs: Sequence[Program]) -> Scores:
    """Return role and time sense on program families never seen in training.

    Cards are as on a machine that has the package; `by_synopsis`, with nothing of it
    but the synopsis.
    """
    cards = [card_of(one) for one in programs]
    bare = [msgspec.structs.replace(c, section="", description="") for c in cards]
    whole, short = (
        [
            _role_right(filler, c, one.role)
            for c, one in zip(some, programs, strict=True)
        ]
        for some in (cards, bare)
    )
    usual = [
        role
        for one, (role, _) in zip(programs, whole, strict=True)
        if one.package in USUAL
    ]
    return {
        "held_out_programs": _share(role for role, _ in whole),
        "time_sense": _share(sense for _, sense in whole),
        "by_synopsis": _share(role for role, _ in short),
        "time_by_synopsis": _share(sense for _, sense in short),
        "usual_programs": _share(usual),
        "programs": len(programs),
        "usual": len(usual),
        "chance": round(1 / len(role_names()), 4),
    }


def card_of(program: Program) -> Identity:
    """Return the identity card of a program as it is installed."""
    return Identity(
        synopsis=program.synopsis,
        section=program.section,
        description=" ".join(program.about),
        exe=f"/usr/bin/{program.package}",
        comm=program.package[:15],
    )


def _role_right(filler: Filler, card: Identity, role: str) -> tuple[bool, bool]:
    """Tell whether a card's role and its time sense are read right."""
    answers, _ = filler.fill(role_form(card))
    return answers["role"] == f"<{role}>", answers["time"] == f"<{time_of(role)}>"


def _share(right: Iterable[bool]) -> float:
    some = list(right)
    return round(sum(some) / max(1, len(some)), 4)


def latency(path: Path, names: Sequence[str], count: int) -> dict[str, object]:
    """Return what the agent sees: whole decisions of six workloads, in ms."""
    source = Source(random.Random(17), "held", names, 0.0)
    with Engine(path) as engine:
        took = []
        for _ in range(count):
            s = situation(source)
            while len(s.cards) != 6:
                s = situation(source)
            form = stance_form(s.sentence, s.cards, s.good)
            start = time.perf_counter()
            answers = fill_now(engine, form)
            took.append((time.perf_counter() - start) * 1e3)
            assert valid(form, answers)
        state = engine.state()
        took = sorted(took[3:])
        return {
            "latency_ms": {
                "p50": round(statistics.median(took), 2),
                "p95": round(took[int(len(took) * 0.95)], 2),
            },
            "load_ms": round(state.load_ms, 1),
            "rss_mb": round(state.rss_bytes / 2**20, 1),
            "model": state.model,
        }


def form_scores(filler: Filler, names: Sequence[str], count: int) -> dict[str, float]:
    """Return the share of random situations with a valid answer."""
    source = Source(random.Random(18), "train", names, 0.2)
    good = 0
    for _ in range(count):
        s = situation(source)
        form = stance_form(s.sentence, s.cards, s.good)
        good += valid(form, filler.fill(form)[0])
    return {"situations": count, "valid": good / count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument(
        "--programs", type=Path, default=Path(".output/train/held.json")
    )
    parser.add_argument("--lists", type=Path, default=LISTS)
    parser.add_argument("--out", type=Path, default=Path(".output/bench/model.json"))
    parser.add_argument("--count", type=int, default=240)
    args = parser.parse_args()
    known = load_known(args.programs, args.lists)
    names = cast(list[str], known["names"])
    programs = msgspec.convert(known["programs"], list[Program])
    filler = Filler(Native(args.model, 1))
    pairs = twins.pairs(random.Random(19), names, args.count)
    read = reader(filler)
    agent, alone = by_agent(read), by_model(read)
    controls = control_scores(agent, names, pairs)
    result = {
        "role": role_scores(filler, programs),
        "stance": stance_scores(agent, names, args.count),
        "twins": controls["full"]["twins"],
        "twins_by_kind": twins.by_kind(agent, pairs),
        "controls": controls,
        "model_alone": {  # its own stances, not corrected by its own reading
            "stance": stance_scores(alone, names, args.count),
            "controls": control_scores(alone, names, pairs),
        },
        "form": form_scores(filler, names, args.count),
        "hostile": hostile.scores(agent, filler, names),
        **latency(args.model, names, 120),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
