"""The command `hybridopt`: run experiments, list what there is.

What only one command needs is imported by it: `hybridopt --version` waits for nothing but torch.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridopt._version import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from hybridopt.runs.cell import Cell, Run

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    help="Evolution and gradients in one optimizer: run experiments, list what there is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Kind(enum.StrEnum):
    """What `hybridopt list` can list."""

    optimizers = "optimizers"
    problems = "problems"


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


def main() -> None:
    """Entry point of the command."""
    app()


def _run(path: Path, seeds: int | None, jobs: int | None) -> int:
    """Run an experiment, print its report; returns the exit code."""
    from hybridopt.runs.cell import cells
    from hybridopt.runs.config import load
    from hybridopt.runs.runner import default_jobs, in_order
    from hybridopt.runs.table import report

    experiment = load(path)
    if seeds is not None:
        experiment = experiment.model_copy(update={"seeds": list(range(seeds))})
    work = list(cells(experiment))
    console = _console()
    console.print(f"{experiment.title}: {len(work)} runs", markup=False)
    done: list[Run] = []
    interrupted = _collect(work, jobs or default_jobs(), console, done)
    console.print(report(experiment, in_order(done, work)))
    if interrupted:
        console.print(f"interrupted: {len(done)} of {len(work)} runs were finished", markup=False)
        return INTERRUPTED
    return FAILED if any(result.error for result in done) else 0


def _collect(work: Sequence[Cell], jobs: int, console: Console, done: list[Run]) -> bool:
    """Append results to `done` as they come; returns whether Ctrl-C came before the last one."""
    from hybridopt.runs.runner import run

    try:
        for result in _with_bar(run(work, jobs), len(work), console):
            done.append(result)
    except KeyboardInterrupt:
        return True
    return False


def _with_bar(results: Iterator[Run], total: int, console: Console) -> Iterator[Run]:
    """The same results, with a progress bar where there is a terminal to show it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield from bar.track(results, total=total)


def _console() -> Console:
    """Where reports go: the terminal, or plain lines of 120 characters."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def _print_names(title: str, names: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in names)
    typer.echo(f"{title}:")
    for name, about in sorted(names):
        typer.echo(f"  {name.ljust(width)}  {about}")
