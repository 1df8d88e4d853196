"""Perturb and restart: descend, move the best point a little, descend again, keep the better.

Iterated local search with the acceptance "better" [1], known as monotonic basin hopping in physics [2, 3].
It has the gradients and the chance of a hybrid, but no population that learns and nothing recombined: what a
hybrid of evolution and gradients has to beat.

References
----------
.. [1] H. R. Lourenço, O. C. Martin, T. Stützle (2003), Iterated local search, Handbook of Metaheuristics.
.. [2] D. J. Wales, J. P. K. Doye (1997), Global optimization by basin-hopping, J. Phys. Chem. A 101.
.. [3] R. H. Leary (2000), Global optimization on funneling landscapes, J. Global Optim. 18, 367-383.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from hybridopt.check import check_number
from hybridopt.conditions import AllOf, Condition, Stalled, Steps, Trace, is_condition
from hybridopt.core import Evaluation, Optimizer, Query, State, Traits
from hybridopt.gradient.descent import rprop
from hybridopt.rng import child_seed, generator
from hybridopt.start import widths


@dataclass(frozen=True)
class PerturbRestartState(State):
    """State of `PerturbRestart`: `x` and `value` hold the best of every row so far.

    Attributes
    ----------
    inner : State
        Of the descent that runs.
    restarts : int
        Descents begun at a perturbed point.
    trace : Trace
        Since this descent began.
    entered : int
        Tells before it began.
    """

    inner: State
    restarts: int
    trace: Trace
    entered: int

    @property
    def phase(self) -> str:
        """That of the inner optimizer."""
        return self.inner.phase


@dataclass(frozen=True)
class PerturbRestart:
    """Descend until a condition fires, perturb the best of each row, descend again, for ever.

    Rows never learn of one another: n rows are n searches, which are perturbed at the same time. On
    minibatches a row that was lucky is kept.

    Parameters
    ----------
    inner : Optimizer
        What descends; it begins afresh every time, with as many rows. Rprop with lr 0.02 by default.
    switch : Condition
        When a descent ends. It sees the trace since that descent began, of all rows together.
    share : float, in (0, 1]
        How far the best is moved: uniformly within `share` of the box's width to either side, as far as the
        box goes; where a bound is not finite the width is max(1, abs(coordinate)). With 1 in a finite box
        every descent begins anywhere: multi-start, some rows at a time.

    Raises
    ------
    TypeError
        If `inner` is no optimizer, `switch` no condition, or `share` no number.
    ValueError
        If `share` is out of its range.

    Examples
    --------
    >>> import torch, hybridopt
    >>> def rastrigin(x):
    ...     return (x**2 - 10 * torch.cos(2 * torch.pi * x) + 10).sum()
    >>> result = hybridopt.minimize(
    ...     rastrigin, bounds=[(-5.12, 4)], method=hybridopt.PerturbRestart(), max_evals=600, seed=0)
    >>> round(result.fun, 4)
    0.0
    """

    inner: Optimizer[Any] = field(default_factory=lambda: rprop(lr=0.02))
    switch: Condition = AllOf(Steps(25), Stalled(4, rtol=0.01))  # noqa: RUF009 - frozen
    share: float = 0.1

    def __post_init__(self) -> None:
        inner = self.inner
        if isinstance(inner, type) or not all(hasattr(inner, verb) for verb in ("init", "ask", "tell")):
            raise TypeError(f"inner must be an optimizer (init, ask, tell), got {inner!r}; e.g. rprop()")
        if not is_condition(self.switch):
            raise TypeError(f"switch must be a condition such as Stalled(50), got {self.switch!r}")
        check_number("share", self.share, lambda share: 0 < share <= 1, "above 0 and at most 1")

    @property
    def traits(self) -> Traits:
        """Derivatives as the inner method wants them; stochastic and global."""
        return Traits(order=self.inner.traits.order, stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> PerturbRestartState:
        inner = self.inner.init(x, lower, upper, seed=child_seed(seed, "inner"))
        trace = Trace.for_conditions(self.switch)
        return PerturbRestartState(inner.x, inner.value, lower, upper, seed, 0, inner, 0, trace, 0)

    def ask(self, state: PerturbRestartState) -> Query:
        """Ask what the descent asks, on samples that no other descent had; -1 stays all data."""
        query = self.inner.ask(state.inner)
        return query if query.sample < 0 else query._replace(sample=state.entered + query.sample)

    def tell(self, state: PerturbRestartState, evaluation: Evaluation) -> PerturbRestartState:
        inner = self.inner.tell(state.inner, evaluation)
        _check_rows(inner, state)
        better = inner.value < state.value
        told = replace(
            state,
            x=torch.where(better[:, None], inner.x, state.x),
            value=torch.where(better, inner.value, state.value),
            step=state.step + 1,
            inner=inner,
            trace=state.trace.record(state, evaluation),
        )
        return self._restarted(told) if self.switch(told.trace) else told

    def _restarted(self, state: PerturbRestartState) -> PerturbRestartState:
        """The next descent, from the best of each row, moved."""
        restarts = state.restarts + 1
        seed = child_seed(state.seed, "inner", restarts)
        x = _perturbed(state, self.share, seed)
        inner = self.inner.init(x, state.lower, state.upper, seed=seed)
        trace = Trace.for_conditions(self.switch)
        return replace(state, inner=inner, restarts=restarts, trace=trace, entered=state.step)


def _perturbed(state: State, share: float, seed: int) -> Tensor:
    """Rows uniform in boxes around the best ones, cut to the bounds; shape (population, dim)."""
    x = state.x
    reach = share * widths(x, state.lower, state.upper)
    low, high = torch.maximum(x - reach, state.lower), torch.minimum(x + reach, state.upper)
    g = generator(seed, "perturb", device=x.device)
    uniform = torch.rand(x.shape, generator=g, dtype=x.dtype, device=x.device)
    return torch.lerp(low, high, uniform).clamp_(state.lower, state.upper)


def _check_rows(inner: State, state: State) -> None:
    """Rows are compared one by one, so there must be as many as before."""
    if inner.x.shape != state.x.shape:
        raise ValueError(
            f"inner must keep the number of its rows, got {inner.x.shape[0]} after {state.x.shape[0]}; "
            "use a method of fixed population_size"
        )
