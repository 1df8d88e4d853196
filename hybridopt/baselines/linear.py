"""Baselines of one linear equation: least squares in four kinds, and the convex quadratic.

Matrices are made from their singular values, so that the condition is known: the curvatures (eigenvalues of
A'A) lie between 0.1 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.baselines.baseline import Baseline
from hybridopt.rng import generator

RESIDUAL = 0.01  # small, so that rounding of the value (about RESIDUAL * 1e-13 at x = 1000) hides no digits
RANK = (
    1e-10  # singular values below this share of the largest are zero; scipy's default takes rounding for rank
)
FAR = 1000.0  # single precision has a spacing of 6e-5 there


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """|a x - b|^2 / 2 + ridge |x|^2 / 2, for rows x."""

    a: Tensor  # (rows, dim)
    b: Tensor  # (rows,)
    ridge: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """Values; shape (...,) of x's shape (..., dim)."""
        fit = (x @ self.a.T - self.b).square().sum(-1) / 2
        return fit + self.ridge / 2 * x.square().sum(-1) if self.ridge else fit


@dataclass(frozen=True, eq=False)
class Quadratic:
    """x' h x / 2 - g' x, for rows x."""

    h: Tensor  # (dim, dim), symmetric
    g: Tensor  # (dim,)

    def __call__(self, x: Tensor) -> Tensor:
        """Values; shape (...,) of x's shape (..., dim)."""
        return ((x @ self.h) * x).sum(-1) / 2 - x @ self.g


def least_squares(seed: int) -> Baseline:
    """Linear least squares by scipy.linalg.lstsq; its solution lies near (1000, ..., 1000).

    So far from the origin a decay towards it, or single precision, spoils the solution visibly.
    """
    from scipy.linalg import lstsq

    g = generator(seed, "baseline", "least_squares")
    a = with_curvatures(12, torch.linspace(0.1, 1, 5, dtype=torch.float64), g)
    truth = FAR + uniform(5, -1, 1, g)
    fun = LeastSquares(a, a @ truth + RESIDUAL * normal(12, g))
    x = torch.from_numpy(lstsq(fun.a.numpy(), fun.b.numpy())[0])
    start = truth + offset(5, g)
    return Baseline("least_squares", "scipy.linalg.lstsq", fun, truth - 5, truth + 4, start, x, float(fun(x)))


def duplicated_column(seed: int) -> Baseline:
    """Least squares with a column twice: of many solutions, descent from 0 finds that of least norm.

    `scipy.linalg.lstsq` names the same one. The two columns have equal gradients, so every method that treats
    coordinates alike keeps their coefficients equal, which is least norm; chance, or a wrong scale in one
    coordinate, ends elsewhere.
    """
    from scipy.linalg import lstsq

    g = generator(seed, "baseline", "duplicated_column")
    a = with_curvatures(10, torch.linspace(0.1, 0.5, 4, dtype=torch.float64), g)
    a = torch.cat([a, a[:, :1]], dim=1)  # at most doubles the largest curvature
    fun = LeastSquares(a, a @ away(5, 0.5, 1.5, g) + RESIDUAL * normal(10, g))
    x = torch.from_numpy(lstsq(fun.a.numpy(), fun.b.numpy(), cond=RANK)[0])
    basis = torch.linalg.svd(a, full_matrices=False).Vh[:4]  # of the row space: what the value depends on
    lower, upper = box(5, -6, 5)
    return Baseline(
        "duplicated_column",
        "scipy.linalg.lstsq",
        fun,
        lower,
        upper,
        torch.zeros(5, dtype=torch.float64),
        x,
        float(fun(x)),
        gap=lambda point: float((basis @ (point - x)).norm()),
        selects=True,
    )


