"""A deep linear network: not convex, with a saddle at the origin that the Hessian can't see."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.problems.catalogue import problem
from hybridopt.problems.factorisation import saddle_pairs
from hybridopt.problems.placement import place, rotation
from hybridopt.problems.problem import Problem, box
from hybridopt.rng import generator

SAMPLES_PER_INPUT = 8


@dataclass(frozen=True, eq=False)
class DeepLinear:
    """Mean over samples of |W3 W2 W1 a - b|^2, with the three matrices in one flat vector.

    Attributes
    ----------
    inputs : Tensor, shape (samples, inputs)
        White: inputs^T inputs / samples is the identity.
    targets : Tensor, shape (samples, outputs)
    hidden : int
        Units in each of the two hidden layers.
    """

    inputs: Tensor
    targets: Tensor
    hidden: int

    def __call__(self, z: Tensor) -> Tensor:
        """Values at rows (..., hidden (inputs + hidden + outputs))."""
        out = self.inputs.to(z)
        shapes = self.shapes
        for part, (m, n) in zip(torch.split(z, [m * n for m, n in shapes], -1), shapes, strict=True):
            out = out @ part.reshape(*z.shape[:-1], m, n).mT
        return (out - self.targets.to(z)).square().sum(-1).mean(-1)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of the matrices W1, W2, W3."""
        first, last = self.inputs.shape[1], self.targets.shape[1]
        return [(self.hidden, first), (self.hidden, self.hidden), (last, self.hidden)]


@problem("deep_linear_network")
def deep_linear_network(inputs: int = 3, hidden: int = 2, outputs: int = 3, seed: int = 0) -> Problem:
    """Least squares of W3 W2 W1 a, started at the origin, a degenerate saddle: gradient and Hessian are 0.

    The inputs are white and the targets are B a + noise that no linear map explains. So the loss is
    |W3 W2 W1 - B|^2 + |noise|^2, and its minimum, by Eckart and Young, |noise|^2 = 0.25 and the squares of
    the singular values of B (from 2 to 0.5 in equal steps) that do not pass through the hidden layers;
    balanced factors are in `x`, one point of many. `saddles` has the origin and products of fewer than
    `hidden` leading singular pairs, all degenerate (the Hessian has no negative eigenvalue, the descent is of
    third order), and at last products of `hidden` pairs with one replaced by the next: these are strict.

    Parameters
    ----------
    inputs, hidden, outputs : int
        Units of the layers. The problem has hidden (inputs + hidden + outputs) dimensions.
    seed : int

    Raises
    ------
    ValueError
        If `hidden` is not in 1 .. min(inputs, outputs).

    References
    ----------
    K. Kawaguchi, "Deep Learning without Poor Local Minima", NeurIPS 2016, theorem 2.3: bad saddles exist
    from three layers on, where the product of the inner matrices has less than full rank.
    """
    count = min(inputs, outputs)
    if not 1 <= hidden <= count:
        raise ValueError(
            f"hidden of problem 'deep_linear_network' must be in 1 .. min(inputs, outputs) = {count}, "
            f"got {hidden}"
        )
    singular = torch.linspace(2, 0.5, count, dtype=torch.float64)
    right, left = (
        rotation(size, generator(seed, "problem", "deep_linear_network", side))[:, :count]
        for side, size in (("inputs", inputs), ("outputs", outputs))
    )
    raw = DeepLinear(*_data((left * singular) @ right.T, seed), hidden)
    dim = hidden * (inputs + hidden + outputs)
    # the points of `x` and `saddles` lie within sqrt(3 * 2^(2/3) hidden) = 2.18 sqrt(hidden) of the origin
    lower, upper = box(dim, -4.5 * math.sqrt(hidden), 4.5 * math.sqrt(hidden))
    fun = place(raw, lower, upper, seed=seed, name="deep_linear_network", reach=0.4)
    balanced = {
        pairs: fun.at(_balanced(left, singular, right, pairs, hidden))
        for pairs in [tuple(range(hidden)), *saddle_pairs(count, hidden)]
    }
    best, *further = balanced.values()
    return Problem(
        "deep_linear_network",
        dim,
        fun,
        lower,
        upper,
        value=0.25 + float(singular[hidden:].square().sum()),
        x=best[None],
        start=fun.shift.clone(),
        saddles=torch.stack([fun.shift, *further]),
    )


def _data(matrix: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """White inputs, and targets with noise of mean square 0.25 that is orthogonal to them."""
    outputs, inputs = matrix.shape
    samples = SAMPLES_PER_INPUT * inputs + outputs
    g = generator(seed, "problem", "deep_linear_network", "data")
    draws = torch.randn(samples, inputs + outputs, generator=g, dtype=torch.float64)
    basis = torch.linalg.qr(draws).Q * math.sqrt(samples)  # columns orthogonal, of mean square 1
    noise = basis[:, inputs:] * math.sqrt(0.25 / outputs)
    return basis[:, :inputs], basis[:, :inputs] @ matrix.T + noise


def _balanced(left: Tensor, singular: Tensor, right: Tensor, pairs: tuple[int, ...], hidden: int) -> Tensor:
    """W1, W2, W3, flat, whose product is the sum of these singular pairs, each with a third of the size."""
    chosen = list(pairs)
    root = torch.zeros(hidden, dtype=torch.float64)
    root[: len(chosen)] = singular[chosen].pow(1 / 3)
    first = torch.zeros(hidden, right.shape[0], dtype=torch.float64)
    last = torch.zeros(left.shape[0], hidden, dtype=torch.float64)
    first[: len(chosen)] = right[:, chosen].T
    last[:, : len(chosen)] = left[:, chosen]
    factors = [root[:, None] * first, torch.diag(root), last * root]
    return torch.cat([factor.flatten() for factor in factors])
