"""Tasks in which plain training gets stuck: plateaus, saddles, poor minima, dead units.

Each takes a second or so. Networks are trained by Adam, factors and measurements by SGD with momentum, at
learning rates that one would try first. Budgets let a run that is not stuck come below the threshold. The
noise of the rival `noise`, of 1, 0.3, 0.01, 1e-4, 1e-6, and the patience of `restarts` are those that do best
on some other seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss, normalize
from torch_tasks import Trainee, Training, minibatch

from hybridopt.rng import generator


class Product(nn.Module):
    """A product of matrices, all of them parameters."""

    def __init__(self, matrices: list[Tensor]) -> None:
        super().__init__()
        self.matrices = nn.ParameterList(matrices)

    def forward(self) -> Tensor:
        product = self.matrices[0]
        for matrix in self.matrices[1:]:
            product = matrix @ product
        return product


class Point(nn.Module):
    """A vector."""

    def __init__(self, point: Tensor) -> None:
        super().__init__()
        self.point = nn.Parameter(point)


class Adder(nn.Module):
    """A tanh network that reads (samples, length, 2) and says one number, (samples,), after the last."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.read = nn.Linear(2, hidden)
        self.keep = nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, 1)

    def forward(self, sequences: Tensor) -> Tensor:
        first, *others = self.read(sequences.transpose(0, 1)).unbind(0)
        state = first.tanh()
        for seen in others:  # faster than nn.RNN on a processor
            state = (seen + self.keep(state)).tanh()
        return self.head(state)[:, 0]


def full_batch(model: nn.Module, loss: Callable[[], Tensor]) -> Trainee:
    """A trainee whose every step sees all data."""
    return Trainee(model, lambda step: loss(), loss)


def _classifier(model: nn.Module, x: Tensor, y: Tensor) -> Trainee:
    return full_batch(model, lambda: binary_cross_entropy_with_logits(model(x)[:, 0], y))


def parity(bits: int, hidden: int, seed: int, start: int) -> Trainee:
    """Whether the number of ones among the bits is odd; all 2^bits inputs, network bits-hidden-1."""
    x = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=bits)))
    y = (x > 0).sum(1).remainder(2).float()
    return _classifier(nn.Sequential(nn.Linear(bits, hidden), nn.Tanh(), nn.Linear(hidden, 1)), x, y)


def xor(seed: int, start: int) -> Trainee:
    """Four points, three ReLUs: some are dead from the first step."""
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([0.0, 1.0, 1.0, 0.0])
    return _classifier(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), x, y)


def spirals(seed: int, start: int) -> Trainee:
    """Two spirals of 97 points each, three half turns (Lang & Witbrock, 1988); network 2-10-10-1."""
    turn, radius = torch.arange(97) * math.pi / 16, 1 - torch.arange(97) / 104
    arm = torch.stack([radius * turn.sin(), radius * turn.cos()], 1)
    x, y = torch.cat([arm, -arm]), torch.cat([torch.ones(97), torch.zeros(97)])
    layers = nn.Linear(2, 10), nn.Tanh(), nn.Linear(10, 10), nn.Tanh(), nn.Linear(10, 1)
    return _classifier(nn.Sequential(*layers), x, y)


def deep_linear(seed: int, start: int) -> Trainee:
    """Three matrices 8 x 8 of entries around 1e-3, whose product should be a rotation; a saddle at zero."""
    target = torch.linalg.qr(torch.randn(8, 8, generator=generator(seed, "rotation")))[0]
    g = generator(seed, "matrices", start)
    model = Product([1e-3 * torch.randn(8, 8, generator=g) for _ in range(3)])
    return full_batch(model, lambda: (model() - target).square().sum() / 8)


def factors(seed: int, start: int) -> Trainee:
    """20 x 20 of rank 4 as U V^T, from entries around 1e-12: a saddle at zero."""
    g = generator(seed, "matrix")
    target = torch.randn(20, 4, generator=g) @ torch.randn(4, 20, generator=g) / 20
    g = generator(seed, "factors", start)
    model = Product([1e-12 * torch.randn(4, 20, generator=g), 1e-12 * torch.randn(20, 4, generator=g)])
    return full_batch(model, lambda: (model() - target).square().sum() / target.square().sum())


