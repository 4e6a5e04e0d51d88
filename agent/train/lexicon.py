# SPDX-License-Identifier: MIT
"""Whole words for a model that goes on: one token each, meant as the teacher means it.

A word that a small model reads in pieces is known to it only where training showed
it.  As one token that begins where words of like meaning are, it is known before.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import torch

from train.meaning import meanings
from train.model import Model, Shape
from train.teacher import Teacher
from train.tokens import Tokens
from train.warm import fit

DIRECTIONS = 128  # of the teacher that are kept
OFTEN = 10  # times that a synopsis' word is seen before it becomes a token
SHORTEST = 3  # letters


def usual(synopses: Iterable[str]) -> list[str]:
    """Return the words of synopses that are seen often enough, sorted."""
    seen = Counter(word for text in synopses for word in set(text.lower().split()))
    return sorted(word for word, count in seen.items() if count >= OFTEN)


def joined(tokens: Tokens, words: Iterable[str], path: Path) -> dict[int, list[int]]:
    """Make each word one token; write the grown tokens to `path`.

    Returns, for every new token, the old ones that it is made of.  What is no word
    of the English alphabet, or is one token already, is left out.
    """
    saved = json.loads(tokens.bpe.to_str())
    vocabulary: dict[str, int] = saved["model"]["vocab"]
    made = {name: [i] for name, i in vocabulary.items()}
    ranks: dict[tuple[str, str], int] = {}
    for word in words:
        if len(word) < SHORTEST or not (word.isascii() and word.isalpha()):
            continue
        parts = _merged(tokens.bpe.encode(f" {word.lower()}").tokens, ranks)
        while len(parts) > 1:
            one, two = parts[:2]
            ranks[one, two] = len(ranks)
            whole = one + two
            vocabulary.setdefault(whole, len(vocabulary))
            made.setdefault(whole, made[one] + made[two])
            parts = [whole, *parts[2:]]
    saved["model"]["merges"] += [list(pair) for pair in ranks]
    path.write_text(json.dumps(saved))
    return {
        vocabulary[name]: ids
        for name, ids in made.items()
        if vocabulary[name] >= tokens.words
    }


def _merged(parts: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Return what BPE makes of a word's pieces by these merges, the oldest first."""
    while True:
        pairs = [pair for pair in pairwise(parts) if pair in ranks]
        if not pairs:
            return parts
        best = min(pairs, key=ranks.__getitem__)
        at = next(i for i in range(len(parts)) if tuple(parts[i : i + 2]) == best)
        parts = [*parts[:at], "".join(best), *parts[at + 2 :]]


def with_words(
    model: Model, tokens: Tokens, words: Sequence[str], path: Path
) -> tuple[Model, Tokens]:
    """Return the model with these words as tokens of their own, and the tokens.

    How its embeddings follow from the teacher's is fitted over the words that it
    knows; a new word begins there, a new part of a word as the mean of its pieces.
    """
    old, known_words = model.table().detach(), tokens.words
    made = joined(tokens, words, path)
    tokens = Tokens(path)
    table = torch.zeros(tokens.size, old.shape[1])
    table[:known_words] = old[:known_words]
    table[tokens.words :] = old[known_words:]  # signs
    for i, ids in made.items():
        table[i] = old[ids].mean(0)
    known = meanings(tokens, Teacher(), DIRECTIONS)
    known[tokens.words :] = 0
    given = {f" {word.lower()}" for word in words}
    new = [text in given for text in tokens.texts()[known_words:]]
    fresh = torch.zeros(tokens.size, dtype=torch.bool)
    fresh[known_words : tokens.words] = torch.tensor(new)
    known[known_words : tokens.words][~torch.tensor(new)] = 0  # no words
    taught = (known.norm(dim=1) > 0) & ~fresh
    fitted = fit(known[taught], table[taught])
    grown = Model(_shape(model, tokens.size), known)
    state = model.state_dict() | {"meaning": known, "map.weight": fitted.T.contiguous()}
    state["embed.weight"] = torch.where(fresh[:, None], 0.0, table - known @ fitted)
    grown.load_state_dict(state)
    return grown, tokens


def _shape(model: Model, size: int) -> Shape:
    s = model.shape
    return Shape(
        size, s.width, s.layers, s.heads, s.hidden, DIRECTIONS, s.context, s.rope_base
    )
