"""BBOB f20 to f24: many local minima, and hardly a structure that leads to the best."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hybridopt.problems.bbob.instance import Instance
from hybridopt.problems.bbob.transformations import oscillated, penalty, power, ramp, rounded
from hybridopt.problems.catalogue import problem
from hybridopt.problems.problem import Problem

HALF_SCHWEFEL = 4.2096874637 / 2  # with the digits of the definition, so within 1e-10 of the minimum
MU = 2.5  # of Lunacek's function: the better bowl


@problem("bbob_f20")
def schwefel(dim: int, seed: int = 0) -> Problem:
    """BBOB f20, Schwefel: the best minima are near the corners of the box; x_opt has ten digits."""
    instance = Instance(20, dim, seed)
    x = HALF_SCHWEFEL * torch.where(instance.uniform(dim) < 0.5, -1.0, 1.0).double()
    return instance.problem(_schwefel, x, x)


@problem("bbob_f21")
def gallagher_101(dim: int, seed: int = 0) -> Problem:
    """BBOB f21, Gallagher's 101 Gaussian peaks, placed at random."""
    return _gallagher_of(Instance(21, dim, seed), 101, half_width=5.0, condition=math.sqrt(1000))


@problem("bbob_f22")
def gallagher_21(dim: int, seed: int = 0) -> Problem:
    """BBOB f22, Gallagher's 21 Gaussian peaks, of higher condition."""
    return _gallagher_of(Instance(22, dim, seed), 21, half_width=4.9, condition=1000)


@problem("bbob_f23")
def katsuura(dim: int, seed: int = 0) -> Problem:
    """BBOB f23, Katsuura: rugged at every scale down to 1e-10; more than 10^dim minima."""
    instance = Instance(23, dim, seed)
    return instance.problem(_katsuura, instance.x, instance.x, instance.scaled(100))


@problem("bbob_f24")
def lunacek(dim: int, seed: int = 0) -> Problem:
    """BBOB f24, Lunacek's bi-Rastrigin: two bowls under ripples, and the wider one is worse."""
    instance = Instance(24, dim, seed)
    sign = torch.where(instance.normal(dim) < 0, -1.0, 1.0).double()
    return instance.problem(_lunacek, MU / 2 * sign, sign, instance.scaled(100))


def _schwefel(x: Tensor, best: Tensor) -> Tensor:
    middle = 2 * best.abs()
    near = 2 * best.sign() * x
    before = torch.nn.functional.pad((near - middle)[..., :-1], (1, 0))
    z = 100 * (10 ** (ramp(x) / 2) * (near + 0.25 * before - middle) + middle)
    wave = z * torch.sin(power(z.abs(), 0.5))
    return 4.189828872724339 - wave.mean(-1) / 100 + 100 * penalty(z / 100)


def _gallagher_of(instance: Instance, peaks: int, half_width: float, condition: float) -> Problem:
    """Peaks as in the definition: the first is the highest, its place nearer to the centre by a fifth."""
    dim = instance.dim
    conditions = 1000 ** (_order(instance.uniform(peaks - 1)) / (peaks - 2))
    conditions = torch.cat([conditions.new_tensor([condition]), conditions])
    orders = torch.stack([_order(instance.uniform(dim, 1000 * peak)) for peak in range(peaks)])
    scales = conditions[:, None] ** (orders / (dim - 1) - 0.5)
    heights = 1.1 + 8 * torch.arange(peaks - 1, dtype=torch.float64) / (peaks - 2)
    heights = torch.cat([heights.new_tensor([10.0]), heights])
    places = (2 * half_width * instance.uniform(peaks * dim) - half_width).view(peaks, dim)
    places[0] *= 0.8
    return instance.problem(_gallagher, places[0].clone(), instance.q, places @ instance.q.T, scales, heights)


def _order(u: Tensor) -> Tensor:
    """A permutation of 0 ... n - 1 by random numbers, as floats; shape (n,)."""
    return torch.argsort(u, stable=True).double()


def _gallagher(x: Tensor, q: Tensor, places: Tensor, scales: Tensor, heights: Tensor) -> Tensor:
    away = (x @ q.T)[..., None, :] - places  # (..., peaks, dim)
    peaks = heights * torch.exp(-0.5 / x.shape[-1] * (scales * away.square()).sum(-1))
    return oscillated(10 - peaks.amax(-1)).square() + penalty(x)


def _katsuura(x: Tensor, best: Tensor, matrix: Tensor) -> Tensor:
    dim = x.shape[-1]
    scale = 2.0 ** torch.arange(1, 33, dtype=x.dtype, device=x.device)
    z = ((x - best) @ matrix.T)[..., None] * scale
    rough = ((z - rounded(z)).abs() / scale).sum(-1)
    place = torch.arange(1, dim + 1, dtype=x.dtype, device=x.device)
    log = 10 / dim**1.2 * torch.log1p(place * rough).sum(-1)
    return 10 / dim**2 * torch.expm1(log) + penalty(x)


def _lunacek(x: Tensor, sign: Tensor, matrix: Tensor) -> Tensor:
    dim = x.shape[-1]
    s = 1 - 1 / (2 * math.sqrt(dim + 20) - 8.2)
    other = -math.sqrt((MU**2 - 1) / s)
    near = 2 * sign * x
    better, wider = ((near - centre).square().sum(-1) for centre in (MU, other))
    ripples = dim - torch.cos(2 * math.pi * ((near - MU) @ matrix.T)).sum(-1)
    return torch.minimum(better, dim + s * wider) + 10 * ripples + 1e4 * penalty(x)
