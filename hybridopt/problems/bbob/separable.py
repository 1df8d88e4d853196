"""BBOB f1 to f5: separable functions."""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.problems.bbob.instance import Instance
from hybridopt.problems.bbob.transformations import asymmetric, oscillated, penalty, ramp, rastrigin
from hybridopt.problems.catalogue import problem
from hybridopt.problems.problem import Problem


@problem("bbob_f1")
def sphere(dim: int, seed: int = 0) -> Problem:
    """BBOB f1, sphere; `seed` is COCO's instance, as in all of them."""
    instance = Instance(1, dim, seed)
    return instance.problem(_sphere, instance.x, instance.x)


@problem("bbob_f2")
def ellipsoid(dim: int, seed: int = 0) -> Problem:
    """BBOB f2, separable ellipsoid: condition 1e6, oscillating."""
    instance = Instance(2, dim, seed)
    return instance.problem(_ellipsoid, instance.x, instance.x)


@problem("bbob_f3")
def rastrigin_separable(dim: int, seed: int = 0) -> Problem:
    """BBOB f3, separable Rastrigin: 10^dim local minima, asymmetric."""
    instance = Instance(3, dim, seed)
    return instance.problem(_rastrigin, instance.x, instance.x)


@problem("bbob_f4")
def bueche_rastrigin(dim: int, seed: int = 0) -> Problem:
    """BBOB f4, Büche-Rastrigin: as f3, but more asymmetric."""
    instance = Instance(4, dim, seed)
    x = torch.where(_odd(instance.x), instance.x.abs(), instance.x)
    return instance.problem(_bueche_rastrigin, x, x)


@problem("bbob_f5")
def linear_slope(dim: int, seed: int = 0) -> Problem:
    """BBOB f5, linear slope: the minimum is at a corner of the box, and everywhere beyond it."""
    instance = Instance(5, dim, seed)
    x = torch.where(instance.x < 0, -5.0, 5.0).double()
    return instance.problem(_linear_slope, x, x)


def _sphere(x: Tensor, best: Tensor) -> Tensor:
    return (x - best).square().sum(-1)


def _ellipsoid(x: Tensor, best: Tensor) -> Tensor:
    return (1e6 ** ramp(x) * oscillated(x - best).square()).sum(-1)


def _rastrigin(x: Tensor, best: Tensor) -> Tensor:
    return rastrigin(10 ** (ramp(x) / 2) * asymmetric(oscillated(x - best), 0.2))


def _bueche_rastrigin(x: Tensor, best: Tensor) -> Tensor:
    z = oscillated(x - best)
    scale = 10 ** (ramp(x) / 2) * torch.where((z > 0) & _odd(z), 10.0, 1.0)
    return rastrigin(scale * z) + 100 * penalty(x)


def _linear_slope(x: Tensor, best: Tensor) -> Tensor:
    slope = best.sign() * 10 ** ramp(x)
    z = torch.where(x * best < 25, x, best)
    return (5 * slope.abs() - slope * z).sum(-1)


def _odd(x: Tensor) -> Tensor:
    """Where i of 1 ... dim is odd; shape (dim,)."""
    return torch.arange(x.shape[-1], device=x.device) % 2 == 0
