"""What quasi-Newton methods make of the values of their trials: a new line, another length, or an end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from hybridopt.core import Evaluation, project
from hybridopt.gradient.line_search import SLACK, Bracket, accepts, begin, begun, collapsed, judge, narrowed
from hybridopt.gradient.quasi_newton import (
    CONVERGED,
    FAILED,
    RUNNING,
    SETTLED,
    STALLED,
    Memory,
    Options,
    QuasiNewtonState,
    Running,
    Step,
    restarted,
)
from hybridopt.gradient.rows import choose, take
from hybridopt.rng import child_seed
from hybridopt.start import fill

BESIDE = 0.02, 2.0  # of an accepted step: a refused trial so far from it tells of the curvature there
PATIENCE = 10  # accepted steps without a clearly lower value before a row counts as stalled
CLEARLY = 64.0  # roundings of the value


def told(
    options: Options, memory: Memory, state: QuasiNewtonState, evaluation: Evaluation
) -> QuasiNewtonState:
    """State after the trials."""
    if not state.running.rows.shape[0]:
        return replace(state, step=state.step + 1)
    before, after = _standing(state), _trials(evaluation)
    verdict = _judged(options, state, before, after)
    if not verdict.any:
        return _further(state, before, after, verdict)
    running, here = _moved(options, memory, state, before, after, verdict)
    status = _status(options, state, before, after, verdict, running.flat)
    state = _written(state, here, status, running)
    if state.running.rows.shape[0] or not bool((state.status == FAILED).all()):
        return state
    return restarted(memory, state, state.status == FAILED, _scattered(state))


@dataclass(frozen=True)
class _Place:
    """Points with value and gradient: (rows, dim), (rows,), (rows, dim)."""

    x: Tensor
    value: Tensor
    grad: Tensor


_Touching = tuple[Tensor, Tensor]


class _Verdict(NamedTuple):
    """What became of the trials; masks are (rows,).

    Attributes
    ----------
    accepted : Tensor
    every : bool
        Whether all were.
    any : bool
        Whether any was, or any of the following is true; else every row goes on with its line.
    again : Tensor
        Rows that forget what they know and start a new line where they are: the old one led nowhere. (Neither
        this nor the next is looked at where every trial was accepted.)
    lost : Tensor
        Rows that led nowhere without any memory to blame.
    search : Bracket
        Goes on in the others.
    fall : Tensor
        Change of value that the gradient promised.
    at : tuple of Tensor, optional
        Where trials lie on the lower and on the upper bounds, (rows, dim) each; None where none does.
    bent : Tensor, optional
        Rows whose path a bound has bent.
    """

    accepted: Tensor
    every: bool
    any: bool
    again: Tensor
    lost: Tensor
    search: Bracket
    fall: Tensor
    at: _Touching | None
    bent: Tensor | None


def _standing(state: QuasiNewtonState) -> _Place:
    """Where the running rows stand."""
    rows = state.running.rows
    if state.running.whole:
        return _Place(state.x, state.value, state.grad)
    return _Place(*(part.index_select(0, rows) for part in (state.x, state.value, state.grad)))


def _trials(evaluation: Evaluation) -> _Place:
    """The trials; where value or gradient is not finite, +inf and 0."""
    x, value, grad = evaluation.x, evaluation.value, evaluation.grad
    assert grad is not None
    bad = torch.isnan(grad[:, 0])  # whole rows are
    if bool(bad.any()):
        value, grad = torch.where(bad, torch.inf, value), torch.where(bad[:, None], 0.0, grad)
    return _Place(x, value, grad)


def _judged(options: Options, state: QuasiNewtonState, before: _Place, after: _Place) -> _Verdict:
    running, search = state.running, state.running.search
    path, fall, bent = search.direction, search.length * search.slope, None
    at = _touching(after.x, state)
    if at is not None:
        clipped = (at[0] & (path < 0)) | (at[1] & (path > 0))
        path = path.masked_fill(clipped, 0.0)
        fall = ((after.x - before.x) * before.grad).sum(1).clamp_max(0.0)
        bent = clipped.any(1)
    slope = (after.grad * path).sum(1)
    accepted = accepts(search, before.value, after.value, slope, fall)
    if bool(accepted.all()):
        return _Verdict(accepted, True, True, accepted, accepted, search, fall, at, bent)
    accepted, too_long = judge(search, before.value, after.value, slope, fall)
    search = narrowed(search, torch.stack([search.length, after.value, slope], 1), too_long)
    over = collapsed(search, before.x) | (search.trials >= options.max_trials) | (before.value == torch.inf)
    over &= ~accepted
    if not bool(over.any()):
        return _Verdict(accepted, False, bool(accepted.any()), over, over, search, fall, at, bent)
    back = over & (search.low[:, 0] > 0) & ~running.search.forced
    search = replace(
        search, length=torch.where(back, search.low[:, 0], search.length), forced=search.forced | back
    )
    over &= ~back
    again = over & ((running.pairs > 0) | _may_be_plainer(state, before))
    any_news = bool((accepted | over).any())
    return _Verdict(accepted, False, any_news, again, over & ~again, search, fall, at, bent)


def _further(state: QuasiNewtonState, before: _Place, after: _Place, verdict: _Verdict) -> QuasiNewtonState:
    """The state in which no row has moved, and every one goes on with its line."""
    running, search = state.running, verdict.search
    refused, refused_grad = _refused(running, after, verdict)
    running = replace(
        running,
        trial=_trial(before.x, search, state),
        search=search,
        refused=refused,
        refused_grad=refused_grad,
    )
    return replace(state, step=state.step + 1, cost=_paid(state), running=running, moved=False)


def _paid(state: QuasiNewtonState) -> Tensor:
    """Cost of every row of the population after one more trial of those that run."""
    if state.running.whole:
        return state.cost + 2
    rows = state.running.rows
    return state.cost.index_add(0, rows, torch.full_like(rows, 2))


def _may_be_plainer(state: QuasiNewtonState, before: _Place) -> Tensor:
    """Rows whose line is not that of steepest descent in the coordinates of x; bool, (rows,)."""
    if state.scale is None:
        return torch.zeros_like(state.running.rows, dtype=torch.bool)
    steepest = -before.grad.masked_fill(state.running.active, 0.0)
    return (state.running.search.direction != steepest).any(1) & (before.value < torch.inf)


def _status(
    options: Options, state: QuasiNewtonState, before: _Place, after: _Place, verdict: _Verdict, flat: Tensor
) -> Tensor:
    """Status of the running rows, (rows,), which have made so many flat steps."""
    gap = after.grad
    if state.bounded:
        gap = after.x - project(after.x - after.grad, state.lower, state.upper)
    status = (flat >= PATIENCE) * STALLED
    if options.ftol > 0:
        size = torch.maximum(before.value.abs(), after.value.abs()).clamp_min(1.0)
        little = torch.isfinite(before.value) & (before.value - after.value <= options.ftol * size)
        status = status.masked_fill(little, SETTLED)
    status = status.masked_fill(gap.abs().amax(1) <= options.tol, CONVERGED)
    if verdict.every:
        return status
    status = status * verdict.accepted  # others are running
    if not bool(verdict.lost.any()):
        return status
    lost = torch.where(before.value == torch.inf, FAILED, STALLED)
    return torch.where(verdict.lost, lost, status)


def _moved(
    options: Options,
    memory: Memory,
    state: QuasiNewtonState,
    before: _Place,
    after: _Place,
    verdict: _Verdict,
) -> tuple[Running, _Place]:
    """The running rows after their trials, and where they stand."""
    running, accepted = state.running, verdict.accepted
    here = after
    if not verdict.every:
        here = choose(accepted, after, before)
    step = _step(state, before, after, verdict)
    pairs = running.pairs + step.learned
    known = memory.learn(running.memory, step)
    if not verdict.every:
        pairs = pairs.masked_fill(verdict.again, 0)
    free, active = here.grad, running.active
    resting = verdict.at is not None or (running.resting and not verdict.every)
    if resting or running.resting:
        active = _resting(running, here.grad, verdict)
    if resting:
        fixed = active & ~running.active
        if bool(fixed.any()):
            known = memory.fix(known, fixed)
        free = free.masked_fill(active, 0.0)
    known, direction = memory.multiply(known, -free, state.scale)
    if resting:
        direction = direction.masked_fill(active, 0.0)
    ambition = memory.ambition * (before.value - here.value)
    search, pairs = _line(options, state, here.value, ambition, direction, pairs, free)
    if not verdict.every:
        new = accepted | verdict.again
        search = begun(new, search, verdict.search)
        pairs = torch.where(new, pairs, running.pairs)
    lower = _lower(here.value, running.mark)
    flat = (running.flat + accepted).masked_fill_(lower, 0)
    mark = torch.where(lower, here.value, running.mark)
    trial = _trial(here.x, search, state)
    refused, refused_grad = _refused(running, after, verdict)
    moved = Running(
        running.rows,
        running.whole,
        trial,
        search,
        active,
        resting,
        pairs,
        mark,
        flat,
        known,
        refused,
        refused_grad,
    )
    return moved, here


def _step(state: QuasiNewtonState, before: _Place, after: _Place, verdict: _Verdict) -> Step:
    """What the accepted rows have seen of the curvature."""
    running = state.running
    s, y = after.x - before.x, after.grad - before.grad
    if bool((running.refused > 0).any()):
        y = _local(running, s, y, after, verdict)
    if running.resting:
        y = y.masked_fill(running.active, 0.0)
    sy = (s * y).sum(1)
    kind = torch.finfo(sy.dtype)
    learned = verdict.accepted & (sy > -kind.eps * verdict.fall) & (sy > kind.tiny**0.5)  # squares of it
    every = bool(learned.all())
    if not every:
        sy = sy.masked_fill(~learned, 1.0)
    first = learned & (running.pairs == 0)
    return Step(learned, every, first, s, y, sy, running.search.length, verdict.bent, state.scale)


def _refused(running: Running, after: _Place, verdict: _Verdict) -> tuple[Tensor, Tensor]:
    """Lengths of the trials that were refused, 0 where none was or it left the line, and gradients there."""
    if verdict.every:
        return torch.zeros_like(running.refused), running.refused_grad
    beside = ~(verdict.accepted | verdict.again) & (after.value < torch.inf)
    if verdict.bent is not None:
        beside &= ~verdict.bent
    grads = torch.where(beside[:, None], after.grad, running.refused_grad)
    return running.search.length.masked_fill(~beside, 0.0), grads


def _local(running: Running, s: Tensor, y: Tensor, after: _Place, verdict: _Verdict) -> Tensor:
    """Differences of gradients over steps s, (rows, dim), by the curvature near the new point if known.

    It is where a trial near it was refused. Along the whole step it may have been another, even none in the
    mean: from a saddle to the bottom beside it.
    """
    share = 1 - running.refused / running.search.length
    near = (running.refused > 0) & (share.abs() > BESIDE[0]) & (share.abs() < BESIDE[1])
    if verdict.bent is not None:
        near &= ~verdict.bent
    local = (after.grad - running.refused_grad) / share[:, None]
    near &= (s * local).sum(1) > 0
    return torch.where(near[:, None], local, y)


def _line(
    options: Options,
    state: QuasiNewtonState,
    value: Tensor,
    ambition: Tensor,
    direction: Tensor,
    pairs: Tensor,
    free: Tensor,
) -> tuple[Bracket, Tensor]:
    """New lines for all rows, and how much each memory knows: nothing where its direction leads up.

    `free` are gradients without the variables that rest.
    """
    slope = (free * direction).sum(1)
    rounding = SLACK * torch.finfo(value.dtype).eps * value.abs()
    length = torch.where(ambition > rounding, (ambition / -slope).clamp_max_(1.0), 1.0)
    informed = (pairs > 0) & (slope < 0) & (slope > -torch.inf)
    if not bool(informed.all()):
        steepest, fall, short = _steepest(options, state, free)
        direction = torch.where(informed[:, None], direction, steepest)
        slope, length = torch.where(informed, slope, fall), torch.where(informed, length, short)
        pairs = pairs * informed
    return begin(direction, length, slope, value), pairs


def _steepest(options: Options, state: QuasiNewtonState, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Directions of steepest descent, slopes, and lengths of first trials.

    In the coordinates of x, no longer than the gradient. In scaled ones, a share of the box however flat the
    function: where a row begins, and this can be computed.
    """
    square = (grad * grad).sum(1)
    direction, slope, length = -grad, -square, (options.first_step / square.sqrt()).clamp_max(1.0)
    if state.scale is None:
        return direction, slope, length
    covector = grad * state.scale
    across, along = (covector * covector).sum(1), -covector * state.scale
    begins = state.running.mark == torch.inf
    usable = begins & (across > 0) & torch.isfinite(across) & torch.isfinite(along).all(1)
    return (
        torch.where(usable[:, None], along, direction),
        torch.where(usable, -across, slope),
        torch.where(usable, options.first_step / across.sqrt(), length),
    )


