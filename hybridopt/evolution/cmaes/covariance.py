"""What the covariance of the search is made of: a full matrix, or a diagonal.

Of the full matrix C only a Cholesky factor A with C = A A' is ever taken: it costs a thirteenth of an
eigendecomposition. Samples are y = A z. The path of the step size, which the tutorial keeps in the
coordinates of C^(-1/2) y, is kept in those of z = A^(-1) y; as C^(-1/2) A is a rotation, so are the lengths
of what is added to it [1].

References
----------
.. [1] O. Krause, D. R. Arbonès, C. Igel (2016), CMA-ES with optimal covariance update and storage complexity,
   NeurIPS 29.
.. [2] R. Ros, N. Hansen (2008), A simple modification in CMA-ES achieving linear time and space complexity,
   PPSN X, 296-305.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Covariance(Protocol):
    """A kind of covariance; `kept` below is (runs, dim, dim) for a matrix, (runs, 1, dim) for a diagonal."""

    def acceleration(self, dim: int) -> float:
        """How many times faster it can learn than a full matrix."""

    def begin(self, matrix: Tensor) -> Tensor:
        """Covariance, `kept`, from matrices (runs, dim, dim)."""

    def factor(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """The covariance, repaired where rounding made it indefinite, and a factor A of it; both `kept`."""

    def spread(self, factor: Tensor, z: Tensor) -> Tensor:
        """Rows A z of rows z; shape (runs, population, dim)."""

    def update(
        self, covariance: Tensor, decay: Tensor, y: Tensor, weights: Tensor, path: Tensor, rate: float
    ) -> Tensor:
        """Decay * C + sum of weights * y y' + rate * path path' (eq. 47); `kept`.

        Parameters
        ----------
        covariance : Tensor, `kept`
        decay : Tensor, shape (runs, 1, 1)
        y : Tensor, shape (runs, population, dim)
        weights : Tensor, shape (runs, 1, population)
        path : Tensor, shape (runs, 1, dim)
        rate : float
        """

    def variances(self, covariance: Tensor) -> Tensor:
        """Variance of each coordinate; shape (runs, 1, dim)."""

    def rescaled(self, covariance: Tensor, share: Tensor) -> Tensor:
        """Covariance where coordinates are measured in other units, by shares (runs, 1, dim); `kept`."""

    def axes(self, factor: Tensor) -> Tensor:
        """Axes of the ellipsoid, conjugate to one another, as rows; shape (runs, dim, dim)."""

    def condition(self, covariance: Tensor) -> Tensor:
        """Condition number; shape (runs,)."""


@dataclass(frozen=True)
class Full:
    """A covariance matrix: invariant under rotation, (dim^2) memory and learning time."""

    def acceleration(self, dim: int) -> float:
        return 1.0

    def begin(self, matrix: Tensor) -> Tensor:
        return matrix.clone()

    def factor(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        factor, failed = torch.linalg.cholesky_ex(covariance)
        return _repaired(covariance) if failed.any() else (covariance, factor)

    def spread(self, factor: Tensor, z: Tensor) -> Tensor:
        return torch.bmm(z, factor.mT)

    def update(
        self, covariance: Tensor, decay: Tensor, y: Tensor, weights: Tensor, path: Tensor, rate: float
    ) -> Tensor:
        updated = (covariance * decay).baddbmm_(y.mT, y * weights.mT)
        return updated.baddbmm_(path.mT, path, alpha=rate)

    def variances(self, covariance: Tensor) -> Tensor:
        return covariance.diagonal(dim1=1, dim2=2).unsqueeze(1)

    def rescaled(self, covariance: Tensor, share: Tensor) -> Tensor:
        return covariance * share * share.mT

    def axes(self, factor: Tensor) -> Tensor:
        return factor.mT

    def condition(self, covariance: Tensor) -> Tensor:
        eigenvalues = torch.linalg.eigvalsh(covariance)
        least = eigenvalues[:, 0].clamp_min(torch.finfo(covariance.dtype).tiny)
        condition: Tensor = eigenvalues[:, -1] / least
        return condition


@dataclass(frozen=True)
class Separable:
    """A diagonal: a variance for each coordinate, learnt (dim + 2) / 3 times faster [2]."""

    def acceleration(self, dim: int) -> float:
        return (dim + 2) / 3

    def begin(self, matrix: Tensor) -> Tensor:
        return matrix.diagonal(dim1=1, dim2=2)[:, None].clone()

    def factor(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        covariance = covariance.clamp_min(torch.finfo(covariance.dtype).tiny)
        return covariance, covariance.sqrt()

    def spread(self, factor: Tensor, z: Tensor) -> Tensor:
        return z * factor

    def update(
        self, covariance: Tensor, decay: Tensor, y: Tensor, weights: Tensor, path: Tensor, rate: float
    ) -> Tensor:
        updated = (covariance * decay).baddbmm_(weights, y.square())
        return updated.addcmul_(path, path, value=rate)

    def variances(self, covariance: Tensor) -> Tensor:
        return covariance

    def rescaled(self, covariance: Tensor, share: Tensor) -> Tensor:
        return covariance * share.square()

    def axes(self, factor: Tensor) -> Tensor:
        return torch.diag_embed(factor[:, 0])

    def condition(self, covariance: Tensor) -> Tensor:
        return (covariance.amax(2) / covariance.amin(2))[:, 0]


KINDS: dict[str, Covariance] = {"full": Full(), "separable": Separable()}


def _repaired(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Nearby positive definite matrices (runs, dim, dim), and factors; those that are sound stay as they are.

    Eigenvalues are lifted to what rounding leaves of the largest one; a matrix that is not finite becomes the
    identity.
    """
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    finite = torch.isfinite(matrix).all(-1).all(-1)[:, None, None]
    matrix = torch.where(finite, matrix.tril() + matrix.tril(-1).mT, eye)
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    least = 10 * matrix.shape[-1] * torch.finfo(matrix.dtype).eps * eigenvalues[:, -1:].abs()
    lifted = eigenvalues.maximum(least + torch.finfo(matrix.dtype).tiny)
    lifted_matrix = (vectors * lifted[:, None]) @ vectors.mT
    unsound = torch.linalg.cholesky_ex(matrix).info > 0
    matrix = torch.where(unsound[:, None, None], lifted_matrix, matrix)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    spherical = (failed > 0)[:, None, None]
    scale = lifted[:, -1, None, None]
    return torch.where(spherical, scale * eye, matrix), torch.where(spherical, scale.sqrt() * eye, factor)
