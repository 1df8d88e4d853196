"""Which quasi-Newton method suits a number of variables: a matrix for each row while that pays."""

from __future__ import annotations

import dataclasses
import functools

from hybridopt.gradient.bfgs import BFGS
from hybridopt.gradient.lbfgs import LBFGS

DENSE = 100  # variables up to which it does


FIRST_STEP = 0.1  # widths of the box


@functools.lru_cache(maxsize=64)
def quasi_newton(dim: int, ftol: float = 0.0) -> BFGS | LBFGS:
    """`BFGS` for up to 100 variables, `LBFGS` for more."""
    return BFGS(ftol=ftol) if dim <= DENSE else LBFGS(ftol=ftol)


@functools.lru_cache(maxsize=64)
def in_box(dim: int) -> BFGS | LBFGS:
    """The same for starts from all over a box, which sets the scale of the variables and of first steps."""
    return dataclasses.replace(quasi_newton(dim), scaled=True, first_step=FIRST_STEP)
