"""BBOB f10 to f14: unimodal functions of high condition, all turned."""

from __future__ import annotations

from torch import Tensor

from hybridopt.problems.bbob.instance import Instance
from hybridopt.problems.bbob.transformations import asymmetric, oscillated, power, ramp
from hybridopt.problems.catalogue import problem
from hybridopt.problems.problem import Problem


@problem("bbob_f10")
def ellipsoid_rotated(dim: int, seed: int = 0) -> Problem:
    """BBOB f10, rotated ellipsoid: condition 1e6, oscillating."""
    instance = Instance(10, dim, seed)
    return instance.problem(_ellipsoid, instance.x, instance.x, instance.r)


@problem("bbob_f11")
def discus(dim: int, seed: int = 0) -> Problem:
    """BBOB f11, discus: one direction a thousand times as sensitive as all others."""
    instance = Instance(11, dim, seed)
    return instance.problem(_discus, instance.x, instance.x, instance.r)


@problem("bbob_f12")
def bent_cigar(dim: int, seed: int = 0) -> Problem:
    """BBOB f12, bent cigar: a narrow ridge that bends."""
    instance = Instance(12, dim, seed)
    x = instance.drawn_x(instance.seed + 1_000_000)
    return instance.problem(_bent_cigar, x, x, instance.r)


@problem("bbob_f13")
def sharp_ridge(dim: int, seed: int = 0) -> Problem:
    """BBOB f13, sharp ridge: a ridge with a kink, to be followed to the minimum."""
    instance = Instance(13, dim, seed)
    return instance.problem(_sharp_ridge, instance.x, instance.x, instance.scaled(10))


@problem("bbob_f14")
def different_powers(dim: int, seed: int = 0) -> Problem:
    """BBOB f14, different powers: sensitivities that part more and more towards the minimum."""
    instance = Instance(14, dim, seed)
    return instance.problem(_different_powers, instance.x, instance.x, instance.r)


def _ellipsoid(x: Tensor, best: Tensor, r: Tensor) -> Tensor:
    return (1e6 ** ramp(x) * oscillated((x - best) @ r.T).square()).sum(-1)


def _discus(x: Tensor, best: Tensor, r: Tensor) -> Tensor:
    squares = oscillated((x - best) @ r.T).square()
    return 1e6 * squares[..., 0] + squares[..., 1:].sum(-1)


def _bent_cigar(x: Tensor, best: Tensor, r: Tensor) -> Tensor:
    squares = (asymmetric((x - best) @ r.T, 0.5) @ r.T).square()
    return squares[..., 0] + 1e6 * squares[..., 1:].sum(-1)


def _sharp_ridge(x: Tensor, best: Tensor, matrix: Tensor) -> Tensor:
    squares = ((x - best) @ matrix.T).square()
    return squares[..., 0] + 100 * power(squares[..., 1:].sum(-1), 0.5)


def _different_powers(x: Tensor, best: Tensor, r: Tensor) -> Tensor:
    z = ((x - best) @ r.T).abs()
    return power(z.pow(2 + 4 * ramp(x)).sum(-1), 0.5)
