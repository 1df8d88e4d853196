"""Low-rank factorisation |U V^T - M|^2: not convex, but all local minima are global, all saddles strict."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.problems.catalogue import problem
from hybridopt.problems.placement import place, rotation
from hybridopt.problems.problem import Problem, box
from hybridopt.rng import generator


@dataclass(frozen=True, eq=False)
class LowRank:
    """|U V^T - M|^2, Frobenius, with U and V in one flat vector.

    Attributes
    ----------
    left : Tensor, shape (rows, k)
        Left singular vectors of M.
    singular : Tensor, shape (k,)
        Singular values, falling; k = min(rows, columns).
    right : Tensor, shape (columns, k)
    rank : int
        Columns of U and of V.
    """

    left: Tensor
    singular: Tensor
    right: Tensor
    rank: int

    def __call__(self, z: Tensor) -> Tensor:
        """Values at rows (..., (rows + columns) rank)."""
        rows, columns = self.left.shape[0], self.right.shape[0]
        u = z[..., : rows * self.rank].reshape(*z.shape[:-1], rows, self.rank)
        v = z[..., rows * self.rank :].reshape(*z.shape[:-1], columns, self.rank)
        matrix = (self.left * self.singular) @ self.right.T
        return (u @ v.mT - matrix.to(z)).square().sum((-2, -1))

    def point(self, pairs: tuple[int, ...]) -> Tensor:
        """Point z at which U V^T is the sum of these singular pairs (at most `rank`), shape (dim,).

        Every point of this kind is stationary; U V^T of the leading pairs is nearest to M (Eckart-Young).
        """
        chosen = list(pairs)
        root = self.singular[chosen].sqrt()
        parts = []
        for vectors in (self.left, self.right):
            factor = torch.zeros(vectors.shape[0], self.rank, dtype=torch.float64)
            factor[:, : len(chosen)] = vectors[:, chosen] * root
            parts.append(factor.flatten())
        return torch.cat(parts)


@problem("low_rank_factorisation")
def low_rank_factorisation(rows: int = 4, columns: int = 3, rank: int = 2, seed: int = 0) -> Problem:
    """|U V^T - M|^2, started at U = V = 0, a strict saddle.

    M has singular values from 2 to 0.5 in equal steps, and singular vectors by seed. The minimum is the sum
    of squares of those that the rank leaves out, at the leading singular pairs (Eckart and Young 1936); U G
    and V G^-T have the same value for any invertible G, so that `x` is one of many. `saddles` has the origin
    (eigenvalues of the Hessian +-2 sigma_i, and 0), fewer leading pairs, and those with one replaced by the
    next. All are strict.

    Parameters
    ----------
    rows, columns : int
        Of M. The problem has (rows + columns) rank dimensions.
    rank : int
        At most min(rows, columns).
    seed : int

    Raises
    ------
    ValueError
        If there is no such rank.

    References
    ----------
    R. Ge, C. Jin, Y. Zheng, "No Spurious Local Minima in Nonconvex Low Rank Problems", ICML 2017.
    """
    count = min(rows, columns)
    if not 1 <= rank <= count:
        raise ValueError(
            f"rank of problem 'low_rank_factorisation' must be in 1 .. min(rows, columns) = {count}, "
            f"got {rank}"
        )
    left, right = (
        rotation(size, generator(seed, "problem", "low_rank_factorisation", side))[:, :count]
        for side, size in (("left", rows), ("right", columns))
    )
    raw = LowRank(left, torch.linspace(2, 0.5, count, dtype=torch.float64), right, rank)
    dim = (rows + columns) * rank
    # the points of `x` and `saddles` lie within sqrt(2 * 2 rank) of the origin: half of 4 sqrt(rank)
    lower, upper = box(dim, -4 * math.sqrt(rank), 4 * math.sqrt(rank))
    fun = place(raw, lower, upper, seed=seed, name="low_rank_factorisation", reach=0.4)
    further = [raw.point(pairs) for pairs in saddle_pairs(count, rank)]
    return Problem(
        "low_rank_factorisation",
        dim,
        fun,
        lower,
        upper,
        value=float(raw.singular[rank:].square().sum()),
        x=fun.at(raw.point(tuple(range(rank))))[None],
        start=fun.shift.clone(),
        saddles=torch.stack([fun.shift, *map(fun.at, further)]),
    )


def saddle_pairs(count: int, rank: int) -> list[tuple[int, ...]]:
    """Which of `count` singular pairs make saddles: fewer leading ones than `rank`, or one replaced.

    The origin (no pair) is left out, and so are further subsets.
    """
    fewer = [tuple(range(leading)) for leading in range(1, rank)]
    if rank == count:
        return fewer
    return fewer + [tuple(i for i in range(rank + 1) if i != left_out) for left_out in range(rank)]
