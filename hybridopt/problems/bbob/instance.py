"""An instance of a BBOB function: where its minimum lies, how low it is, and how the function is turned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hybridopt.check import check_whole
from hybridopt.problems.bbob.generator import normal, rotation, uniform
from hybridopt.problems.problem import Problem, at_least, box

LARGEST = 200_000
"""Of the instance numbers: above, COCO's generator would need seeds that it is not made for."""

_SEEDED_AS = {4: 3, 18: 17}  # pairs of functions with a common minimum


@dataclass(frozen=True, eq=False)
class BbobFunction:
    """raw(x, *constants) + offset, in float64 whatever x is.

    Attributes
    ----------
    raw : callable, (x, *constants) -> (...)
        With the minimum 0.
    constants : tuple of Tensor
        The minimiser, rotations and the like.
    offset : float
        f_opt of the definitions.
    """

    raw: Callable[..., Tensor]
    constants: tuple[Tensor, ...]
    offset: float

    def __call__(self, x: Tensor) -> Tensor:
        """Values at rows; shape (...,) of x's shape (..., dim), in x's dtype and on its device."""
        exact = x.double()
        value = self.raw(exact, *(constant.to(exact) for constant in self.constants)) + self.offset
        return value.to(x.dtype)


@dataclass(frozen=True)
class Instance:
    """A BBOB function's number, its dimension, and COCO's number of the instance.

    Raises
    ------
    TypeError, ValueError
        If the dimension is below 2, or the instance no whole number from 0 to `LARGEST`.
    """

    function: int
    dim: int
    number: int

    def __post_init__(self) -> None:
        at_least(self.name, self.dim, 2)
        check_whole(f"{self.name}: instance (the seed)", self.number, 0)
        if self.number > LARGEST:
            raise ValueError(
                f"{self.name}: instance (the seed) must be at most {LARGEST}, got {self.number}; "
                "COCO's own are 1, 2, 3, ..."
            )

    @property
    def name(self) -> str:
        """In the catalogue."""
        return f"bbob_f{self.function}"

    @property
    def seed(self) -> int:
        """Of all numbers of the instance."""
        return _SEEDED_AS.get(self.function, self.function) + 10_000 * self.number

    @property
    def offset(self) -> float:
        """f_opt: the minimum, a ratio of normals to two digits, within [-1000, 1000]."""
        ratio = float(normal(1, self.seed)[0] / normal(1, self.seed + 1)[0])
        return min(1000.0, max(-1000.0, math.floor(10_000 * ratio + 0.5) / 100))

    @property
    def x(self) -> Tensor:
        """x_opt of most functions: uniform in [-4, 4]^dim to four digits, never 0; shape (dim,)."""
        return self.drawn_x(self.seed)

    @property
    def q(self) -> Tensor:
        """The rotation Q; shape (dim, dim)."""
        return rotation(self.dim, self.seed)

    @property
    def r(self) -> Tensor:
        """The rotation R; shape (dim, dim)."""
        return rotation(self.dim, self.seed + 1_000_000)

    def scaled(self, condition: float) -> Tensor:
        """R Lambda Q with the diagonal matrix Lambda, sqrt(condition)^((i-1)/(dim-1)); shape (dim, dim)."""
        weights = math.sqrt(condition) ** (torch.arange(self.dim, dtype=torch.float64) / (self.dim - 1))
        return (self.r * weights) @ self.q

    def uniform(self, count: int, further: int = 0) -> Tensor:
        """Numbers in (0, 1) of the seed plus `further`; shape (count,)."""
        return torch.from_numpy(uniform(count, self.seed + further))

    def normal(self, count: int) -> Tensor:
        """Normals of the seed; shape (count,)."""
        return torch.from_numpy(normal(count, self.seed))

    def drawn_x(self, seed: int) -> Tensor:
        """x_opt of another seed; shape (dim,)."""
        x = 8 * np.floor(1e4 * uniform(self.dim, seed)) / 1e4 - 4
        return torch.from_numpy(np.where(x == 0, -1e-5, x))

    def problem(self, raw: Callable[..., Tensor], x: Tensor, *constants: Tensor) -> Problem:
        """Problem of raw(x, *constants) + f_opt with the minimiser `x`, shape (dim,), in [-5, 5]^dim."""
        lower, upper = box(self.dim, -5.0, 5.0)
        fun = BbobFunction(raw, constants, self.offset)
        return Problem(self.name, self.dim, fun, lower, upper, value=self.offset, x=x[None])
