# SPDX-License-Identifier: MIT
"""A Llama-style Transformer in plain PyTorch; shapes in comments.

B batch, T tokens, C width, H heads, D = C / H, F feed-forward width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

EMBED_STD = 0.02
MAP_STD = 0.5  # of the teacher's part, whose rows are about unit vectors


@dataclass(frozen=True, slots=True)
class Shape:
    """Everything that fixes the weights' shapes."""

    vocabulary: int
    width: int = 128
    layers: int = 6
    heads: int = 4
    hidden: int = 384
    meaning: int = 128  # directions of the teacher that are kept
    context: int = 1024
    rope_base: float = 100000.0
    epsilon: float = 1e-5


class Norm(nn.Module):
    """RMS norm."""

    def __init__(self, width: int, epsilon: float) -> None:
        """Start at one."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, T, C) -> (B, T, C)
        """Scale every position to unit root mean square."""
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return y.type_as(x) * self.weight.type_as(x)


class Block(nn.Module):
    """Attention, then gated feed-forward."""

    def __init__(self, s: Shape) -> None:
        """Make the seven matrices."""
        super().__init__()
        self.heads = s.heads
        self.attn_norm = Norm(s.width, s.epsilon)
        self.q = nn.Linear(s.width, s.width, bias=False)
        self.k = nn.Linear(s.width, s.width, bias=False)
        self.v = nn.Linear(s.width, s.width, bias=False)
        self.o = nn.Linear(s.width, s.width, bias=False)
        self.ffn_norm = Norm(s.width, s.epsilon)
        self.gate = nn.Linear(s.width, s.hidden, bias=False)
        self.up = nn.Linear(s.width, s.hidden, bias=False)
        self.down = nn.Linear(s.hidden, s.width, bias=False)

    def forward(
        self, x: torch.Tensor, seen: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> torch.Tensor:
        """Return x with what attention and feed-forward add; (B, T, C)."""
        b, t, c = x.shape
        d = c // self.heads
        y = self.attn_norm(x)
        weights = torch.cat((halves(self.q.weight, d), halves(self.k.weight, d)))
        both = F.linear(y, weights).view(b, t, 2 * self.heads, d)
        q, k = rotate(both, cos, sin).transpose(1, 2).chunk(2, 1)  # (B, H, T, D) each
        v = self.v(y).view(b, t, self.heads, d).transpose(1, 2)
        y = attend(q, k, v, seen)
        x = x + self.o(y.transpose(1, 2).reshape(b, t, c))
        y = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Model(nn.Module):
    """Token ids (B, T) -> logits (B, T, V); embedding and output are tied.

    An embedding is what the teacher knows of a token, through a map that is learned,
    plus what is learned for the token itself.  Words that training never shows have
    only the former, and so stand where their synonyms stand.
    """

    def __init__(self, shape: Shape, meaning: torch.Tensor | None = None) -> None:
        """Make the weights; meaning (V, M) is the teacher's word for every token."""
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        known = torch.zeros(shape.vocabulary, shape.meaning)
        self.register_buffer("meaning", known if meaning is None else meaning)
        self.map = nn.Linear(shape.meaning, shape.width, bias=False)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width, shape.epsilon)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                deep = name.endswith(("o.weight", "down.weight"))
                std = EMBED_STD if name.startswith("embed") else p.shape[1] ** -0.5
                nn.init.normal_(p, std=std / (2 * shape.layers) ** 0.5 if deep else std)
        with torch.no_grad():
            self.map.weight.mul_(MAP_STD)
            for block in self.blocks:  # alike attends to alike from the start
                block.k.weight.copy_(block.q.weight)

    def forward(
        self, ids: torch.Tensor, whole: torch.Tensor, own: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the last norm's output, (B, T, C); logits() makes it (B, T, V).

        The first `whole` (B,) tokens, the question, all see each other; every later
        token sees those before it.  Where `own` (V, 1) is 0, a token is read by what
        the teacher knows of it alone, as a word that training never showed.
        """
        learned = self.embed.weight if own is None else self.embed.weight * own
        x = F.embedding(ids, learned) + self.map(self.meaning[ids])
        if torch.is_autocast_enabled(ids.device.type):
            x = x.bfloat16()
        t = ids.shape[1]
        at = torch.arange(t, device=ids.device)
        seen = (at[:, None] >= at) | (at < whole[:, None, None])  # (B, T, T)
        cos, sin = angles(t, self.shape, ids.device)
        for block in self.blocks:
            x = block(x, seen[:, None], cos.type_as(x), sin.type_as(x))
        return self.norm(x)

    def table(self) -> torch.Tensor:
        """Return the embeddings as they work, (V, C)."""
        return self.embed.weight + self.map(self.meaning)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of normed states (..., C) -> (..., V)."""
        return F.linear(x, self.table())


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, seen: torch.Tensor
) -> torch.Tensor:
    """Attention, (B, H, T, D); spelled out: faster than fused up to T = 128."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # (B, H, T, T)
    return torch.softmax(scores.masked_fill(~seen, -1e4), dim=-1).type_as(v) @ v


def angles(
    length: int, shape: Shape, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosine and sine for every position and pair: (T, D / 2)."""
    d = shape.width // shape.heads
    step = shape.rope_base ** (-torch.arange(0, d, 2, device=device).float() / d)
    table = torch.outer(torch.arange(length, device=device).float(), step)
    return table.cos(), table.sin()


def halves(weight: torch.Tensor, d: int) -> torch.Tensor:
    """Return the rows of each head, even ones first: (C, C).

    llama.cpp rotates neighbours for this architecture; halves are faster to rotate, and
    scores do not depend on the order within a head.
    """
    rows, c = weight.shape
    return weight.view(rows // d, d // 2, 2, c).transpose(1, 2).reshape(rows, c)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate (B, T, H, D), whose pairs are halves apart, by angles (T, D / 2)."""
    cos, sin = cos[:, None], sin[:, None]
    one, two = x.chunk(2, -1)
    return torch.cat((one * cos - two * sin, one * sin + two * cos), -1)


def size(model: Model) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in model.parameters())
