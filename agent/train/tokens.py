# SPDX-License-Identifier: MIT
"""The model's tokens: a byte-level BPE of whole words, then the signs of prompt.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from vagus.decide.prompt import signs

WORDS = 9216  # BPE tokens, 256 bytes included
LEAST = 40  # how often a listed word counts at least, so that it becomes one token
SIGN = re.compile(r"(<[^<>]*>)")


class Tokens:
    """Text with signs -> token ids, exactly as the engine makes them."""

    def __init__(self, path: Path) -> None:
        """Load what learn() saved."""
        self.bpe = Tokenizer.from_file(str(path))
        self.words = self.bpe.get_vocab_size()
        self.sign_ids = {sign: self.words + i for i, sign in enumerate(signs())}
        self.size = self.words + len(self.sign_ids)

    def texts(self) -> list[str]:
        """Return what each BPE token reads as; broken characters as they are."""
        return [self.bpe.decode([i]) for i in range(self.words)]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; signs are one id each."""
        ids: list[int] = []
        for piece in SIGN.split(text):
            if piece in self.sign_ids:
                ids.append(self.sign_ids[piece])
            elif piece:
                ids += self.bpe.encode(piece).ids
        return ids


def pieces() -> pre_tokenizers.PreTokenizer:
    """Return how texts are cut before BPE: "starcoder" in llama.cpp."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    rest = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return pre_tokenizers.Sequence([digits, rest])


def learn(
    texts: Iterable[str], listed: Sequence[str], path: Path, words: int = WORDS
) -> None:
    """Learn the BPE from plain texts, and whole words from a list, and save it."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pieces()
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=words,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    extra = (f" {word}" for word in listed for _ in range(LEAST))
    bpe.train_from_iterator(chain(texts, extra), trainer)
    path.parent.mkdir(parents=True, exist_ok=True)
    bpe.save(str(path))
