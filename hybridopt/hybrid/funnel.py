"""Down the funnel: local searches that begin where the trend of the minima found so far is lowest.

Local minima are points of a landscape of their own, which is often a simple one where the function itself is
rough. Loose local searches sample it, a convex quadratic is put through the lower half of what they found,
and the next searches begin around its minimum (`trend`).

References
----------
K. A. Dill, A. T. Phillips, J. B. Rosen (1997), Protein structure and energy landscape dependence on sequence
using a continuous energy function, J. Comput. Biol. 4, 227-239.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from hybridopt.check import check_whole
from hybridopt.core import Evaluation, Query, Traits, project
from hybridopt.hybrid.searches import SearchingState, begin, begin_again, query, told
from hybridopt.hybrid.trend import fit, needed, sample
from hybridopt.rng import child_seed, generator
from hybridopt.start import fill, refuse_coarse


@dataclass(frozen=True)
class FunnelState(SearchingState):
    """State of `Funnel`.

    Attributes
    ----------
    searches : Searches
        The local searches; while none runs, the next ones are to begin.
    rounds : int
        Times that searches have begun.
    """

    rounds: int


@dataclass(frozen=True)
class Funnel:
    """Local searches by BFGS from around the minimum of a quadratic through the minima that are known.

    For functions whose minima lie like the stones of a bowl: many minima, one trend. Searches that can't
    beat the best minimum are given up early (`hybridopt.hybrid.searches`).

    Parameters
    ----------
    population_size : int, >= 1
        Local searches that run side by side: the first one begins at the minimum of the trend, the others
        around it. Until there are points enough for a trend, all begin anywhere.

    Raises
    ------
    TypeError, ValueError
        If it is no such number.

    Examples
    --------
    >>> import torch, hybridopt
    >>> def rastrigin(x):
    ...     return (x**2 - 10 * torch.cos(2 * torch.pi * x) + 10).sum()
    >>> result = hybridopt.minimize(
    ...     rastrigin, bounds=[(-5.12, 4)] * 5, method="funnel", max_evals=5000, seed=0)
    >>> round(result.fun, 6)
    0.0

    References
    ----------
    K. A. Dill, A. T. Phillips, J. B. Rosen (1997), J. Comput. Biol. 4, 227-239.
    """

    population_size: int = 4

    def __post_init__(self) -> None:
        check_whole("population_size", self.population_size, 1)

    @property
    def traits(self) -> Traits:
        """Of a global method that takes gradients."""
        return Traits(order=1, stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> FunnelState:
        refuse_coarse("Funnel", x)
        searches = begin(x[: self.population_size], lower, upper, child_seed(seed, "search", 0))
        found = searches.search
        return FunnelState(found.x, found.value, lower, upper, seed, 0, searches=searches, rounds=0)

    def ask(self, state: FunnelState) -> Query:
        if state.searching:
            return query(state.searches)
        return Query(self._starts(state), order=1, sample=-1)

    def tell(self, state: FunnelState, evaluation: Evaluation) -> FunnelState:
        if state.searching:
            searches, rounds = state.searches, state.rounds
        else:
            searches, rounds = begin_again(state.searches, evaluation.x, _seed(state)), state.rounds + 1
        searches = told(searches, evaluation, every=False)
        found = searches.search
        return replace(
            state, x=found.x, value=found.value, step=state.step + 1, searches=searches, rounds=rounds
        )

    def _starts(self, state: FunnelState) -> Tensor:
        """Where the next searches begin, (population, dim)."""
        known, count, seed = state.searches.known, self.population_size, _seed(state)
        if known.ends.shape[0] < needed(state.x.shape[1]):
            return fill(state.x[:1], count + 1, state.lower, state.upper, seed)[1:]
        g = generator(seed, "trend", device=state.x.device)
        return project(sample(fit(known.ends, known.heights), count, g), state.lower, state.upper)


def _seed(state: FunnelState) -> int:
    """Seed of the next round."""
    return child_seed(state.seed, "search", state.rounds + 1)
