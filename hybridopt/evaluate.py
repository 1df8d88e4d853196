"""The only code of the engine that calls the objective: policy for non-finite numbers, checks, distribution.

An `Evaluator` answers a `Query` about an `Objective` (`objective.py` knows how each kind of function wants
to be called). Values that are NaN or -inf become +inf; gradients become NaN in rows where the value or the
gradient is not finite.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor, ThreadPoolExecutor
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
    draws : bool, optional
        Whether it takes random numbers from the global generators; None if it sees to them itself.
    """

    draws: bool | None

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
    workers : int, optional
        Slices a batch is cut into; by default as many as the executor has workers.
    """

    def __init__(
        self,
        objective: Objective,
        lower: Tensor,
        upper: Tensor,
        *,
        seed: int = 0,
        executor: Executor | None = None,
        workers: int | None = None,
    ) -> None:
        self.objective = objective
        self.lower = lower
        self.upper = upper
        self.seed = seed
        self.executor = executor
        self.workers = workers or getattr(executor, "_max_workers", None) or os.cpu_count() or 1
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
        if self.objective.draws and isinstance(self.executor, ThreadPoolExecutor):
            raise TypeError(
                "fun draws from a global generator, which threads share; pass a process pool, or no executor"
            )
        rows = torch.tensor_split(torch.arange(query.x.shape[0]), self.workers)
        jobs = [
            self.executor.submit(answer, self.objective, _rows(query, part), self.seed, int(part[0]))
            for part in rows
            if len(part)
        ]
        try:
            value, grad, hvp = zip(*[job.result() for job in jobs], strict=True)
        except Exception as error:
            if "pickle" in f"{type(error).__name__} {error}".lower():
                error.add_note("for a process pool fun and args must be picklable: define fun in a module")
            raise
        return torch.cat(value), _cat(grad), _cat(hvp)


def answer(objective: Objective, query: Query, seed: int, first: int = 0) -> Answer:
    """Ask the objective; one that draws random numbers gets equal draws for equal samples.

    One that turns out to draw is asked again, and its draws are put back. `first` is the place of the first
    row in its batch.
    """
    if objective.draws is None:
        return objective.answer(query, seed)
    if not objective.draws:
        before = torch.get_rng_state()
        raw = objective.answer(query, seed)
        unmoved = before.numpy().tobytes() == torch.get_rng_state().numpy().tobytes()
        if unmoved and not objective.draws:
            return raw
        torch.set_rng_state(before)
        objective.draws = True
    with global_generators(hash_seed(seed, "draw", query.sample, first)):
        return objective.answer(query, seed)


def _rows(query: Query, part: Tensor) -> Query:
    direction = None if query.direction is None else query.direction[part]
    return query._replace(x=query.x[part], direction=direction)


def _cat(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    tensors = [part for part in parts if part is not None]
    return torch.cat(tensors) if tensors else None
