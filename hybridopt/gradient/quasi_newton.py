"""Quasi-Newton descent on n rows at once: what BFGS and limited-memory BFGS share.

Every step asks for one trial point of each row that still runs, with its gradient. Rows are independent: each
has its own line search (`line_search`), its own memory of curvature (`bfgs`, `lbfgs`), and its own end.

Bounds: a trial is the projection of a point on the line, so that the path bends along the bounds. A variable
that lies on a bound is active unless descent leads inwards: it rests, and the others move as if it was fixed
(Bertsekas 1982).

References
----------
J. Nocedal and S. Wright, "Numerical Optimization", 2nd edition, 2006, chapters 6 and 7.
D. Bertsekas, "Projected Newton methods for optimization problems with simple constraints", SIAM J. Control
Optim. 20, 1982.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from hybridopt.check import check_flag, check_not_negative, check_positive, check_whole
from hybridopt.core import Query, State, project
from hybridopt.gradient.line_search import Bracket, begin
from hybridopt.gradient.rows import join, take
from hybridopt.start import fill

RUNNING, CONVERGED, SETTLED, STALLED, FAILED = range(5)


@dataclass(frozen=True)
class Step:
    """What memories learn from: accepted steps.

    Attributes
    ----------
    learned : Tensor, shape (rows,), bool
        The rows that made one whose curvature is positive; sy is 1 in the others.
    every : bool
        Whether all did.
    first : Tensor, shape (rows,), bool
        Those of them whose memory is empty.
    s, y : Tensor, shape (rows, dim)
        Difference of points; that of gradients over it, where known by the curvature beside the new point.
    sy : Tensor, shape (rows,)
        Their product.
    length : Tensor, shape (rows,)
        s is `length` times the direction.
    bent : Tensor of shape (rows,), bool, optional
        Except where this is true: a bound cut it.
    scale : Tensor, shape (dim,), optional
        As in `QuasiNewtonState`.
    """

    learned: Tensor
    every: bool
    first: Tensor
    s: Tensor
    y: Tensor
    sy: Tensor
    length: Tensor
    bent: Tensor | None
    scale: Tensor | None


class Memory(Protocol):
    """A kind of memory of curvature; a memory itself is a record of rows (`rows.take`).

    Before it knows of any curvature, that is as if it was the same in all variables of a scale
    (`QuasiNewtonState.scale`).

    Attributes
    ----------
    ambition : float
        A first trial is as long as would lower the value by half of this many times what the step before did,
        but at most 1 (Nocedal and Wright, eq. 3.60); +inf always tries 1.
    """

    @property
    def ambition(self) -> float: ...

    def empty(self, like: Tensor) -> Any:
        """Memory that knows nothing, for rows like these, (rows, dim)."""

    def learn(self, memory: Any, step: Step) -> Any:
        """Memory with one more step."""

    def fix(self, memory: Any, fixed: Tensor) -> Any:
        """Memory where the variables of this mask (rows, dim) have just become active."""

    def multiply(self, memory: Any, covector: Tensor, scale: Tensor | None) -> tuple[Any, Tensor]:
        """Inverse Hessian times covectors (rows, dim), as gradients are; the memory that remembers it."""


@dataclass(frozen=True)
class Running:
    """What is known of the rows that still run; a record of rows.

    Attributes
    ----------
    rows : Tensor, shape (rows,), int64
        Their places in the population.
    whole : bool
        Whether they are the whole population, in its order.
    trial : Tensor, shape (rows, dim)
        The points to be asked for.
    search : Bracket
        Their line searches.
    active : Tensor, shape (rows, dim), bool
        Variables that rest on a bound.
    resting : bool
        Whether there may be any.
    pairs : Tensor, shape (rows,), int64
        Steps that the memory has learned from.
    mark : Tensor, shape (rows,)
        The last value that was clearly lower than the mark before.
    flat : Tensor, shape (rows,), int64
        Steps since then.
    memory : dataclass
    refused : Tensor, shape (rows,)
        Length of the last trial on the line that was not accepted; 0 where there is none, or none on it.
    refused_grad : Tensor, shape (rows, dim)
        At that trial.
    """

    rows: Tensor
    whole: bool
    trial: Tensor
    search: Bracket
    active: Tensor
    resting: bool
    pairs: Tensor
    mark: Tensor
    flat: Tensor
    memory: Any
    refused: Tensor
    refused_grad: Tensor


@dataclass(frozen=True)
class QuasiNewtonState(State):
    """State of `BFGS` and `LBFGS`.

    Attributes
    ----------
    grad : Tensor, shape (population, dim)
        At `x`; zero before it is known.
    status : Tensor, shape (population,), int64
        0 running; 1 converged: the projected gradient is at most `tol`; 2 settled: a step lowered the value
        by at most `ftol`; 3 stalled: floating point carries no further; 4 failed: value or gradient at the
        start was not finite.
    cost : Tensor, shape (population,), int64
        Units spent on each row since it began.
    running : Running
        The rows of status 0.
    bounded : bool
        Whether any bound is finite.
    scale : Tensor, shape (dim,), optional
        Lengths that variables are measured in, for the memory and first steps; None: all in 1.
    moved : bool
        Whether the last step changed more than line searches; False where every trial was refused, and no row
        began a new line or ended.
    """

    grad: Tensor
    status: Tensor
    cost: Tensor
    running: Running
    bounded: bool
    scale: Tensor | None
    moved: bool = True


class Options(Protocol):
    """Options that both methods have."""

    @property
    def population_size(self) -> int | None: ...
    @property
    def tol(self) -> float: ...
    @property
    def ftol(self) -> float: ...
    @property
    def first_step(self) -> float: ...
    @property
    def scaled(self) -> bool: ...
    @property
    def max_trials(self) -> int: ...


def check_options(options: Options) -> None:
    """Refuse options out of their ranges."""
    if options.population_size is not None:
        check_whole("population_size", options.population_size, 1)
    check_not_negative("tol", options.tol)
    check_not_negative("ftol", options.ftol)
    check_positive("first_step", options.first_step)
    check_flag("scaled", options.scaled)
    check_whole("max_trials", options.max_trials, 2)


def start(
    options: Options, memory: Memory, x: Tensor, lower: Tensor, upper: Tensor, seed: int
) -> QuasiNewtonState:
    """First state: every row waits for the value of its start."""
    x = project(fill(x, options.population_size or x.shape[0], lower, upper, seed), lower, upper)
    bounded = bool((torch.isfinite(lower) | torch.isfinite(upper)).any())
    count = torch.zeros_like(x[:, 0], dtype=torch.int64)
    rows = torch.arange(x.shape[0], device=x.device)
    return QuasiNewtonState(
        x,
        torch.full_like(x[:, 0], torch.inf),
        lower,
        upper,
        seed,
        0,
        grad=torch.zeros_like(x),
        status=count,
        cost=count,
        running=_waiting(memory, x, rows),
        bounded=bounded,
        scale=_scale(lower, upper) if options.scaled else None,
    )


def _scale(lower: Tensor, upper: Tensor) -> Tensor | None:
    """Widths of a box, (dim,), 1 where they can't be squared twice; None where that is so everywhere."""
    width, least = upper - lower, torch.finfo(lower.dtype).tiny ** 0.25
    usable = (width > least) & (width < 1 / least)
    return torch.where(usable, width, 1.0) if bool(usable.any()) else None


