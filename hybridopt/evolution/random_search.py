"""Random search: points drawn without a look at the ones before. What every other method has to beat.

References
----------
.. [1] R. L. Anderson (1953), Recent advances in finding best operating conditions, J. Amer. Stat. Assoc. 48.
.. [2] F. J. Solis, R. J.-B. Wets (1981), Minimization by random search techniques, Math. Oper. Res. 6, 19-30.
.. [3] J. Bergstra, Y. Bengio (2012), Random search for hyper-parameter optimization, JMLR 13, 281-305.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hybridopt.check import check_whole
from hybridopt.core import Evaluation, Query, State, Traits, project
from hybridopt.rng import hash_seed
from hybridopt.start import fill


@dataclass(frozen=True)
class RandomSearchState(State):
    """State of `RandomSearch`: `x` holds the best draw of every row.

    Attributes
    ----------
    centre : Tensor, shape (dim,)
        The first row given; coordinates without two finite bounds are drawn around it.
    """

    centre: Tensor


@dataclass(frozen=True)
class RandomSearch:
    """Every step draws a batch of points anew; each row keeps the best of its own draws.

    A point is uniform where both bounds are finite. Elsewhere it is normal around the first row given, with
    the standard deviation max(1, abs(coordinate)) (`hybridopt.start.fill`), projected onto the bound there
    is. The first batch begins with the rows given. On minibatches a row that was lucky is kept.

    Parameters
    ----------
    population_size : int, >= 1
        Points a step.

    Raises
    ------
    TypeError, ValueError
        If `population_size` is no whole number of at least 1.

    Examples
    --------
    >>> import hybridopt
    >>> result = hybridopt.minimize(
    ...     lambda x: (x - 1).square().sum(),
    ...     bounds=[(-5, 4), (-5, 4)],
    ...     method=hybridopt.RandomSearch(),
    ...     max_evals=5000,
    ...     seed=0,
    ... )
    >>> bool(result.fun < 0.1)
    True
    """

    population_size: int = 100

    def __post_init__(self) -> None:
        check_whole("population_size", self.population_size, 1)

    @property
    def traits(self) -> Traits:
        """Stochastic, global. Free coordinates scale with `|x|`, so shifts don't pass through there."""
        return Traits(stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> RandomSearchState:
        rows = project(fill(x, self.population_size, lower, upper, seed), lower, upper)
        value = torch.full_like(rows[:, 0], torch.inf)
        return RandomSearchState(rows, value, lower, upper, seed, 0, centre=rows[0].clone())

    def ask(self, state: RandomSearchState) -> Query:
        if state.step == 0:
            return Query(state.x, sample=0)
        seed = hash_seed(state.seed, "draw", state.step)
        count = 1 + self.population_size  # the first of them is the centre itself
        return Query(fill(state.centre[None], count, state.lower, state.upper, seed)[1:], sample=state.step)

    def tell(self, state: RandomSearchState, evaluation: Evaluation) -> RandomSearchState:
        better = evaluation.value < state.value
        return replace(
            state,
            x=torch.where(better[:, None], evaluation.x, state.x),
            value=torch.where(better, evaluation.value, state.value),
            step=state.step + 1,
        )
