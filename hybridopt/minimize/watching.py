"""Those who look on while `minimize` runs: the user's callback and the progress bar."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from hybridopt.loop import Progress

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

Report = Callable[[], "OptimizeResult"]


def adapt(callback: Callable[..., Any] | None) -> Callable[[Report], None]:
    """Scipy's two forms of a callback, as a function of a report that is only made where it is wanted."""
    if callback is None:
        return lambda report: None
    if not callable(callback):
        raise TypeError(f"callback must be callable, got {callback!r}")
    try:
        named = "intermediate_result" in inspect.signature(callback).parameters
    except ValueError:  # a builtin tells nothing
        named = False

    def call(report: Report) -> None:
        if named:
            callback(intermediate_result=report())
        else:
            callback(report().x)

    return call


@contextlib.contextmanager
def progress_bar(wanted: bool, max_evals: float) -> Iterator[Callable[[Progress[Any]], None]]:
    """A function that shows progress, on the terminal if that is wanted."""
    if not wanted:
        yield lambda progress: None
        return
    from rich import progress as bars

    columns = (
        "{task.description}",
        bars.BarColumn(),
        bars.TextColumn("{task.completed:.0f} units"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns) as bar:
        task = bar.add_task("minimize", total=None if math.isinf(max_evals) else max_evals)

        def show(progress: Progress[Any]) -> None:
            bar.update(task, completed=progress.ledger.cost, description=f"best {progress.best_value:.6g}")

        yield show
