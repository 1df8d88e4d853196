"""Small models, and ways to run and compare optimizers on them."""

import math
import random

import numpy as np
import torch
from torch import nn

from hybridopt.conditions import Steps
from hybridopt.optim import Escape, Hybrid
from hybridopt.rng import global_generators_fingerprint

# Tries an escape whenever it may, and never accepts one.
REJECTS = Escape(when=Steps(1), every=1, spread=(0.1, 1.0), length=4, longest=1, margin=1e9, share=math.inf)
# Accepts whatever is not worse.
EAGER = Escape(
    when=Steps(1),
    every=1,
    spread=(0.03, 0.1, 0.3, 1.0),
    length=4,
    longest=1,
    margin=0.0,
    z=0.0,
    share=math.inf,
)


def plain_closure(model, optimizer, x, y):
    """Zero, mean squared error, backward."""

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    return closure


def regression(make):
    """Model, its optimizer and closure."""
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randn(32, 1)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = make(model)
    return model, optimizer, plain_closure(model, optimizer, x, y)


BASES = {
    "ASGD": {"lr": 0.01},
    "Adadelta": {"lr": 0.5},
    "Adafactor": {"lr": 0.01},
    "Adagrad": {"lr": 0.01},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "AdamW": {"lr": 0.01, "fused": True},
    "Adamax": {"lr": 0.01},
    "LBFGS": {"lr": 0.1, "max_iter": 4, "line_search_fn": "strong_wolfe"},
    "Muon": {"lr": 0.01},
    "NAdam": {"lr": 0.01},
    "RAdam": {"lr": 0.01},
    "RMSprop": {"lr": 0.01, "momentum": 0.9, "centered": True},
    "Rprop": {"lr": 0.01},
    "SGD": {"lr": 0.01, "momentum": 0.9, "nesterov": True},
    "SparseAdam": {"lr": 0.01},
}


class Task:
    """A small noisy model with minibatches, of the kind of parameters that the base takes."""

    def __init__(self, base: str, *, dropout: bool = True) -> None:
        torch.manual_seed(3)
        if base == "SparseAdam":
            self.model: nn.Module = nn.Embedding(6, 3, sparse=True)
            self.x = torch.randint(0, 6, (64,))
        else:
            bias = base != "Muon"
            middle = [nn.BatchNorm1d(8, affine=bias), nn.Dropout(0.3)] if dropout else []
            layers = [nn.Linear(4, 8, bias=bias), *middle, nn.Tanh(), nn.Linear(8, 3, bias=bias)]
            self.model = nn.Sequential(*layers)
            self.x = torch.randn(64, 4)
        self.y = torch.randn(64, 3)
        self.calls = 0

    def closure(self, optimizer: torch.optim.Optimizer, step: int):
        rows = slice(16 * (step % 4), 16 * (step % 4 + 1))

        def run():
            self.calls += 1
            optimizer.zero_grad()
            noise = 0.01 * (random.random() + np.random.rand())  # noqa: NPY002
            loss = (self.model(self.x[rows]) + noise - self.y[rows]).square().mean()
            loss.backward()
            return loss

        return run


def seed_everything() -> None:
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)


def everything(model: nn.Module, optimizer: torch.optim.Optimizer) -> list:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    return [
        dict(model.state_dict()),
        [p.grad for p in params],
        [optimizer.state[p] for p in params if p in optimizer.state],
        global_generators_fingerprint(),
    ]


def same(a, b) -> bool:
    """Equal bit for bit, through containers."""
    if isinstance(a, torch.Tensor):
        if a.is_sparse:
            a, b = a.to_dense(), b.to_dense()
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def run(name: str, make, steps: int, *, closures: bool):
    task = Task(name)
    optimizer = make(task, getattr(torch.optim, name), BASES[name])
    seed_everything()
    for step in range(steps):
        closure = task.closure(optimizer, step)
        if closures:
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
    return task, optimizer


def plain(task, base, options):
    return base(task.model.parameters(), **options)


def rejecting(task, base, options):
    return Hybrid(task.model.parameters(), base=base, escape=REJECTS, **options)


def quadratic(x: torch.Tensor, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = (x - 1).square().sum()
        loss.backward()
        return loss

    return closure


def until_due(optimizer: Hybrid, closure) -> None:
    """Step until the next step begins with an escape."""
    while not optimizer._escape.memory.due:
        optimizer.step(closure)
