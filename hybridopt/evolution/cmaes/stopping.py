"""When a run of CMA-ES has come to its end and another one is worth more, by the criteria of [1] and [2].

References
----------
.. [1] N. Hansen (2009), Benchmarking a BI-population CMA-ES on the BBOB-2009 function testbed, GECCO
   workshop, section 2.1.
.. [2] N. Hansen (2016), The CMA evolution strategy: a tutorial, arXiv:1604.00772, section B.3.
"""

from __future__ import annotations

import math
import statistics

import torch
from torch import Tensor

from hybridopt.evolution.cmaes.coordinates import to_point
from hybridopt.evolution.cmaes.covariance import Covariance
from hybridopt.evolution.cmaes.optimizer import CMAESState

History = tuple[tuple[float, float, float], ...]
"""Of each generation, oldest first: the lowest value, the median, and the lowest but a quarter."""

_MOST = 20_000  # generations that are remembered
_EVERY = 10  # generations between looks at the distribution, which cost more than a look at values


def record(history: History, value: Tensor, dim: int, step: int) -> History:
    """History after the generation `step`, of values (population,): its last fifth, and what is needed."""
    size = len(value)
    ranks = torch.tensor([0, size // 2, min(size - 1, 1 + math.ceil(0.1 + size / 4))], device=value.device)
    best, median, quarter = value.sort().values[ranks].tolist()
    keep = min(_MOST, max(120 + math.ceil(30 * dim / size), step // 5))
    return (*history, (best, median, quarter))[-keep:]


def ended(kind: Covariance, state: CMAESState, history: History, sigma0: float, tol_fun: float) -> bool:
    """Whether a run, begun with the step size `sigma0`, has ended.

    Parameters
    ----------
    kind : Covariance
    state : CMAESState
        Of one run, after a tell.
    history : tuple
        As `record` keeps it.
    sigma0 : float
    tol_fun : float, >= 0
    """
    size, dim, step = state.y.shape[1], state.mean.shape[2], state.step
    if step > 100 + 50 * (dim + 3) ** 2 / math.sqrt(size):  # MaxIter
        return True
    if _flat(history, dim, size, tol_fun):
        return True
    if step % _EVERY:
        return False
    ill = step % (_EVERY + dim) == 0 and bool((kind.condition(state.covariance) > 1e14).any())
    return ill or _stagnated(history, dim, size) or _still(kind, state, sigma0)


def _flat(history: History, dim: int, size: int, tol_fun: float) -> bool:
    """TolHistFun and EqualFunValues: late best values are alike, or equal those of a quarter."""
    window = 10 + math.ceil(30 * dim / size)
    best = [generation[0] for generation in history[-window:]]
    if len(best) == window and max(best) - min(best) <= tol_fun:  # never where one is infinite
        return True
    return sum(lowest == quarter for lowest, _, quarter in history[-dim:]) > max(1, dim / 3)


def _stagnated(history: History, dim: int, size: int) -> bool:
    """Stagnation: neither best values nor medians fall between the first and the last 30 % of the history."""
    if len(history) < 120 + 30 * dim / size:
        return False
    part = 3 * len(history) // 10
    return all(
        statistics.median(generation[of] for generation in history[-part:])
        >= statistics.median(generation[of] for generation in history[:part])
        for of in (0, 1)
    )


def _still(kind: Covariance, state: CMAESState, sigma0: float) -> bool:
    """TolX and TolXUp, NoEffectAxis and NoEffectCoord, in one look at the device."""
    sigma, path = state.sigma[:, 0], state.path_c[:, 0]
    spread = sigma * kind.variances(state.covariance)[:, 0].sqrt()  # (1, dim)
    widest = torch.maximum(spread, sigma * path.abs()).amax()
    tiny, huge = widest < 1e-12 * sigma0, spread.amax() > 1e4 * sigma0
    mean = state.mean[:, 0]
    place = (state.step // _EVERY) % mean.shape[1]
    axis = 0.1 * sigma * kind.axes(state.factor)[:, place]
    here, along, aside = (
        to_point(u, state.coordinates, state.lower, state.upper)
        for u in (mean, mean + axis, mean + 0.2 * spread)
    )
    movable = state.coordinates.scale != 0
    stuck = (here == along).all() | ((here == aside) & movable).any()
    return bool(tiny | huge | stuck)
