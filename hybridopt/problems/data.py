"""Data that ship with scikit-learn, as tensors: nothing is downloaded, each set is read once a process."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from hybridopt.rng import entropy_seed, global_generators


@functools.cache
def diabetes() -> tuple[Tensor, Tensor]:
    """442 patients: ten measurements (442, 10), progression of the disease a year later (442,); float64."""
    measurements, progression = _sets().load_diabetes(return_X_y=True, scaled=False)
    return torch.as_tensor(measurements), torch.as_tensor(progression)


@functools.cache
def breast_cancer() -> tuple[Tensor, Tensor]:
    """569 tumours: thirty measurements (569, 30) float64, malignant 0 or benign 1 (569,) int64."""
    measurements, benign = _sets().load_breast_cancer(return_X_y=True)
    return torch.as_tensor(measurements), torch.as_tensor(benign, dtype=torch.int64)


@functools.cache
def digits() -> tuple[Tensor, Tensor]:
    """1,797 handwritten digits: 8 x 8 pixels (1797, 64) float64, which digit (1797,) int64."""
    pixels, digit = _sets().load_digits(return_X_y=True)
    return torch.as_tensor(pixels), torch.as_tensor(digit, dtype=torch.int64)


def standardise(train_x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Features of mean 0 and spread 1 over the training samples; constant ones become 0."""
    mean, spread = train_x.mean(0), train_x.std(0, correction=0)
    spread = torch.where(spread > 0, spread, 1.0)
    return tuple((x - mean) / spread for x in (train_x, *others))


def _sets() -> Any:
    try:
        with global_generators(entropy_seed()):  # the first import draws from Python's own
            from sklearn import datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the learning problems need the data of scikit-learn, which is not installed; "
            'run: pip install "torch-hybridopt[data]"'
        ) from error
    return datasets
