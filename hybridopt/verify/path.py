"""The path of an optimizer beside that of torch.optim itself, step by step.

Some mistakes move the path and not its end: Adam without its bias correction, momentum that counts twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hybridopt.baselines import make
from hybridopt.baselines.baseline import Function
from hybridopt.core import Evaluation, Optimizer, Query
from hybridopt.rng import generator
from hybridopt.verify.standard import Reference

ROWS, STEPS = 3, 100


def path_error(optimizer: Optimizer[Any], reference: Reference, seed: int) -> tuple[float, int]:
    """Largest distance between the paths, as a share of the way gone, and the cost in units.

    Three rows take 100 steps on the logistic baseline without bounds; each has a torch optimizer of its own,
    and gradients by torch's autograd at the point where that one is.

    Parameters
    ----------
    optimizer : Optimizer
        Asks for one gradient a row and step. One that keeps fewer rows is compared on these.
    reference : callable, list of Parameter -> torch.optim.Optimizer
    seed : int

    Raises
    ------
    ValueError
        If the optimizer asks for something else.
    """
    baseline = make("logistic", seed=seed)
    g = generator(seed, "verify", "path")
    x = baseline.start + torch.randn(ROWS, baseline.dim, generator=g, dtype=torch.float64)
    free = torch.full_like(baseline.start, torch.inf)
    state = optimizer.init(x, -free, free, seed=seed)
    leaves = [torch.nn.Parameter(row.clone()) for row in x]
    peers = [reference([leaf]) for leaf in leaves]
    error, cost = 0.0, 0
    for _ in range(STEPS):
        query = optimizer.ask(state)
        _check(query)
        at = torch.stack([leaf.detach() for leaf in leaves])[: query.x.shape[0]]
        way = (at - x[: query.x.shape[0]]).abs().amax().clamp_min(1e-3)
        error = max(error, float(((query.x - at).abs().amax() / way).nan_to_num(nan=torch.inf)))
        cost += query.cost
        state = optimizer.tell(state, Evaluation(query.x, *_value_and_grad(baseline.fun, query.x)))
        for leaf, peer in zip(leaves, peers, strict=True):
            leaf.grad = _value_and_grad(baseline.fun, leaf)[1]
            peer.step()
    return error, cost


def _check(query: Query) -> None:
    if query.order != 1 or query.x.shape[0] > ROWS:
        raise ValueError(
            "a torch.optim reference is for optimizers that ask for one gradient a row and step; got a query "
            f"of order {query.order} for {query.x.shape[0]} rows where {ROWS} were given: leave it out"
        )


def _value_and_grad(fun: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().clone().requires_grad_()
    value = fun(x)
    return value.detach(), torch.autograd.grad(value.sum(), x)[0]
