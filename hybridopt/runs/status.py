"""What `hybridopt status` shows: what of an experiment is done, what failed, what is left."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from hybridopt.runs import folder as folders
from hybridopt.runs import subject
from hybridopt.runs.folder import Results
from hybridopt.runs.store import unique
from hybridopt.runs.table import failures


def overview(results: Results) -> Table:
    """Runs by problem and optimizer: finished, failed, left, and what one takes."""
    table = Table(title=escape(results.experiment.title), box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("comparison", "problem", "optimizer"):
        table.add_column(name)
    for name in ("finished", "failed", "left", "seconds a run"):
        table.add_column(name, justify="right")
    for place, comparison in enumerate(results.experiment.comparisons):
        for problem in comparison.problems:
            for label in comparison.optimizers:
                table.add_row(*_row(results, place, problem, label))
    return table


def _row(results: Results, place: int, problem: dict[str, object], label: str) -> list[str]:
    title = results.experiment.comparisons[place].title or str(place)
    group = (place, problem, label)
    of_group = [c for c in results.work if (c.comparison, c.problem, c.label) == group]
    runs = [r for r in results.runs if (r.cell.comparison, r.cell.problem, r.cell.label) == group]
    failed = sum(run.error is not None for run in runs)
    seconds = f"{statistics.median(run.seconds for run in runs):.2g}" if runs else "-"
    counts = (len(runs) - failed, failed, len(of_group) - len(runs))
    return [escape(title), escape(subject.label_of(problem)), escape(label), *map(str, counts), seconds]


def lines(results: Results, folder: Path) -> Iterator[str]:
    """Yield what there is to say besides: sessions, failures, what is left and how to go on."""
    for session in results.sessions:
        versions = ", ".join(f"{name} {version}" for name, version in session.versions.items())
        jobs = f"{session.jobs} job{'s' * (session.jobs != 1)}"
        yield f"session of {session.started}: {session.machine['host']}, {jobs}, {versions}"
    yield from failures(results.runs)
    left = len(unique(results.work)) - len(unique(run.cell for run in results.runs))
    going = folders.is_held(folder)
    if left == 0:
        yield "all runs have ended"
    elif going:
        yield f"{left} runs left{_time_left(results, left)}; a run is writing to the folder now"
    else:
        again = f"hybridopt run {folder / folders.CONFIG} --out {folder} --resume"
        yield f"{left} runs left{_time_left(results, left)}; go on with: {again}"


def _time_left(results: Results, left: int) -> str:
    """From what runs took so far, were all processes busy."""
    if not results.runs or not results.sessions:
        return ""
    seconds = left * statistics.mean(run.seconds for run in results.runs) / results.sessions[-1].jobs
    return f", about {datetime.timedelta(seconds=max(1, round(seconds)))} at the pace so far"
