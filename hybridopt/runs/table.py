"""What the terminal shows at the end: a table for each comparison, and who won where."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from hybridopt.runs import subject
from hybridopt.runs.cell import Run
from hybridopt.runs.config import Comparison, Experiment
from hybridopt.runs.verdict import ENOUGH, Verdict, judge

Groups = dict[str, dict[str, list[Run]]]  # problem -> optimizer -> runs


def tables(experiment: Experiment, runs: Sequence[Run]) -> Iterator[Table]:
    """Yield a table for each comparison of which something was run."""
    for place, comparison in enumerate(experiment.comparisons):
        groups = grouped(comparison, [run for run in runs if run.cell.comparison == place])
        if groups:
            yield _table(comparison, groups)


def verdicts(experiment: Experiment, runs: Sequence[Run]) -> Iterator[str]:
    """Yield a line for each problem: which optimizer won, by how much, on how many seeds."""
    for place, comparison in enumerate(experiment.comparisons):
        groups = grouped(comparison, [run for run in runs if run.cell.comparison == place])
        for problem, by_label in groups.items():
            if len(by_label) > 1:
                verdict = judge({label: [loss(run) for run in runs] for label, runs in by_label.items()})
                yield f"{problem}: {_sentence(verdict, by_label)}"


def grouped(comparison: Comparison, runs: Sequence[Run]) -> Groups:
    """Runs of one comparison by problem and optimizer, in the order of the config."""
    groups: Groups = {}
    for spec in comparison.problems:
        problem = subject.label_of(spec)
        for label in comparison.optimizers:
            found = [r for r in runs if r.cell.problem == spec and r.cell.label == label]
            if found:
                groups.setdefault(problem, {})[label] = found
    return groups


def loss(run: Run) -> float:
    """The number runs are compared by, less is better; inf for a run that failed.

    That is the gap above the known minimum (what lies within the tolerance is equal), else the value; for
    networks the share of test samples that are classed wrongly.
    """
    metrics = run.metrics
    if run.error is not None:
        return math.inf
    if "test_accuracy" in metrics:
        return 1 - metrics["test_accuracy"]
    if "test_loss" in metrics:
        return metrics["test_loss"]
    return max(metrics["gap"], run.cell.tolerance) if "gap" in metrics else metrics["value"]


def _sentence(verdict: Verdict, by_label: dict[str, list[Run]]) -> str:
    def named(label: str) -> str:
        return f"{label} ({headline(by_label[label])})"

    if all(math.isinf(loss(run)) for runs in by_label.values() for run in runs):
        return "no optimizer found a finite value"
    seeds = f"{verdict.runs} seed{'s' * (verdict.runs != 1)}"
    behind = f"; behind: {', '.join(map(named, verdict.others))}" if verdict.others else ""
    first, *ties = map(named, verdict.leaders)
    if not ties:
        return f"{first} wins over {seeds}, p <= {_p(verdict.p)}{behind}"
    if verdict.runs < ENOUGH:
        tied = ", ".join([first, *ties])
        return f"{tied}: can't be told apart with {seeds}, it takes {ENOUGH} or more{behind}"
    return (
        f"no difference between {' and '.join([first, *ties])} over {seeds} (p up to {_p(verdict.p)}){behind}"
    )


def headline(runs: Sequence[Run]) -> str:
    """Median over the runs of what they are compared by, in words."""
    done = [run for run in runs if run.error is None]
    if not done:
        return "failed"
    if "test_accuracy" in done[0].metrics:
        return f"{_median(done, 'test_accuracy'):.1%} right"
    if "test_loss" in done[0].metrics:
        return f"test loss {_median(done, 'test_loss'):.4g}"
    if "gap" in done[0].metrics:
        return f"{sum(bool(run.solved) for run in runs)}/{len(runs)} solved, gap {_median(done, 'gap'):.2g}"
    return f"value {_median(done, 'value'):.4g}"


def _table(comparison: Comparison, groups: Groups) -> Table:
    runs = [run for by_label in groups.values() for group in by_label.values() for run in group]
    columns = _NETWORK if any("test_loss" in run.metrics for run in runs) else _FUNCTION
    table = Table(
        title=escape(comparison.title or "results"),
        caption=f"medians over seeds; budget {comparison.budget} units a run",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    for name in ("problem", "optimizer"):
        table.add_column(name)
    for name in columns:
        table.add_column(name, justify="right")
    for problem, by_label in groups.items():
        for number, (label, runs) in enumerate(by_label.items()):
            row = [cell(runs) for cell in columns.values()]
            last = number == len(by_label) - 1
            table.add_row(escape(problem if number == 0 else ""), escape(label), *row, end_section=last)
    return table


def _median(runs: Iterable[Run], name: str) -> float:
    return statistics.median(run.metrics[name] for run in runs)


def _metric(name: str, form: str) -> Callable[[Sequence[Run]], str]:
    def show(runs: Sequence[Run]) -> str:
        done = [run for run in runs if name in run.metrics]
        shown = format(_median(done, name), form) if done else "-"
        return shown if len(shown) <= 10 else format(_median(done, name), ".3g")  # of what diverged

    return show


def _solved(runs: Sequence[Run]) -> str:
    known = [run for run in runs if run.solved is not None or run.error is not None]
    return f"{sum(bool(run.solved) for run in known)}/{len(known)}" if known else "-"


def _cost(runs: Sequence[Run]) -> str:
    return f"{statistics.median(run.cost for run in runs):.0f}"


def _seconds(runs: Sequence[Run]) -> str:
    return f"{statistics.median(run.seconds for run in runs):.2f}"


Columns = dict[str, Callable[[Sequence[Run]], str]]
_END: Columns = {"units": _cost, "seconds": _seconds}
_FUNCTION: Columns = {
    "solved": _solved,
    "gap": _metric("gap", ".2g"),
    "value": _metric("value", ".4g"),
    **_END,
}
_NETWORK: Columns = {
    "test right": _metric("test_accuracy", ".1%"),
    "test loss": _metric("test_loss", ".3f"),
    "training loss": _metric("train_loss", ".3f"),
    **_END,
}


def failures(runs: Sequence[Run]) -> Iterator[str]:
    """Yield one line for each kind of failure."""
    kinds: dict[tuple[str, str, str], list[int]] = {}
    for run in runs:
        if run.error is not None:
            kind = (subject.label_of(run.cell.problem), run.cell.label, run.message)
            kinds.setdefault(kind, []).append(run.cell.seed)
    for (problem, label, message), seeds in kinds.items():
        yield f"failed: {problem}, {label}, seed {', '.join(map(str, seeds))}: {message}"


def _p(p: float) -> str:
    return f"{p:.2g}"
