"""The Rayleigh quotient: minimised by the lowest eigenvector of a matrix, with saddles at the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.problems.catalogue import problem
from hybridopt.problems.placement import place
from hybridopt.problems.problem import Problem, at_least, box


@dataclass(frozen=True, eq=False)
class RayleighQuotient:
    """sum_i spectrum_i z_i^2 / |z|^2, the Rayleigh quotient of a matrix in coordinates of its eigenvectors.

    Attributes
    ----------
    spectrum : Tensor, shape (dim,)
        Eigenvalues, rising.
    """

    spectrum: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        """Values at rows; NaN at 0, where there is none."""
        square = z.square()
        return (self.spectrum.to(z) * square).sum(-1) / square.sum(-1)


@problem("rayleigh_quotient")
def rayleigh_quotient(dim: int, seed: int = 0) -> Problem:
    """w^T A w / w^T w of a symmetric matrix A, started at its second eigenvector, a strict saddle.

    A has the eigenvalues -1 to 2 in equal steps, and eigenvectors by seed; w = x - c, so that the point
    without a value (w = 0) lies at c, by seed, too. The minimum is -1, along the lowest eigenvector; two
    points of that line are in `x`. The eigenvectors but the first and the last are the saddles: at the k-th
    of length 1 the Hessian has the eigenvalues 2 (lambda_j - lambda_k), of which the one along the vector
    itself is 0, because the quotient is constant on rays. That one is 0 at the minima, too.

    Parameters
    ----------
    dim : int
        At least 3, so that there is an eigenvector between the first and the last.
    seed : int

    References
    ----------
    P.-A. Absil, R. Mahony, R. Sepulchre, "Optimization Algorithms on Matrix Manifolds", 2008, section 2.1.
    """
    at_least("rayleigh_quotient", dim, 3)
    lower, upper = box(dim, -4.0, 4.0)
    eigenvectors = torch.eye(dim, dtype=torch.float64)
    raw = RayleighQuotient(torch.linspace(-1, 2, dim, dtype=torch.float64))
    # the minima lie sqrt(2) from the start, which is within half of the half width 4
    fun = place(raw, lower, upper, seed=seed, name="rayleigh_quotient", anchor=eigenvectors[1], reach=0.5)
    return Problem(
        "rayleigh_quotient",
        dim,
        fun,
        lower,
        upper,
        value=-1.0,
        x=fun.at(torch.stack([eigenvectors[0], -eigenvectors[0]])),
        start=fun.shift.clone(),
        saddles=torch.cat([fun.shift[None], fun.at(eigenvectors[2:-1])]),
    )
