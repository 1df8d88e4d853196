"""One run of `minimize`: what may end it, who looks on, and what it returns."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hybridopt import checkpoint as checkpoints
from hybridopt.conditions import Condition, SmallGradient, Stalled, Target, Trace
from hybridopt.core import Evaluation, Optimizer, Query, best_rows
from hybridopt.evaluate import Evaluator
from hybridopt.landscape.certificate import Certificate
from hybridopt.loop import Progress, advance, begin, better
from hybridopt.minimize.gradcheck import check_gradient
from hybridopt.minimize.limits import Limits
from hybridopt.minimize.settle import settle
from hybridopt.minimize.watching import adapt, progress_bar
from hybridopt.rng import child_seed

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

logger = logging.getLogger(__name__)

CONVERGED, TARGET, BUDGET, TIME, CALLBACK, INTERRUPTED, STALLED, FAILED, UNSURE, SADDLE, EXHAUSTED = range(11)
MESSAGES = {
    CONVERGED: "Converged: the projected gradient is at most tol, and no curvature is negative.",
    TARGET: "The target value was reached.",
    BUDGET: "The budget max_evals is spent.",
    TIME: "max_time is over.",
    CALLBACK: "The callback raised StopIteration.",
    INTERRUPTED: "Interrupted by the user.",
    STALLED: "The best value no longer falls, but the gradient is not small.",
    FAILED: "fun raised an exception.",
    UNSURE: "The gradient is small, but the budget has no room to tell a minimum from a saddle.",
    SADDLE: "The gradient is small, but this is a saddle, and the budget has no room to leave it.",
    EXHAUSTED: "The method is exhausted: the same minima keep coming back.",
}
STALL_STEPS = 1000
LOCAL_CAP = 100_000
SAVE_SECONDS = 10.0
CANDIDATES = 10
CHECK_COST = 4  # of the gradient check, if it has to move off a bound or to look twice
NEAR = 1e-8  # values this near to the best one, relative, are the best one's equals
OUTCOMES = {"minimum": CONVERGED, "saddle": SADDLE, "unsure": UNSURE, "not stationary": STALLED}


class Run:
    """One run; `start` it, let it go `to_the_end`.

    Parameters
    ----------
    optimizer : Optimizer
    evaluate : Evaluator
    limits : Limits
    check_grad : bool
        Hold the first gradient against differences.
    """

    progress: Progress[Any]

    def __init__(
        self, optimizer: Optimizer[Any], evaluate: Evaluator, limits: Limits, *, check_grad: bool
    ) -> None:
        self.optimizer = optimizer
        self.evaluate = evaluate
        self.sampled = evaluate.objective.sampled
        self.check_grad = check_grad
        self.target = limits.target
        self.max_evals = self._budget(limits)
        default = 1e-6 if evaluate.lower.dtype == torch.float64 else 1e-3
        self.tol = default if limits.tol is None else limits.tol
        self.deadline = time.monotonic() + limits.max_time
        self.ends = list(self._ends(limits))

    def watch(self, callback: Callable[..., Any] | None, bar: bool, *, as_tensor: bool) -> None:
        """Name who looks on, and whether they want tensors."""
        self.callback = adapt(callback)
        self.bar = bar
        self.as_tensor = as_tensor

    def start(self, x: Tensor, value: Tensor, path: str | os.PathLike[str] | None, words: str) -> None:
        """Begin at rows x, the first of which has this value, or go on from a checkpoint."""
        self.path = path
        self.words = words
        self.saved = time.monotonic()
        conditions = [condition for condition, _ in self.ends]
        if path is not None and os.path.exists(path):
            progress = checkpoints.load(path, run=words)
            self.progress = replace(progress, trace=progress.trace.widened(*conditions))
            self.resumable = self.progress
            return
        evaluate = self.evaluate
        state = self.optimizer.init(x, evaluate.lower, evaluate.upper, seed=evaluate.seed)
        self.progress = begin(state, Trace.for_conditions(*conditions))
        self._book(Evaluation(x[:1], torch.where(torch.isfinite(value), value, torch.inf)), "probe")
        self.resumable = self.progress
        self._save()  # a path that can't be written should fail now

    def to_the_end(self) -> OptimizeResult:
        """Run, save, report."""
        self.stationarity: Certificate | None = None
        try:
            with progress_bar(self.bar, self.max_evals) as show:
                status = self._steps(show)
            self._save()
            status = self._finish(status)
        except KeyboardInterrupt:
            status = INTERRUPTED
            self._save_quietly()
            with contextlib.suppress(KeyboardInterrupt):  # who presses twice gets a minibatch's value
                self._finish(status)
        except Exception as error:
            self._save_quietly()
            with contextlib.suppress(AttributeError):
                error.best_so_far = self._result(FAILED)  # type: ignore[attr-defined]
            error.add_note(
                f"hybridopt: the best value so far is {self.progress.best_value:.9g}, after "
                f"{self.progress.ledger.cost} units; the result is the exception's best_so_far"
            )
            raise
        logger.info("%s Best value %g", MESSAGES[status], self.progress.best_value)
        return self._result(status)

    # --- what ends a run

    def _budget(self, limits: Limits) -> float:
        dim = len(self.evaluate.lower)
        if limits.max_evals is not None:
            return limits.max_evals
        if self.optimizer.traits.scope == "local":
            return max(LOCAL_CAP, 1000 * dim)
        return math.inf if limits.any else 1000 * dim

    def _ends(self, limits: Limits) -> list[tuple[Condition, int]]:
        """Conditions and the status each gives."""
        ends: list[tuple[Condition, int]] = []
        traits = self.optimizer.traits
        local = traits.scope == "local"
        if limits.target is not None:
            ends.append((Target(limits.target), TARGET))
        if limits.tol is not None and (self.sampled or not traits.order):
            why = "values are of minibatches" if self.sampled else "the method takes no gradients"
            raise ValueError(f"tol is a size of gradients, but {why}; use target, max_evals or max_time")
        if self.sampled:
            return ends
        settles = local and not traits.stochastic  # noise is there to leave stationary points
        if traits.order and (settles or limits.tol is not None):
            ends.append((SmallGradient(self.tol), CONVERGED))
        if local:
            ends.append((Stalled(STALL_STEPS, rtol=0.0), STALLED))
        return ends

    def _status(self) -> int | None:
        for condition, status in self.ends:
            if condition(self.progress.trace):
                return status
        if self.progress.state.exhausted:
            return EXHAUSTED
        if self._left() <= 0:
            return BUDGET
        return TIME if time.monotonic() > self.deadline else None

    def _left(self) -> float:
        """Units that queries may still spend; the last look at all data is kept back."""
        reserve = 1 + min(CANDIDATES, len(self.progress.state.value)) if self.sampled else 0
        return self.max_evals - self.progress.ledger.cost - reserve

    # --- the run

    def _steps(self, show: Callable[[Progress[Any]], None]) -> int:
        """Ask, evaluate, tell until something ends it; returns the status."""
        while (status := self._status()) is None or status == CONVERGED:
            if status == CONVERGED:
                if (status := self._settle()) is not None:
                    return status
                continue
            query = self.optimizer.ask(self.progress.state)
            left = self._left() - query.cost
            check = self.check_grad and query.order > 0 and not self.progress.ledger.grads
            if left < (CHECK_COST if check else 0):
                return BUDGET
            evaluation = self.evaluate(query)
            checks = check_gradient(self.evaluate, query, evaluation, left) if check else []
            progress = advance(self.optimizer, self.progress, evaluation)
            for paid in checks:
                progress = _booked(progress, paid, "gradient check")
            self.progress = self.resumable = progress
            show(self.progress)
            if time.monotonic() > self.saved + SAVE_SECONDS:
                self._save()
            try:
                self.callback(self._report)
            except StopIteration:
                return CALLBACK
        return status

    def _settle(self) -> int | None:
        """Certify where the gradient is small; None if that is no minimum and the run goes on lower."""
        x = self._settled()
        settled = settle(self.evaluate, x, self.tol, self._left(), self._pay)
        self.stationarity = certificate = settled.certificate
        if settled.x is None:
            if certificate is not None:
                value, grad = certificate.value, certificate.grad
                self.progress = replace(self.progress, best_x=x, best_value=value, best_grad=grad)
            return OUTCOMES[settled.outcome]
        self.stationarity = None  # it was the saddle's
        departures = self.progress.departures + 1
        rows = torch.cat([settled.x[None], best_rows(self.progress.state)[1:]])
        seed = child_seed(self.evaluate.seed, "departure", departures)
        state = self.optimizer.init(rows, self.evaluate.lower, self.evaluate.upper, seed=seed)
        trace = Trace.for_conditions(*(condition for condition, _ in self.ends))
        self.progress = replace(self.progress, state=state, trace=trace, departures=departures)
        self.resumable = self.progress
        logger.info("left a %s at %d units", certificate and certificate.verdict, self.progress.ledger.cost)
        return None

    def _settled(self) -> Tensor:
        """The best row that has settled; the best point of the run where that is clearly lower."""
        state, progress = self.progress.state, self.progress
        row = int(state.value.argmin())
        value = float(state.value[row])
        near = value <= progress.best_value + NEAR * max(1.0, abs(value))
        return state.x[row] if near else progress.best_x

    def _finish(self, status: int) -> int:
        """Spend what is left of a budget too small for a batch; judge sampled bests on all data."""
        state = self.progress.state
        if status == BUDGET and (left := self._left()) > 0:
            query = self.optimizer.ask(state)
            self._book(self.evaluate(Query(query.x[: int(left)], 0, query.sample)), "rest")
        if self.sampled:
            rows = torch.topk(state.value, min(CANDIDATES, len(state.value)), largest=False).indices
            rows = torch.cat([self.progress.best_x[None], state.x[rows]])
            rows = rows[: int(min(len(rows), self.max_evals - self.progress.ledger.cost))]
            if len(rows):
                judged = self.evaluate(Query(rows, 0, -1))
                unjudged = replace(self.progress, best_value=math.inf, best_grad=None)
                self.progress = _booked(unjudged, judged, "all data")
        elif self.target is not None and self.progress.best_value <= self.target and status == BUDGET:
            return TARGET
        return status

    def _pay(self, evaluation: Evaluation, phase: str) -> None:
        """Pay for an evaluation that only looks around."""
        ledger = self.progress.ledger.charge(evaluation, phase)
        self.progress = replace(self.progress, ledger=ledger)

    def _book(self, evaluation: Evaluation, phase: str) -> None:
        """Pay for an evaluation that the optimizer isn't told of; keep its best."""
        self.progress = _booked(self.progress, evaluation, phase)

    def _save(self) -> None:
        if self.path is not None:
            checkpoints.save(self.path, self.resumable, run=self.words)
            logger.info("saved %s at %d units", self.path, self.resumable.ledger.cost)
        self.saved = time.monotonic()

    def _save_quietly(self) -> None:
        """Save, but don't let a full disk hide a result or another exception."""
        try:
            self._save()
        except OSError as error:
            logger.warning("the checkpoint %s could not be written: %s", self.path, error)

    # --- what it returns

    def _report(self) -> OptimizeResult:
        """Where the run stands."""
        from scipy.optimize import OptimizeResult

        progress = self.progress
        grad = progress.best_grad
        return OptimizeResult(
            x=self._out(progress.best_x),
            fun=progress.best_value,
            jac=None if grad is None else self._out(grad),
            nfev=progress.ledger.values,
            njev=progress.ledger.grads,
            nit=progress.state.step,
            seed=progress.seed,
            ledger=progress.ledger,
        )

    def _result(self, status: int) -> OptimizeResult:
        from scipy.optimize import OptimizeResult

        result = self._report()
        message = MESSAGES[status]
        if math.isinf(result.fun):
            message += " No finite value was found; evaluate fun at x0 and at points nearby."
        success = status in (CONVERGED, TARGET, EXHAUSTED)
        result.update(success=success, status=status, message=message, stationarity=self.stationarity)
        ledger = self.progress.ledger
        result.phases = {
            phase: OptimizeResult(cost=cost, gain=ledger.gains.get(phase, 0.0))
            for phase, cost in ledger.phases.items()
        }
        minima = getattr(self.progress.state, "minima", None)
        if minima is not None:
            result.minima = OptimizeResult(
                x=self._out(minima.x), fun=self._out(minima.value), visits=self._out(minima.visits)
            )
        return result

    def _out(self, tensor: Tensor) -> Any:
        return tensor.clone() if self.as_tensor else tensor.cpu().numpy().copy()


def _booked(progress: Progress[Any], evaluation: Evaluation, phase: str) -> Progress[Any]:
    ledger = progress.ledger.charge(evaluation, phase)
    return replace(better(progress, evaluation), ledger=ledger)
