"""One start of `hybridopt run`: what is still to do in a folder, doing it, and saying what came of it."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from hybridopt.runs import folder as folders
from hybridopt.runs.cell import Cell, Run, cells, digest
from hybridopt.runs.config import Experiment
from hybridopt.runs.runner import run
from hybridopt.runs.store import FAILED, Store, key_of, unique, versions
from hybridopt.runs.table import failures, tables, verdicts
from hybridopt.screen import bar


def carry_out(
    experiment: Experiment,
    folder: Path,
    *,
    jobs: int,
    retry: bool,
    command: Sequence[str],
    modules: str,
    console: Console,
) -> tuple[list[Run], bool]:
    """Run what a folder does not hold yet, and print the report of all of it.

    Parameters
    ----------
    experiment : Experiment
    folder : Path
        Each run is stored there when it is finished.
    jobs : int
        Processes.
    retry : bool
        Run again what failed before.
    command : sequence of str
    modules : str
        Both to be noted: how this was called, and where the config's modules are.
    console : rich.console.Console

    Returns
    -------
    runs : list of Run
        All that the folder holds of the experiment now.
    interrupted : bool
        Whether Ctrl-C came before the last one.

    Raises
    ------
    FolderError, StoreError
        If the folder can't be used.
    """
    work = list(cells(experiment))
    with folders.held(folder), Store(folder / folders.DATABASE) as store:
        todo = _left(store, work, retry)
        _announce(console, experiment, folder, store, work, todo)
        folders.note(folder, experiment)
        if todo:  # else nothing of this session is in the folder
            store.begin(jobs, digest(experiment.model_dump()), shlex.join(command), modules)
        interrupted = _collect(todo, jobs, console, store)
        runs = store.runs(work)
    report(experiment, runs, console)
    ended = f"{len(runs)} of {len(work)} runs have ended"
    _say(console, f"{ended}; results in {folder}; a page of them: hybridopt report {folder}")
    return runs, interrupted


def report(experiment: Experiment, runs: Sequence[Run], console: Console) -> None:
    """Print tables, who won where, and what failed."""
    for table in tables(experiment, runs):
        console.print(table)
    for line in (*verdicts(experiment, runs), *failures(runs)):
        _say(console, line)


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)


def _left(store: Store, work: Sequence[Cell], retry: bool) -> list[Cell]:
    """Cells that have no result yet, or one that is to be tried again."""
    statuses = store.statuses()
    kept = {key for key, status in statuses.items() if not (retry and status == FAILED)}
    return [cell for cell in unique(work) if key_of(cell) not in kept]


def _announce(
    console: Console,
    experiment: Experiment,
    folder: Path,
    store: Store,
    work: Sequence[Cell],
    todo: Sequence[Cell],
) -> None:
    """Say how much there is to do, and what differs from the session before."""
    held = len(store.statuses())
    kept = len(unique(work)) - len(todo)
    line = f"{experiment.title}: {len(todo)} runs" + (f" to do, {kept} kept" if held else "")
    _say(console, line)
    if not held:
        return
    before = folders.noted(folder)
    if before is not None and before != experiment:
        _say(console, "the config has changed since; runs that it does not name stay in the folder")
    last, now = store.sessions()[-1].versions, versions()
    changed = [f"{name} {last.get(name)} -> {now[name]}" for name in now if last.get(name) != now[name]]
    if changed:
        _say(console, f"the runs kept were made with other versions: {', '.join(changed)}")
    failed = sum(status == FAILED for status in store.statuses().values())
    if failed and kept:
        _say(console, f"{failed} failed before; --retry runs them again")


def _collect(todo: Sequence[Cell], jobs: int, console: Console, store: Store) -> bool:
    """Store results as they come; returns whether Ctrl-C came before the last one."""
    failed = 0
    try:
        with bar(console) as shown, contextlib.closing(run(todo, jobs)) as results:
            task = shown.add_task("runs", total=len(todo))
            for result in results:
                store.add(result)
                failed += result.error is not None
                shown.update(task, advance=1, description=f"runs, {failed} failed" if failed else "runs")
    except KeyboardInterrupt:
        return True
    return False
