# SPDX-License-Identifier: MIT
"""From nothing to a model: python -m train.main [--steps N] [--out DIR]."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
from pathlib import Path

import msgspec
import torch

from train import wordings
from train.corpus import LISTS, packages
from train.data import EASY, batches
from train.guess import fine_tuned, guessed
from train.meaning import meanings
from train.model import Model, Shape
from train.split import Guessed, Pool, pool, save_known, template_words
from train.synonyms import WordNet, fitting
from train.tasks import Source, sample_lines, situation
from train.teacher import Teacher, near_words
from train.tokens import Tokens, learn
from train.train import Run, train
from train.warm import warm
from vagus.decide.prompt import phrase

STEPS = 12_000  # of 16,384 tokens; hours
LISTED, COMMON = 5500, 1200  # of the teacher's words that become tokens, common ones


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--cool", type=float, help="share of them")
    parser.add_argument("--out", type=Path, default=Path(".output/train"))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=0, help="6, or as the file has")
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--budget", type=int, help="tokens a batch")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--role-share", type=float, default=0.3)
    parser.add_argument("--text-share", type=float, default=0.0)
    parser.add_argument("--start", type=Path, help="an earlier GGUF to begin with")
    parser.add_argument("--onward", type=Path, help="a GGUF to go on with as it is")
    parser.add_argument(
        "--end-share",
        type=float,
        default=1.0,
        help="of the way from the middle of the run to its end: what is exported",
    )
    parser.add_argument(
        "--onward-share",
        type=float,
        default=1.0,
        help="of the way from that file to what would be exported",
    )
    parser.add_argument(
        "--words",
        action="store_true",
        help="make whole words of what that file reads in pieces",
    )
    parser.add_argument("--whole", action="store_true", help="read questions whole")
    parser.add_argument("--lists", type=Path, default=LISTS, help="of packages")
    parser.add_argument("--wordnet", type=Path, help="folder of its database")
    parser.add_argument(
        "--guesses", action="store_true", help="roles by the fine-tuned teacher too"
    )
    parser.add_argument("--muon-rate", type=float)
    parser.add_argument("--adam-rate", type=float)
    parser.add_argument("--export", type=Path, help="where the GGUF goes")
    chosen = {one.name: one.default for one in dataclasses.fields(Run)}
    for name in ("cool", "seed", "budget", "muon_rate", "adam_rate"):
        parser.set_defaults(**{name: chosen[name]})
    return parser.parse_args()


def vocabulary(
    path: Path, side: Pool, seed: int, sentences: int = 20_000, listed: int = LISTED
) -> Tokens:
    """Return the tokens, learned from sentences and descriptions on first use."""
    if not path.exists():
        rng = random.Random(seed)
        source = Source(rng, "train", side.package_names, 0.2)
        texts = []
        for _ in range(sentences):
            s = situation(source)
            texts += [phrase(s.sentence, 400), *(phrase(c.name, 24) for c in s.cards)]
        for p in [*side.labelled, *side.unlabelled[::2]]:
            texts.append(phrase(p.synopsis, 100))
        learn(texts, listed_words(listed), path)
    return Tokens(path)


def listed_words(count: int) -> list[str]:
    """Return the wordings' words and as many of the teacher's, the nearest, sorted."""
    ours = sorted(word for word in template_words() if word.isascii())
    return sorted({*ours, *near_words(Teacher(), ours, count, COMMON)})


def knowledge(path: Path, tokens: Tokens, size: int) -> torch.Tensor:
    """Return what the teacher knows of the tokens, asked on first use."""
    if not path.exists():
        torch.save(meanings(tokens, Teacher(), size), path)
    table: torch.Tensor = torch.load(path)
    return table


def with_synonyms(path: Path, side: Pool, wordnet: Path, seed: int) -> Pool:
    """Return the pool with words for words, as the teacher lets them pass."""
    if not path.exists():
        lines = sample_lines(random.Random(seed))
        novel = [x for some in wordings.NOVEL.values() for x in some.split("|")]
        unseen = [word for word in novel if word.isalpha()]
        table = fitting(WordNet(wordnet), Teacher(), lines, unseen)
        path.write_text(json.dumps(table))
    return dataclasses.replace(side, synonyms=json.loads(path.read_text()))


def with_guesses(path: Path, side: Pool, seed: int) -> Pool:
    """Return the pool with the teacher's guesses of roles, made on first use."""
    if not path.exists():
        teacher = fine_tuned(side.labelled, seed)
        made = guessed(teacher, side.unlabelled, seed)
        path.write_text(json.dumps(dataclasses.asdict(made)))
    found = msgspec.json.decode(path.read_bytes(), type=Guessed)
    return dataclasses.replace(side, guessed=found)


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    programs = packages(args.lists)
    side = pool(programs, out=False)
    save_known(programs, args.out / "held.json")
    if args.wordnet:
        at = args.out / "synonyms.json"
        side = with_synonyms(at, side, args.wordnet, args.seed)
    if args.guesses:
        side = with_guesses(args.out / "guesses.json", side, args.seed)
    torch.manual_seed(args.seed)
    run = Run(
        args.out,
        args.steps,
        args.cool,
        seed=args.seed,
        budget=args.budget,
        muon_rate=args.muon_rate,
        adam_rate=args.adam_rate,
        compiled=not args.eager,
    )
    shares = (args.role_share, args.text_share)
    whole = True
    if args.onward:
        from train.onward import taken_up

        at = args.out / "tokens.json"
        model, tokens, whole = taken_up(args.onward, at, args.layers)
        whole |= args.whole
        if args.words:
            from train.lexicon import usual, with_words

            some = {x for words in side.synonyms.values() for x in words}
            some |= set(usual(p.synopsis for p in [*side.labelled, *side.unlabelled]))
            some |= set(usual(" ".join(p.about) for p in side.labelled))
            words = sorted(some.union(listed_words(LISTED)))
            model, tokens = with_words(model, tokens, words, at)
    else:
        tokens = vocabulary(args.out / "tokens.json", side, args.seed)
        shape = Shape(
            tokens.size, args.width, args.layers or 6, args.heads, args.hidden
        )
        known = knowledge(args.out / "meaning.pt", tokens, shape.meaning)
        model = Model(shape, known)
    if args.start:
        warm(model, tokens, args.start)
    stream = batches(tokens, side, args.seed, run.budget, shares)
    stream.whole = whole
    if args.start or args.onward:
        stream.drawn = EASY  # the simple ones are known
    train(model.to(run.device), stream, run)
    if args.export:
        from train.export import export

        export(
            args.out,
            args.export,
            whole=whole,
            share=args.end_share,
            onward=args.onward,
            onward_share=args.onward_share,
        )


if __name__ == "__main__":
    main()
