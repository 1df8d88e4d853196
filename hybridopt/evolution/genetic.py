"""A genetic algorithm that moves its whole population at once, described by a DEAP toolbox.

Generations as in `deap.algorithms.eaSimple`: select, mate, mutate; the children replace their parents, but
for an elite that is evaluated again.

References
----------
.. [1] D. E. Goldberg (1989), Genetic Algorithms in Search, Optimization and Machine Learning.
.. [2] T. Bäck, D. B. Fogel, Z. Michalewicz (2000), Evolutionary Computation 1, chapter 7.
.. [3] F.-A. Fortin et al. (2012), DEAP: Evolutionary algorithms made easy, JMLR 13, 2171-2175.
.. [4] L. J. Eshelman, J. D. Schaffer (1993), Real-coded genetic algorithms and interval-schemata, FOGA 2.
.. [5] T. Bäck (1993), Optimal mutation rates in genetic search, ICGA 5, 2-8.
"""

from __future__ import annotations

import functools
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hybridopt.check import check_whole
from hybridopt.core import Evaluation, Query, State, Traits, project
from hybridopt.evolution.parameters import check
from hybridopt.evolution.selection import selBest
from hybridopt.evolution.toolbox import (
    Individual,
    check_individual,
    check_toolbox,
    default_toolbox,
    is_batched,
    offspring_by_deap,
)
from hybridopt.rng import generator, hash_seed
from hybridopt.start import fill, widths


@dataclass(frozen=True)
class GeneticState(State):
    """State of `GeneticAlgorithm`: the population and the scale of its mutations.

    Attributes
    ----------
    width : Tensor of shape (dim,), or float
        Unit of `sigma` in each coordinate (`hybridopt.start.widths`): the width of the box; 0 where fixed.
        One number where all are equal, which mutates quicker.
    """

    width: Tensor | float


