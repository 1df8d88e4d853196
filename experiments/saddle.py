"""A saddle to be started beside, for `variants.yaml`: a problem of one's own, found next to the config."""

import dataclasses

import torch

from hybridopt.problems import Problem, make
from hybridopt.problems.placement import Placed


def beside_saddle(seed: int = 0, offset: float = 1e-3, turned: bool = True) -> Problem:
    """x^2 - y^2 + y^4/4, started on the slope to its saddle: at x = 1.5 and y = offset.

    Parameters
    ----------
    seed : int
        Where in the box the saddle lies.
    offset : float
        How far off the ridge the start lies; on the ridge itself descent ends at the saddle.
    turned : bool
        Whether the ridge is turned, by seed; else it goes along an axis, as in the usual figure.
    """
    problem = make("strict_saddle", dim=2, seed=seed)
    placed = problem.fun
    assert isinstance(placed, Placed)
    if not turned:
        placed = dataclasses.replace(placed, rotation=torch.eye(2, dtype=torch.float64))
    minima = torch.tensor([[0.0, -(2**0.5)], [0.0, 2**0.5]], dtype=torch.float64)
    start = placed.at(torch.tensor([1.5, offset], dtype=torch.float64))
    return dataclasses.replace(problem, fun=placed, x=placed.at(minima), start=start)
