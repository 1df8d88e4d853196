"""What else gets a training unstuck, at the cost of the base alone.

Where one of several runs is kept, it is chosen by the metric itself, which costs nothing here: in favour of
the rivals.

References
----------
Neelakantan et al. (2015), Adding gradient noise improves learning for very deep networks, eq. 1.
Loshchilov & Hutter (2017), SGDR: stochastic gradient descent with warm restarts, eq. 5.
"""

from __future__ import annotations

import statistics
from collections import deque

import torch
from torch import Tensor
from torch_tasks import Row, Training, spend, steps

from hybridopt.rng import generator

EVERY = 10  # losses in a mean, for restarts
PROGRESS = 1e-2  # share of the loss, for restarts
GRID = (1 / 3, 1.0, 3.0, 10.0)  # times the learning rate of the task


def restarts(task: Training, seed: int) -> Row:
    """Fresh first weights whenever the loss has stalled; the best run is kept."""
    finals, cost = [], 0
    while cost < task.budget:
        trainee = task.begin(seed, len(finals))
        trainee.cost = cost
        stalled = _Stalled(round(task.patience * task.budget / EVERY))
        for loss in steps(trainee, task.optimizer(trainee), task.budget):
            if stalled(loss):
                break
        cost = trainee.cost
        finals.append(trainee.final())
    return {"final": min(finals), "cost": cost, "runs": len(finals)}


def noise(task: Training, seed: int) -> Row:
    """Normal noise of variance eta / (1 + t)^0.55 on each gradient, eta by the task."""
    trainee = task.begin(seed)
    g = generator(seed, "gradient noise")

    def disturb(param: Tensor) -> None:
        spread = (task.noise / (1 + trainee.cost) ** 0.55) ** 0.5
        if param.grad is not None:
            param.grad += spread * torch.randn(param.shape, generator=g)

    for param in trainee.model.parameters():
        param.register_post_accumulate_grad_hook(disturb)
    return spend(trainee, task.optimizer(trainee), task.budget)


def sgdr(task: Training, seed: int) -> Row:
    """Four cosines from the learning rate to zero, each twice as long as the last, that fill the budget."""
    trainee = task.begin(seed)
    optimizer = task.optimizer(trainee)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, -(-task.budget // 15), 2)
    for _ in steps(trainee, optimizer, task.budget):
        schedule.step()
    return {"final": trainee.final(), "cost": trainee.cost}


def grid(task: Training, seed: int) -> Row:
    """A quarter of the budget for each of four learning rates; the best run is kept."""
    finals = _grid(task, seed, task.budget // len(GRID))
    return {"final": min(finals.values()), "cost": task.budget, "finals": finals}


def grid_best(task: Training, seed: int) -> Row:
    """All of the budget for each of four learning rates; `best_of_grid` picks one for the whole task."""
    return {"final": None, "cost": task.budget, "finals": _grid(task, seed, task.budget)}


def best_of_grid(rows: list[Row], threshold: float) -> list[Row]:
    """Rows of `grid_best` with the finals of the learning rate that, in hindsight, succeeds most often.

    Ties go to the lower median.
    """

    def merit(lr: str) -> tuple[int, float]:
        finals = [row["finals"][lr] for row in rows]
        return -sum(final <= threshold for final in finals), statistics.median(finals)

    best = min(rows[0]["finals"], key=merit)
    return [{**row, "final": row["finals"][best], "lr": best} for row in rows]


def _grid(task: Training, seed: int, budget: int) -> dict[str, float]:
    finals = {}
    for factor in GRID:
        lr = factor * task.lr
        trainee = task.begin(seed)
        finals[f"{lr:.3g}"] = spend(trainee, task.optimizer(trainee, lr), budget)["final"]
    return finals


class _Stalled:
    """Whether the lowest mean of `EVERY` losses is, but for `PROGRESS`, what it was `patience` means ago."""

    def __init__(self, patience: int) -> None:
        self.lowest: deque[float] = deque(maxlen=patience + 1)
        self.pending: list[float] = []

    def __call__(self, loss: float) -> bool:
        self.pending.append(loss)
        if len(self.pending) < EVERY:
            return False
        mean = statistics.fmean(self.pending)
        self.pending.clear()
        self.lowest.append(min(mean, self.lowest[-1]) if self.lowest else mean)
        full = len(self.lowest) == self.lowest.maxlen
        return full and self.lowest[-1] > (1 - PROGRESS) * self.lowest[0]


RIVALS = {
    "restarts": restarts,
    "noise": noise,
    "sgdr": sgdr,
    "grid": grid,
    "grid_best": grid_best,
}