def _lower(value: Tensor, mark: Tensor) -> Tensor:
    """Where a value is clearly lower than a mark, or there is no mark yet but +inf; (rows,)."""
    return ~(value >= torch.add(mark, mark.abs(), alpha=-CLEARLY * torch.finfo(value.dtype).eps))


def _trial(x: Tensor, search: Bracket, state: QuasiNewtonState) -> Tensor:
    """Next point on each line, (rows, dim)."""
    most = torch.finfo(x.dtype).max
    trial = torch.addcmul(x, search.length[:, None], search.direction).clamp_(-most, most)
    return project(trial, state.lower, state.upper) if state.bounded else trial


def _touching(x: Tensor, state: QuasiNewtonState) -> _Touching | None:
    """Where points (rows, dim) lie on the lower and on the upper bounds; None where none does."""
    if not state.bounded:
        return None
    low, high = x <= state.lower, x >= state.upper
    return (low, high) if bool((low | high).any()) else None


def held(at: _Touching, grad: Tensor) -> Tensor:
    """Variables on a bound that descent would not leave, or whose gradient is zero; bool, (rows, dim).

    Parameters
    ----------
    at : tuple of Tensor, shape (rows, dim), bool
        Which lie on the lower and on the upper bounds.
    grad : Tensor, shape (rows, dim)
    """
    low, high = at
    return (low & (grad >= 0)) | (high & (grad <= 0))


