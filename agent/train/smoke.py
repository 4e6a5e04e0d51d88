# SPDX-License-Identifier: MIT
"""The whole pipeline in two minutes: preprocess, train, export, and a reference.

Writes OUT/smoke.gguf (f32) and OUT/reference.json, token ids and logits of some
forms as PyTorch has them; tests/unit/train/test_parity.py holds llama.cpp to it.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import gguf
import torch

from train.corpus import packages
from train.data import batches, stance_answers, weighted
from train.export import export, file_name, tensors, weights
from train.guess import fine_tuned
from train.lexicon import with_words
from train.main import knowledge, vocabulary
from train.model import Model, Shape
from train.onward import taken_up
from train.split import Pool, pool
from train.tasks import Source, situation
from train.tokens import Tokens
from train.train import Run, load, train
from vagus.decide.grammar import filled, texts
from vagus.decide.prompt import stance_form

STEPS = 120
LOSS_BOUND = 3.0  # nats a blank after so many steps; it begins above 7
FORMS = 12
BLEND = 0.7  # of the way from the middle of the run to its end
GUESSES = 96  # programs that the teacher is fine-tuned on
GUESSES_RIGHT = 0.8  # of them, of two roles
CLEAR = 0.2  # by which the best logit leads: nearer ones may change places in f16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".output/smoke"))
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in ("checkpoint.pt", "middle.pt", "tokens.json", "meaning.pt"):
        (args.out / name).unlink(missing_ok=True)
    start = time.monotonic()
    side = pool(packages()[::20], out=False)
    tokens = vocabulary(args.out / "tokens.json", side, 1, sentences=2000, listed=900)
    shape = Shape(tokens.size, 64, 2, 2, 128, meaning=32)
    known = knowledge(args.out / "meaning.pt", tokens, shape.meaning)
    run = Run(args.out, STEPS, budget=2048, warm_steps=10, compiled=False)
    torch.manual_seed(run.seed)
    model = Model(shape, known)
    train(model, batches(tokens, side, 1, run.budget, (0.0, 0.0)), run)
    export(args.out, args.out / "smoke.gguf", half=False)
    export(args.out, args.out / "other.gguf", signs=0)  # stands for another's model
    write_reference(model.eval(), tokens, args.out / "reference.json")
    check_onward(model, tokens, args.out)
    check_words(model, tokens, args.out)
    check_blend(model, args.out)
    check_guesses(side)
    loss = json.loads((args.out / "last.json").read_text())["loss"]
    if not loss < LOSS_BOUND:
        raise SystemExit(f"the loss is {loss:.3f}, not under {LOSS_BOUND}")
    print(f"loss {loss:.3f}, {time.monotonic() - start:.0f} s")


def check_guesses(side: Pool) -> None:
    """Exit unless the fine-tuned teacher tells two roles apart."""
    some = [p for p in side.labelled if p.role in ("game", "build")][:GUESSES]
    guesser = fine_tuned(some, 1)
    best = guesser.shares(some).argmax(-1).tolist()
    right = sum(guesser.roles[i] == p.role for i, p in zip(best, some, strict=True))
    if right < GUESSES_RIGHT * len(some):
        raise SystemExit(f"the teacher guesses {right} of {len(some)} roles right")


def check_onward(model: Model, tokens: Tokens, out: Path) -> None:
    """Exit unless the exported file, taken up and grown, says what was exported."""
    more = model.shape.layers + 1
    again, same, whole = taken_up(out / "smoke.gguf", out / "again.json", more)
    words = " keep the shop fast, 12 backups can wait"
    ids = tokens.encode(f"<stance>{words}<w1>")
    asked = torch.tensor([ids]), torch.tensor([len(ids)])
    with torch.no_grad():
        apart = (model.eval()(*asked) - again.eval()(*asked)).abs().max().item()
    if not whole or same.encode(f"<stance>{words}<w1>") != ids or apart > 1e-3:
        raise SystemExit(f"smoke.gguf is another model: states are {apart:.4f} apart")


def check_blend(model: Model, out: Path) -> None:
    """Exit unless what is exported between two points of the run lies between them."""
    export(out, out / "blend.gguf", half=False, share=BLEND)
    before, after = weights(load(out / "middle.pt")), weights(model)
    found = tensors(gguf.GGUFReader(out / "blend.gguf"))
    for name, values in after.items():
        wanted = before[name] + BLEND * (values - before[name])
        off = (found[file_name(name)] - wanted).abs().max().item()
        if off > 1e-5 or torch.equal(before[name], values):
            raise SystemExit(f"{name} of a blend is off by {off:.6f}")


def check_words(model: Model, tokens: Tokens, out: Path) -> None:
    """Exit unless a word can be made whole, and nothing else reads otherwise."""
    old, new = "<stance> keep the shop fast<w1>", " procrastinates"
    grown, more = with_words(model, tokens, [new.strip()], out / "more.json")
    before, after = tokens.encode(old), more.encode(old)
    shift = more.words - tokens.words
    same = [i + shift if i >= tokens.words else i for i in before]
    pieces, whole = tokens.encode(new), more.encode(new)
    if after != same or len(pieces) < 2 or len(whole) != 1:
        raise SystemExit(f"{new} is {pieces}, then {whole}; {same} reads as {after}")
    with torch.no_grad():
        states = [
            one.eval()(torch.tensor([ids]), torch.tensor([len(ids)]))
            for one, ids in ((model, before), (grown, after))
        ]
    apart = (states[0] - states[1]).abs().max().item()
    taught = grown.map(grown.meaning[whole]) - grown.table()[whole]
    if apart > 1e-3 or taught.abs().max() > 1e-6:
        raise SystemExit(f"old words are {apart:.4f} apart, {new} by {taught}")


def write_reference(model: Model, tokens: Tokens, path: Path) -> None:
    """Write ids and last logits of some filled forms, English and Chinese.

    Of those with a clear best: which of two near ones leads is left to rounding.
    """
    source = Source(random.Random(3), "held", ["restic"], 0.3)
    rows = []
    for _ in range(50 * FORMS):
        s = situation(source)
        answers = stance_answers(s)
        form = source.rng.choice(texts(stance_form(s.sentence, s.cards, s.good)))
        text = filled(form, answers)
        ids, _, whole = weighted(tokens, form, answers)
        with torch.no_grad():
            states = model(torch.tensor([ids]), torch.tensor([whole]))
            logits = model.logits(states[0, -1])
        best, second = logits.topk(2).values.tolist()
        if best - second < CLEAR:
            continue
        row = {"text": text, "ids": ids, "question": whole, "logits": logits.tolist()}
        rows.append(row)
        if len(rows) == FORMS:
            break
    else:
        raise SystemExit(f"only {len(rows)} of {FORMS} forms have a clear best logit")
    path.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