def query(state: QuasiNewtonState) -> Query:
    """The trials of all rows that run; the best row once more where none does."""
    if state.running.rows.shape[0]:
        return Query(state.running.trial, order=1, sample=-1)
    return Query(state.x[state.value.argmin()][None], order=1, sample=-1)


def given_up(state: QuasiNewtonState, rows: Tensor) -> QuasiNewtonState:
    """The state in which some of the running rows have settled where they are.

    Parameters
    ----------
    state : QuasiNewtonState
    rows : Tensor, shape (rows,), bool
        Which of `state.running.rows`.
    """
    if not bool(rows.any()):
        return state
    running = state.running
    status = state.status.index_fill(0, running.rows[rows], SETTLED)
    kept = replace(take(running, (~rows).nonzero()[:, 0]), whole=False)
    return replace(state, status=status, running=kept)


def restarted(memory: Memory, state: QuasiNewtonState, rows: Tensor, x: Tensor) -> QuasiNewtonState:
    """The state in which some rows begin anew, in the same batch; whatever they did is forgotten.

    Parameters
    ----------
    memory : Memory
    state : QuasiNewtonState
    rows : Tensor
        Their places, (count,), or a mask, (population,).
    x : Tensor, shape (count, dim)
        Their new starts, projected onto the box.
    """
    rows = rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows
    x = project(x, state.lower, state.upper)
    running = state.running
    replaced = torch.zeros_like(state.status, dtype=torch.bool).index_fill(0, rows, True)
    kept = ~replaced[running.rows]
    running = join(take(running, kept.nonzero()[:, 0]), _waiting(memory, x, rows))
    return replace(
        state,
        x=state.x.index_copy(0, rows, x),
        value=state.value.index_fill(0, rows, torch.inf),
        grad=state.grad.index_fill(0, rows, 0.0),
        status=state.status.index_fill(0, rows, RUNNING),
        cost=state.cost.index_fill(0, rows, 0),
        running=replace(running, whole=False),
    )


def _waiting(memory: Memory, x: Tensor, rows: Tensor) -> Running:
    """Rows whose start is the next trial: of a line without direction, where any finite value will do."""
    zero = torch.zeros_like(x[:, 0])
    search = begin(torch.zeros_like(x), zero, zero, torch.full_like(zero, torch.inf))
    count = torch.zeros_like(rows)
    active = torch.zeros_like(x, dtype=torch.bool)
    mark, none = search.low[:, 1], torch.zeros_like(x)
    return Running(rows, True, x, search, active, False, count, mark, count, memory.empty(x), zero, none)
