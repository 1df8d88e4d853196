"""What the benchmarks of training share: a model under training, its cost, the base alone and `Hybrid`.

A run of the closure, forward and backward, costs one, whoever called it: the loop, a child of `Hybrid`, a
restart, a learning rate of a grid. Everything random is by seed: first weights, data, minibatches, dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt.optim import Escape, Hybrid
from hybridopt.rng import generator, hash_seed

Row = dict[str, Any]  # what is kept of a run


@dataclass(eq=False)
class Trainee:
    """A model, its losses, and what was spent on it.

    Attributes
    ----------
    model : nn.Module
    loss : callable, (step) -> Tensor, shape ()
        Loss of the minibatch of a step; the same one however often it is asked.
    metric : callable, () -> Tensor, shape ()
        What counts in the end, for instance the loss over all data.
    cost : int
        Closures run so far.
    """

    model: nn.Module
    loss: Callable[[int], Tensor]
    metric: Callable[[], Tensor]
    cost: int = 0

    def final(self) -> float:
        """The metric in evaluation mode; NaN counts as infinite."""
        self.model.eval()
        with torch.no_grad():
            value = float(self.metric())
        self.model.train()
        return value if value < torch.inf else torch.inf


@dataclass(frozen=True, eq=False)
class Training:
    """A task with its budget and the optimizer one would take for it.

    Attributes
    ----------
    name : str
    make : callable, (seed, start) -> Trainee
        Data and minibatches by `seed`, first weights by both, or drawn from torch's global generator.
    budget : int
        Closures.
    base : type
        Subclass of `torch.optim.Optimizer`.
    lr : float
    options : dict
        Further options of the base.
    threshold : float
        A run whose metric ends at or below it has succeeded.
    noise : float
        The rival `noise` has variance `noise / (1 + t)**0.55` at step t.
    patience : float
        The rival `restarts` starts anew after this share of the budget without progress.
    family : str
        Tasks of a family are tested together; by default each is its own.
    """

    name: str
    make: Callable[[int, int], Trainee]
    budget: int
    base: type[torch.optim.Optimizer] = torch.optim.Adam
    lr: float = 0.01
    options: dict[str, Any] = field(default_factory=dict)
    threshold: float = 0.0
    noise: float = 0.01
    patience: float = 0.05
    family: str = ""

    def begin(self, seed: int, start: int = 0) -> Trainee:
        """Seed torch's global generator (first weights, dropout, `Hybrid`) and make what is trained."""
        torch.manual_seed(hash_seed(seed, "training", start))
        return self.make(seed, start)

    def optimizer(self, trainee: Trainee, lr: float | None = None) -> torch.optim.Optimizer:
        """Make the base for the model, with the task's learning rate or another one."""
        return self.base(trainee.model.parameters(), lr=lr or self.lr, **self.options)


def minibatch(seed: int, samples: int, size: int) -> Callable[[int], Tensor]:
    """Rows (size,) of each step, epoch after epoch in another order; the last, smaller batch is left out."""
    per_epoch = samples // size
    orders: dict[int, Tensor] = {}

    def rows(step: int) -> Tensor:
        epoch, place = divmod(step, per_epoch)
        if epoch not in orders:
            orders.clear()
            orders[epoch] = torch.randperm(samples, generator=generator(seed, "epoch", epoch))
        return orders[epoch][place * size : (place + 1) * size]

    return rows


def steps(trainee: Trainee, optimizer: torch.optim.Optimizer, budget: int) -> Iterator[float]:
    """Train until so many closures have run; yield the loss of each step."""
    step = 0

    def closure() -> Tensor:
        trainee.cost += 1
        optimizer.zero_grad()
        loss = trainee.loss(step)
        loss.backward()
        return loss.detach()

    while trainee.cost < budget:
        yield float(optimizer.step(closure))
        step += 1


def spend(trainee: Trainee, optimizer: torch.optim.Optimizer, budget: int) -> Row:
    """Train until the budget is spent; how that ended."""
    count = sum(1 for _ in steps(trainee, optimizer, budget))
    return {"final": trainee.final(), "cost": trainee.cost, "steps": count}


def base(task: Training, seed: int) -> Row:
    """The base optimizer and nothing else."""
    trainee = task.begin(seed)
    return spend(trainee, task.optimizer(trainee), task.budget)


def hybrid(task: Training, seed: int, escape: dict[str, Any]) -> Row:
    """`Hybrid` round the same base; `escape` holds options of `Escape`, none for its defaults."""
    trainee = task.begin(seed)
    optimizer = Hybrid(
        trainee.model.parameters(), base=task.base, escape=Escape(**escape), lr=task.lr, **task.options
    )
    row = spend(trainee, optimizer, task.budget)
    accepted = [attempt.cost for attempt in optimizer.history if attempt.accepted]
    row |= {"tried": len(optimizer.history), "accepted": len(accepted)}
    # whatever was neither a step nor part of a success, also what an escape had cost when the budget was out
    return row | {"wasted": row["cost"] - row["steps"] - sum(accepted)}
