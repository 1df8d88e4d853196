"""BBOB f6 to f9: functions of low or moderate condition."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hybridopt.problems.bbob.generator import rotation
from hybridopt.problems.bbob.instance import Instance
from hybridopt.problems.bbob.transformations import oscillated, penalty, power, ramp, rosenbrock, rounded
from hybridopt.problems.catalogue import problem
from hybridopt.problems.problem import Problem


@problem("bbob_f6")
def attractive_sector(dim: int, seed: int = 0) -> Problem:
    """BBOB f6, attractive sector: steep but for one of 2^dim sectors, at whose tip the minimum is."""
    instance = Instance(6, dim, seed)
    return instance.problem(_attractive_sector, instance.x, instance.x, instance.scaled(10))


@problem("bbob_f7")
def step_ellipsoid(dim: int, seed: int = 0) -> Problem:
    """BBOB f7, step ellipsoid: plateaus, so that the gradient is 0 nearly everywhere."""
    instance = Instance(7, dim, seed)
    return instance.problem(_step_ellipsoid, instance.x, instance.x, instance.q, instance.r)


@problem("bbob_f8")
def rosenbrock_original(dim: int, seed: int = 0) -> Problem:
    """BBOB f8, Rosenbrock: a curved valley, not turned."""
    instance = Instance(8, dim, seed)
    x = 0.75 * instance.x
    return instance.problem(_rosenbrock, x, x)


@problem("bbob_f9")
def rosenbrock_rotated(dim: int, seed: int = 0) -> Problem:
    """BBOB f9, rotated Rosenbrock: a curved valley, turned about the origin."""
    instance = Instance(9, dim, seed)
    matrix, x = turned_about_origin(instance)
    return instance.problem(_rosenbrock_rotated, x, matrix)


def turned_about_origin(instance: Instance) -> tuple[Tensor, Tensor]:
    """Matrix of z = matrix x + 1/2, shape (dim, dim), and the point x at which z is 1, shape (dim,)."""
    turned = rotation(instance.dim, instance.seed)
    factor = _factor(instance.dim)
    return factor * turned, (0.5 / factor * turned).sum(0)


def _attractive_sector(x: Tensor, best: Tensor, matrix: Tensor) -> Tensor:
    z = (x - best) @ matrix.T
    steep = torch.where(z * best > 0, 100.0, 1.0)
    return power(oscillated((steep * z).square().sum(-1)), 0.9)


def _step_ellipsoid(x: Tensor, best: Tensor, q: Tensor, r: Tensor) -> Tensor:
    smooth = 10 ** (ramp(x) / 2) * ((x - best) @ q.T)
    steps = torch.where(smooth.abs() > 0.5, rounded(smooth), rounded(10 * smooth) / 10)
    value = (100 ** ramp(x) * (steps @ r.T).square()).sum(-1)
    return 0.1 * torch.maximum(1e-4 * smooth[..., 0].abs(), value) + penalty(x)


def _rosenbrock(x: Tensor, best: Tensor) -> Tensor:
    return rosenbrock(_factor(x.shape[-1]) * (x - best) + 1).sum(-1)


def _rosenbrock_rotated(x: Tensor, matrix: Tensor) -> Tensor:
    return rosenbrock(x @ matrix.T + 0.5).sum(-1)


def _factor(dim: int) -> float:
    return max(1.0, math.sqrt(dim) / 8)
