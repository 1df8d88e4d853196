"""L-SHADE: SHADE whose population shrinks linearly over a budget, from exploring to refining."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hybridopt.check import check_number, check_whole
from hybridopt.core import Evaluation, Query, Traits
from hybridopt.evolution.differential.archive import Archive
from hybridopt.evolution.differential.shade import SHADEState, begun, children, survived

SMALLEST = 4  # rows that current-to-pbest/1 needs
PER_DIMENSION = 18


@dataclass(frozen=True)
class LSHADE:
    """Success-history based differential evolution with linear population size reduction.

    Every generation asks for as many values as there are rows; what else is said of `SHADE` holds here too.

    Parameters
    ----------
    max_evals : int, at least 1
        The budget over which the population shrinks to 4 rows: give what `minimize` is given. Afterwards the
        four go on.
    population_size : int, at least 4, optional
        Rows at first. Where None, 18 a dimension, as in the paper (and at least 4).
    memory_size : int, at least 1
        H, the generations whose means are remembered.
    best_share : float in (0, 1]
        Share of the best rows towards one of which a row moves.
    archive_share : float, at least 0
        Rows of the archive, in population sizes; 0 for none.

    Raises
    ------
    TypeError
        If a parameter is no number.
    ValueError
        If it is out of its range.

    Examples
    --------
    >>> import hybridopt
    >>> result = hybridopt.minimize(
    ...     lambda x: (x - 1).square().sum(),
    ...     bounds=[(-5, 4), (-5, 4)],
    ...     method=hybridopt.LSHADE(max_evals=5000),
    ...     max_evals=5000,
    ...     seed=0,
    ... )
    >>> bool(result.fun < 1e-12)
    True

    References
    ----------
    R. Tanabe, A. Fukunaga, "Improving the search performance of SHADE using linear population size
    reduction", IEEE Congress on Evolutionary Computation, 2014, algorithm 2; the parameters are theirs.
    """

    max_evals: int
    population_size: int | None = None
    memory_size: int = 6
    best_share: float = 0.11
    archive_share: float = 2.6

    def __post_init__(self) -> None:
        check_whole("max_evals", self.max_evals, 1)
        if self.population_size is not None:
            check_whole("population_size", self.population_size, SMALLEST)
        check_whole("memory_size", self.memory_size, 1)
        check_number("best_share", self.best_share, lambda v: 0 < v <= 1, "above 0 and at most 1")
        check_number(
            "archive_share", self.archive_share, lambda v: 0 <= v < torch.inf, "finite and at least 0"
        )

    @property
    def traits(self) -> Traits:
        """Stochastic, global."""
        return Traits(stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> SHADEState:
        count = self._first(x.shape[1])
        return begun(x, lower, upper, seed, count, self.memory_size, self._kept(count))

    def ask(self, state: SHADEState) -> Query:
        return Query(children(state, self.best_share, self.best_share), sample=-1)

    def tell(self, state: SHADEState, evaluation: Evaluation) -> SHADEState:
        after = survived(state, evaluation, self._kept(state.x.shape[0]), lehmer_rate=True)
        count = self._size(after.evaluations, state.x.shape[1])
        if count >= after.x.shape[0]:
            return after
        best = torch.argsort(after.value, stable=True)[:count]
        kept = self._kept(count)  # the rows of the archive are in random order
        left = Archive(after.archive.x[:kept], after.archive.count.clamp_max(kept))
        return replace(after, x=after.x[best], value=after.value[best], archive=left)

    def _first(self, dim: int) -> int:
        return max(SMALLEST, PER_DIMENSION * dim) if self.population_size is None else self.population_size

    def _size(self, evaluations: int, dim: int) -> int:
        """Rows after so many evaluations: on a line from the first size to `SMALLEST`."""
        first = self._first(dim)
        done = min(1.0, evaluations / self.max_evals)
        return round(first + (SMALLEST - first) * done)

    def _kept(self, count: int) -> int:
        return round(self.archive_share * count)
