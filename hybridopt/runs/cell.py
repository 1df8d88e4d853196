"""One run: one problem, one optimizer, one seed. It never raises: what goes wrong is its result."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import hybridopt
from hybridopt.loop import Ledger
from hybridopt.minimize.run import INTERRUPTED
from hybridopt.optim import FromEngine
from hybridopt.problems import Problem, Task
from hybridopt.rng import generator, global_generators, hash_seed
from hybridopt.runs import build, subject
from hybridopt.runs.config import Experiment
from hybridopt.runs.curve import Curve
from hybridopt.runs.spec import Spec


@dataclass(frozen=True)
class Cell:
    """What is to be run, complete in itself: it can be sent to another process.

    Attributes
    ----------
    comparison : int
        Place of its comparison in the experiment.
    problem : dict
        As in the config.
    label : str
        Of the optimizer.
    optimizer : dict
        As in the config.
    seed : int
    budget : int
        Units of the ledger.
    tolerance : float
        How far above the known minimum a function counts as solved.
    """

    comparison: int
    problem: Spec
    label: str
    optimizer: Spec
    seed: int
    budget: int
    tolerance: float

    @functools.cached_property
    def config_hash(self) -> str:
        """Of what decides the result, the seed apart: labels, titles and tolerances don't."""
        problem = {key: value for key, value in self.problem.items() if key != "label"}
        return digest([problem, self.optimizer, self.budget])


@dataclass(frozen=True)
class Run:
    """What came of a cell.

    Attributes
    ----------
    cell : Cell
    metrics : dict of str to float
        For functions `value`, and `gap` above the known minimum; for networks `train_loss`, `test_loss`,
        `test_accuracy`. Empty where the run failed.
    ledger : Ledger
        Units spent.
    curve : tuple of (cost, value)
        For functions the best value so far, for networks the loss over all training data; thinned.
    seconds : float
    message : str
        How it ended.
    error : str, optional
        Traceback of a run that failed.
    """

    cell: Cell
    metrics: dict[str, float] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    curve: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0
    message: str = ""
    error: str | None = None

    @property
    def solved(self) -> bool | None:
        """Whether the gap is within the tolerance; None where that can't be said."""
        return self.metrics["gap"] <= self.cell.tolerance if "gap" in self.metrics else None

    @property
    def cost(self) -> int:
        """Units spent."""
        return self.ledger.cost


@dataclass
class Record:
    """What is known of a run that is under way, whether or not it comes to its end."""

    ledger: Ledger = field(default_factory=Ledger)
    curve: Curve = field(default_factory=Curve)


def digest(content: Any) -> str:
    """Hash of what YAML can say; mappings are equal in any order."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def cells(experiment: Experiment) -> Iterator[Cell]:
    """Yield all runs of an experiment, seed by seed, so that a part of them is a fair sample."""
    for seed in experiment.seeds:
        for place, comparison in enumerate(experiment.comparisons):
            for problem in comparison.problems:
                for label, optimizer in comparison.optimizers.items():
                    yield Cell(
                        place, problem, label, optimizer, seed, comparison.budget, experiment.tolerance
                    )


def run_cell(cell: Cell) -> Run:
    """Run one cell, and record an exception as its result."""
    began = time.perf_counter()
    record = Record()
    metrics: dict[str, float] = {}
    error = None
    try:
        go = _train if subject.is_task(cell.problem) else _minimize
        metrics, message = go(cell, record)
    except Exception as failure:
        message = "".join(traceback.format_exception_only(failure)).strip()
        error = traceback.format_exc()
    seconds = time.perf_counter() - began
    return Run(cell, metrics, record.ledger, tuple(record.curve.points), seconds, message, error)


def start(problem: Problem, seed: int) -> Tensor:
    """Where all optimizers begin with this seed: the problem's start, or uniform in the box; (dim,)."""
    if problem.start is not None:
        return problem.start
    g = generator(seed, "start", problem.name)
    share = torch.rand(problem.dim, generator=g, dtype=problem.lower.dtype)
    return problem.lower + share * (problem.upper - problem.lower)


