# SPDX-License-Identifier: MIT
"""What the teacher makes of roles: the score to hold the model's beside.

A linear classifier on the teacher's vectors of name and synopsis, on that of the long
description, and on the section of the distribution, fitted to the programs of the
training side.  `python -m train.guess [LISTS]` prints how many held-out labels it gets
right, and how many without the last two, which the model is not shown.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from train.corpus import LISTS, Program, packages
from train.split import pool
from train.teacher import WIDTH, Teacher
from vagus.decide.prompt import time_of

STEPS = 300
RATE = 0.05
DECAY = 1e-4
SCALE = 4.0  # unit vectors are close to each other
MUCH = 400  # characters of a description
KEPT = 0.5  # weight of the section beside a unit vector


def known(
    teacher: Teacher, programs: Sequence[Program], sections: Sequence[str]
) -> torch.Tensor:
    """Return what is known of programs: rows (N, 2 C + sections), C of the teacher."""
    short = [f"{p.package}: {p.synopsis}" for p in programs]
    long = [" ".join((p.synopsis, *p.about))[:MUCH] for p in programs]
    kept = torch.zeros(len(programs), len(sections))
    for row, p in enumerate(programs):
        if p.section in sections:
            kept[row, sections.index(p.section)] = KEPT
    return torch.cat((teacher.vectors(short), teacher.vectors(long), kept), 1)


def main() -> None:
    """Print the shares of held-out roles and time senses that are guessed right."""
    programs = packages(Path(sys.argv[1]) if sys.argv[1:] else LISTS)
    ours, out = (
        [p for p in pool(programs, out=held).labelled if p.read]
        for held in (False, True)
    )
    sections = sorted({p.section for p in ours})
    roles = sorted({p.role for p in ours})
    wanted = torch.tensor([roles.index(p.role) for p in ours])
    teacher = Teacher()
    rows, held = (known(teacher, some, sections) for some in (ours, out))
    for told, width in (("of all", rows.shape[1]), ("of name and synopsis", WIDTH)):
        weight, bias = _fit(rows[:, :width], wanted, len(roles))
        best = (held[:, :width] @ weight + bias).argmax(-1).tolist()
        said = [(roles[i], p.role) for i, p in zip(best, out, strict=True)]
        role = sum(a == b for a, b in said) / len(said)
        sense = sum(time_of(a) == time_of(b) for a, b in said) / len(said)
        print(f"{told}: {role:.3f} of the roles, {sense:.3f} of the time senses")


def _fit(
    rows: torch.Tensor, wanted: torch.Tensor, kinds: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight (C, K) and bias (K) of a softmax regression."""
    weight = torch.zeros(rows.shape[1], kinds, requires_grad=True)
    bias = torch.zeros(kinds, requires_grad=True)
    opt = torch.optim.Adam([weight, bias], lr=RATE)
    for _ in range(STEPS):
        loss = F.cross_entropy(SCALE * (rows @ weight + bias), wanted)
        loss = loss + DECAY * weight.square().sum()
        opt.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        opt.step()
    return weight.detach(), bias.detach()


if __name__ == "__main__":
    main()
