"""CMA-ES that begins anew when a run has ended: with more and more samples, or in two regimes.

References
----------
.. [1] A. Auger, N. Hansen (2005), A restart CMA evolution strategy with increasing population size, CEC.
.. [2] N. Hansen (2009), Benchmarking a BI-population CMA-ES on the BBOB-2009 function testbed, GECCO
   workshop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from torch import Tensor

from hybridopt.check import check_not_negative, check_number
from hybridopt.core import Evaluation, Query, State, Traits
from hybridopt.evolution.cmaes.constants import default_population
from hybridopt.evolution.cmaes.covariance import KINDS
from hybridopt.evolution.cmaes.optimizer import CMAES, CMAESState
from hybridopt.evolution.cmaes.stopping import History, ended, record
from hybridopt.rng import child_seed, hash_seed
from hybridopt.start import fill


@dataclass(frozen=True)
class Run:
    """One run among restarts.

    Attributes
    ----------
    number : int
        Runs before it.
    regime : {"first", "large", "small"}
    population : int
        Samples in a generation.
    sigma0 : float
        First step size.
    most : float
        Evaluations after which it ends in any case.
    """

    number: int
    regime: str
    population: int
    sigma0: float
    most: float = math.inf


@dataclass(frozen=True)
class Books:
    """What the runs so far were: evaluations of each regime, and the last large run.

    Attributes
    ----------
    large, small : int
        Evaluations.
    last_large : int
        Evaluations of the last large run.
    population : int
        Samples in a generation of the last large run; of the first run before there was one.
    """

    large: int
    small: int
    last_large: int
    population: int

    def closed(self, run: Run, spent: int) -> Books:
        """Books after a run."""
        if run.regime == "small":
            return replace(self, small=self.small + spent)
        if run.regime == "large":
            return Books(self.large + spent, self.small, spent, run.population)
        return self


class Schedule(Protocol):
    """What comes after a run; `default` is the first one, `chance` two numbers in [0, 1)."""

    def after(self, run: Run, books: Books, default: Run, chance: tuple[float, float]) -> Run: ...


@dataclass(frozen=True)
class Increasing:
    """IPOP: every run has `factor` times the samples of the one before [1]."""

    factor: float = 2.0

    def __post_init__(self) -> None:
        check_number("factor", self.factor, lambda factor: factor >= 1, "at least 1")

    def after(self, run: Run, books: Books, default: Run, chance: tuple[float, float]) -> Run:
        return Run(run.number + 1, "large", round(self.factor * books.population), default.sigma0)


@dataclass(frozen=True)
class TwoRegimes:
    """BIPOP: large runs as with IPOP, and small ones of random size that spend as much in all [2].

    A small run has between the default and half the large one's samples, mostly few, a step size down to a
    hundredth of the default, and half the evaluations of the last large run.
    """

    factor: float = 2.0

    def __post_init__(self) -> None:
        check_number("factor", self.factor, lambda factor: factor >= 1, "at least 1")

    def after(self, run: Run, books: Books, default: Run, chance: tuple[float, float]) -> Run:
        if books.large <= books.small:
            return Increasing(self.factor).after(run, books, default, chance)
        size = int(default.population * (books.population / default.population / 2) ** (chance[0] ** 2))
        sigma0 = default.sigma0 * 10 ** (-2 * chance[1])
        return Run(run.number + 1, "small", max(2, size), sigma0, books.last_large / 2)


@dataclass(frozen=True)
class RestartedCMAESState(State):
    """State of `RestartedCMAES`.

    Attributes
    ----------
    inner : CMAESState
        Of the run that goes on.
    run : Run
    books : Books
        Of the runs before it.
    history : tuple
        Values of its generations (`hybridopt.evolution.cmaes.stopping.record`).
    origin : Tensor, shape (1, dim)
        Where the first run began; later ones begin near it where there are no bounds.
    """

    inner: CMAESState
    run: Run
    books: Books
    history: History
    origin: Tensor

    @property
    def phase(self) -> str:
        """Number, regime and population of the run."""
        return f"{self.run.number}:{self.run.regime} {self.run.population}"


@dataclass(frozen=True)
class RestartedCMAES:
    """CMA-ES that begins anew at a random point when a run has ended, for ever.

    A run ends where values or points no longer change, where they stagnate, or where the covariance is
    degenerate. The next one begins uniformly in a finite box; elsewhere normally around the first start.

    Parameters
    ----------
    inner : CMAES
        The strategy; its `population_size` and `sigma0` are those of the first run. `runs` must be 1.
    schedule : Increasing or TwoRegimes
        Which populations come next; or an object of yours with the method `after`.
    tol_fun : float, at least 0
        A run ends where the best values of its last 10 + 30 dim / population_size generations differ by no
        more. 1e-11 is the default of the package cma; [2] takes 1e-12.

    Raises
    ------
    TypeError, ValueError
        If `inner` is no `CMAES` of one run, or `tol_fun` is no number of at least 0.

    Examples
    --------
    >>> import hybridopt
    >>> result = hybridopt.minimize(
    ...     lambda x: (x**2 + 10 - 10 * (2 * 3.141592653589793 * x).cos()).sum(),
    ...     bounds=[(-5.1, 4.5), (-5.1, 4.5)], method="bipop_cmaes", max_evals=4000, seed=0)
    >>> bool(result.fun < 1e-9)
    True
    """

    inner: CMAES = field(default_factory=CMAES)
    schedule: Schedule = field(default_factory=Increasing)
    tol_fun: float = 1e-11

    def __post_init__(self) -> None:
        if not isinstance(self.inner, CMAES):
            raise TypeError(f"inner must be a CMAES, got {self.inner!r}")
        if self.inner.runs != 1:
            raise ValueError(f"inner must have runs=1, got {self.inner.runs}: runs would end at other times")
        if isinstance(self.schedule, type) or not hasattr(self.schedule, "after"):
            raise TypeError(f"schedule must be Increasing(), TwoRegimes() or the like, got {self.schedule!r}")
        check_not_negative("tol_fun", self.tol_fun)

    @property
    def traits(self) -> Traits:
        """Stochastic, global. New starts scale with abs(x) where there are no bounds."""
        return Traits(stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> RestartedCMAESState:
        run = self._first(x.shape[1])
        books = Books(0, 0, 0, run.population)
        inner = self._strategy(run).init(x[:1], lower, upper, seed=child_seed(seed, "run", 0))
        return _around(inner, seed, 0, run, books, (), x[:1].clone())

    def ask(self, state: RestartedCMAESState) -> Query:
        return Query(state.inner.pending, sample=state.step)

    def tell(self, state: RestartedCMAESState, evaluation: Evaluation) -> RestartedCMAESState:
        strategy, run = self._strategy(state.run), state.run
        inner = strategy.tell(state.inner, evaluation)
        history = record(state.history, evaluation.value, inner.x.shape[1], inner.step)
        step, kind = state.step + 1, KINDS[strategy.covariance]
        spent = inner.step * run.population
        if spent < run.most and not ended(kind, inner, history, run.sigma0, self.tol_fun):
            return _around(inner, state.seed, step, run, state.books, history, state.origin)
        return self._restarted(state, inner, step, state.books.closed(run, spent))

    def _restarted(
        self, state: RestartedCMAESState, inner: CMAESState, step: int, books: Books
    ) -> RestartedCMAESState:
        """The next run, with the points and values of the last one until it has its own."""
        number = state.run.number + 1
        chance = (_uniform(state.seed, "size", number), _uniform(state.seed, "sigma", number))
        run = self.schedule.after(state.run, books, self._first(inner.x.shape[1]), chance)
        seed = child_seed(state.seed, "run", number)
        start = fill(state.origin, 2, state.lower, state.upper, child_seed(seed, "start"))[1:]
        begun = self._strategy(run).init(start, state.lower, state.upper, seed=seed)
        told = replace(begun, x=inner.x, value=inner.value)
        return _around(told, state.seed, step, run, books, (), state.origin)

    def _first(self, dim: int) -> Run:
        return Run(0, "first", self.inner.population_size or default_population(dim), self.inner.sigma0)

    def _strategy(self, run: Run) -> CMAES:
        return replace(self.inner, population_size=run.population, sigma0=run.sigma0)


def ipop_cmaes(*, factor: float = 2.0, tol_fun: float = 1e-11, **options: Any) -> RestartedCMAES:
    """`RestartedCMAES` whose population grows by `factor` with every run; options as `CMAES` takes them."""
    return RestartedCMAES(CMAES(**options), Increasing(factor), tol_fun)


def bipop_cmaes(*, factor: float = 2.0, tol_fun: float = 1e-11, **options: Any) -> RestartedCMAES:
    """`RestartedCMAES` in two regimes, large and small runs; options as `CMAES` takes them."""
    return RestartedCMAES(CMAES(**options), TwoRegimes(factor), tol_fun)


def _uniform(seed: int, place: str, number: int) -> float:
    """A number in [0, 1)."""
    return hash_seed(seed, place, number) / 2**63


def _around(
    inner: CMAESState, seed: int, step: int, run: Run, books: Books, history: History, origin: Tensor
) -> RestartedCMAESState:
    return RestartedCMAESState(
        inner.x, inner.value, inner.lower, inner.upper, seed, step, inner, run, books, history, origin
    )
