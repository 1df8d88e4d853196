"""Logistic regression: no closed form, but Newton's method of scipy solves it to a stated gradient norm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from hybridopt.baselines.baseline import Baseline
from hybridopt.baselines.linear import box, normal, offset
from hybridopt.rng import generator

GRAD_NORM = 1e-8  # of the reference; as the smallest curvature is 0.1, its x is right to 1e-7


@dataclass(frozen=True, eq=False)
class LogisticLoss:
    """Mean negative log likelihood of labels in {-1, 1}, and ridge |x|^2 / 2, for rows x."""

    features: Tensor  # (samples, dim)
    labels: Tensor  # (samples,)
    ridge: float

    def __call__(self, x: Tensor) -> Tensor:
        """Values; shape (...,) of x's shape (..., dim)."""
        margins = (x @ self.features.T) * self.labels
        return softplus(-margins).mean(-1) + self.ridge / 2 * x.square().sum(-1)

    def grad(self, x: Tensor) -> Tensor:
        """Gradient; (dim,)."""
        wrong = torch.sigmoid(-(self.features @ x) * self.labels)
        return self.features.T @ (-self.labels * wrong) / len(self.labels) + self.ridge * x

    def hessian(self, x: Tensor) -> Tensor:
        """Second derivatives; (dim, dim)."""
        p = torch.sigmoid(self.features @ x)
        weighted = self.features * (p * (1 - p))[:, None]
        one = torch.eye(len(x), dtype=x.dtype)
        return self.features.T @ weighted / len(self.labels) + self.ridge * one


def logistic(seed: int) -> Baseline:
    """Logistic regression with a ridge of 0.1, by scipy.optimize.minimize(method="trust-exact").

    Raises
    ------
    RuntimeError
        If the reference has a gradient norm of more than 1e-8.
    """
    from scipy.optimize import minimize

    g = generator(seed, "baseline", "logistic")
    features = normal((60, 4), g)
    features[:, 0] = 1.0  # intercept
    features[:, 1:] *= 1.6
    truth = torch.tensor([0.5, 1.5, -1.0, 0.8], dtype=torch.float64)
    chance = torch.rand(60, generator=g, dtype=torch.float64)
    labels = torch.where(chance < torch.sigmoid(features @ truth), 1.0, -1.0).to(torch.float64)
    fun = LogisticLoss(features, labels, ridge=0.1)
    start = truth + offset(4, g)

    found = minimize(
        _of_arrays(fun),
        start.numpy(),
        jac=_of_arrays(fun.grad),
        hess=_of_arrays(fun.hessian),
        method="trust-exact",
        options={"gtol": GRAD_NORM / 10},
    )
    x = torch.from_numpy(found.x)
    if not float(fun.grad(x).norm()) <= GRAD_NORM:
        raise RuntimeError(
            f"the reference has gradient norm {float(fun.grad(x).norm()):.2g}, expected at most {GRAD_NORM}; "
            f"scipy says: {found.message}"
        )
    lower, upper = box(4, -5, 4)
    return Baseline("logistic", "scipy trust-exact", fun, lower, upper, start, x, float(fun(x)))


def _of_arrays(function: Callable[[Tensor], Tensor]) -> Callable[[Any], Any]:
    """The same function from arrays to arrays, as scipy wants it."""
    return lambda x: function(torch.from_numpy(x)).numpy()
