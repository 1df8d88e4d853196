"""SHADE: differential evolution with success-history based adaptation.

Every row makes a child by the mutation current-to-pbest/1 with an archive, and the better of the two lives
on. The scale factor F and the crossover rate CR of a child are drawn around means of those that succeeded.

References
----------
.. [1] R. Tanabe, A. Fukunaga (2013), Success-history based parameter adaptation for differential evolution,
   IEEE Congress on Evolutionary Computation, 71-78.
.. [2] J. Zhang, A. C. Sanderson (2009), JADE: adaptive differential evolution with optional external archive,
   IEEE Transactions on Evolutionary Computation 13, 945-958.
.. [3] R. Tanabe, A. Fukunaga (2014), Improving the search performance of SHADE using linear population size
   reduction, IEEE Congress on Evolutionary Computation, 1658-1665.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hybridopt.check import check_flag, check_number, check_whole
from hybridopt.core import Evaluation, Query, State, Traits, project
from hybridopt.evolution.differential import archive, history
from hybridopt.evolution.differential.archive import Archive
from hybridopt.evolution.differential.history import History
from hybridopt.evolution.differential.variation import (
    binomial,
    current_to_pbest,
    free_gene,
    place,
    repaired,
    two_others,
)
from hybridopt.rng import generator
from hybridopt.start import fill


@dataclass(frozen=True)
class SHADEState(State):
    """State of `SHADE` and `LSHADE`: the population, what it has learned and what it left behind.

    Attributes
    ----------
    history : History
        Scale factors and crossover rates that succeeded.
    archive : Archive
        Parents that were beaten.
    evaluations : int
        Values taken so far.
    """

    history: History
    archive: Archive
    evaluations: int


@dataclass(frozen=True)
class SHADE:
    """Differential evolution that learns its scale factors and crossover rates from its successes.

    Every generation asks for `population_size` values, on all data where the objective has minibatches,
    since a value lives as long as its row. A child that is as good as its parent replaces it. Genes that
    would leave the box come back to the middle of bound and parent; fixed variables take no part.

    Parameters
    ----------
    population_size : int, at least 4
        Rows; the paper takes 100.
    memory_size : int, at least 1
        H, the generations whose means are remembered.
    best_share : float in (0, 1]
        The largest share of the best rows towards one of which a row moves; its own share is uniform between
        2 / population_size and this.
    archive_share : float, at least 0
        Rows of the archive, in population sizes; 0 for none.
    lehmer_rate : bool
        Whether the mean of crossover rates is Lehmer's and may end at 0, as in SHADE 1.1 [3], instead of
        arithmetic, as in [1]. It favours high rates: better where variables depend on each other
        (Rosenbrock), worse where they do not (`benchmarks/differential.py`).

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
    ...     method=hybridopt.SHADE(population_size=30),
    ...     max_evals=5000,
    ...     seed=0,
    ... )
    >>> bool(result.fun < 1e-12)
    True
    """

    population_size: int = 100
    memory_size: int = 100
    best_share: float = 0.2
    archive_share: float = 1.0
    lehmer_rate: bool = False

    def __post_init__(self) -> None:
        check_whole("population_size", self.population_size, 4)
        check_whole("memory_size", self.memory_size, 1)
        check_number("best_share", self.best_share, lambda v: 0 < v <= 1, "above 0 and at most 1")
        check_number(
            "archive_share", self.archive_share, lambda v: 0 <= v < torch.inf, "finite and at least 0"
        )
        check_flag("lehmer_rate", self.lehmer_rate)

    @property
    def traits(self) -> Traits:
        """Stochastic, global."""
        return Traits(stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> SHADEState:
        return begun(
            x, lower, upper, seed, self.population_size, self.memory_size, self._kept(self.population_size)
        )

    def ask(self, state: SHADEState) -> Query:
        count = state.x.shape[0]
        least = min(2 / count, self.best_share)
        return Query(children(state, least, self.best_share), sample=-1)

    def tell(self, state: SHADEState, evaluation: Evaluation) -> SHADEState:
        return survived(state, evaluation, self._kept(state.x.shape[0]), lehmer_rate=self.lehmer_rate)

    def _kept(self, count: int) -> int:
        return round(self.archive_share * count)


def begun(
    x: Tensor, lower: Tensor, upper: Tensor, seed: int, count: int, memory_size: int, kept: int
) -> SHADEState:
    """First state: `count` rows, a memory of nothing, an empty archive of at most `kept` rows."""
    rows = project(fill(x, count, lower, upper, seed), lower, upper)
    value = torch.full_like(rows[:, 0], torch.inf)
    memory, beaten = history.begun(memory_size, rows), archive.empty(kept, rows)
    return SHADEState(rows, value, lower, upper, seed, 0, memory, beaten, 0)


def children(state: SHADEState, least: float, most: float) -> Tensor:
    """Trial points, (population, dim); at first the population itself.

    `least` and `most` are the shares of the best rows, p of [1], between which each child's share is drawn.
    """
    if state.step == 0:
        return state.x
    x, (count, dim) = state.x, state.x.shape
    g = generator(state.seed, state.step, device=x.device)
    scale, rate = history.draw(state.history, count, g)
    u = torch.rand(5, count, generator=g, dtype=x.dtype, device=x.device)
    genes = torch.rand(count, dim, generator=g, dtype=torch.float32, device=x.device)  # 24 bits will do
    top = ((least + (most - least) * u[0]) * count).round().long().clamp_min(2)
    best = torch.argsort(state.value, stable=True)[place(u[1], top)]
    r1, r2 = two_others(u[2], u[3], count + state.archive.count)
    pool = torch.cat([x, state.archive.x])
    towards, other, pooled = x.index_select(0, best), x.index_select(0, r1), pool.index_select(0, r2)
    mutant = current_to_pbest(x, towards, other, pooled, scale)
    mutant = repaired(mutant, x, state.lower, state.upper)
    return binomial(x, mutant, rate, genes, free_gene(u[4], state.lower, state.upper))


def survived(state: SHADEState, evaluation: Evaluation, kept: int, *, lehmer_rate: bool) -> SHADEState:
    """State after parents were compared with their children, with an archive of at most `kept` rows."""
    x, value = evaluation.x, evaluation.value
    after = replace(state, step=state.step + 1, evaluations=state.evaluations + x.shape[0])
    if state.step == 0:
        return replace(after, x=x, value=value)
    g = generator(state.seed, state.step, device=x.device)
    scale, rate = history.draw(state.history, x.shape[0], g)  # as the children were made with
    better, as_good = value < state.value, value <= state.value
    weight = history.weights(state.value, value)
    g = generator(state.seed, "archive", state.step, device=x.device)
    return replace(
        after,
        x=torch.where(as_good[:, None], x, state.x),
        value=torch.where(as_good, value, state.value),
        history=history.remember(state.history, scale, rate, weight, lehmer_rate=lehmer_rate),
        archive=archive.put(state.archive, state.x, better, kept, g),
    )
