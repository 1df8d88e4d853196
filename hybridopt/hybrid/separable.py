"""Separable functions: a sum of functions of one variable each falls apart into searches along the axes.

Whether a function is separable shows in one gradient: at a point that takes some coordinates from one known
point and the others from another, every partial derivative is then the one known. If so, all variables are
searched at once: a row of a query is one point for each of the one-dimensional searches, so that a grid of N
points costs 2 N units in any dimension. Derivatives on the grid are summed up to values, the lowest cell of
each variable where the derivative changes its sign is refined by secants and bisection, then the grid is made
finer: everywhere, and more so around what was found. Sums of slopes are not exact, so that the next lowest
cells are refined too, and put to the test by values: one for each variable, of the best point with another
coordinate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hybridopt.core import Evaluation, Query, State, Traits, project
from hybridopt.rng import generator

FIRST_LEVEL, LAST_LEVEL = 4, 10  # a grid of 2^level cells
ZOOM_LEVEL = 5  # from here on a level ends with a finer grid around what was found
ZOOM = 16  # points of that on each side
REACH = 4  # cells that it reaches to each side
REFINEMENTS = 40
SWAP_LEVEL = 6  # from here on other cells are put to the test
RIVALS = 3  # of each variable
GRID, REFINE, SWAP, CONFIRM = "grid", "refine", "swap", "confirm"  # stages


@dataclass(frozen=True)
class SeparableState(State):
    """State of `Separable`; `x` is the best point evaluated.

    Attributes
    ----------
    level : int
    zoomed : bool
        Whether the grid around what was found is, or was, evaluated at this level.
    stage : {"grid", "refine", "swap", "confirm"}
        What is to be evaluated: a grid, a step of the refinement, the best point with one coordinate of the
        trial each, or the best point.
    refined : int
        Steps of this refinement.
    rival : int
        Which cell by value is refined, 0 for the lowest.
    done : bool
        Whether the finest grid has been refined.
    points, slopes : Tensor, shape (count, dim)
        Coordinates evaluated so far, rising in every column, and the partial derivatives there.
    left, right : Tensor, shape (2, dim)
        Ends of the bracket of each variable: coordinate and derivative.
    trial : Tensor, shape (dim,)
        Next point of the refinement, or where it has ended.
    best : Tensor, shape (dim,)
        What has stood the test so far.
    base : Tensor, shape ()
        Its value; +inf before there is one.
    """

    level: int
    zoomed: bool
    stage: str
    refined: int
    rival: int
    done: bool
    points: Tensor
    slopes: Tensor
    left: Tensor
    right: Tensor
    trial: Tensor
    best: Tensor
    base: Tensor


@dataclass(frozen=True)
class Separable:
    """Search along all axes at once. Right only for separable functions, and in finite boxes."""

    @property
    def traits(self) -> Traits:
        """Of a global method that takes gradients and no chance."""
        return Traits(order=1, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> SeparableState:
        none = x.new_empty(0, x.shape[1])
        return SeparableState(
            x[:1],
            torch.full_like(x[:1, 0], torch.inf),
            lower,
            upper,
            seed,
            0,
            level=FIRST_LEVEL,
            zoomed=False,
            stage=GRID,
            refined=0,
            rival=0,
            done=False,
            points=none,
            slopes=none,
            left=none,
            right=none,
            trial=x[0],
            best=x[0],
            base=torch.full_like(x[0, 0], torch.inf),
        )

    def ask(self, state: SeparableState) -> Query:
        if state.stage == SWAP:
            return Query(_swaps(state), sample=-1)
        if state.stage == REFINE:
            return Query(state.trial[None], order=1, sample=-1)
        if state.stage == CONFIRM:
            return Query(state.best[None], order=1, sample=-1)
        grid = _around(state) if state.zoomed else _everywhere(state)
        return Query(project(grid, state.lower, state.upper), order=1, sample=-1)

    def tell(self, state: SeparableState, evaluation: Evaluation) -> SeparableState:
        lowest = evaluation.value.argmin()
        better = evaluation.value[lowest] < state.value[0]
        state = replace(
            state,
            x=torch.where(better, evaluation.x[lowest], state.x),
            value=torch.where(better, evaluation.value[lowest], state.value),
            step=state.step + 1,
        )
        if state.stage == SWAP:
            return _swapped(state, evaluation.value)
        if state.stage == CONFIRM:
            return _challenged(replace(state, base=evaluation.value[0]))
        assert evaluation.grad is not None
        grad = torch.nan_to_num(evaluation.grad)
        points, order = torch.cat([state.points, evaluation.x]).sort(dim=0, stable=True)
        state = replace(state, points=points, slopes=torch.cat([state.slopes, grad]).gather(0, order))
        if state.stage == GRID:
            return _trying(_bracketed(replace(state, rival=0)))
        return _refined(state, torch.stack([evaluation.x[0], grad[0]]), evaluation.value[0])


def mixed(a: Tensor, b: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """A point with half of its coordinates from `a`, the others from `b`, by chance; and which from `a`.

    Parameters
    ----------
    a, b : Tensor, shape (dim,)
    seed : int

    Returns
    -------
    point : Tensor, shape (dim,)
    mask : Tensor, shape (dim,), bool
    """
    g = generator(seed, "mix", device=a.device)
    order = torch.randperm(a.shape[0], generator=g, device=a.device)
    mask = order < a.shape[0] // 2
    return torch.where(mask, a, b), mask


def agrees(mask: Tensor, a: Tensor, b: Tensor, grad: Tensor) -> bool:
    """Whether a gradient at the mixture of two points is that of a separable function, but for rounding.

    Parameters
    ----------
    mask : Tensor, shape (dim,), bool
        Of `mixed`.
    a, b, grad : Tensor, shape (dim,)
        Gradients at the two points, and at the mixture.
    """
    expected = torch.where(mask, a, b)
    near = torch.finfo(grad.dtype).eps ** 0.5
    scale = torch.maximum(expected.abs(), 1e-3 * torch.maximum(a.abs(), b.abs()).amax())
    return bool(((grad - expected).abs() <= near * scale).all())


def _everywhere(state: SeparableState) -> Tensor:
    """The points of a level that the levels before do not have; (count, dim)."""
    count = 2**state.level
    share = torch.linspace(0, 1, count + 1, dtype=state.x.dtype, device=state.x.device)
    if state.level > FIRST_LEVEL:
        share = share[1::2]
    return torch.addcmul(state.lower, share[:, None], state.upper - state.lower)


def _around(state: SeparableState) -> Tensor:
    """Points around the best one; (2 ZOOM + 1, dim)."""
    share = torch.linspace(-1, 1, 2 * ZOOM + 1, dtype=state.x.dtype, device=state.x.device)
    reach = (state.upper - state.lower) * (REACH / 2**state.level)
    return torch.addcmul(state.best, share[:, None], reach)


def _bracketed(state: SeparableState) -> SeparableState:
    """Brackets of the lowest minimum of each variable, or of a rival's, by the trapezoidal rule."""
    x, g = state.points, state.slopes
    width = x[1:] - x[:-1]
    value = torch.cat([torch.zeros_like(x[:1]), (width * (g[1:] + g[:-1]) / 2).cumsum(0)])
    falls = (g[:-1] <= 0) & (g[1:] >= 0)
    share = torch.nan_to_num(g[:-1] / (g[:-1] - g[1:]))  # where the secant is zero
    inside = torch.where(falls, value[:-1] + g[:-1] * share * width / 2, torch.inf)
    first = torch.where(g[0] >= 0, value[0], torch.inf)
    last = torch.where(g[-1] <= 0, value[-1], torch.inf)
    place = torch.cat([first[None], inside, last[None]]).argsort(stable=True, dim=0)[state.rival]
    left = (place - 1).clamp_min(0)[None]
    right = place.clamp_max(len(x) - 1)[None]
    ends = [torch.cat([x.gather(0, end), g.gather(0, end)]) for end in (left, right)]
    return replace(state, left=ends[0], right=ends[1], stage=REFINE, refined=0)


