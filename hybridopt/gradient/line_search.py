"""Weak Wolfe line search on n rows at once, one trial a step.

Bracketing and bisection after Lewis and Overton, which ends on functions with kinks too, with the cubic
through both ends of the bracket in place of bisection while that brings the ends together. Near the
bottom, where differences of values are rounding, slopes alone decide (Hager and Zhang's approximate Wolfe
conditions).

Where a row stands is the two ends of its bracket and a count of trials; every function here takes all rows
and says something for each.

References
----------
A. Lewis and M. Overton, "Nonsmooth optimization via quasi-Newton methods", Math. Program. 141, 2013,
algorithm 2.6.
J. Nocedal and S. Wright, "Numerical Optimization", 2nd edition, 2006, eq. 3.59.
W. Hager and H. Zhang, "A new conjugate gradient method with guaranteed descent and an efficient line
search", SIAM J. Optim. 16, 2005, eq. 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ARMIJO = 1e-4
CURVATURE = 0.9
SLACK = 4.0  # roundings of the value that two equal values may differ by
NARROW, WIDE = 0.1, 0.9  # a trial keeps this share of the bracket away from its ends
MOST = 10.0  # a step that is too short grows by at least 2, at most this
PLAIN_AFTER = 3  # trials by interpolation before every second one is a bisection


@dataclass(frozen=True)
class Bracket:
    """Where each row's line search stands. Points on the line are triples: length, value, slope.

    Attributes
    ----------
    direction : Tensor, shape (rows, dim)
    length : Tensor, shape (rows,)
        Of the next trial, in units of the direction.
    slope : Tensor, shape (rows,)
        At length 0.
    low : Tensor, shape (rows, 3)
        The longest step known to be too short; at first the start.
    high : Tensor, shape (rows, 3)
        The shortest one known to be too long; its length is +inf at first.
    trials : Tensor, shape (rows,), int64
        Made so far on this line.
    forced : Tensor, shape (rows,), bool
        Whether the next trial is taken whatever it is: it was made before, and better was not found.
    """

    direction: Tensor
    length: Tensor
    slope: Tensor
    low: Tensor
    high: Tensor
    trials: Tensor
    forced: Tensor


def begin(direction: Tensor, length: Tensor, slope: Tensor, value: Tensor) -> Bracket:
    """A search along new directions (rows, dim) whose first trials are of these lengths (rows,)."""
    zero = torch.zeros_like(length)
    low = torch.stack([zero, value, slope], 1)
    high = torch.full_like(low, torch.inf)
    trials = torch.zeros_like(length, dtype=torch.int64)
    return Bracket(direction, length, slope, low, high, trials, torch.zeros_like(trials, dtype=torch.bool))


def begun(rows: Tensor, line: Bracket, search: Bracket) -> Bracket:
    """Searches that begin along a line of `begin` where `rows`, a mask (rows,), is true; else go on."""
    column = rows[:, None]
    return Bracket(
        torch.where(column, line.direction, search.direction),
        torch.where(rows, line.length, search.length),
        torch.where(rows, line.slope, search.slope),
        torch.where(column, line.low, search.low),
        search.high.masked_fill(column, torch.inf),
        search.trials.masked_fill(rows, 0),
        search.forced & ~rows,
    )


def accepts(search: Bracket, before: Tensor, value: Tensor, slope: Tensor, fall: Tensor) -> Tensor:
    """Which trials keep the weak Wolfe conditions; a mask (rows,).

    Parameters
    ----------
    search : Bracket
    before, value : Tensor, shape (rows,)
        At length 0 and at the trial.
    slope : Tensor, shape (rows,)
        At the trial.
    fall : Tensor, shape (rows,)
        What the gradient at length 0 promised for the step; negative, or at least not positive.
    """
    low_enough = value <= torch.add(before, fall, alpha=ARMIJO)
    return low_enough & (slope >= CURVATURE * search.slope) & (value < torch.inf)


def judge(
    search: Bracket, before: Tensor, value: Tensor, slope: Tensor, fall: Tensor
) -> tuple[Tensor, Tensor]:
    """Which trials to take after all, and which are too long; two masks (rows,). Arguments as for `accepts`.

    Taken are also those whose value is the same but for rounding where the slope has become less steep, and
    those that are forced.
    """
    rounding = SLACK * torch.finfo(value.dtype).eps * before.abs()
    level = (value <= before + rounding) & (slope <= (2 * ARMIJO - 1) * search.slope)
    low_enough = (value <= torch.add(before, fall, alpha=ARMIJO)) | level
    accepted = low_enough & (slope >= CURVATURE * search.slope) | search.forced
    return accepted & (value < torch.inf), ~low_enough


def narrowed(search: Bracket, trial: Tensor, too_long: Tensor) -> Bracket:
    """The search after a trial (rows, 3) that was too long or too short, with the next length."""
    long = too_long[:, None]
    low = torch.where(long, search.low, trial)
    high = torch.where(long, trial, search.high)
    open_end = high[:, 0] == torch.inf
    length = _between(low, high, search.trials)
    if bool(open_end.any()):
        length = torch.where(open_end, _beyond(search.low, trial), length)
    return Bracket(
        search.direction, length, search.slope, low, high, search.trials + 1, torch.zeros_like(search.forced)
    )


def collapsed(search: Bracket, x: Tensor) -> Tensor:
    """Whether both ends of a bracket are the same point but for rounding; a mask (rows,)."""
    width = (search.high[:, 0] - search.low[:, 0])[:, None]
    return (width * search.direction.abs() <= torch.finfo(x.dtype).eps * x.abs()).all(1)


def _beyond(low: Tensor, trial: Tensor) -> Tensor:
    """Where the slope would be zero, by the secant through two points that are too short; (rows,)."""
    width = trial[:, 0] - low[:, 0]
    secant = width * trial[:, 2] / (low[:, 2] - trial[:, 2])
    secant = torch.where(secant > 0, secant, torch.inf)  # NaN, or slopes that grow steeper
    return trial[:, 0] + secant.clamp(width, (MOST - 1) * width)


def _between(low: Tensor, high: Tensor, trials: Tensor) -> Tensor:
    """Minimum of the cubic through both ends, or the middle, away from both ends; (rows,)."""
    a, value_a, slope_a = low.unbind(1)
    b, value_b, slope_b = high.unbind(1)
    width = b - a
    d1 = slope_a + slope_b + 3 * (value_a - value_b) / width
    d2 = (d1 * d1 - slope_a * slope_b).sqrt()
    share = 1 - (slope_b + d2 - d1) / (slope_b - slope_a + 2 * d2)  # (eq. 3.59)
    halved = (trials > PLAIN_AFTER) & (trials % 2 == 0) | ~(share.abs() < torch.inf)
    return a + width * torch.where(halved, 0.5, share.clamp(NARROW, WIDE))
