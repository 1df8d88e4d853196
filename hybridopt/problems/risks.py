"""Losses over all of scikit-learn's data as functions of a flat vector of parameters, in float64.

Nothing is held out and nothing is drawn, but first weights: the seed of the linear models changes nothing.
Minimize them as they are, or in minibatches by `make_task(...).risk(batch_size)`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid, mse_loss

from hybridopt.autodiff import flatten
from hybridopt.problems import data, learning
from hybridopt.problems.catalogue import problem
from hybridopt.problems.network import NetworkLoss, NetworkRisk
from hybridopt.problems.problem import Problem, box
from hybridopt.rng import global_generators, hash_seed


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Mean over samples of (<x_i, w> - y_i)^2 / 2; Hessian x^T x / samples.

    Attributes
    ----------
    x : Tensor, shape (samples, dim)
    y : Tensor, shape (samples,)
    """

    x: Tensor
    y: Tensor

    def __call__(self, w: Tensor) -> Tensor:
        """Values at rows (..., dim)."""
        return (w @ self.x.to(w).T - self.y.to(w)).square().mean(-1) / 2


@dataclass(frozen=True, eq=False)
class Logistic:
    """Mean negative log likelihood of p_i = sigmoid(<x_i, w>), and penalty / (2 samples) |w|^2.

    The last entry of w, the intercept, has no penalty.

    Attributes
    ----------
    x : Tensor, shape (samples, dim)
        With a last column of ones.
    y : Tensor, shape (samples,)
        0 or 1.
    penalty : float
    """

    x: Tensor
    y: Tensor
    penalty: float

    def __call__(self, w: Tensor) -> Tensor:
        """Values at rows (..., dim)."""
        logit = w @ self.x.to(w).T
        likelihood = (-logsigmoid(-logit) - self.y.to(w) * logit).mean(-1)
        return likelihood + self.penalty / (2 * len(self.x)) * w[..., :-1].square().sum(-1)


@problem("diabetes")
def diabetes(seed: int = 0) -> Problem:
    """Least squares on all 442 patients of the diabetes data, no intercept (10 parameters).

    Every column of x, and y, has mean 0 and spread 1 (dividing by the number of samples), so that an
    intercept would be 0. The Hessian has condition 470: gradient descent by 1/lambda_max takes some 6,400
    steps to six digits. The minimum, by `torch.linalg.lstsq`, is half of the variance left unexplained.

    References
    ----------
    B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least Angle Regression", Annals of Statistics, 2004.
    """
    fun = LeastSquares(*_standardised_diabetes())
    best = torch.linalg.lstsq(fun.x, fun.y[:, None]).solution[:, 0]
    lower, upper = box(10, -2.0, 3.0)
    return Problem("diabetes", 10, fun, lower, upper, value=float(fun(best)), x=best[None])


@problem("breast_cancer")
def breast_cancer(seed: int = 0, penalty: float = 1.0) -> Problem:
    """Logistic regression on all 569 tumours of the breast cancer data, with a penalty (31 parameters).

    The columns of x have mean 0 and spread 1, the intercept comes last. A plane separates the two kinds, so
    that without the penalty the likelihood has no maximum. The minimum is scipy's trust-exact's, with a
    gradient below 1e-10: its value is exact to rounding, its point to 1e-7.

    Parameters
    ----------
    seed : int
    penalty : float
        The loss has penalty / (2 * 569) |w|^2 (not for the intercept); that is 1/C of scikit-learn. Above 0.

    Raises
    ------
    ValueError
        If the penalty is not above 0.
    """
    if not (penalty > 0 and math.isfinite(penalty)):
        raise ValueError(f"penalty of problem 'breast_cancer' must be above 0 and finite, got {penalty}")
    fun, best = _breast_cancer(float(penalty))
    lower, upper = box(31, -10.0, 15.0)
    if not ((best > lower) & (best < upper)).all():
        raise ValueError(
            f"penalty={penalty} of problem 'breast_cancer' is so small that the minimum lies outside of the "
            "box [-10, 15]; choose a larger one"
        )
    return Problem("breast_cancer", 31, fun, lower, upper, value=float(fun(best)), x=best[None])


@problem("digits")
def digits(seed: int = 0) -> Problem:
    """Softmax regression on all 1,797 digits (650 parameters): convex, no known minimum."""
    x, y = data.digits()
    (x,) = data.standardise(x)
    return _network("digits", learning.digits_line, cross_entropy, x, y, seed)


@problem("diabetes_network")
def diabetes_network(seed: int = 0) -> Problem:
    """Mean squared error of a network 10-8-1 on all diabetes data (97 parameters), no known minimum."""
    x, y = _standardised_diabetes()
    return _network("diabetes_network", learning.diabetes_network, mse_loss, x, y[:, None], seed)


@problem("breast_cancer_network")
def breast_cancer_network(seed: int = 0) -> Problem:
    """Likelihood of a network 30-8-2 on all of the breast cancer data (266 parameters), no known minimum."""
    x, y = data.breast_cancer()
    (x,) = data.standardise(x)
    return _network("breast_cancer_network", learning.cancer_network, cross_entropy, x, y, seed)


@problem("digits_network")
def digits_network(seed: int = 0) -> Problem:
    """Likelihood of a network 64-32-10 on all 1,797 digits (2,410 parameters), no known minimum."""
    x, y = data.digits()
    (x,) = data.standardise(x)
    return _network("digits_network", learning.digits_network, cross_entropy, x, y, seed)


def _network(
    name: str,
    network: Callable[[], nn.Module],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    seed: int,
) -> Problem:
    """Problem of a network, started at torch's own first weights by seed."""
    loss = NetworkLoss(network, loss_fn)
    with global_generators(hash_seed(seed, "model", name)):
        start = flatten(network().parameters()).double()
    lower, upper = box(loss.dim, -10.0, 15.0)
    return Problem(name, loss.dim, NetworkRisk(loss, x, y), lower, upper, start=start)


@functools.cache
def _standardised_diabetes() -> tuple[Tensor, Tensor]:
    x, y = data.diabetes()
    (x,), (y,) = data.standardise(x), data.standardise(y)
    return x, y


@functools.cache
def _breast_cancer(penalty: float) -> tuple[Logistic, Tensor]:
    """The loss and its minimiser."""
    from scipy.optimize import minimize

    x, y = data.breast_cancer()
    (x,) = data.standardise(x)
    fun = Logistic(torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1), y, penalty)
    grad = torch.func.grad(fun)
    hessian = torch.func.jacrev(grad)
    found = minimize(
        lambda w: fun(torch.as_tensor(w)).item(),
        torch.zeros(31, dtype=torch.float64).numpy(),
        jac=lambda w: grad(torch.as_tensor(w)).numpy(),
        hess=lambda w: hessian(torch.as_tensor(w)).numpy(),
        method="trust-exact",
        options={"gtol": 1e-10},
    )
    return fun, torch.as_tensor(found.x)