@dataclass(frozen=True)
class GeneticAlgorithm:
    """Genetic algorithm: tournament selection, blend crossover, Gaussian mutation, and an elite.

    Every generation asks for `population_size` values: those of the `elite` best rows again, so that a lucky
    minibatch does not keep a row for ever, and those of their children. Children are projected onto the box.
    With a toolbox of DEAP's own operators, or yours, DEAP makes the children, one by one.

    Parameters
    ----------
    population_size : int, at least 2
        Rows of a generation.
    toolbox : deap.base.Toolbox, optional
        With `select`, `mate` and `mutate`: either all from `hybridopt.evolution.operators` (or marked by
        `hybridopt.evolution.batched`), or all in DEAP's manner. They see true coordinates. Where None, it is
        `default_toolbox` with the parameters below, and `sigma` in widths of the box.
    cxpb : float in [0, 1]
        Probability that a pair is mated.
    mutpb : float in [0, 1]
        Probability that a row is mutated. 1, as `indpb` already decides for each gene.
    indpb : float in [0, 1], optional
        Probability that a gene mutates. Where None, min(0.1, 1 / dim): about one gene a child, whatever the
        dimension [5], and some children unchanged.
    sigma : float, at least 0
        Standard deviation of a mutation, in widths of the box (`hybridopt.start.widths`). With 0.03 the
        crossover makes the large steps and mutation the small ones.
    alpha : float, at least 0
        Reach of the blend crossover beyond the parents, in units of their distance. 0.5, as in [4], widens
        the variance of a population by a sixth, which works against the narrowing by selection.
    tournsize : int, at least 1
        Rows in a tournament; 3 is DEAP's customary value.
    elite : int, in [0, population_size)
        Best rows that live on. 1 keeps the best point; more narrows the search.
    individual : {"list", "array", "numpy"} or callable
        What operators in DEAP's manner get: a list, an array.array, a numpy array, or what a class of yours
        (`deap.creator.create`) makes of a list of floats, with a fitness of one negative weight. Only
        beside a toolbox in DEAP's manner.

    Raises
    ------
    TypeError
        If the toolbox has not all three operators, or mixes kinds of them, or a parameter is no number.
    ValueError
        If a parameter has an impossible value, or would go unused.

    Examples
    --------
    >>> import hybridopt
    >>> result = hybridopt.minimize(
    ...     lambda x: (x - 1).square().sum(),
    ...     bounds=[(-5, 4), (-5, 4)],
    ...     method=hybridopt.GeneticAlgorithm(population_size=50),
    ...     max_evals=5000,
    ...     seed=0,
    ... )
    >>> bool(result.fun < 1e-6)
    True
    """

    population_size: int = 100
    toolbox: Any = None
    _: KW_ONLY
    cxpb: float = 0.9
    mutpb: float = 1.0
    indpb: float | None = None
    sigma: float = 0.03
    alpha: float = 0.5
    tournsize: int = 3
    elite: int = 1
    individual: Individual = "list"

    def __post_init__(self) -> None:
        for name in ("cxpb", "mutpb", "sigma", "alpha", "tournsize"):
            check(name, getattr(self, name))
        if self.indpb is not None:
            check("indpb", self.indpb)
        check_whole("population_size", self.population_size, 2)
        check_whole("elite", self.elite, 0)
        if self.elite >= self.population_size:
            raise ValueError(
                f"elite must be below population_size = {self.population_size}, so that there are children; "
                f"got {self.elite!r}"
            )
        if self.toolbox is not None:
            check_toolbox(self.toolbox)
            self._check_unused()
        check_individual(self.individual)
        if self.individual != "list" and (self.toolbox is None or is_batched(self.toolbox.select)):
            raise ValueError(
                f"individual={self.individual!r} would go unused: operators for whole populations get "
                "tensors; leave it out, or pass a toolbox of deap.tools' operators"
            )

    @property
    def traits(self) -> Traits:
        """Stochastic, global. Free coordinates scale with `|x|`, so shifts don't pass through there."""
        return Traits(stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> GeneticState:
        rows = project(fill(x, self.population_size, lower, upper, seed), lower, upper)
        value = torch.full_like(rows[:, 0], torch.inf)
        width = widths(rows[0], lower, upper)
        equal = bool((width == width[0]).all())
        return GeneticState(rows, value, lower, upper, seed, 0, float(width[0]) if equal else width)

    def ask(self, state: GeneticState) -> Query:
        if state.step == 0:
            return Query(state.x, sample=0)
        toolbox = self._toolbox(state)
        generation = _batched_generation if is_batched(toolbox.select) else _deap_generation
        x = generation(self, toolbox, state)
        return Query(x.clamp_(state.lower, state.upper), sample=state.step)

    def tell(self, state: GeneticState, evaluation: Evaluation) -> GeneticState:
        return replace(state, x=evaluation.x, value=evaluation.value, step=state.step + 1)

    def _check_unused(self) -> None:
        unused = [name for name in _OF_DEFAULT_TOOLBOX if getattr(self, name) != getattr(type(self), name)]
        if unused:
            raise ValueError(
                f"{', '.join(unused)} would go unused beside a toolbox of your own; "
                "give the numbers to its operators: toolbox.register(name, function, parameter=number)"
            )

    def _toolbox(self, state: GeneticState) -> Any:
        """The user's, or the default one in units of the box: mutating by sigma * width is the same."""
        if self.toolbox is not None:
            return self.toolbox
        indpb = min(0.1, 1 / state.x.shape[1]) if self.indpb is None else self.indpb
        sigma = self.sigma * state.width
        make = default_toolbox if isinstance(sigma, Tensor) else _made_before
        return make(alpha=self.alpha, sigma=sigma, indpb=indpb, tournsize=self.tournsize)


_made_before = functools.lru_cache(maxsize=64)(default_toolbox)  # a generation of 10 genes feels the making
_OF_DEFAULT_TOOLBOX = ("indpb", "sigma", "alpha", "tournsize")


def _batched_generation(ga: GeneticAlgorithm, toolbox: Any, state: GeneticState) -> Tensor:
    """Elite and children in one fresh tensor, (population, dim); everything after the copy is in place."""
    g = generator(state.seed, state.step, device=state.x.device)
    count = ga.population_size - ga.elite
    rows = toolbox.select(state.value, count, generator=g)
    if ga.elite:
        rows = torch.cat([selBest(state.value, ga.elite), rows])
    x = state.x.index_select(0, rows)
    children = x[ga.elite :]
    toolbox.mate(children, chosen=_tossed(count // 2, ga.cxpb, g), generator=g)
    toolbox.mutate(children, chosen=_tossed(count, ga.mutpb, g), generator=g)
    return x


def _deap_generation(ga: GeneticAlgorithm, toolbox: Any, state: GeneticState) -> Tensor:
    """Elite and children of DEAP's making, (population, dim)."""
    children = offspring_by_deap(
        toolbox,
        state.x,
        state.value,
        ga.population_size - ga.elite,
        cxpb=ga.cxpb,
        mutpb=ga.mutpb,
        individual=ga.individual,
        seed=hash_seed(state.seed, state.step),
    )
    return torch.cat([state.x[selBest(state.value, ga.elite)], children])


def _tossed(count: int, probability: float, g: torch.Generator) -> Tensor | None:
    """Which of `count` take part, (count,); None where all do."""
    if probability == 1:
        return None
    return torch.rand(count, generator=g, device=g.device) < probability
