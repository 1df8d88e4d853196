"""Learning tasks on scikit-learn's data, which ship with it: nothing is downloaded."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hybridopt.problems.catalogue import task
from hybridopt.problems.task import Task, split, standardise


@task("digits_linear")
def digits_linear(seed: int = 0, batch_size: int = 64) -> Task:
    """Ten kinds of handwritten digits, 8 x 8 pixels; a linear model, so a convex loss (650 parameters)."""
    return _digits("digits_linear", _linear, seed, batch_size)


@task("digits_mlp")
def digits_mlp(seed: int = 0, batch_size: int = 64) -> Task:
    """Ten kinds of handwritten digits, 8 x 8 pixels; a network 64-32-10 with tanh (2,410 parameters)."""
    return _digits("digits_mlp", _mlp, seed, batch_size)


def _linear() -> nn.Module:
    return nn.Linear(64, 10)


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def _digits(name: str, network: Callable[[], nn.Module], seed: int, batch_size: int) -> Task:
    if batch_size < 1:
        raise ValueError(f"batch_size of task {name!r} must be at least 1, got {batch_size}")
    x, y = _load_digits()
    train, test = split(y, 0.25, seed)
    train_x, test_x = standardise(x[train], x[test])
    loss_fn = nn.functional.cross_entropy
    return Task(name, network, loss_fn, train_x, y[train], test_x, y[test], batch_size)


@functools.cache
def _load_digits() -> tuple[Tensor, Tensor]:
    """Pixels (1797, 64) float32 and classes (1797,) int64; read once a process."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the tasks 'digits_linear' and 'digits_mlp' need scikit-learn, which is not installed; "
            'run: pip install "torch-hybridopt[data]"'
        ) from error
    pixels, digit = load_digits(return_X_y=True)
    return torch.as_tensor(pixels, dtype=torch.float32), torch.as_tensor(digit, dtype=torch.int64)
