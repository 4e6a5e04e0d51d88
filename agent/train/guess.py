# SPDX-License-Identifier: MIT
"""Roles as the teacher guesses them, once it is fine-tuned on those that were read.

It has six times the model's parameters and knows many more words.  What it makes of
packages that nobody read, libraries too, is drawn from in training: so the model
learns what words say of a role beyond the few thousand programs that were read.
`python -m train.guess [LISTS]` fine-tunes it (20 to 35 minutes of a core) and prints
how many held-out labels it gets right: the score to hold the model's beside.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.nn import Parameter

from train.corpus import LISTS, Program, packages
from train.split import Guessed, pool
from train.teacher import WIDTH, Teacher
from vagus.decide.prompt import time_of

EPOCHS = 4
BATCH = 32
RATE, HEAD_RATE = 1e-4, 3e-3
DECAY = 0.01
WARM = 0.06  # share of the steps
DROPPED = 0.1  # of a vector
SMOOTH = 0.05  # of a label
LONGEST, MUCH = 96, 420  # tokens and characters of a card
HEARD, PLACED, TOLD = 0.8, 0.85, 0.75  # what a card shows, much as in data.py
MANY = 24_000  # packages that are guessed
# What says little of what it belongs to.
DULL = re.compile(r"-(doc|dbg|dbgsym|l10n.*|locale.*|i18n)$")
DULL_SECTIONS = ("oldlibs", "metapackages", "tasks", "localization", "debug")


@dataclass(frozen=True, slots=True)
class Guesser:
    """The teacher, and a linear layer (R, C) on its vectors; R roles, C width."""

    teacher: Teacher
    roles: Sequence[str]
    weight: Parameter
    bias: Parameter

    def logits(self, texts: Sequence[str], dropped: float = 0.0) -> torch.Tensor:
        """Return what speaks for each role, (N, R)."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            vectors = self.teacher.means(texts).float()
        return F.linear(F.dropout(vectors, dropped), self.weight, self.bias)

    @torch.no_grad()
    def shares(self, programs: Sequence[Program]) -> torch.Tensor:
        """Return how likely each role is, (N, R)."""
        texts = [card(p) for p in programs]
        out = torch.zeros(len(texts), len(self.roles))
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            out[rows] = self.logits([texts[i] for i in rows]).softmax(-1)
        return out


def card(p: Program, rng: random.Random | None = None) -> str:
    """Return what is known of a program as a text; with `rng`, not always all of it."""
    synopsis, section, about = p.synopsis, p.section, list(p.about)
    if rng:
        about = [one for one in about if rng.random() < HEARD]
        if about and rng.random() > PLACED:
            synopsis = about.pop(0)
        section = section if rng.random() < PLACED else ""
        about = about if rng.random() < TOLD else []
    return f"{p.package}: {synopsis}. {section}. {' '.join(about)}"[:MUCH]


def fine_tuned(programs: Sequence[Program], seed: int) -> Guesser:
    """Return the teacher, fine-tuned on programs with roles."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    roles = sorted({p.role for p in programs})
    teacher = Teacher(LONGEST)
    for name, value in teacher.weights.items():
        if value.is_floating_point():
            teacher.weights[name] = Parameter(value)
    body = [p for p in teacher.weights.values() if isinstance(p, Parameter)]
    head = [
        Parameter(torch.zeros(len(roles), WIDTH)),
        Parameter(torch.zeros(len(roles))),
    ]
    guesser = Guesser(teacher, roles, *head)
    groups = [{"params": body, "lr": RATE}, {"params": head, "lr": HEAD_RATE}]
    opt = torch.optim.AdamW(groups, weight_decay=DECAY)
    steps = EPOCHS * -(-len(programs) // BATCH)
    down = torch.optim.lr_scheduler.LambdaLR(
        opt, lambda step: min((step + 1) / steps / WARM, 1 - step / steps)
    )
    start, lost = time.monotonic(), 0.0
    for step, some in enumerate(_batches(programs, rng), 1):
        wanted = torch.tensor([roles.index(p.role) for _, p in some])
        logits = guesser.logits([text for text, _ in some], DROPPED)
        loss = F.cross_entropy(logits, wanted, label_smoothing=SMOOTH)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(body, 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        down.step()
        lost += loss.item()
        if step % 100 == 0:
            left = (time.monotonic() - start) / step * (steps - step) / 60
            print(f"guess {step:5d}  {left:5.1f} min left  loss {lost / 100:.3f}")
            sys.stdout.flush()
            lost = 0.0
    return guesser


def _batches(
    programs: Sequence[Program], rng: random.Random
) -> Iterator[list[tuple[str, Program]]]:
    """Yield cards with their programs, those of like length together."""
    for _ in range(EPOCHS):
        drawn = [(card(p, rng), p) for p in rng.sample(programs, len(programs))]
        ready = []
        for start in range(0, len(drawn), 20 * BATCH):
            part = sorted(drawn[start : start + 20 * BATCH], key=lambda x: len(x[0]))
            ready += [part[i : i + BATCH] for i in range(0, len(part), BATCH)]
        yield from rng.sample(ready, len(ready))


def guessed(guesser: Guesser, unread: Sequence[Program], seed: int) -> Guessed:
    """Return packages that nobody read, and how likely each role is for them."""
    some = [
        p
        for p in unread
        if p.section not in DULL_SECTIONS and not DULL.search(p.package)
    ]
    some = random.Random(seed).sample(some, min(MANY, len(some)))
    return Guessed(some, guesser.roles, guesser.shares(some).tolist())


def main() -> None:
    """Print the shares of held-out roles and time senses that are guessed right."""
    programs = packages(Path(sys.argv[1]) if sys.argv[1:] else LISTS)
    ours, out = (pool(programs, out=held).labelled for held in (False, True))
    guesser = fine_tuned(ours, 1)
    best = guesser.shares(out).argmax(-1).tolist()
    said = [(guesser.roles[i], p.role) for i, p in zip(best, out, strict=True)]
    role = sum(a == b for a, b in said) / len(said)
    sense = sum(time_of(a) == time_of(b) for a, b in said) / len(said)
    print(f"{role:.3f} of the roles, {sense:.3f} of the time senses")


if __name__ == "__main__":
    main()
