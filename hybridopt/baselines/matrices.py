"""Baselines of matrix factors: smallest eigenvalue, low-rank approximation, orthogonal Procrustes.

None of them is convex, and none has a minimum that is not global: what else is stationary is a saddle or a
maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.baselines.baseline import Baseline
from hybridopt.baselines.linear import away, box, normal, offset
from hybridopt.rng import generator


@dataclass(frozen=True, eq=False)
class RayleighQuotient:
    """x' a x / x' x, for rows x."""

    a: Tensor  # (dim, dim), symmetric

    def __call__(self, x: Tensor) -> Tensor:
        """Values; shape (...,) of x's shape (..., dim)."""
        return ((x @ self.a) * x).sum(-1) / x.square().sum(-1)


@dataclass(frozen=True, eq=False)
class Factorisation:
    """scale |u v' - m|^2 / 2, for rows x that hold u of shape (p, rank), then v of shape (q, rank)."""

    m: Tensor  # (p, q)
    rank: int
    scale: float

    def product(self, x: Tensor) -> Tensor:
        """Matrix that the factors make; shape (..., p, q)."""
        p, q = self.m.shape
        u = x[..., : p * self.rank].reshape(*x.shape[:-1], p, self.rank)
        v = x[..., p * self.rank :].reshape(*x.shape[:-1], q, self.rank)
        made: Tensor = u @ v.transpose(-1, -2)
        return made

    def __call__(self, x: Tensor) -> Tensor:
        """Values; shape (...,) of x's shape (..., dim)."""
        return self.scale * (self.product(x) - self.m).square().sum((-1, -2)) / 2


@dataclass(frozen=True, eq=False)
class Procrustes:
    """scale |a r - b|^2 / 2 for rows x of three numbers, where r is their rotation."""

    a: Tensor  # (points, 3)
    b: Tensor  # (points, 3)
    scale: float

    def __call__(self, x: Tensor) -> Tensor:
        """Values; shape (...,) of x's shape (..., 3)."""
        return self.scale * (self.a @ rotation(x) - self.b).square().sum((-1, -2)) / 2


def smallest_eigenvalue(seed: int) -> Baseline:
    """Smallest eigenvalue as the minimum of the Rayleigh quotient, by scipy.linalg.eigh.

    The solutions are all multiples of one eigenvector; the other eigenvectors are saddles, the last one a
    maximum.
    """
    from scipy.linalg import eigh

    g = generator(seed, "baseline", "smallest_eigenvalue")
    q, _ = torch.linalg.qr(normal((5, 5), g))
    a = (q * (0.3 + torch.tensor([0.0, 0.2, 0.3, 0.4, 0.5], dtype=torch.float64))) @ q.T
    a = (a + a.T) / 2
    values, vectors = (torch.from_numpy(found) for found in eigh(a.numpy()))
    x = vectors[:, 0]
    start = q @ away(5, 0.8, 1.2, g)  # between all eigenvectors
    lower, upper = box(5, -4, 5)
    return Baseline(
        "smallest_eigenvalue",
        "scipy.linalg.eigh",
        RayleighQuotient(a),
        lower,
        upper,
        start,
        x,
        float(values[0]),
        gap=lambda point: float((point / point.norm() - (point @ x) / point.norm() * x).norm()),
    )


def low_rank(seed: int) -> Baseline:
    """Best approximation of rank 2, by scipy.linalg.svd (Eckart and Young).

    The factors are known up to an invertible matrix: their product is compared.
    """
    from scipy.linalg import svd

    g = generator(seed, "baseline", "low_rank")
    left, _ = torch.linalg.qr(normal((3, 3), g))
    right, _ = torch.linalg.qr(normal((3, 3), g))
    singular = torch.tensor([1.5, 1.2, 0.2], dtype=torch.float64)
    fun = Factorisation((left * singular) @ right.T, rank=2, scale=0.25)
    u, s, vh = (torch.from_numpy(found) for found in svd(fun.m.numpy()))
    root = s[:2].sqrt()
    best = (u[:, :2] * s[:2]) @ vh[:2]
    x = torch.cat([(u[:, :2] * root).flatten(), (vh[:2].T * root).flatten()])
    start = away(12, 0.2, 0.7, g)
    lower, upper = box(12, -2, 2.5)
    return Baseline(
        "low_rank",
        "scipy.linalg.svd",
        fun,
        lower,
        upper,
        start,
        x,
        fun.scale * float(s[2] ** 2) / 2,
        gap=lambda point: float((fun.product(point) - best).norm()),
    )


def procrustes(seed: int) -> Baseline:
    """Rotation that takes one cloud of points to another, by scipy.linalg.orthogonal_procrustes.

    The points are made by a rotation and small noise, so that the best orthogonal matrix is a rotation, as
    the Cayley transform can't make reflections.
    """
    from scipy.linalg import orthogonal_procrustes

    g = generator(seed, "baseline", "procrustes")
    a = torch.linalg.qr(normal((8, 3), g))[0] * torch.tensor([1.0, 0.9, 0.8], dtype=torch.float64)
    truth = away(3, 0.3, 0.8, g)
    fun = Procrustes(a, a @ rotation(truth) + 0.01 * normal((8, 3), g), scale=0.2)
    r = torch.from_numpy(orthogonal_procrustes(a.numpy(), fun.b.numpy())[0])
    one = torch.eye(3, dtype=torch.float64)
    skew = torch.linalg.solve(r + one, r - one, left=False)  # the Cayley transform, solved for s
    x = torch.stack([skew[2, 1], skew[0, 2], skew[1, 0]])
    start = truth + offset(3, g) / 2
    lower, upper = box(3, -3, 4)
    return Baseline(
        "procrustes", "scipy.linalg.orthogonal_procrustes", fun, lower, upper, start, x, float(fun(x))
    )


def rotation(x: Tensor) -> Tensor:
    """Cayley transform (1 - s)^-1 (1 + s) of the skew matrices s of rows x; (..., 3, 3) of (..., 3).

    It reaches every rotation but those by half a turn, and no reflection.
    """
    zero = torch.zeros_like(x[..., 0])
    entries = (zero, -x[..., 2], x[..., 1], x[..., 2], zero, -x[..., 0], -x[..., 1], x[..., 0], zero)
    skew = torch.stack(entries, -1).reshape(*x.shape[:-1], 3, 3)
    one = torch.eye(3, dtype=x.dtype, device=x.device)
    turned: Tensor = torch.linalg.solve(one - skew, one + skew)
    return turned
