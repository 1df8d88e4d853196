"""The only code of the engine that calls the objective: policy for non-finite numbers, checks, distribution.

An `Evaluator` answers a `Query` about an `Objective` (`objective.py` knows how each kind of function wants
to be called). Values that are NaN or -inf become +inf; gradients become NaN in rows where the value or the
gradient is not finite.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import Executor
from typing import Protocol

import torch
from torch import Tensor

from hybridopt.core import Evaluation, Query
from hybridopt.rng import global_generators, hash_seed

Answer = tuple[Tensor, Tensor | None, Tensor | None]


class Objective(Protocol):
    """Something that has values at rows, and perhaps derivatives.

    Attributes
    ----------
    draws : bool
        Whether it takes random numbers from the global generators.
    """

    draws: bool

    @property
    def sampled(self) -> bool:
        """Whether a sample is less than all data."""

    @property
    def order(self) -> int:
        """The highest order of queries it can answer."""

    @property
    def eps(self) -> float:
        """Relative rounding of the values, which may be of another dtype than the points."""

    def answer(self, query: Query, seed: int) -> Answer:
        """Raw value (population,), gradient and Hessian-vector product (population, dim) as asked for."""


class Evaluator:
    """Answers queries about one objective inside one box.

    Parameters
    ----------
    objective : Objective
    lower, upper : Tensor, shape (dim,)
        Points outside are an error of the optimizer, not of the user.
    seed : int
        Seed of minibatches and random draws.
    executor : concurrent.futures.Executor, optional
        Evaluates the rows in `workers` slices.
    workers : int
        Slices a batch is cut into.
    """

    def __init__(
        self,
        objective: Objective,
        lower: Tensor,
        upper: Tensor,
        *,
        seed: int = 0,
        executor: Executor | None = None,
        workers: int = 1,
    ) -> None:
        self.objective = objective
        self.lower = lower
        self.upper = upper
        self.seed = seed
        self.executor = executor
        self.workers = workers
        flat = bool((lower == lower[0]).all() & (upper == upper[0]).all())
        self._cube = (float(lower[0]), float(upper[0])) if flat else None

    def __call__(self, query: Query) -> Evaluation:
        """Evaluate every row in one call of the objective (one a worker, with an executor)."""
        self._check(query)
        value, grad, hvp = self._answer(query)
        value = value.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=torch.inf)
        if grad is not None:
            finite = torch.isfinite(value) & torch.isfinite(grad).all(1)
            grad = torch.where(finite[:, None], grad, torch.nan)
        return Evaluation(query.x, value, grad, hvp)

    def _check(self, query: Query) -> None:
        x = query.x
        if self._cube is not None:  # one pair of bounds for all: quicker, and the usual case
            inside = float(x.amin()) >= self._cube[0] and float(x.amax()) <= self._cube[1]
        else:
            inside = bool(((x.amin(0) >= self.lower) & (x.amax(0) <= self.upper)).all())
        if not inside:
            raise ValueError(
                "the optimizer asked for points outside the bounds (or NaN); expected every row inside: "
                "repair them in `ask`, e.g. with hybridopt.core.project"
            )

    def _answer(self, query: Query) -> Answer:
        if self.executor is None:
            return answer(self.objective, query, self.seed)
        slices = [
            part for part in torch.tensor_split(torch.arange(query.x.shape[0]), self.workers) if len(part)
        ]
        jobs = [
            self.executor.submit(answer, self.objective, _rows(query, part), self.seed) for part in slices
        ]
        parts = [job.result() for job in jobs]
        value, grad, hvp = zip(*parts, strict=True)
        return torch.cat(value), _cat(grad), _cat(hvp)


def answer(objective: Objective, query: Query, seed: int) -> Answer:
    """Ask the objective; one that draws random numbers gets equal draws for equal samples."""
    seeded = (
        global_generators(hash_seed(seed, "draw", query.sample))
        if objective.draws
        else contextlib.nullcontext()
    )
    with seeded:
        return objective.answer(query, seed)


def _rows(query: Query, part: Tensor) -> Query:
    direction = None if query.direction is None else query.direction[part]
    return query._replace(x=query.x[part], direction=direction)


def _cat(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    tensors = [part for part in parts if part is not None]
    return torch.cat(tensors) if tensors else None
