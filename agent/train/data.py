# SPDX-License-Identifier: MIT
"""Situations and identity cards -> token ids with loss weights, in batches."""

from __future__ import annotations

import random
from dataclasses import replace

import torch

from train.corpus import Program
from train.right import Situation, right
from train.split import Pool
from train.tasks import Source, situation
from train.tokens import Tokens
from train.twins import other_clause, other_role
from vagus.decide.grammar import Form, filled, pieces, texts
from vagus.decide.prompt import (
    OWN,
    phrase,
    role_form,
    stance_form,
    stance_sign,
    time_of,
)
from vagus.flow import Identity, Resource

KNOWN = 0.85  # share of identity cards with a package
PLACED, TOLD = 0.85, 0.7  # of them, with its section; with its long description
HEARD = 0.8  # share of its sentences that are there then
HOW = 0.06  # share of situations of which it is asked what follows, not who is who
ASKED = 2  # workloads of a situation that it is asked about
AGAIN = 2  # times that a sample is shown
CHINESE = 0.2  # share of sentences
EASY = 60_000  # samples after which no easy situations are drawn any more
TEXT_WEIGHT = 0.0  # of a prompt token in the loss: what people say is not to be learned
WIDTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384)  # of batches: each is compiled once
# Ids, weight of each id as a target, and how many ids are the question.
Sample = tuple[list[int], list[float], int]


def stance_answers(s: Situation) -> dict[str, str]:
    """Return what is right, as the filled blanks of the stance form."""
    reading = right(s)
    answers = {f"standing{i}": f"<{who}>" for i, who in enumerate(reading.standings, 1)}
    levels = zip(Resource, reading.trouble, strict=True)
    answers |= {f"trouble-{where}": f"<{where}:{level}>" for where, level in levels}
    answers |= {
        f"stance{i}": stance_sign(stance) for i, stance in enumerate(reading.stances, 1)
    }
    return answers


def weighted(tokens: Tokens, form: Form, answers: dict[str, str]) -> Sample:
    """Return the ids of a filled form; its blanks weigh 1, its first text asks."""
    ids: list[int] = []
    weights: list[float] = []
    whole = 0
    for text, blank in pieces(form, answers):
        piece = tokens.encode(text)
        weight = 1.0 if blank else TEXT_WEIGHT
        whole = whole or len(piece)
        ids += piece
        weights += [weight if blank or i < tokens.words else 0.0 for i in piece]
    return ids, weights, whole


def twin(rng: random.Random, s: Situation) -> Situation | None:
    """Return the same sentence about others: names exchanged, or another role."""
    return rng.choice((other_clause, other_role))(rng, s)


def stance_samples(tokens: Tokens, rng: random.Random, s: Situation) -> list[Sample]:
    """Return some texts of a filled form: who somebody is, or what follows of it."""
    form = stance_form(s.sentence, s.cards, s.good)
    answers = stance_answers(s)
    *who, how = texts(form)
    if rng.random() < HOW:
        return [weighted(tokens, how, answers)]
    # Of whom the sentence speaks, too, there is more to learn.
    who.sort(key=lambda text: rng.random() + (filled(text, {}).count(OWN) < 2))
    return [weighted(tokens, text, answers) for text in who[:ASKED]]


def identity(rng: random.Random, p: Program) -> Identity:
    """Return an identity card as a machine might show it, fields missing at random."""
    name = p.package.split("-")[0] if rng.random() < 0.3 else p.package
    where = rng.choice(("/usr/bin/", "/usr/sbin/", "/usr/lib/", "/opt/", "/usr/bin/"))
    told = [one for one in p.about if rng.random() < HEARD]
    synopsis = told.pop(0) if told and rng.random() > HEARD else p.synopsis
    unit = rng.choice((synopsis, f"{name} {synopsis}", f"{name} service", name))
    unit = unit if rng.random() < 0.4 else ""
    exe = where + name if rng.random() < 0.75 else ""
    args = rng.choice(("", "", "", "-c /etc/x.conf", "--daemon", "-d"))
    if rng.random() > KNOWN:
        return Identity(unit, exe=exe, comm=name[:15], args=args)
    return Identity(
        unit,
        synopsis,
        p.section if rng.random() < PLACED else "",
        " ".join(told) if rng.random() < TOLD else "",
        exe,
        name[:15] if rng.random() < 0.6 else "",
        args,
    )