def _resting(running: Running, grad: Tensor, verdict: _Verdict) -> Tensor:
    """Variables on a bound that descent would not leave; bool, (rows, dim).

    Those whose gradient is zero rest too: what the matrix knows of the others would move them for nothing.
    """
    resting = torch.zeros_like(running.active) if verdict.at is None else held(verdict.at, grad)
    return resting if verdict.every else torch.where(verdict.accepted[:, None], resting, running.active)


def _written(state: QuasiNewtonState, here: _Place, status: Tensor, running: Running) -> QuasiNewtonState:
    """The whole population, with what became of the running rows; those that ended leave."""
    x, value, grad, everyone = here.x, here.value, here.grad, status
    if not running.whole:
        rows = running.rows
        x, value, grad = (
            whole.index_copy(0, rows, part)
            for whole, part in ((state.x, x), (state.value, value), (state.grad, grad))
        )
        everyone = state.status.index_copy(0, rows, status)
    ended = status != RUNNING
    if bool(ended.any()):
        running = replace(take(running, (~ended).nonzero()[:, 0]), whole=False)
    return QuasiNewtonState(
        x,
        value,
        state.lower,
        state.upper,
        state.seed,
        state.step + 1,
        grad,
        everyone,
        _paid(state),
        running,
        state.bounded,
        state.scale,
    )


def _scattered(state: QuasiNewtonState) -> Tensor:
    """New starts for the whole population, (population, dim)."""
    seed = child_seed(state.seed, "scatter", state.step)
    count = state.x.shape[0]
    return fill(state.x[:1], count + 1, state.lower, state.upper, seed)[1:]
