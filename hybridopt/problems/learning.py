"""Learning tasks on scikit-learn's data: a linear model and a small network for each.

The same losses as functions of a flat vector, for engine optimizers, are in `risks.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from hybridopt.problems import data
from hybridopt.problems.catalogue import task
from hybridopt.problems.data import standardise
from hybridopt.problems.task import Task, split

Data = tuple[Tensor, Tensor]


@task("diabetes_linear")
def diabetes_linear(seed: int = 0, batch_size: int = 32) -> Task:
    """Progression of diabetes from ten measurements; least squares of a linear model (11 parameters)."""
    return _regression("diabetes_linear", diabetes_line, seed, batch_size)


@task("diabetes_mlp")
def diabetes_mlp(seed: int = 0, batch_size: int = 32) -> Task:
    """Progression of diabetes from ten measurements; least squares of a network 10-8-1 (97 parameters)."""
    return _regression("diabetes_mlp", diabetes_network, seed, batch_size)


@task("breast_cancer_linear")
def breast_cancer_linear(seed: int = 0, batch_size: int = 32) -> Task:
    """Malignant or benign from thirty measurements; a linear model, so a convex loss (62 parameters)."""
    return _classification("breast_cancer_linear", data.breast_cancer, _cancer_line, seed, batch_size)


@task("breast_cancer_mlp")
def breast_cancer_mlp(seed: int = 0, batch_size: int = 32) -> Task:
    """Malignant or benign from thirty measurements; a network 30-8-2 with tanh (266 parameters)."""
    return _classification("breast_cancer_mlp", data.breast_cancer, cancer_network, seed, batch_size)


@task("digits_linear")
def digits_linear(seed: int = 0, batch_size: int = 64) -> Task:
    """Ten kinds of handwritten digits, 8 x 8 pixels; a linear model, so a convex loss (650 parameters)."""
    return _classification("digits_linear", data.digits, digits_line, seed, batch_size)


@task("digits_mlp")
def digits_mlp(seed: int = 0, batch_size: int = 64) -> Task:
    """Ten kinds of handwritten digits, 8 x 8 pixels; a network 64-32-10 with tanh (2,410 parameters)."""
    return _classification("digits_mlp", data.digits, digits_network, seed, batch_size)


def diabetes_line() -> nn.Module:
    """Linear model of the diabetes data."""
    return nn.Linear(10, 1)


def diabetes_network() -> nn.Module:
    """Small network for the diabetes data."""
    return nn.Sequential(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 1))


def cancer_network() -> nn.Module:
    """Small network for the breast cancer data."""
    return nn.Sequential(nn.Linear(30, 8), nn.Tanh(), nn.Linear(8, 2))


def digits_line() -> nn.Module:
    """Linear model of the digits."""
    return nn.Linear(64, 10)


def digits_network() -> nn.Module:
    """Small network for the digits."""
    return nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def _cancer_line() -> nn.Module:
    return nn.Linear(30, 2)


def _regression(name: str, network: Callable[[], nn.Module], seed: int, batch_size: int) -> Task:
    """Task of the diabetes data, targets standardised like the features."""
    _check(name, batch_size)
    x, y = data.diabetes()
    train, test = split(y.new_zeros(len(y)), 0.25, seed)
    train_x, test_x = standardise(x[train], x[test])
    train_y, test_y = standardise(y[train, None], y[test, None])
    train_x, train_y, test_x, test_y = (part.float() for part in (train_x, train_y, test_x, test_y))
    return Task(name, network, nn.functional.mse_loss, train_x, train_y, test_x, test_y, batch_size)


def _classification(
    name: str, load: Callable[[], Data], network: Callable[[], nn.Module], seed: int, batch_size: int
) -> Task:
    _check(name, batch_size)
    x, y = load()
    train, test = split(y, 0.25, seed)
    train_x, test_x = standardise(x[train].float(), x[test].float())
    loss_fn = nn.functional.cross_entropy
    return Task(name, network, loss_fn, train_x, y[train], test_x, y[test], batch_size)


def _check(name: str, batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size of task {name!r} must be at least 1, got {batch_size}")