def _minimize(cell: Cell, record: Record) -> tuple[dict[str, float], str]:
    """Metrics of a run on a function, and how it ended."""
    problem = subject.problem(cell.problem, cell.seed)

    def look(intermediate_result: Any) -> None:
        record.ledger = intermediate_result.ledger
        record.curve.record(record.ledger.cost, intermediate_result.fun)

    result = hybridopt.minimize(
        problem.fun,
        start(problem, cell.seed),
        bounds=problem.bounds,
        method=build.engine(cell.optimizer),
        vectorized=problem.vectorized,
        max_evals=cell.budget,
        seed=cell.seed,
        callback=look,
    )
    if result.status == INTERRUPTED:  # the best so far is no result of this cell
        raise KeyboardInterrupt
    look(result)
    value = float(result.fun)
    metrics = {"value": value}
    if problem.value is not None:
        metrics["gap"] = max(0.0, value - problem.value)  # rounding of the value at the minimum
    return metrics, result.message


def _train(cell: Cell, record: Record) -> tuple[dict[str, float], str]:
    """Metrics of a trained network, and how the training ended."""
    task = subject.task(cell.problem, cell.seed)
    model = task.model(cell.seed)
    with global_generators(hash_seed(cell.seed, "train")):  # torch optimizers take their seeds from these
        optimizer = build.trainer(cell.optimizer)(model.parameters())
        closure = CountingClosure(task, model, cell.budget, gradients=_wants_gradients(optimizer))
        for closure.batch in task.batches(cell.seed):
            before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            try:
                optimizer.step(closure)  # type: ignore[arg-type]
            except _BudgetSpent:
                model.load_state_dict(before)  # a step is taken whole or not at all
                break
            finally:
                record.ledger = closure.ledger
            if record.curve.due(closure.cost):  # looking is not charged
                record.curve.record(closure.cost, task.train_loss(model))
    metrics = task.metrics(model)
    record.curve.record(closure.cost, metrics["train_loss"])
    if not all(math.isfinite(number) for number in metrics.values()):
        raise FloatingPointError(f"training diverged: {metrics}")
    return metrics, "budget spent"


def _wants_gradients(optimizer: torch.optim.Optimizer) -> bool:
    return not isinstance(optimizer, FromEngine) or optimizer.optimizer.traits.order > 0


class _BudgetSpent(Exception):  # noqa: N818 - how a run ends, not an error
    """The closure would cost more than is left."""


class CountingClosure:
    """Loss of the present minibatch, and its gradients if wanted; counts what that costs.

    A loss costs 1 unit, its gradient 1 more, whoever asks: so all torch optimizers pay the same prices. What
    would exceed the budget is not computed: an exception ends the step that wanted it.

    Parameters
    ----------
    task : Task
    model : nn.Module
    budget : int
        Units.
    gradients : bool
    """

    def __init__(self, task: Task, model: nn.Module, budget: int, *, gradients: bool) -> None:
        self.task = task
        self.model = model
        self.budget = budget
        self.gradients = gradients
        self.batch = (task.train_x, task.train_y)
        self.cost = 0

    @property
    def ledger(self) -> Ledger:
        """What was spent so far."""
        calls = self.cost // (1 + self.gradients)
        return Ledger(calls, calls * self.gradients, phases={"training": self.cost})

    def __call__(self) -> Tensor:
        price = 1 + self.gradients
        if self.cost + price > self.budget:
            raise _BudgetSpent
        self.cost += price
        inputs, targets = self.batch
        if not self.gradients:
            with torch.no_grad():
                return self.task.loss_fn(self.model(inputs), targets)
        self.model.zero_grad()
        loss = self.task.loss_fn(self.model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss
