# SPDX-License-Identifier: MIT
"""Going on with an earlier model as it is: its own words, and its own way of reading.

Where warm.py begins a new model with an earlier one's weights, this takes up the file
itself, so that little is unlearned.  It can be given whole words that a teacher knows:
what it read in pieces, and so knew only where training showed it, is one token then
that begins near the words which mean the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
from tokenizers import Tokenizer, decoders, models

from train.export import tensors, weights
from train.model import Model, Shape
from train.tokens import Tokens, pieces
from train.warm import grown
from vagus.decide.prompt import signs


def taken_up(
    path: Path, tokens_path: Path, layers: int = 0
) -> tuple[Model, Tokens, bool]:
    """Return a GGUF of ours as model and tokens, and if it reads questions whole.

    Its tokens are written to `tokens_path`.  Layers that it lacks of `layers` come on
    top, and at first add nothing.  SystemExit where its signs are not ours.
    """
    reader = gguf.GGUFReader(path)

    def field(name: str) -> Any:
        found = reader.fields.get(name)
        return found.contents() if found else None

    names = field("tokenizer.ggml.tokens")
    words = names[: -len(signs())]
    if names[len(words) :] != signs():
        raise SystemExit(f"{path} speaks other signs than decide/prompt.py")
    merges = [tuple(one.split(" ")) for one in field("tokenizer.ggml.merges")]
    vocab = {word: i for i, word in enumerate(words)}
    bpe = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    bpe.pre_tokenizer, bpe.decoder = pieces(), decoders.ByteLevel()
    bpe.save(str(tokens_path))
    tokens = Tokens(tokens_path)
    shape = Shape(
        tokens.size,
        field("llama.embedding_length"),
        max(layers, field("llama.block_count")),
        field("llama.attention.head_count"),
        field("llama.feed_forward_length"),
        meaning=1,  # of the teacher it knows nothing
        rope_base=field("llama.rope.freq_base"),
    )
    model = Model(shape)
    old = tensors(reader)
    model.load_state_dict(model.state_dict() | grown(old, weights(model)))
    return model, tokens, bool(field("vagus.whole"))
