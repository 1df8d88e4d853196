"""Which quasi-Newton method suits a number of variables: a matrix for each row while that pays."""

from __future__ import annotations

import functools

from hybridopt.gradient.bfgs import BFGS
from hybridopt.gradient.lbfgs import LBFGS

DENSE = 100  # variables up to which it does


@functools.lru_cache(maxsize=64)
def quasi_newton(dim: int, ftol: float = 0.0) -> BFGS | LBFGS:
    """`BFGS` for up to 100 variables, `LBFGS` for more."""
    return BFGS(ftol=ftol) if dim <= DENSE else LBFGS(ftol=ftol)
