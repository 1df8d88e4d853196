"""One piece of verification: one optimizer against one baseline, in this process or another."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, replace
from typing import Any

from hybridopt.baselines import Baseline, make
from hybridopt.conditions import Budget, Condition, SmallGradient, Stalled, Trace
from hybridopt.core import Optimizer
from hybridopt.evaluate import Evaluator
from hybridopt.loop import Progress, begin, iterate
from hybridopt.objectives.function import TorchObjective
from hybridopt.verify.path import path_error
from hybridopt.verify.report import Row
from hybridopt.verify.standard import PATH, Reference, Standard, build, setting_of, standard_for

TORCH_PATH = "torch_path"
STALL_STEPS = 300


@dataclass(frozen=True)
class Piece:
    """One optimizer against one baseline.

    Attributes
    ----------
    label : str
    optimizer : str or Optimizer
        Registered name, or an optimizer.
    baseline : str or Baseline
        Name of a baseline, "torch_path", or a baseline.
    seed : int
    reference : callable, optional
        Makes the torch optimizer whose path this one has to take.
    """

    label: str
    optimizer: str | Optimizer[Any]
    baseline: str | Baseline
    seed: int
    reference: Reference | None = None

    @property
    def name(self) -> str:
        """Name of the baseline."""
        return self.baseline if isinstance(self.baseline, str) else self.baseline.name


def check(piece: Piece) -> Row:
    """Verify one piece; what the optimizer raises is a failure of it."""
    begun = time.perf_counter()
    verified = _on_torch_path if piece.baseline == TORCH_PATH else _on_baseline
    return replace(verified(piece), seconds=time.perf_counter() - begun)


def _on_baseline(piece: Piece) -> Row:
    baseline = make(piece.baseline, seed=piece.seed) if isinstance(piece.baseline, str) else piece.baseline
    row = Row(piece.label, piece.name, baseline.solver, "failed")
    try:
        optimizer, standard = _resolve(piece.optimizer)
        progress, why = _run(optimizer, baseline, standard, piece.seed)
    except Exception as error:
        return replace(row, message=f"{type(error).__name__}: {error}")
    row = replace(row, cost=progress.ledger.cost, message=why)
    return _judged(row, _error(baseline, standard, progress.best_x), standard)


def _run(
    optimizer: Optimizer[Any], baseline: Baseline, standard: Standard, seed: int
) -> tuple[Progress[Any], str]:
    """Progress at the end, and what ended it: the loop alone, with none of the help that `minimize` gives."""
    ends: dict[str, Condition] = {"The budget is spent.": Budget(standard.max_evals)}
    if standard.tol is not None:
        ends["The gradient is small there."] = SmallGradient(standard.tol)
        ends[f"The best value has not fallen for {STALL_STEPS} steps."] = Stalled(STALL_STEPS, rtol=0.0)
    objective = TorchObjective(baseline.fun, (), True, None)
    evaluate = Evaluator(objective, baseline.lower, baseline.upper, seed=seed)
    state = optimizer.init(baseline.start[None], baseline.lower, baseline.upper, seed=seed)
    for progress in iterate(optimizer, evaluate, begin(state, Trace.for_conditions(*ends.values()))):
        for why, ended in ends.items():
            if ended(progress.trace):
                return progress, why
    raise AssertionError("the loop goes on for ever")


def _on_torch_path(piece: Piece) -> Row:
    row = Row(piece.label, piece.name, "torch.optim", "failed")
    try:
        reference = piece.reference or _reference(piece.optimizer)
        if reference is None:
            return replace(row, verdict="not applicable", reason="no method of torch.optim is named for it")
        error, cost = path_error(_resolve(piece.optimizer)[0], reference, piece.seed)
    except Exception as raised:
        return replace(row, message=f"{type(raised).__name__}: {raised}")
    return _judged(replace(row, cost=cost, message="The paths part."), error, PATH)


def _resolve(optimizer: str | Optimizer[Any]) -> tuple[Optimizer[Any], Standard]:
    """Find the optimizer and what is asked of it."""
    if not isinstance(optimizer, str):
        return optimizer, standard_for(optimizer)
    built = build(optimizer)
    return built, setting_of(optimizer).standard or standard_for(built)


def _reference(optimizer: str | Optimizer[Any]) -> Reference | None:
    setting = setting_of(optimizer) if isinstance(optimizer, str) else None
    if setting is None or setting.reference is None:
        return None
    return functools.partial(setting.reference, **setting.options)


def _error(baseline: Baseline, standard: Standard, x: Any) -> float:
    if standard.measure == "value":
        return baseline.value_error(x)
    return baseline.selection_error(x) if baseline.selects and standard.selects else baseline.error(x)


def _judged(row: Row, error: float, standard: Standard) -> Row:
    """Row with its verdict; an error that is NaN fails."""
    row = replace(
        row, measure=standard.measure, error=error, tolerance=standard.tolerance, reason=standard.reason
    )
    if error <= standard.tolerance:
        return replace(row, verdict="passed", message="")
    what = f"{standard.measure} error {error:.2g}, expected at most {standard.tolerance:.0e}"
    return replace(row, message=f"{what}. {row.message}")