def ridge(seed: int) -> Baseline:
    """Ridge regression with more unknowns than equations, by a Cholesky factor (scipy.linalg.cho_solve)."""
    from scipy.linalg import cho_factor, cho_solve

    g = generator(seed, "baseline", "ridge")
    a = with_curvatures(6, torch.linspace(0.1, 0.8, 4, dtype=torch.float64), g).T  # (4, 6)
    fun = LeastSquares(a, a @ away(6, 0.5, 1.5, g) + RESIDUAL * normal(4, g), ridge=0.2)
    normal_matrix = a.T @ a + fun.ridge * torch.eye(6, dtype=torch.float64)
    x = torch.from_numpy(cho_solve(cho_factor(normal_matrix.numpy()), (a.T @ fun.b).numpy()))
    lower, upper = box(6, -4, 5)
    start = x + offset(6, g)
    return Baseline("ridge", "scipy.linalg.cho_solve", fun, lower, upper, start, x, float(fun(x)))


def convex_quadratic(seed: int) -> Baseline:
    """Minimum of a convex quadratic: one linear system (scipy.linalg.solve)."""
    from scipy.linalg import solve

    g = generator(seed, "baseline", "convex_quadratic")
    root = with_curvatures(6, torch.linspace(0.1, 1, 6, dtype=torch.float64), g)
    h = root.T @ root
    fun = Quadratic(h, h @ away(6, 0.5, 1.5, g))
    x = torch.from_numpy(solve(h.numpy(), fun.g.numpy(), assume_a="pos"))
    lower, upper = box(6, -5, 4)
    start = x + offset(6, g)
    return Baseline("convex_quadratic", "scipy.linalg.solve", fun, lower, upper, start, x, float(fun(x)))


def nonnegative(seed: int) -> Baseline:
    """Least squares with x >= 0, by scipy.optimize.nnls; two of five coordinates end at their bound.

    Made from its Karush-Kuhn-Tucker conditions: a solution with two zeros, and multipliers of at least 0.1
    there.
    """
    from scipy.optimize import nnls

    g = generator(seed, "baseline", "nonnegative")
    a = with_curvatures(9, torch.linspace(0.1, 1, 5, dtype=torch.float64), g)
    held = torch.arange(5) < 2
    solution = torch.where(held, 0.0, uniform(5, 0.5, 1.5, g))
    multipliers = torch.where(held, uniform(5, 0.1, 0.2, g), 0.0)
    b = a @ (solution - torch.linalg.solve(a.T @ a, multipliers))
    fun = LeastSquares(a, b)
    x = torch.from_numpy(nnls(a.numpy(), b.numpy())[0])
    lower, upper = box(5, 0, 5)
    start = solution + uniform(5, 0.5, 1.5, g)
    value = float(fun(x))
    return Baseline("nonnegative", "scipy.optimize.nnls", fun, lower, upper, start, x, value, bounded=True)


# --- parts, which the other files share


def with_curvatures(rows: int, curvatures: Tensor, g: torch.Generator) -> Tensor:
    """Matrix of shape (rows, n), rows >= n, whose A'A has these eigenvalues, in random directions."""
    n = len(curvatures)
    left, _ = torch.linalg.qr(normal((rows, n), g))
    right, _ = torch.linalg.qr(normal((n, n), g))
    made: Tensor = (left * curvatures.sqrt()) @ right.T
    return made


def normal(shape: int | tuple[int, ...], g: torch.Generator) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=g, dtype=torch.float64)


def uniform(count: int, low: float, high: float, g: torch.Generator) -> Tensor:
    """Uniform numbers; shape (count,)."""
    return low + (high - low) * torch.rand(count, generator=g, dtype=torch.float64)


def away(count: int, low: float, high: float, g: torch.Generator) -> Tensor:
    """Numbers of either sign whose absolute values are uniform; shape (count,)."""
    side = torch.where(torch.rand(count, generator=g) < 0.5, -1.0, 1.0)
    return side * uniform(count, low, high, g)


def offset(count: int, g: torch.Generator) -> Tensor:
    """A step of length 2 in a random direction; shape (count,)."""
    step = normal(count, g)
    scaled: Tensor = 2 * step / step.norm()
    return scaled


def box(dim: int, lower: float, upper: float) -> tuple[Tensor, Tensor]:
    """Bounds, equal for all coordinates, each of shape (dim,)."""
    return torch.full((dim,), lower, dtype=torch.float64), torch.full((dim,), upper, dtype=torch.float64)
