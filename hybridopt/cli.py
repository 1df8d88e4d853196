"""The command `hybridopt`: run experiments, verify optimizers, list what there is.

What only one command needs is imported by it: `hybridopt --version` waits for nothing but torch.
"""

from __future__ import annotations

import contextlib
import enum
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridopt._version import __version__

if TYPE_CHECKING:
    from hybridopt.runs.folder import Results
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
    baselines = "baselines"


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
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the results; by default a new one, results/NAME.", metavar="DIR"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Put a value over the file's: seeds=3, comparisons[0].budget=500; may be given again.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes; by default as many as there are processors.", metavar="N"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in a folder of results; what has ended is kept.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="With --resume: run what failed again.")] = False,
) -> None:
    """Run an experiment: each of its optimizers on each of its problems with each seed."""
    from hybridopt.runs.folder import FolderError
    from hybridopt.runs.source import ConfigError
    from hybridopt.runs.store import StoreError

    try:
        code = _run(config, out, settings or [], jobs, resume, retry)
    except (ConfigError, FolderError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(WRONG_USE) from None
    except StoreError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:  # before or after the runs
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(code)


@app.command()
def status(folder: Annotated[Path, typer.Argument(help="Folder of results.", show_default=False)]) -> None:
    """Show what of an experiment is finished, what failed and what is left."""
    from hybridopt.runs.status import lines, overview
    from hybridopt.screen import console

    results = _opened(folder)
    screen = console()
    screen.print(overview(results))
    for line in lines(results, folder):
        screen.print(line, markup=False, soft_wrap=True)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of results.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="File to write; by default report.html in the folder.", metavar="FILE")
    ] = None,
) -> None:
    """Write a web page of the results: tables, who won where, convergence curves, failures."""
    from hybridopt.runs.report import write

    results = _opened(folder)
    path = out or folder / "report.html"
    try:
        write(results, path)
    except ModuleNotFoundError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILED) from None
    except OSError as error:
        typer.echo(f"{path}: can't be written ({error.strerror}); name another file with --out", err=True)
        raise typer.Exit(WRONG_USE) from None
    typer.echo(f"wrote {path}")


@app.command()
def schema() -> None:
    """Print the JSON schema of experiment files, by which editors complete and check them."""
    from json import dumps

    from hybridopt.runs.schema import schema

    typer.echo(dumps(schema(), indent=2))


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
        _print_names("problems", _purposes(known))
    if kind in (None, Kind.conditions):
        from hybridopt.runs.build import CONDITIONS

        _print_names("conditions", _purposes(CONDITIONS))
    if kind in (None, Kind.baselines):
        from hybridopt.baselines import BASELINES

        _print_names("baselines", _purposes(BASELINES))


def main() -> None:
    """Entry point of the command."""
    app()


def _run(
    path: Path, out: Path | None, settings: Sequence[str], jobs: int | None, resume: bool, retry: bool
) -> int:
    """Run an experiment, print its report; returns the exit code."""
    from hybridopt.runs.config import load
    from hybridopt.runs.folder import choose, modules_of
    from hybridopt.runs.runner import default_jobs
    from hybridopt.runs.session import carry_out
    from hybridopt.screen import console

    modules = modules_of(path)
    sys.path[:0] = [modules, str(Path.cwd())]  # where a config's import paths lead
    experiment = load(path, settings)
    folder = choose(out, path, resume=resume)
    runs, interrupted = carry_out(
        experiment,
        folder,
        jobs=jobs or default_jobs(),
        retry=retry,
        command=sys.argv,
        modules=modules,
        console=console(),
    )
    if interrupted:
        typer.echo(f"interrupted; go on with: hybridopt run {path} --out {folder} --resume")
        return INTERRUPTED
    return FAILED if any(result.error for result in runs) else 0


def _opened(folder: Path) -> Results:
    """Results of a folder, or the end of the command."""
    from hybridopt.runs.folder import FolderError, open_results
    from hybridopt.runs.source import ConfigError
    from hybridopt.runs.store import StoreError

    try:
        return open_results(folder)
    except (FolderError, ConfigError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(WRONG_USE) from None


def _verified(work: Sequence[Piece], jobs: int | None) -> Report:
    """Verify the pieces in several processes, with a bar on stderr."""
    from rich.console import Console

    from hybridopt.runs.runner import default_jobs
    from hybridopt.screen import bar
    from hybridopt.verify.door import in_order, results

    rows: list[Row] = []
    with (
        bar(Console(stderr=True)) as shown,
        contextlib.closing(results(work, jobs or default_jobs())) as finished,
    ):
        task = shown.add_task("checks", total=len(work))
        for row in finished:
            rows.append(row)
            shown.advance(task)
    return in_order(rows, work)


def _show(report: Report, json: bool) -> None:
    """Print a report as a table with notes, or as JSON."""
    if json:
        from json import dumps

        typer.echo(dumps({"hybridopt": __version__, **report.as_dict()}, indent=2))
        return
    from hybridopt.screen import console

    screen = console()
    screen.print(report.table())
    for line in report.notes():
        screen.print(line, markup=False, soft_wrap=True)


def _purposes(known: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names with the first line of what each one's docstring says."""
    return [(name, (thing.__doc__ or "").partition("\n")[0]) for name, thing in known.items()]


def _print_names(title: str, names: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in names)
    typer.echo(f"{title}:")
    for name, about in sorted(names):
        typer.echo(f"  {name.ljust(width)}  {about}")
