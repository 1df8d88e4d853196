"""Multi-start of local searches with clustering: start where no better point is near, and from nowhere else.

Points are drawn a few at a time. A local search starts from the best of those that have no better point
within the critical distance of multi-level single linkage, which shrinks as points are added. A search that
runs into a minimum that is known is given up; so is, where only the best minimum is wanted, one that can't
end below it any more, by what BFGS knows of the curvature. When the same minima keep coming back, or there is
nowhere left to begin, the search is exhausted.

References
----------
C. Boender and A. Rinnooy Kan, "Bayesian stopping rules for multistart global optimization methods", Math.
Program. 37, 1987.

A. Rinnooy Kan and G. Timmer, "Stochastic global optimization methods, part II: multi level methods",
Math. Program. 39, 1987.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hybridopt.check import check_flag, check_positive, check_whole
from hybridopt.core import Evaluation, Query, Traits
from hybridopt.hybrid.searches import Searches, SearchingState, begin, begin_again, query, told
from hybridopt.rng import child_seed
from hybridopt.start import fill, refuse_coarse

MOST = 500  # points that are remembered: the best ones
CLOSE = 0.25  # of the critical distance: no search starts so near to a minimum


@dataclass(frozen=True)
class MultiStartState(SearchingState):
    """State of `MultiStart`.

    Attributes
    ----------
    searches : Searches
        The local searches; while none runs, points are drawn.
    points : Tensor, shape (count, dim)
        Points drawn, best first.
    values : Tensor, shape (count,)
    fresh : Tensor, shape (count,), bool
        Those that no search has started from.
    drawn : int
        Points drawn in all.
    begun : int
        Local searches begun.
    idle : int
        Times that points were drawn and none of all lay alone, so that no search began.
    """

    points: Tensor
    values: Tensor
    fresh: Tensor
    drawn: int
    begun: int
    idle: int

    @property
    def exhausted(self) -> bool:
        """Whether the minima found are likely to be all that searches end in.

        The expected number of minima, w (n - 1) / (n - w - 2) for w distinct ones in n searches, is then
        within half of w (Boender and Rinnooy Kan 1987). A draw of points after which no search need begin,
        since every point is near to a better one, stands for a search that came back. Searches that were
        given up don't count.
        """
        count = self.minima.x.shape[0]
        ended = int(self.minima.visits.sum()) + self.idle
        spare = ended - count - 2
        return not self.searching and spare > 0 and count * (ended - 1) <= (count + 0.5) * spare

    @property
    def phase(self) -> str:
        """What the next query is for."""
        return "search" if self.searching else "points"


@dataclass(frozen=True)
class MultiStart:
    """Local searches by BFGS from all over the box, with clustering.

    Parameters
    ----------
    population_size : int, >= 1
        Local searches that run side by side: 1 finds the first minima soonest, more make larger batches.
    points : int, optional
        Points drawn before searches start anew; by default `dim`, but at least 4 and at most 100.
    sharpness : float, > 0
        The larger, the larger is the critical distance, and the fewer searches start.
    every : bool
        Whether every minimum is wanted, for `result.minima`. False: only the best one, so that searches which
        can't end below it are given up, and some of the others are never seen.

    Raises
    ------
    TypeError, ValueError
        If an option is none of these.

    Examples
    --------
    >>> import hybridopt
    >>> result = hybridopt.minimize(
    ...     lambda x: (x**4 - 16 * x**2 + 5 * x).sum() / 2, bounds=[(-5, 4)] * 2,
    ...     method="multistart", max_evals=1500, seed=0)
    >>> result.minima.fun.round(4).tolist()
    [-78.3323, -64.1956, -64.1956, -50.0589]
    >>> result.success  # it ended by itself
    True

    References
    ----------
    A. Rinnooy Kan and G. Timmer, "Stochastic global optimization methods, part II: multi level methods",
    Math. Program. 39, 1987.
    """

    population_size: int = 1
    points: int | None = None
    sharpness: float = 2.0
    every: bool = True

    def __post_init__(self) -> None:
        check_whole("population_size", self.population_size, 1)
        if self.points is not None:
            check_whole("points", self.points, 1)
        check_positive("sharpness", self.sharpness)
        check_flag("every", self.every)

    @property
    def traits(self) -> Traits:
        """Of a global method that takes gradients."""
        return Traits(order=1, stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> MultiStartState:
        refuse_coarse("MultiStart", x)
        starts = fill(x, self.population_size, lower, upper, child_seed(seed, "starts"))
        searches = begin(starts, lower, upper, child_seed(seed, "search", 0))
        none = x.new_empty(0)
        return MultiStartState(
            searches.search.x,
            searches.search.value,
            lower,
            upper,
            seed,
            0,
            searches=searches,
            points=x.new_empty(0, x.shape[1]),
            values=none,
            fresh=none.bool(),
            drawn=0,
            begun=self.population_size,
            idle=0,
        )

    def ask(self, state: MultiStartState) -> Query:
        if state.searching:
            return query(state.searches)
        count = self.points or min(100, max(4, len(state.lower)))
        seed = child_seed(state.seed, "points", state.drawn)
        return Query(fill(state.x[:1], count + 1, state.lower, state.upper, seed)[1:], sample=-1)

    def tell(self, state: MultiStartState, evaluation: Evaluation) -> MultiStartState:
        if not state.searching:
            return self._begun(_gathered(state, evaluation))
        return _with(replace(state, step=state.step + 1), told(state.searches, evaluation, every=self.every))

    def _begun(self, state: MultiStartState) -> MultiStartState:
        """Searches from the best points that lie alone, if there are any."""
        chosen = (state.fresh & self._alone(state)).nonzero()[: self.population_size, 0]
        count = chosen.shape[0]
        if not count:
            return replace(state, idle=state.idle + 1)
        seed = child_seed(state.seed, "search", state.begun)
        searches = begin_again(state.searches, state.points[chosen], seed)
        fresh = state.fresh.index_fill(0, chosen, False)
        return _with(replace(state, fresh=fresh, begun=state.begun + count), searches)

    def _alone(self, state: MultiStartState) -> Tensor:
        """Points without a better one, or a minimum, within the critical distance; bool, (count,)."""
        width = state.searches.width
        u, best = state.points / width, state.minima.x / width
        dim = max(1, int((state.upper > state.lower).sum()))  # fixed variables add none
        count = state.drawn + 1
        share = self.sharpness * math.log(count) / count
        radius = math.exp(math.lgamma(1 + dim / 2) / dim) * share ** (1 / dim) / math.sqrt(math.pi)
        near = (torch.cdist(u, u) < radius).tril(-1).any(1)  # the better ones stand first
        if best.shape[0]:
            near |= (torch.cdist(u, best) < CLOSE * radius).any(1)
        alone: Tensor = ~near & torch.isfinite(state.values)
        return alone


def _gathered(state: MultiStartState, evaluation: Evaluation) -> MultiStartState:
    """State with new points among the old, best first."""
    values = torch.cat([state.values, evaluation.value])
    order = torch.argsort(values, stable=True)[:MOST]
    new = torch.ones_like(evaluation.value, dtype=torch.bool)
    return replace(
        state,
        step=state.step + 1,
        points=torch.cat([state.points, evaluation.x])[order],
        values=values[order],
        fresh=torch.cat([state.fresh, new])[order],
        drawn=state.drawn + evaluation.x.shape[0],
    )


def _with(state: MultiStartState, searches: Searches) -> MultiStartState:
    return replace(state, x=searches.search.x, value=searches.search.value, searches=searches)