def role_sample(tokens: Tokens, rng: random.Random, pool: Pool) -> Sample:
    program, role = pool.with_role(rng)
    form = role_form(identity(rng, program))
    answers = {"role": f"<{role}>", "time": f"<{time_of(role)}>"}
    return weighted(tokens, form, answers)


def text_sample(tokens: Tokens, rng: random.Random, pool: Pool) -> Sample:
    """Return three package descriptions as free text: the pre-training task."""
    some = rng.sample(list(pool.unlabelled), 3)
    text = "".join(
        f"<exe>{phrase(p.package, 40)}<synopsis>{phrase(p.synopsis, 100)}" for p in some
    )
    ids = tokens.encode(text)
    return ids, [0.3 if i < tokens.words else 0.0 for i in ids], 0


def padded(length: int) -> int:
    """Return the width of a batch for samples of this length."""
    return next((width for width in WIDTHS if length <= width), length)


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def batches(
    tokens: Tokens, pool: Pool, seed: int, budget: int, shares: tuple[float, float]
) -> Batches:
    return Batches(tokens, pool, random.Random(seed), budget, shares)


class Batches:
    """An endless stream of batches of about `budget` tokens, similar lengths together.

    shares: of role draws and of free text; the others are situations and their twins.
    """

    def __init__(
        self,
        tokens: Tokens,
        pool: Pool,
        rng: random.Random,
        budget: int,
        shares: tuple[float, float],
    ) -> None:
        """Keep what is drawn from."""
        self.tokens, self.pool, self.rng = tokens, pool, rng
        self.budget, self.shares = budget, shares
        names, words = pool.package_names, pool.synonyms
        self.source = Source(rng, "train", names, CHINESE, synonyms=words)
        self.easy = replace(self.source, easy=True)
        self.whole = True  # whether a question's tokens see each other
        self.drawn = 0  # draws: simple ones come first
        self.past: list[list[Sample]] = []  # what was drawn last
        self.ready: list[list[Sample]] = []

    def draw(self) -> list[Sample]:
        """Return one sample of one task, or a situation and its twin."""
        self.drawn += 1
        kind = self.rng.random()
        if kind < self.shares[0]:
            return [role_sample(self.tokens, self.rng, self.pool)]
        if kind < sum(self.shares):
            return [text_sample(self.tokens, self.rng, self.pool)]
        simple = self.rng.random() < 0.6 * (1 - self.drawn / EASY)
        source = self.easy if simple else self.source
        one = situation(source)
        two = twin(self.rng, one)
        both = [one] if two is None else [one, two]
        return [x for s in both for x in stance_samples(self.tokens, self.rng, s)]

    def next(self) -> Batch:
        """Return inputs, targets, weights (B, T), and lengths of the questions (B)."""
        if not self.ready:
            self._fill()
        rows = self.ready.pop()
        width = padded(max(len(ids) for ids, _, _ in rows) - 1)
        count = max(len(rows), self.budget // width)  # empty rows weigh nothing
        inputs = torch.zeros(count, width, dtype=torch.long)
        targets = torch.zeros(count, width, dtype=torch.long)
        weights = torch.zeros(count, width)
        wholes = torch.zeros(count, dtype=torch.long)
        for row, (ids, weight, whole) in enumerate(rows):
            n = len(ids) - 1
            wholes[row] = whole if self.whole else 0
            inputs[row, :n] = torch.tensor(ids[:-1])
            targets[row, :n] = torch.tensor(ids[1:])
            weights[row, :n] = torch.tensor(weight[1:])
        return inputs, targets, weights, wholes

    def _fill(self) -> None:
        """Draw some batches' worth, sort by length, cut into batches, shuffle.

        Drawing costs as much as learning, so each sample is shown AGAIN times.
        """
        fresh: list[Sample] = []
        total = 0
        while total < 12 * self.budget / AGAIN:
            samples = self.draw()
            fresh += samples
            total += sum(len(ids) for ids, _, _ in samples)
        self.past = [*self.past[1 - AGAIN :], fresh]
        drawn = [sample for part in self.past for sample in part]
        drawn.sort(key=lambda sample: len(sample[0]))
        rows: list[Sample] = []
        for sample in drawn:
            width = padded(len(sample[0]) - 1)
            if rows and (len(rows) + 1) * width > self.budget:
                self.ready.append(rows)
                rows = []
            rows.append(sample)
        self.ready.append(rows)
        self.rng.shuffle(self.ready)
