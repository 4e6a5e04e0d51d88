# SPDX-License-Identifier: MIT
"""Roles that the teacher guesses, for programs that neither tags nor hands labelled.

A linear classifier on the teacher's vectors of name and synopsis and on the section
of the distribution, fitted to the labelled programs of the training side; only
guesses it is sure of are kept.
`python -m train.guess` prints how many held-out labels it gets right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F

from train.corpus import Program, packages
from train.split import pool
from train.teacher import Teacher
from vagus.decide.prompt import time_of

SURE = 0.7  # probability
STEPS = 300
RATE = 0.05
DECAY = 1e-4
SCALE = 4.0  # unit vectors are close to each other
KEPT = 0.5  # weight of the section beside a unit vector
PART = re.compile(  # of a program, not one
    r"^(lib|python3?-|golang-|node-|r-|ruby-|php|fonts-|haskell|elpa-|gir1|texlive|task-"
    r"|linux-|firmware|hunspell|aspell|myspell|hyphen|mythes|erlang|fp-|lua-|xfonts|kodi-"
    r"|vim-|octave-|gap-|science-|education-|med-|puppet-module|horde|roundcube-|qml"
    r"|nagios-plugins|collectd-|asterisk-|libreoffice-|tesseract-ocr-|librust|coq|agda)"
    r"|-(doc|docs|dev|dbg|data|common|plugins?|examples|dkms|source|headers|themes?|l10n"
    r"|locale|i18n|modules?|java|perl|cil|el|dict|tests?|html|udeb|lang|icons?|artwork"
    r"|wallpapers?|extras?|base|core|all|full|meta|systemd|sysv)\d*$"
)


class Known:
    """Rows of what is known of programs: their meaning, and where they are kept."""

    def __init__(self, labelled: Sequence[Program]) -> None:
        """Number the sections that the labelled programs are kept in."""
        self.teacher = Teacher()
        names = sorted({p.section for p in labelled})
        self.sections = {name: i for i, name in enumerate(names)}

    def of(self, programs: Sequence[Program]) -> torch.Tensor:
        """Return a row (N, C + sections) for every program."""
        texts = [f"{p.package}: {p.synopsis}" for p in programs]
        kept = torch.zeros(len(programs), len(self.sections))
        for row, p in enumerate(programs):
            if p.section in self.sections:
                kept[row, self.sections[p.section]] = KEPT
        return torch.cat((self.teacher.vectors(texts), kept), 1)


def guessed(labelled: Sequence[Program], rest: Sequence[Program]) -> list[Program]:
    """Return those of the rest whose role the teacher is sure of, with that role."""
    known = Known(labelled)
    roles, weight, bias = _fitted(known, labelled)
    programs = [p for p in rest if not PART.search(p.package)]
    odds = F.softmax(SCALE * (known.of(programs) @ weight + bias), -1)
    best = odds.max(-1)
    return [
        replace(p, role=roles[role])
        for p, sure, role in zip(
            programs, best.values.tolist(), best.indices.tolist(), strict=True
        )
        if sure > SURE
    ]


def main() -> None:
    """Print the shares of held-out roles and time senses that are guessed right."""
    programs = packages()
    ours, out = (pool(programs, out=held).labelled for held in (False, True))
    known = Known(ours)
    roles, weight, bias = _fitted(known, ours)
    best = (known.of(out) @ weight + bias).argmax(-1).tolist()
    said = [(roles[i], p.role) for i, p in zip(best, out, strict=True)]
    role = sum(a == b for a, b in said) / len(said)
    sense = sum(time_of(a) == time_of(b) for a, b in said) / len(said)
    print(
        f"the teacher guesses {role:.3f} of the roles, {sense:.3f} of the time senses"
    )


def _fitted(
    known: Known, labelled: Sequence[Program]
) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    roles = sorted({p.role for p in labelled})
    wanted = torch.tensor([roles.index(p.role) for p in labelled])
    return roles, *_fit(known.of(labelled), wanted, len(roles))


def _fit(
    known: torch.Tensor, wanted: torch.Tensor, kinds: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight (C, K) and bias (K) of a softmax regression."""
    weight = torch.zeros(known.shape[1], kinds, requires_grad=True)
    bias = torch.zeros(kinds, requires_grad=True)
    opt = torch.optim.Adam([weight, bias], lr=RATE)
    for _ in range(STEPS):
        loss = F.cross_entropy(SCALE * (known @ weight + bias), wanted)
        loss = loss + DECAY * weight.square().sum()
        opt.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        opt.step()
    return weight.detach(), bias.detach()


if __name__ == "__main__":
    main()
