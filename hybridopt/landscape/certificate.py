"""What kind of point is this: a minimum, a strict saddle, or neither; and how sure that is.

First the projected gradient, then the ends of the Hessian's spectrum on the coordinates that are free to
move. A negative eigenvalue at a stationary point is a strict saddle, and its eigenvector the way out.

References
----------
J. Nocedal, S. Wright, "Numerical Optimization", 2006, theorems 2.3 to 2.5 and 12.5.
C. Jin et al., "How to escape saddle points efficiently", ICML 2017, definition 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hybridopt.core import project
from hybridopt.landscape.products import HessianProducts
from hybridopt.landscape.spectrum import DENSE, Ends, ends
from hybridopt.loop import Ledger

Verdict = Literal["minimum", "strict saddle", "maximum", "degenerate", "not stationary"]
GRAD_TOL = 1e-5
LANCZOS_TOL = 1e-4
PRODUCTS = 1000


@dataclass(frozen=True)
class Certificate:
    """What kind of point this is, and what that rests on.

    Attributes
    ----------
    verdict : {"minimum", "strict saddle", "maximum", "degenerate", "not stationary"}
        "degenerate": stationary, with no eigenvalue clearly negative but one that is zero within the
        tolerance (or a Hessian that is not finite, or a search that did not end): higher orders decide.
    value : float
    grad : Tensor, shape (dim,)
    grad_norm : float
        Largest component of the projected gradient x - P(x - g).
    smallest, largest : float
        Ends of the Hessian's spectrum on the free coordinates; NaN where there are none, or where the
        point is not stationary and they were not asked for.
    direction : Tensor of shape (dim,), optional
        Unit eigenvector of the smallest eigenvalue: at a strict saddle or maximum the way out, either sign.
    flat : Tensor, shape (k, dim)
        Unit eigenvectors of the known eigenvalues that are zero within the tolerance.
    free : int
        Coordinates that are free to move: not held by a bound that the gradient pushes against.
    grad_tol, curvature_tol : float
        What counts as zero.
    products : int
        Hessian-vector products taken.
    ledger : Ledger
        What it cost.
    """

    verdict: Verdict
    value: float
    grad: Tensor
    grad_norm: float
    smallest: float
    largest: float
    direction: Tensor | None
    flat: Tensor
    free: int
    grad_tol: float
    curvature_tol: float
    products: int
    ledger: Ledger

    @property
    def stationary(self) -> bool:
        """Whether the gradient is zero within the tolerance."""
        return self.verdict != "not stationary"


def inspect(
    products: HessianProducts,
    *,
    grad_tol: float | None = None,
    curvature_tol: float | None = None,
    max_products: int = PRODUCTS,
) -> Certificate:
    """Certificate of the point that `products` stands at; see `hybridopt.certify`."""
    x, grad = products.x, products.grad
    lower, upper = products.evaluate.lower, products.evaluate.upper
    grad_norm = float((x - project(x - grad, lower, upper)).abs().amax())
    known = math.inf if grad_tol is None else grad_tol  # the relative one needs the curvature
    free = _free(x, grad, lower, upper)
    found, size = None, 0.0
    if grad_norm <= known and free.any():
        tol = (LANCZOS_TOL if curvature_tol is None else curvature_tol) / 4
        seed = products.evaluate.seed
        found = ends(products.on(free), x[free], seed=seed, tol=tol, products=max_products)
        size = 0.0 if math.isnan(found.smallest) else max(abs(found.smallest), abs(found.largest))
    if grad_tol is None:
        known = max(GRAD_TOL * size * max(1.0, float(x.abs().amax())), torch.finfo(x.dtype).tiny)
    zero = size * (_zero(products, int(free.sum())) if curvature_tol is None else curvature_tol)
    verdict: Verdict = "not stationary"
    if grad_norm <= known:
        verdict = "minimum" if found is None else _verdict(found, zero)  # at a vertex nothing is free
    return Certificate(
        verdict=verdict,
        value=products.value,
        grad=grad,
        grad_norm=grad_norm,
        smallest=math.nan if found is None else found.smallest,
        largest=math.nan if found is None else found.largest,
        direction=None if found is None else _embed(found.vector[None], free)[0],
        flat=x[:0].reshape(0, len(x))
        if found is None
        else _embed(found.vectors[found.values.abs() <= zero], free),
        free=int(free.sum()),
        grad_tol=known,
        curvature_tol=zero,
        products=products.taken,
        ledger=products.ledger,
    )


def _embed(vectors: Tensor, free: Tensor) -> Tensor:
    """Unit vectors of the free coordinates as ones of all; (k, dim)."""
    whole = torch.zeros(len(vectors), len(free), dtype=vectors.dtype, device=vectors.device)
    whole[:, free] = vectors
    return torch.nn.functional.normalize(whole, dim=1)


def _free(x: Tensor, grad: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Coordinates that no bound holds: not fixed, and not pushed against a bound; (dim,) of bool."""
    width = torch.where(torch.isfinite(upper - lower), upper - lower, x.abs() + 1)
    near = 1e-9 * width
    held = ((x <= lower + near) & (grad > 0)) | ((x >= upper - near) & (grad < 0)) | (lower == upper)
    return ~held


def _zero(products: HessianProducts, free: int) -> float:
    """Eigenvalues of at most this share of the largest count as zero: what rounding may have made."""
    rounding = math.sqrt(torch.finfo(products.x.dtype).eps) if products.exact else 1e-4
    return max(rounding, LANCZOS_TOL) if free > DENSE else rounding


def _verdict(found: Ends, zero: float) -> Verdict:
    if found.largest < -zero:
        return "maximum"
    if found.smallest < -zero:
        return "strict saddle"
    return "minimum" if found.smallest > zero and found.settled else "degenerate"
