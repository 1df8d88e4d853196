"""The table of a comparison: for each problem and optimizer what came of its seeds, with quartiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hybridopt.runs import build
from hybridopt.runs.cell import Run
from hybridopt.runs.config import Comparison
from hybridopt.runs.report.quartiles import quartiles

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Entry:
    """One cell of the table: a text, and in small letters what belongs to it."""

    text: str
    beside: str = ""


Columns = dict[str, Callable[[Sequence[Run]], Entry]]


def columns(comparison: Comparison, runs: Sequence[Run]) -> Columns:
    """Columns that have something to show, by their titles.

    Parameters
    ----------
    comparison : Comparison
    runs : sequence of Run
        All that ended of it.
    """
    known = {name for run in runs for name in run.metrics}
    trains = any(build.kind(spec, ()) == "trainer" for spec in comparison.optimizers.values())
    shown = _NETWORK if trains else _FUNCTION
    if all("gap" in run.metrics for run in runs if run.error is None):
        known.discard("value")  # says nothing more
    found: Columns = {"runs": lambda runs: _ended(runs)}
    if not trains and ("gap" in known or not known):
        found["solved"] = _solved
    found |= {title: _metric(name, form) for title, (name, form) in shown.items() if name in known}
    return {**found, "units": _units, "seconds": _seconds}


def entry(values: Sequence[float], form: str) -> Entry:
    """Median, and the quartiles where they read otherwise."""
    if not values:
        return Entry(NOTHING)
    low, median, high = (_text(number, form) for number in quartiles(values))
    return Entry(median, "" if low == median == high else f"{low} to {high}")


def _text(number: float, form: str) -> str:
    text = format(number, form)
    return text if len(text) <= 10 else format(number, ".3g")  # of what diverged


def _metric(name: str, form: str) -> Callable[[Sequence[Run]], Entry]:
    return lambda runs: entry([run.metrics[name] for run in runs if name in run.metrics], form)


_FUNCTION = {"gap": ("gap", ".2g"), "value": ("value", ".4g")}
_NETWORK = {
    "test right": ("test_accuracy", ".1%"),
    "test loss": ("test_loss", ".3f"),
    "training loss": ("train_loss", ".3f"),
}


def _ended(runs: Sequence[Run]) -> Entry:
    failed = sum(run.error is not None for run in runs)
    return Entry(str(len(runs)), f"{failed} failed" if failed else "")


def _solved(runs: Sequence[Run]) -> Entry:
    known = [run for run in runs if run.solved is not None or run.error is not None]
    return Entry(f"{sum(bool(run.solved) for run in known)}/{len(known)}" if known else NOTHING)


def _units(runs: Sequence[Run]) -> Entry:
    return entry([run.cost for run in runs], ".0f")


def _seconds(runs: Sequence[Run]) -> Entry:
    return entry([run.seconds for run in runs], ".2f")