def _refined(state: SeparableState, told: Tensor, value: Tensor) -> SeparableState:
    """Narrower brackets, then the next trial or, where they get no narrower, what comes of this one."""
    low = told[1] <= 0
    left, right = torch.where(low, told, state.left), torch.where(low, state.right, told)
    narrowed = _trying(replace(state, left=left, right=right, refined=state.refined + 1))
    if narrowed.refined < REFINEMENTS and bool((narrowed.trial != state.trial).any()):
        return narrowed
    if state.rival:
        return replace(state, stage=SWAP)
    known = bool(torch.isfinite(state.base)) and state.level >= SWAP_LEVEL
    here = replace(state, trial=state.best, best=told[0], base=value)
    return replace(here, stage=SWAP) if known else _challenged(here)  # what was best before is a rival too


def _swaps(state: SeparableState) -> Tensor:
    """The best point with one coordinate of the trial each; (dim, dim)."""
    one = torch.eye(len(state.best), dtype=torch.bool, device=state.best.device)
    return torch.where(one, state.trial, state.best)


def _swapped(state: SeparableState, value: Tensor) -> SeparableState:
    """What is best after a test by values (dim,): every coordinate that lowered the value."""
    lower = value < state.base
    if not bool(lower.any()):
        return _challenged(state)
    return replace(state, best=torch.where(lower, state.trial, state.best), stage=CONFIRM)


def _challenged(state: SeparableState) -> SeparableState:
    """The next rival or, after the last one, the next grid."""
    if state.level >= SWAP_LEVEL and state.rival < RIVALS:
        return _trying(_bracketed(replace(state, rival=state.rival + 1)))
    if not state.zoomed and state.level >= ZOOM_LEVEL:
        return replace(state, zoomed=True, stage=GRID)
    if state.level == LAST_LEVEL:
        return replace(state, done=True)
    return replace(state, level=state.level + 1, zoomed=False, stage=GRID)


def _trying(state: SeparableState) -> SeparableState:
    """Next trial of each variable: by the secant twice, then the middle; an end where the slope is zero."""
    (a, slope_a), (b, slope_b) = state.left, state.right
    share = torch.nan_to_num(slope_a / (slope_a - slope_b), nan=0.5).clamp(0.0, 1.0)
    if state.refined % 3 == 2:
        share = torch.full_like(share, 0.5)
    trial = torch.where(slope_a >= 0, a, torch.where(slope_b <= 0, b, a + share * (b - a)))
    return replace(state, trial=project(trial[None], state.lower, state.upper)[0])