def phase(unknowns: int, measurements: int, seed: int, start: int) -> Trainee:
    """A vector of length 1 by squared inner products with normal vectors."""
    g = generator(seed, "measurements")
    vectors = torch.randn(measurements, unknowns, generator=g)
    truth = normalize(torch.randn(unknowns, generator=g), dim=0)
    seen = (vectors @ truth).square()
    model = Point(normalize(torch.randn(unknowns, generator=generator(seed, "point", start)), dim=0))
    return full_batch(model, lambda: ((vectors @ model.point).square() - seen).square().mean() / 4)


def adding(seed: int, start: int) -> Trainee:
    """The sum of the two marked numbers among 30 (Hochreiter & Schmidhuber, 1997); 1,000 sequences."""
    g = generator(seed, "sequences")
    samples, length = 1000, 30
    numbers, marks = torch.rand(samples, length, generator=g), torch.zeros(samples, length)
    half = length // 2
    for low, high in ((0, half), (half, length)):
        marks.scatter_(1, torch.randint(low, high, (samples, 1), generator=g), 1.0)
    x, y = torch.stack([numbers, marks], 2), (numbers * marks).sum(1)
    rows = minibatch(seed, samples, 50)
    model = Adder(24)

    def loss(step: int) -> Tensor:
        return mse_loss(model(x[rows(step)]), y[rows(step)])

    return Trainee(model, loss, lambda: mse_loss(model(x), y))


MOMENTUM = {"momentum": 0.9}
ADAM, SGD = torch.optim.Adam, torch.optim.SGD
TASKS = {  # what the defaults of `Escape` were chosen on
    task.name: task
    for task in (
        # Stuck runs end at 2 ln 2 / 2^bits or above: two inputs aren't told apart: 0.087, 0.022, 0.0054.
        Training("parity4", partial(parity, 4, 5), 2000, threshold=0.05, noise=1e-4, family="parity"),
        Training("parity6", partial(parity, 6, 10), 2000, threshold=0.015, noise=1e-4, family="parity"),
        Training("parity8", partial(parity, 8, 16), 2000, threshold=0.004, noise=1e-4, family="parity"),
        # A stuck run ends at 0.35 = ln 2 / 2 or above; others are through after 400 steps.
        Training("xor", xor, 1000, threshold=0.1, noise=0.01),
        # Poor minima and slow progress: a quarter gets there in 3,000.
        Training("spirals", spirals, 3000, threshold=0.1, noise=1e-6, patience=0.1),
        # The way out of the saddle takes the base 4,000 steps, all of it some 400 with noise.
        Training("deep_linear", deep_linear, 1000, SGD, 0.03, MOMENTUM, threshold=0.01, noise=0.01),
        # As above: 1,200 to 1,600, from there some 1,500, and 500 with noise.
        Training("factors", factors, 1000, SGD, 0.003, MOMENTUM, threshold=0.01, noise=0.01),
        # A stuck run ends above 0.03; others are through after 300 steps.
        Training("phase", partial(phase, 30, 90), 1000, SGD, 0.03, MOMENTUM, threshold=1e-3, noise=0.01),
        # A plateau at the variance, 0.16, which most leave after 500 to 1,500 steps; half of it is success.
        Training("adding", adding, 1000, lr=0.003, threshold=0.08, noise=1e-6, patience=0.5),
    )
}


def _other(name: str, of: str, **changes: Any) -> Training:
    family = f"other {TASKS[of].family or of}"
    return replace(TASKS[of], name=name, family=family, **changes)


# Other sizes, rates and optimizers, on which nothing was chosen.
VARIATIONS = {
    task.name: task
    for task in (
        _other("parity4-4", "parity4", make=partial(parity, 4, 4)),
        _other("parity5-6", "parity4", make=partial(parity, 5, 6), threshold=0.03),
        _other("parity6-8", "parity6", make=partial(parity, 6, 8), budget=3000),
        _other("parity7-12", "parity8", make=partial(parity, 7, 12), threshold=0.008),
        _other("parity8-12", "parity8", make=partial(parity, 8, 12)),
        _other("xor-slow", "xor", budget=2500, lr=0.003),
        _other("xor-fast", "xor", budget=600, lr=0.03),
        _other("xor-sgd", "xor", budget=1500, base=SGD, lr=0.1, options=MOMENTUM),
        _other("phase20", "phase", make=partial(phase, 20, 50)),
        _other("phase40", "phase", make=partial(phase, 40, 100), budget=1500),
        _other("phase60", "phase", make=partial(phase, 60, 150), budget=2000),
        _other(
            "phase-adam", "phase", make=partial(phase, 30, 75), budget=1500, base=ADAM, lr=0.01, options={}
        ),
    )
}
ALL = TASKS | VARIATIONS
