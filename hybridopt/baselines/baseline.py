"""A problem that scipy solves in closed form: the function, where to begin, and what has to come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Baseline:
    """A problem and its solution by scipy.

    Every baseline is scaled so that one learning rate suits all of them: between start and solution the
    largest curvature is about 1 (0.4 to 1.6), the smallest at the solution 0.1 or more (but for directions
    along which there are other solutions), and the start lies 1 to 4 away. All are differentiable and none
    needs derivatives to be solved.

    Attributes
    ----------
    name : str
    solver : str
        What solves it in closed form, e.g. "scipy.linalg.lstsq".
    fun : callable, (..., dim) -> (...)
        Made of torch operations; each value depends on its own row alone.
    lower, upper : Tensor, shape (dim,)
        The box, float64; the solution lies inside, or on its boundary where `bounded`.
    start : Tensor, shape (dim,)
    x : Tensor, shape (dim,)
        The solution, or one of them.
    value : float
        The lowest value there is.
    gap : callable, (dim,) -> float, optional
        Distance to the set of solutions where there are many; by default the distance to `x`.
    bounded : bool
        Whether bounds hold the solution, so that an optimizer needs them.
    selects : bool
        Whether, of many solutions, `x` is the one that descent from the start ends at.

    Examples
    --------
    >>> from hybridopt import baselines
    >>> ridge = baselines.make("ridge", seed=1)
    >>> ridge.solver, ridge.error(ridge.start), ridge.error(ridge.x)
    ('scipy.linalg.cho_solve', 1.0, 0.0)
    """

    name: str
    solver: str
    fun: Function
    lower: Tensor
    upper: Tensor
    start: Tensor
    x: Tensor
    value: float
    gap: Callable[[Tensor], float] | None = None
    bounded: bool = False
    selects: bool = False

    @property
    def dim(self) -> int:
        """Number of variables."""
        return self.start.shape[0]

    @property
    def bounds(self) -> Tensor:
        """The box as pairs (lower, upper), shape (dim, 2), as `minimize` takes it."""
        return torch.stack([self.lower, self.upper], dim=1)

    def error(self, x: Tensor) -> float:
        """Distance to the set of solutions, as a share of the start's; `x` has shape (dim,)."""
        gap = self.gap or self._gap_to_x
        return gap(x) / gap(self.start)

    def selection_error(self, x: Tensor) -> float:
        """Distance to `x` itself, as a share of the start's."""
        return self._gap_to_x(x) / self._gap_to_x(self.start)

    def value_error(self, x: Tensor) -> float:
        """How far the value is from the lowest, as a share of what the start is above it."""
        return abs(float(self.fun(x)) - self.value) / (float(self.fun(self.start)) - self.value)

    def _gap_to_x(self, x: Tensor) -> float:
        return float((x - self.x).norm())
