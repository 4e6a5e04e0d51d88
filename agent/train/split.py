# SPDX-License-Identifier: MIT
"""The two sides of the split: program families for training, and those held out."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from train import wordings, wordings_wide, wordings_zh, wordings_zh_wide
from train.corpus import LISTS, Program, is_held, names, packages
from train.tasks import WISHES, wishes
from vagus.decide.prompt import plain

GUESSED = 0.6  # share of role draws whose role was guessed, where there are guesses


@dataclass(frozen=True, slots=True)
class Guessed:
    """Programs that nobody read, and how likely each role is for them."""

    programs: Sequence[Program]
    roles: Sequence[str]
    shares: Sequence[Sequence[float]]  # of each program, of each role


@dataclass(frozen=True, slots=True)
class Pool:
    """What training draws from."""

    labelled: Sequence[Program]  # with a role, families of the training side
    unlabelled: Sequence[Program]
    by_role: dict[str, list[Program]]
    package_names: Sequence[str]
    synonyms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    guessed: Guessed | None = None

    def with_role(self, rng: random.Random) -> tuple[Program, str]:
        """Draw a program and its role: one that was read, or one that was guessed.

        A guess is drawn as it is likely, so that over many draws all of it is learned.
        """
        if self.guessed and rng.random() < GUESSED:
            i = rng.randrange(len(self.guessed.programs))
            (role,) = rng.choices(self.guessed.roles, self.guessed.shares[i])
            return self.guessed.programs[i], role
        if rng.random() < 0.5:
            program = rng.choice(self.labelled)
        else:
            program = rng.choice(self.by_role[rng.choice(list(self.by_role))])
        return program, program.role


def pool(programs: list[Program], out: bool) -> Pool:
    """Return one side of the split."""
    side = [p for p in programs if is_held(p.family) is out]
    labelled = [p for p in side if p.role]
    by_role: dict[str, list[Program]] = {}
    for p in labelled:
        by_role.setdefault(p.role, []).append(p)
    rest = [p for p in side if not p.read]
    return Pool(labelled, rest, by_role, names(programs, out, template_words()))


def template_words() -> frozenset[str]:
    """Return every word of the wordings; no package so named names a workload."""
    texts = []
    for book in (wordings, wordings_zh, wordings_wide, wordings_zh_wide):
        for value in vars(book).values():
            if isinstance(value, list):
                texts += value
            elif isinstance(value, dict):
                texts += [v for v in value.values() if isinstance(v, str)]
                texts += [x for v in value.values() if isinstance(v, list) for x in v]
            elif isinstance(value, str):
                texts.append(value)
    for book in WISHES:
        texts += [line for lines in wishes(book).values() for line in lines]
    return frozenset(plain(" ".join(texts).replace("|", " "), 100_000).split())


def known(programs: list[Program]) -> dict[str, object]:
    """Return what evaluation needs of the families never trained on."""
    out = pool(programs, out=True)
    rows = [asdict(program) for program in out.labelled]
    return {"names": list(out.package_names), "programs": rows}


def load_known(path: Path, lists: Path = LISTS) -> dict[str, object]:
    """Return what save_known wrote; without it, the same from the package lists."""
    if path.exists():
        found: dict[str, object] = json.loads(path.read_text())
        return found
    return known(packages(lists))


def save_known(programs: list[Program], path: Path) -> None:
    """Write what evaluation needs, where there will be no package lists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known(programs)))
