"""Both ends of a symmetric operator's spectrum: dense where that is affordable, else by Lanczos' method.

The Lanczos work is `scipy.sparse.linalg.eigsh`. The smallest eigenvalue is sought as the largest of
s I - H, so that its error is relative to the spectrum and not to itself, which may be zero.

References
----------
C. C. Paige, "The computation of eigenvalues and eigenvectors of very large sparse matrices", 1971.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

DENSE = 256
BASIS = 64
Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ends:
    """Smallest and largest eigenvalue; NaN where products are not finite.

    Attributes
    ----------
    smallest, largest : float
    vector : Tensor, shape (dim,)
        Unit eigenvector of the smallest.
    values : Tensor, shape (k,)
        The eigenvalues that are known, ascending: all of a dense matrix, else the smallest.
    vectors : Tensor, shape (k, dim)
        Their unit eigenvectors.
    settled : bool
        Whether the search for the smallest ended by its own criterion.
    """

    smallest: float
    largest: float
    vector: Tensor
    values: Tensor
    vectors: Tensor
    settled: bool


def ends(product: Product, like: Tensor, *, seed: int, tol: float, products: int) -> Ends:
    """Both ends of the spectrum.

    Parameters
    ----------
    product : callable, (k, dim) -> (k, dim)
        Products with the rows of a matrix, in one batch.
    like : Tensor, shape (dim,)
        Sets dtype and device.
    seed : int
        Of the first Lanczos vector.
    tol : float
        Error of the smallest eigenvalue, relative to the largest absolute one, at which Lanczos ends.
    products : int
        Most products Lanczos may take; a dense matrix takes dim.
    """
    return _ends(product, like, DENSE, seed, tol, products)


def krylov(product: Product, like: Tensor, *, seed: int, products: int) -> Ends:
    """Both ends as far as so few products show them, also of a small matrix; see `ends`."""
    return _ends(product, like, products, seed, 0.0, products)


def _ends(product: Product, like: Tensor, dense: int, seed: int, tol: float, products: int) -> Ends:
    """Both ends, of a matrix of up to `dense` rows exactly."""
    try:
        return _dense(product, like) if len(like) <= dense else _lanczos(product, like, seed, tol, products)
    except _NotFiniteError:
        none = torch.zeros_like(like)
        return Ends(math.nan, math.nan, none, none[:0], none.expand(0, -1), False)


class _NotFiniteError(Exception):
    """A product is not finite, as at a kink: there is no spectrum."""


def _finite(products: Tensor) -> Tensor:
    if not bool(torch.isfinite(products).all()):
        raise _NotFiniteError
    return products


def _dense(product: Product, like: Tensor) -> Ends:
    matrix = _finite(product(torch.eye(len(like), dtype=like.dtype, device=like.device)))
    precise = torch.promote_types(like.dtype, torch.float32)  # torch has no eigenvalues of coarser ones
    values, vectors = torch.linalg.eigh(((matrix + matrix.T) / 2).to(precise))
    values, vectors = values.to(like.dtype), vectors.to(like.dtype)
    return Ends(float(values[0]), float(values[-1]), vectors[:, 0], values, vectors.T, True)


def _lanczos(product: Product, like: Tensor, seed: int, tol: float, products: int) -> Ends:
    operator = _Operator(product, like, products, seed)
    start = np.random.default_rng(seed).standard_normal(len(like))
    settled = False
    if products <= BASIS:  # one Krylov space; what it holds is read off below
        operator.extreme("SA", start, tol, products)
    else:
        outer = operator.extreme("LM", start, 1e-2, products // 4)
        shift = 1.05 * abs(operator.ritz().size if outer is None else outer) or 1.0
        settled = operator.extreme("LA", start, tol, products, shift=shift) is not None
    ritz = operator.ritz()
    vector = torch.as_tensor(ritz.vector, dtype=like.dtype, device=like.device)
    value = torch.full_like(vector[:1], ritz.smallest)
    settled = settled or ritz.residual <= tol * ritz.size
    return Ends(ritz.smallest, ritz.largest, vector, value, vector[None], settled)


class _Ritz(NamedTuple):
    """Ends of the spectrum as far as a subspace shows them; `residual` is |H v - smallest v|."""

    smallest: float
    largest: float
    vector: np.ndarray
    residual: float

    @property
    def size(self) -> float:
        """Largest absolute Ritz value."""
        return max(abs(self.smallest), abs(self.largest))


class _EnoughError(Exception):
    """As many products as may be are taken."""


class _Operator:
    """A symmetric operator for scipy that remembers what it was asked, so that no product is lost."""

    def __init__(self, product: Product, like: Tensor, most: int, seed: int) -> None:
        self.product = product
        self.like = like
        self.most = most
        self.seed = seed
        self.asked: list[np.ndarray] = []
        self.answered: list[np.ndarray] = []

    def apply(self, vector: np.ndarray) -> np.ndarray:
        if len(self.asked) >= self.most:
            raise _EnoughError
        row = torch.as_tensor(vector.reshape(1, -1), dtype=self.like.dtype, device=self.like.device)
        answer: np.ndarray = _finite(self.product(row))[0].double().cpu().numpy()
        self.asked.append(np.array(vector).ravel())
        self.answered.append(answer)
        return answer

    def extreme(
        self, which: str, start: np.ndarray, tol: float, products: int, shift: float | None = None
    ) -> float | None:
        """One end of the spectrum (of shift I - H, if given); None where it did not converge."""
        from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

        dim = len(start)
        matvec = self.apply if shift is None else (lambda v: shift * np.ravel(v) - self.apply(v))
        operator = LinearOperator((dim, dim), matvec=matvec, dtype=np.float64)
        basis = min(dim, BASIS, products)
        restarts = max(1, products // basis)
        rng = np.random.default_rng((self.seed, 1))  # of vectors to go on with where a space is exhausted
        options = {"k": 1, "which": which, "v0": start, "tol": tol, "ncv": basis, "maxiter": restarts}
        try:
            return float(eigsh(operator, return_eigenvectors=False, rng=rng, **options)[0])
        except (ArpackError, _EnoughError):  # not converged, or the matrix is zero: that ends at once
            return None

    def ritz(self) -> _Ritz:
        """Rayleigh-Ritz on all vectors asked for so far."""
        asked, answered = np.stack(self.asked), np.stack(self.answered)  # (m, dim)
        sizes, vectors = np.linalg.eigh(asked @ asked.T)
        keep = sizes > 1e-10 * sizes[-1]
        coordinates = (vectors[:, keep] / np.sqrt(sizes[keep])).T  # of an orthonormal basis in the asked
        small = coordinates @ (asked @ answered.T) @ coordinates.T
        values, inner = np.linalg.eigh((small + small.T) / 2)
        lowest = inner[:, 0] @ coordinates
        vector = lowest @ asked
        residual = float(np.linalg.norm(lowest @ answered - values[0] * vector))
        return _Ritz(float(values[0]), float(values[-1]), vector, residual)
