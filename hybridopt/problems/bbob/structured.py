"""BBOB f15 to f19: many local minima over a global structure that leads to the best."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hybridopt.problems.bbob.instance import Instance
from hybridopt.problems.bbob.moderate import turned_about_origin
from hybridopt.problems.bbob.transformations import (
    asymmetric,
    oscillated,
    penalty,
    power,
    ramp,
    rastrigin,
    rosenbrock,
)
from hybridopt.problems.catalogue import problem
from hybridopt.problems.problem import Problem


@problem("bbob_f15")
def rastrigin_rotated(dim: int, seed: int = 0) -> Problem:
    """BBOB f15, rotated Rastrigin: 10^dim local minima, asymmetric."""
    instance = Instance(15, dim, seed)
    return instance.problem(_rastrigin, instance.x, instance.x, instance.r, instance.scaled(10))


@problem("bbob_f16")
def weierstrass(dim: int, seed: int = 0) -> Problem:
    """BBOB f16, Weierstrass: rugged and repetitive; its minimum is one of many."""
    instance = Instance(16, dim, seed)
    return instance.problem(_weierstrass, instance.x, instance.x, instance.r, instance.scaled(0.01))


@problem("bbob_f17")
def schaffers(dim: int, seed: int = 0) -> Problem:
    """BBOB f17, Schaffer's F7: ripples of changing frequency and height."""
    return _schaffers_of(Instance(17, dim, seed), 10)


@problem("bbob_f18")
def schaffers_ill_conditioned(dim: int, seed: int = 0) -> Problem:
    """BBOB f18, Schaffer's F7 of condition 1000."""
    return _schaffers_of(Instance(18, dim, seed), 1000)


@problem("bbob_f19")
def griewank_rosenbrock(dim: int, seed: int = 0) -> Problem:
    """BBOB f19, Griewank of Rosenbrock: ripples over a curved valley."""
    instance = Instance(19, dim, seed)
    matrix, x = turned_about_origin(instance)
    return instance.problem(_griewank_rosenbrock, x, matrix)


def _rastrigin(x: Tensor, best: Tensor, r: Tensor, matrix: Tensor) -> Tensor:
    return rastrigin(asymmetric(oscillated((x - best) @ r.T), 0.2) @ matrix.T)


def _weierstrass(x: Tensor, best: Tensor, r: Tensor, matrix: Tensor) -> Tensor:
    z = oscillated((x - best) @ r.T) @ matrix.T
    above = _ripples(z).mean(-1) - _ripples(torch.zeros_like(z[..., 0]))
    return 10 * above.pow(3) + 10 / x.shape[-1] * penalty(x)


def _ripples(z: Tensor) -> Tensor:
    """Sum over k of 2^-k cos(2 pi 3^k (z + 1/2)), for every number of z."""
    k = torch.arange(12, dtype=z.dtype, device=z.device)
    return (0.5**k * torch.cos(2 * math.pi * 3**k * (z[..., None] + 0.5))).sum(-1)


def _schaffers_of(instance: Instance, condition: float) -> Problem:
    weights = math.sqrt(condition) ** ramp(instance.x)
    return instance.problem(_schaffers, instance.x, instance.x, instance.r, weights[:, None] * instance.q)


def _schaffers(x: Tensor, best: Tensor, r: Tensor, matrix: Tensor) -> Tensor:
    squares = (asymmetric((x - best) @ r.T, 0.5) @ matrix.T).square()
    pairs = squares[..., :-1] + squares[..., 1:]
    waves = 1 + torch.sin(50 * power(pairs, 0.1)).square()
    return (power(pairs, 0.25) * waves).mean(-1).square() + 10 * penalty(x)


def _griewank_rosenbrock(x: Tensor, matrix: Tensor) -> Tensor:
    terms = rosenbrock(x @ matrix.T + 0.5)
    return 10 * (terms / 4000 - torch.cos(terms)).mean(-1) + 10
