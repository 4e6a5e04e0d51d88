# SPDX-License-Identifier: MIT
"""Training loop: Muon for matrices, AdamW for the rest; a steady rate, then down.

Prints progress with the time left, writes loss.csv, loss.png and a checkpoint
every two minutes; an interrupted run resumes where it was.  Steps, not minutes, say
how long it takes, so that the same command makes the same model anywhere.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from train.data import WIDTHS, Batches
from train.model import Model, Shape, size

COLUMNS = ("step", "seconds", "loss", "right")


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that was chosen for one training run."""

    out: Path
    steps: int
    cool: float = 0.6  # share of the steps in which the learning rate goes down
    seed: int = 1
    budget: int = 16384  # tokens a batch; with a quarter, Muon learns the noise
    muon_rate: float = 0.015
    adam_rate: float = 0.003
    decay: float = 0.01
    warm_steps: int = 60
    middle: float = 0.64  # share of the steps whose weights export() mixes in
    unlearned: float = 0.2  # share of known words read as the teacher means them alone
    compiled: bool = True  # costs minutes at the start, then twice as fast
    device: str = "cuda" if torch.cuda.is_available() else "cpu"


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal, after Jordan et al., 2024."""

    def __init__(self, params: list[torch.nn.Parameter], lr: float, decay: float):
        """Take matrices only."""
        super().__init__(params, {"lr": lr, "momentum": 0.95, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every matrix; those of one shape together."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for p in group["params"]:
                by_shape.setdefault(p.shape, []).append(p)
            for shape, params in by_shape.items():
                state = self.state[params[0]]
                grads = torch.stack([p.grad for p in params])  # (N, rows, columns)
                if not state:
                    state["mean"] = torch.zeros_like(grads)
                state["mean"].lerp_(grads, 1 - group["momentum"])
                updates = orthogonal(grads.lerp_(state["mean"], group["momentum"]))
                scale = max(1, shape[0] / shape[1]) ** 0.5
                for p, update in zip(params, updates, strict=True):
                    p.mul_(1 - group["lr"] * group["decay"])
                    p.add_(update, alpha=-group["lr"] * scale)


def orthogonal(g: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Return the nearest semi-orthogonal matrices, by quintic Newton-Schulz steps."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    wide = x.shape[-2] <= x.shape[-1]
    x = x if wide else x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        xx = x @ x.mT
        x = a * x + (b * xx + c * xx @ xx) @ x
    return (x if wide else x.mT).type_as(g)


def optimizers(model: Model, run: Run) -> list[torch.optim.Optimizer]:
    """Return Muon for the blocks' matrices and AdamW for everything else."""
    matrices = [p for p in model.blocks.parameters() if p.dim() == 2]
    other = [model.embed.weight, model.map.weight]
    other += [p for p in model.parameters() if p.dim() == 1]
    adam = torch.optim.AdamW(
        other, lr=run.adam_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    return [Muon(matrices, run.muon_rate, run.decay), adam]


def rate(step: int, run: Run) -> float:
    """Return the share of the full learning rate: warm up, steady, down."""
    warm = min(1.0, (step + 1) / run.warm_steps)
    return warm * min(1.0, 0.02 + (1 - step / run.steps) / run.cool)


def loss_of(
    model: Model,
    forward: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    signs: int,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    whole: torch.Tensor,
    own: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weighted cross-entropy and the accuracy on full-weight targets.

    `forward` is the model's, perhaps compiled.  A blank's logits are those of the
    signs alone, the tokens from `signs` on: the grammar lets nothing else through, and
    words are fifty times as many.
    """
    states = forward(inputs, whole, own)
    table = model.table()
    blank = weights == 1  # (B, T); only these rows and those of free text need logits
    logits = F.linear(states[blank], table[signs:]).float()  # (N, signs)
    wanted = targets[blank] - signs
    loss = F.cross_entropy(logits, wanted, reduction="sum")
    free = (weights > 0) & ~blank
    words = F.linear(states[free], table).float()  # (N, V)
    losses = F.cross_entropy(words, targets[free], reduction="none")
    loss = loss + (losses * weights[free]).sum()
    right = logits.argmax(-1) == wanted
    return loss / weights.sum(), right.float().sum() / max(1, len(right))


def train(model: Model, batches: Batches, run: Run) -> Model:
    """Train for the run's steps and return the model."""
    run.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(run.seed)
    opts = optimizers(model, run)
    full = [opt.param_groups[0]["lr"] for opt in opts]
    spent, step, rows = resume(model, opts, batches, run)
    print(f"{size(model):,} parameters, {run}", flush=True)
    start, saved, at_start = time.monotonic() - spent, time.monotonic(), spent
    seen, mean_loss, mean_right, since = 0, 0.0, 0.0, 0
    forward = model.forward
    if run.compiled:  # once for every width of a batch, some half a minute each
        torch._dynamo.config.recompile_limit = len(WIDTHS)
        forward = torch.compile(model.forward, dynamic=False)
    begun = step
    taught = model.meaning.norm(dim=1, keepdim=True) > 0  # (V, 1)
    while step < run.steps:
        now = rate(step, run)
        for opt, lr in zip(opts, full, strict=True):
            for group in opt.param_groups:
                group["lr"] = lr * now
        batch = [x.to(run.device) for x in batches.next()]
        unlearned = taught & (torch.rand(taught.shape) < run.unlearned).to(run.device)
        own = (~unlearned).float()
        with torch.autocast(run.device, dtype=torch.bfloat16):
            loss, right = loss_of(model, forward, batches.tokens.words, *batch, own)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in opts:
            opt.step()
            opt.zero_grad(set_to_none=True)
        step, since = step + 1, since + 1
        if step == int(run.steps * run.middle):
            keep(weights_of(model), run.out / "middle.pt")
        seen += batch[0].numel()
        spent = time.monotonic() - start
        mean_loss += loss.item()
        mean_right += right.item()
        if step % 50 == 0:
            left = (spent - at_start) / (step - begun) * (run.steps - step)
            rows.append((step, spent, mean_loss / since, mean_right / since))
            print(
                f"step {step:6d}  {spent / 60:6.1f} min, {left / 60:5.1f} left"
                f"  loss {rows[-1][2]:.4f}  right {rows[-1][3]:.4f}"
                f"  {seen / (time.monotonic() - start - rows_start(rows)):7.0f} tok/s",
                flush=True,
            )
            mean_loss = mean_right = 0.0
            seen = since = 0
        if time.monotonic() - saved > 120:
            save(model, opts, batches, run, spent, step, rows)
            saved = time.monotonic()
    save(model, opts, batches, run, spent, step, rows)
    return model


def rows_start(rows: list[tuple[int, float, float, float]]) -> float:
    """Return when the measuring interval of the last row began, in seconds."""
    return rows[-2][1] if len(rows) > 1 else 0.0


def save(
    model: Model,
    opts: list[torch.optim.Optimizer],
    batches: Batches,
    run: Run,
    spent: float,
    step: int,
    rows: list[tuple[int, float, float, float]],
) -> None:
    """Write checkpoint, curve and picture; a crash leaves the old or the new."""
    state = {
        **weights_of(model),
        "opts": [opt.state_dict() for opt in opts],
        "random": batches.rng.getstate(),
        "drawn": batches.drawn,
        "ready": batches.ready,
        "past": batches.past,
        "spent": spent,
        "step": step,
        "rows": rows,
        "run": {k: str(v) for k, v in asdict(run).items()},
    }
    keep(state, run.out / "checkpoint.pt")
    with (run.out / "loss.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    if rows:
        last = dict(zip(COLUMNS, rows[-1], strict=True))
        (run.out / "last.json").write_text(json.dumps(last))
        picture(rows, run.out / "loss.png")


def weights_of(model: Model) -> dict[str, Any]:
    """Return what load() needs."""
    return {"shape": asdict(model.shape), "model": model.state_dict()}


def keep(state: Mapping[str, Any], path: Path) -> None:
    """Write a file; a crash leaves the old or the new."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def resume(
    model: Model, opts: list[torch.optim.Optimizer], batches: Batches, run: Run
) -> tuple[float, int, list[tuple[int, float, float, float]]]:
    """Load the run's checkpoint, if there is one: seconds spent, steps, curve."""
    path = run.out / "checkpoint.pt"
    if not path.exists():
        return 0.0, 0, []
    state = torch.load(path, map_location=run.device, weights_only=False)
    if state["shape"] != asdict(model.shape):
        raise SystemExit(f"{run.out} holds another model's run: move it, or set OUT")
    model.load_state_dict(state["model"])
    for opt, old in zip(opts, state["opts"], strict=True):
        opt.load_state_dict(old)
    batches.rng.setstate(state["random"])
    batches.drawn, batches.ready = state["drawn"], state["ready"]
    batches.past = state["past"]
    return state["spent"], state["step"], state["rows"]


def load(path: Path) -> Model:
    """Return the model of a checkpoint, for export or evaluation."""
    state = torch.load(path, map_location="cpu", weights_only=False)
    model = Model(Shape(**state["shape"]))
    model.load_state_dict(state["model"])
    return model.eval()


def picture(rows: list[tuple[int, float, float, float]], path: Path) -> None:
    """Draw loss and share of right blanks over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    minutes = [row[1] / 60 for row in rows]
    figure, axis = pyplot.subplots(figsize=(7, 4))
    axis.plot(minutes, [row[2] for row in rows], label="loss")
    axis.plot(minutes, [row[3] for row in rows], label="blanks right")
    axis.set(xlabel="minutes", yscale="log", title="training")
    axis.legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
