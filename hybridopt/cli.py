"""The command `hybridopt`: run experiments, verify optimizers, list what there is.

What only one command needs is imported by it: `hybridopt --version` waits for nothing but torch.
"""

from __future__ import annotations

import contextlib
import enum
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridopt._version import __version__

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from hybridopt.runs.cell import Cell, Run
    from hybridopt.runs.config import Experiment
    from hybridopt.verify.check import Piece
    from hybridopt.verify.report import Report, Row

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    help="Evolution and gradients in one optimizer: run experiments, verify optimizers, list what there is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Kind(enum.StrEnum):
    """What `hybridopt list` can list."""

    optimizers = "optimizers"
    problems = "problems"
    conditions = "conditions"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hybridopt {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say which version this is."),
    ] = False,
) -> None:
    """What the command takes before its sub-commands."""


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="Experiment file (YAML).", show_default=False)],
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Run the seeds 0 to N - 1 instead of the file's.", metavar="N")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes; by default as many as there are processors.", metavar="N"),
    ] = None,
) -> None:
    """Run an experiment: each of its optimizers on each of its problems with each seed."""
    from hybridopt.runs.source import ConfigError

    try:
        code = _run(config, seeds, jobs)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(WRONG_USE) from None
    except KeyboardInterrupt:  # before or after the runs
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(code)


@app.command()
def verify(
    optimizer: Annotated[
        list[str] | None,
        typer.Option(help="Only this one; may be given again. By default all.", metavar="NAME"),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(help="Only against this one; may be given again. By default all.", metavar="NAME"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of the table.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the data and the runs.", metavar="N")] = 0,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes; by default as many as there are processors.", metavar="N"),
    ] = None,
) -> None:
    """Hold every optimizer against scipy's closed forms and torch.optim; exit code 1 if one fails."""
    from hybridopt.verify.door import pieces

    try:
        work = pieces(optimizer or None, baseline or None, seed=seed)
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(WRONG_USE) from None
    try:
        report = _verified(work, jobs)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    _show(report, json)
    raise typer.Exit(0 if report.passed else FAILED)


@app.command("list")
def list_(
    kind: Annotated[
        Kind | None, typer.Argument(help="What to list; by default all.", show_default=False)
    ] = None,
) -> None:
    """List the names that configs and `minimize(method=...)` know."""
    if kind in (None, Kind.optimizers):
        from hybridopt.registry import OPTIMIZERS

        _print_names("optimizers", list(OPTIMIZERS.items()))
    if kind in (None, Kind.problems):
        from hybridopt.problems import PROBLEMS, TASKS

        known = {**PROBLEMS, **TASKS}
        about = [(name, (factory.__doc__ or "").partition("\n")[0]) for name, factory in known.items()]
        _print_names("problems", about)
    if kind in (None, Kind.conditions):
        from hybridopt.runs.build import CONDITIONS

        about = [(name, (factory.__doc__ or "").partition("\n")[0]) for name, factory in CONDITIONS.items()]
        _print_names("conditions", about)


def main() -> None:
    """Entry point of the command."""
    app()


def _run(path: Path, seeds: int | None, jobs: int | None) -> int:
    """Run an experiment, print its report; returns the exit code."""
    from hybridopt.runs.cell import cells
    from hybridopt.runs.config import load
    from hybridopt.runs.runner import default_jobs, in_order

    experiment = load(path)
    if seeds is not None:
        experiment = experiment.model_copy(update={"seeds": list(range(seeds))})
    work = list(cells(experiment))
    console = _console()
    console.print(f"{experiment.title}: {len(work)} runs", markup=False)
    done: list[Run] = []
    interrupted = _collect(work, jobs or default_jobs(), console, done)
    _report(experiment, in_order(done, work), console)
    if interrupted:
        console.print(f"interrupted: {len(done)} of {len(work)} runs were finished", markup=False)
        return INTERRUPTED
    return FAILED if any(result.error for result in done) else 0


def _report(experiment: Experiment, runs: Sequence[Run], console: Console) -> None:
    """Print tables, who won where, and what failed."""
    from hybridopt.runs.table import failures, tables, verdicts

    for table in tables(experiment, runs):
        console.print(table)
    for line in (*verdicts(experiment, runs), *failures(runs)):
        console.print(line, markup=False, soft_wrap=True)


def _collect(work: Sequence[Cell], jobs: int, console: Console, done: list[Run]) -> bool:
    """Append results to `done` as they come; returns whether Ctrl-C came before the last one."""
    from hybridopt.runs.runner import run

    try:
        with _bar(console) as bar, contextlib.closing(run(work, jobs)) as results:
            shown = bar.add_task("runs", total=len(work))
            for result in results:
                done.append(result)
                bar.advance(shown)
    except KeyboardInterrupt:
        return True
    return False


def _verified(work: Sequence[Piece], jobs: int | None) -> Report:
    """Verify the pieces in several processes, with a bar on stderr."""
    from rich.console import Console

    from hybridopt.runs.runner import default_jobs
    from hybridopt.verify.door import in_order, results

    rows: list[Row] = []
    with (
        _bar(Console(stderr=True), "checks") as bar,
        contextlib.closing(results(work, jobs or default_jobs())) as finished,
    ):
        shown = bar.add_task("checks", total=len(work))
        for row in finished:
            rows.append(row)
            bar.advance(shown)
    return in_order(rows, work)


def _show(report: Report, json: bool) -> None:
    """Print a report as a table with notes, or as JSON."""
    if json:
        from json import dumps

        typer.echo(dumps({"hybridopt": __version__, **report.as_dict()}, indent=2))
        return
    console = _console()
    console.print(report.table())
    for line in report.notes():
        console.print(line, markup=False, soft_wrap=True)


def _bar(console: Console, what: str = "runs") -> Progress:
    """A bar of what is finished and the time left; none where no terminal can show it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _console() -> Console:
    """Where reports go: the terminal, or plain lines of 120 characters."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def _print_names(title: str, names: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in names)
    typer.echo(f"{title}:")
    for name, about in sorted(names):
        typer.echo(f"  {name.ljust(width)}  {about}")
