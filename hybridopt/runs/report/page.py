"""The page: what a template needs to know of the results, and the file."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from hybridopt._version import __version__
from hybridopt.runs import subject
from hybridopt.runs.cell import Run
from hybridopt.runs.config import dump
from hybridopt.runs.folder import Results
from hybridopt.runs.report import chart as charts
from hybridopt.runs.report import curves, summary
from hybridopt.runs.store import unique
from hybridopt.runs.table import grouped, verdicts

_DASHES = {"solid": "none", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}  # of SVG, as plotly's look


@dataclass(frozen=True)
class Failure:
    """Runs that failed in the same way."""

    comparison: str
    problem: str
    label: str
    seeds: tuple[int, ...]
    message: str
    traceback: str


def write(results: Results, path: Path) -> None:
    """Write a page that needs no other file and no network, at once or not at all.

    Parameters
    ----------
    results : Results
        Of `open_results`; not all runs need to have ended.
    path : Path
        The file; replaced if it exists.

    Raises
    ------
    ModuleNotFoundError
        If plotly or Jinja2 is not installed.
    OSError
        If the file can't be written.
    """
    text = page(results, datetime.datetime.now(datetime.UTC))
    new = path.with_name(f"{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8", errors="backslashreplace")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def page(results: Results, written: datetime.datetime) -> str:
    """HTML of the page.

    Parameters
    ----------
    results : Results
    written : datetime
        To be said on the page.

    Raises
    ------
    ModuleNotFoundError
        If plotly or Jinja2 is not installed.
    """
    try:
        import jinja2
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the report needs plotly and Jinja2, and {error.name} is not installed; "
            'run: pip install "torch-hybridopt[report]"'
        ) from error
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["minute"] = _minute
    template = environment.from_string(resources.files(__package__).joinpath("page.html").read_text("utf-8"))
    comparisons = _comparisons(results)
    drawings = {
        problem["id"]: problem["figure"]
        for comparison in comparisons
        for problem in comparison["problems"]
        if problem["figure"]
    }
    return template.render(
        experiment=results.experiment,
        counts=_counts(results),
        comparisons=comparisons,
        drawings=drawings,
        plotly=get_plotlyjs() if drawings else "",
        failures=list(failures(results)),
        sessions=results.sessions,
        config=dump(results.experiment),
        written=written.isoformat(),
        version=__version__,
    )


def failures(results: Results) -> Iterator[Failure]:
    """Yield each kind of failure once, with its seeds and the traceback of the first of them."""
    kinds: dict[tuple[int, str, str, str], list[Run]] = {}
    for run in results.runs:
        if run.error is not None:
            problem = subject.label_of(run.cell.problem)
            kinds.setdefault((run.cell.comparison, problem, run.cell.label, run.message), []).append(run)
    for (place, problem, label, message), runs in kinds.items():
        seeds = tuple(run.cell.seed for run in runs)
        yield Failure(_title(results, place), problem, label, seeds, message, str(runs[0].error))


def _counts(results: Results) -> dict[str, int]:
    """Runs in all, finished, failed and left; one that two comparisons share counts once."""
    total = len(unique(results.work))
    ended = {(run.cell.config_hash, run.cell.seed): run for run in results.runs}
    failed = sum(run.error is not None for run in ended.values())
    return {
        "total": total,
        "finished": len(ended) - failed,
        "failed": failed,
        "left": total - len(ended),
    }


def _comparisons(results: Results) -> list[dict[str, Any]]:
    """What the page shows of each comparison."""
    experiment = results.experiment
    labels = [label for comparison in experiment.comparisons for label in comparison.optimizers]
    style_of = charts.styles(labels)
    return [_comparison(results, place, style_of) for place in range(len(experiment.comparisons))]


def _comparison(results: Results, place: int, style_of: Mapping[str, charts.Style]) -> dict[str, Any]:
    experiment = results.experiment
    comparison = experiment.comparisons[place]
    runs = [run for run in results.runs if run.cell.comparison == place]
    columns = summary.columns(comparison, runs)
    groups = grouped(comparison, runs)
    problems = []
    for number, spec in enumerate(comparison.problems):
        name = subject.label_of(spec)
        by_label = {label: groups.get(name, {}).get(label, []) for label in comparison.optimizers}
        rows = [
            (label, _swatch(style_of[label]), [show(of_label) for show in columns.values()])
            for label, of_label in by_label.items()
        ]
        drawing = _drawing(curves.chart(name, by_label), style_of, experiment.tolerance)
        problems.append({"name": name, "id": f"chart-{place}-{number}", "rows": rows, **drawing})
    return {
        "title": _title(results, place),
        "budget": comparison.budget,
        "columns": list(columns),
        "problems": problems,
        "verdicts": list(verdicts(experiment, runs)),
    }


def _drawing(chart: curves.Chart, style_of: Mapping[str, charts.Style], tolerance: float) -> dict[str, Any]:
    """Curves of a problem, and what has to be said to them."""
    if not chart.lines:
        return {"figure": None, "notes": ["No curves: no run has finished with a finite value."]}
    notes = list(charts.notes(chart, tolerance))
    if chart.missing:
        notes.append(f"Without a curve, as no run finished with a finite value: {', '.join(chart.missing)}.")
    return {"figure": charts.figure(chart, style_of, tolerance), "notes": notes}


def _swatch(style: charts.Style) -> dict[str, str]:
    return {"color": style.color, "dash": _DASHES[style.dash]}


def _title(results: Results, place: int) -> str:
    return results.experiment.comparisons[place].title or f"Comparison {place + 1}"


def _minute(moment: str) -> str:
    """A moment as sessions note it, for readers."""
    return datetime.datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M UTC")
