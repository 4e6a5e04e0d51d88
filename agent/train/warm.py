# SPDX-License-Identifier: MIT
"""Begin with an earlier model's weights, though its words were cut differently.

The blocks and signs are taken as they are.  A word's embedding is what the earlier
model's pieces of it mean on average; how such embeddings follow from the teacher's
is fitted, so that words which the earlier model never saw whole begin near others.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from train.export import file_name, tensors
from train.model import Model
from train.tokens import Tokens

RIDGE = 1e-2  # of the fit, against directions that few words have


def warm(model: Model, tokens: Tokens, path: Path) -> None:
    """Fill a fresh model from a GGUF of the same width and heads.

    Layers that the earlier model lacks come on top, and at first add nothing.
    """
    reader = gguf.GGUFReader(path)
    old = tensors(reader)
    state = model.state_dict()
    state |= grown(old, {x: y for x, y in state.items() if x.startswith("blocks.")})
    state["norm.weight"] = old["output_norm.weight"]
    table, sure = _embeddings(reader, old["token_embd.weight"], tokens)
    known = state["meaning"]
    words = sure & (known.norm(dim=1) > 0)
    fitted = fit(known[words], table[words])
    state["map.weight"] = fitted.T.contiguous()
    state["embed.weight"] = torch.where(sure[:, None], table - known @ fitted, 0.0)
    model.load_state_dict(state)


def fit(known: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return the map (M, C) from what the teacher knows (N, M) to embeddings (N, C)."""
    n, m = known.shape
    gram = known.T @ known + RIDGE * n * torch.eye(m) / m
    return torch.linalg.solve(gram, known.T @ table)


def grown(
    old: dict[str, torch.Tensor], fresh: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return the file's weights; a layer that it lacks begins without effect."""
    found = {}
    for name, values in fresh.items():
        silent = name.split(".")[-2] in ("o", "down")
        lacking = torch.zeros_like(values) if silent else values
        found[name] = old.get(file_name(name), lacking)
    return found


def _embeddings(
    reader: gguf.GGUFReader, old: torch.Tensor, tokens: Tokens
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return embeddings (V, C) for the new tokens, and which are worth something."""
    names = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    ids = {name: i for i, name in enumerate(names)}
    pairs = [tuple(merge.split(" ")) for merge in merges]
    bpe = Tokenizer(models.BPE(vocab=ids, merges=pairs))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    table = torch.zeros(tokens.size, old.shape[1])
    sure = torch.zeros(tokens.size, dtype=torch.bool)
    for i, text in enumerate(tokens.texts()):
        pieces = bpe.encode(text).ids if "\ufffd" not in text else []
        if pieces:
            table[i] = old[pieces].mean(0)
            sure[i] = len(pieces) == 1  # cut into pieces: the teacher knows better
    for sign, i in tokens.sign_ids.items():
        if sign in ids:
            table[i], sure[i] = old[ids[sign]], True
    return table, sure
