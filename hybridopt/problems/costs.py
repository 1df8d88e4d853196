"""The two costs of supervised learning on data that fit in a line: least squares, negative log likelihood.

Minimum and minimiser are in closed form, and so is the derivative, which is `grad`. The formulas stay as they
are on paper; the seed draws the box, so that no minimum is at its centre.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from hybridopt.problems.catalogue import problem
from hybridopt.problems.examples import drawn_box
from hybridopt.problems.problem import Problem, in_the_plane

LINE_X = (1.0, 2.0, 3.0, 4.0, 5.0)
LINE_Y = (1.0, 2.0, 4.0, 5.0, 8.0)
COIN = (0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0)
HEADS = (1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0)
DIE_COUNTS = (1.0, 2.0, 5.0)


@problem("line_fit")
def line_fit(dim: int = 1, seed: int = 0) -> Problem:
    """Least squares of y = w x at five points; the lowest mean squared error is 0.44, at the slope w = 1.4.

    x = 1, 2, 3, 4, 5 and y = 1, 2, 4, 5, 8, so that sum x^2 = 55, sum x y = 77 and sum y^2 = 110: the slope
    is 77 / 55 = 1.4, and the error (110 - 77^2 / 55) / 5 = 2.2 / 5 = 0.44. The derivative is
    2 (55 w - 77) / 5 = 22 w - 30.8.
    """
    if dim != 1:
        raise ValueError(f"problem 'line_fit' has one dimension, got dim={dim}; leave dim away")
    lower, upper = drawn_box("line_fit", 1, seed)
    slope = torch.tensor([[1.4]], dtype=torch.float64)
    return Problem("line_fit", 1, _line_fit, lower, upper + 1, value=0.44, x=slope, grad=_line_fit_grad)


@problem("bernoulli_likelihood")
def bernoulli_likelihood(dim: int = 2, seed: int = 0) -> Problem:
    """Negative log likelihood of p = sigmoid(w g + b) after nine tosses of two coins, g = 0 and g = 1.

    Heads are one of four with the coin 0, three of five with the coin 1. There is a parameter for each coin,
    so the probabilities become the shares: b = logit(1/4) = -ln 3 and w = logit(3/5) - b = ln(3/2) + ln 3,
    that is ln 4.5. The mean over the nine is the entropy of the shares, (4 H(1/4) + 5 H(3/5)) / 9 with
    H(p) = -p ln p - (1 - p) ln(1 - p). The derivative is the mean of (p - y) (g, 1), y = 1 for heads.
    """
    in_the_plane("bernoulli_likelihood", dim)
    lower, upper = drawn_box("bernoulli_likelihood", 2, seed)
    minimiser = torch.tensor([[math.log(4.5), -math.log(3)]], dtype=torch.float64)
    value = (4 * _entropy(1 / 4, 3 / 4) + 5 * _entropy(3 / 5, 2 / 5)) / 9
    return Problem(
        "bernoulli_likelihood",
        2,
        _bernoulli,
        lower,
        upper + 1,
        value=value,
        x=minimiser,
        grad=_bernoulli_grad,
    )


@problem("categorical_likelihood")
def categorical_likelihood(dim: int = 3, seed: int = 0) -> Problem:
    """Negative log likelihood of p = softmax(z) after counts 1, 2 and 5 of three classes.

    The probabilities become the shares 1/8, 1/4, 5/8, and the mean over the eight their entropy. A number
    added to every z changes nothing: the minima are a line, of which `x` has the point z = ln p. The
    derivative is softmax(z) - shares.
    """
    if dim != 3:
        raise ValueError(
            f"problem 'categorical_likelihood' has three dimensions, got dim={dim}; leave dim away"
        )
    lower, upper = drawn_box("categorical_likelihood", 3, seed)
    shares = _shares(lower)
    return Problem(
        "categorical_likelihood",
        3,
        _categorical,
        lower,
        upper,
        value=_entropy(*shares.tolist()),
        x=shares.log()[None],
        grad=_categorical_grad,
    )


def _line_fit(w: Tensor) -> Tensor:
    x, y = torch.tensor(LINE_X).to(w), torch.tensor(LINE_Y).to(w)
    return (w * x - y).square().mean(-1)


def _line_fit_grad(w: Tensor) -> Tensor:
    return 22 * w - 30.8


def _bernoulli(w: Tensor) -> Tensor:
    logit, heads = _logit(w), torch.tensor(HEADS).to(w)
    return (-logsigmoid(-logit) - heads * logit).mean(-1)


def _bernoulli_grad(w: Tensor) -> Tensor:
    group, heads = torch.tensor(COIN).to(w), torch.tensor(HEADS).to(w)
    excess = _logit(w).sigmoid() - heads
    return torch.stack([(excess * group).mean(-1), excess.mean(-1)], -1)


def _logit(w: Tensor) -> Tensor:
    return w[..., :1] * torch.tensor(COIN).to(w) + w[..., 1:]


def _categorical(z: Tensor) -> Tensor:
    return z.logsumexp(-1) - (_shares(z) * z).sum(-1)


def _categorical_grad(z: Tensor) -> Tensor:
    return z.softmax(-1) - _shares(z)


def _shares(like: Tensor) -> Tensor:
    counts = torch.tensor(DIE_COUNTS).to(like)
    return counts / counts.sum()


def _entropy(*shares: float) -> float:
    return -sum(share * math.log(share) for share in shares)
