"""A memetic algorithm: a genetic algorithm whose children learn, by a short local search, before selection.

What a child has learnt decides its fitness. Whether it is inherited too is a dial: written back to the genome
it is Lamarckian evolution; where the genome stays what it was, it is Baldwinian, and learning only smooths
the landscape that selection sees.

References
----------
.. [1] G. E. Hinton, S. J. Nowlan (1987), How learning can guide evolution, Complex Systems 1, 495-502.
.. [2] P. Moscato (1989), On evolution, search, optimization, genetic algorithms and martial arts: towards
   memetic algorithms, Caltech Concurrent Computation Program, report 826.
.. [3] D. Whitley, V. S. Gordon, K. Mathias (1994), Lamarckian evolution, the Baldwin effect and function
   optimization, PPSN III, 5-15.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hybridopt.check import check_not_negative, check_number, check_whole
from hybridopt.core import Evaluation, Query, State, Traits
from hybridopt.evolution.genetic import GeneticAlgorithm, GeneticState
from hybridopt.gradient import BFGS, LBFGS
from hybridopt.gradient.quasi_newton import QuasiNewtonState, given_up
from hybridopt.gradient.suited import quasi_newton
from hybridopt.hybrid.keep import best_of, with_best
from hybridopt.rng import child_seed, generator


@dataclass(frozen=True)
class MemeticState(State):
    """State of `MemeticGenetic`; `x` holds where the searches stand, and the best point so far.

    Attributes
    ----------
    genetic : GeneticState
        Its rows are genomes; their values are of what they learnt.
    genomes : Tensor, shape (population, dim)
        Of the generation that learns.
    search : QuasiNewtonState
        Where they stand.
    generation : int
        Generations that have learnt.
    best_x : Tensor, shape (dim,)
    best_value : Tensor, shape ()
    """

    genetic: GeneticState
    genomes: Tensor
    search: QuasiNewtonState
    generation: int
    best_x: Tensor
    best_value: Tensor

    @property
    def searching(self) -> bool:
        """Whether a generation is learning; a scheduler may pause where none is."""
        return self.search.step > 0


@dataclass(frozen=True)
class MemeticGenetic:
    """A genetic algorithm whose children descend a little, all in one batch, before they are selected.

    Parameters
    ----------
    genetic : GeneticAlgorithm
        Its selection, crossover, mutation and elite, or those of its toolbox. By default of 20 rows whose
        mutations have a standard deviation of a tenth of the box: smaller ones are undone by learning.
    lamarck : float, in [0, 1]
        Probability that what a row learnt is written back to its genome; 1 is Lamarckian evolution, 0
        Baldwinian, in between both occur side by side.
    local_steps : int, >= 1
        Trials of BFGS a row and generation, 2 units each; the first is the child itself. The best row of a
        generation goes on until it has settled.
    ftol : float, at least 0
        A row stops sooner when a step lowers its value f by at most ftol * max(abs(f), 1).

    Raises
    ------
    TypeError, ValueError
        If `genetic` is no `GeneticAlgorithm`, or another option no number in its range.

    Notes
    -----
    The elite is a child of itself: it learns again in every generation, which costs little where its genome
    is a minimum already.

    A row that starts where the value is not finite and is scattered anew by BFGS has the new place as genome.

    Examples
    --------
    >>> import torch, hybridopt
    >>> def rastrigin(x):
    ...     return (x**2 - 10 * torch.cos(2 * torch.pi * x) + 10).sum()
    >>> result = hybridopt.minimize(
    ...     rastrigin, bounds=[(-5.12, 4)] * 3, method=hybridopt.MemeticGenetic(), max_evals=6000, seed=0)
    >>> round(result.fun, 6)
    0.0

    References
    ----------
    .. [1] D. Whitley, V. S. Gordon, K. Mathias (1994), Lamarckian evolution, the Baldwin effect and function
       optimization, PPSN III, 5-15.
    """

    genetic: GeneticAlgorithm = field(default_factory=lambda: GeneticAlgorithm(20, sigma=0.1))
    lamarck: float = 1.0
    local_steps: int = 12
    ftol: float = 1e-10

    def __post_init__(self) -> None:
        if not isinstance(self.genetic, GeneticAlgorithm):
            raise TypeError(
                f"genetic must be a GeneticAlgorithm, got {self.genetic!r}; e.g. GeneticAlgorithm(20)"
            )
        check_number("lamarck", self.lamarck, lambda share: 0 <= share <= 1, "at least 0 and at most 1")
        check_whole("local_steps", self.local_steps, 1)
        check_not_negative("ftol", self.ftol)

    @property
    def traits(self) -> Traits:
        """Of a global method that takes gradients."""
        return Traits(order=1, stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> MemeticState:
        genetic = self.genetic.init(x, lower, upper, seed=child_seed(seed, "genetic"))
        genomes, search = self._born(genetic, seed)
        return MemeticState(
            search.x,
            search.value,
            lower,
            upper,
            seed,
            0,
            genetic=genetic,
            genomes=genomes,
            search=search,
            generation=0,
            best_x=search.x[0],
            best_value=search.value[0],
        )

    def ask(self, state: MemeticState) -> Query:
        return self._local(state).ask(state.search)

    def tell(self, state: MemeticState, evaluation: Evaluation) -> MemeticState:
        search = self._local(state).tell(state.search, evaluation)
        if search.step >= self.local_steps:
            search = given_up(search, search.value[search.running.rows] > search.value.amin())
        best_x, best_value = best_of(evaluation, state.best_x, state.best_value)
        x, value = with_best(search.x, search.value, best_x, best_value)
        unborn = torch.isinf(search.value)[:, None]  # they stand where they start, or are scattered to
        state = replace(
            state,
            x=x,
            value=value,
            step=state.step + 1,
            search=search,
            genomes=torch.where(unborn, search.x, state.genomes),
            best_x=best_x,
            best_value=best_value,
        )
        return state if search.running.rows.shape[0] else self._selected(state)

    def _selected(self, state: MemeticState) -> MemeticState:
        """The state in which the next generation begins to learn."""
        search = state.search
        g = generator(state.seed, "lamarck", state.generation, device=search.x.device)
        toss = torch.rand(len(search.value), generator=g, dtype=torch.float64, device=search.x.device)
        inherited = (toss < self.lamarck)[:, None]
        genomes = torch.where(inherited, search.x, state.genomes)
        genetic = self.genetic.tell(state.genetic, Evaluation(genomes, search.value))
        genomes, search = self._born(genetic, state.seed)
        return replace(
            state, genetic=genetic, genomes=genomes, search=search, generation=state.generation + 1
        )

    def _born(self, genetic: GeneticState, seed: int) -> tuple[Tensor, QuasiNewtonState]:
        """Genomes of the next generation, and their searches, about to begin."""
        genomes = self.genetic.ask(genetic).x
        seed = child_seed(seed, "search", genetic.step)
        search = self._local(genetic).init(genomes, genetic.lower, genetic.upper, seed=seed)
        return search.x, search

    def _local(self, state: State) -> BFGS | LBFGS:
        return quasi_newton(state.x.shape[1], self.ftol)
