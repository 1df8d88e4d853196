"""Result folders: where one is, who writes to it, what it says of its experiment."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from hybridopt.runs.cell import Cell, Run, cells
from hybridopt.runs.config import Experiment, dump, validate
from hybridopt.runs.source import ConfigError, read
from hybridopt.runs.store import Session, Store

DATABASE, CONFIG, LOCK = "results.sqlite", "config.yaml", ".lock"


class FolderError(ValueError):
    """A result folder that can't be used as wanted; the message says what to do."""


@dataclass(frozen=True)
class Results:
    """What a result folder holds.

    Attributes
    ----------
    experiment : Experiment
        As it was last run.
    work : list of Cell
        All of its runs, done or not.
    runs : list of Run
        Those that were finished or failed, in the order of `work`.
    sessions : list of Session
    """

    experiment: Experiment
    work: list[Cell]
    runs: list[Run]
    sessions: list[Session]


def open_results(folder: str | Path) -> Results:
    """Read a result folder; nothing of the user's own code is imported for that.

    Parameters
    ----------
    folder : path

    Raises
    ------
    FolderError
        If it holds no results.
    """
    folder = Path(folder)
    if not (folder / DATABASE).is_file() or not (folder / CONFIG).is_file():
        made = "it is made by: hybridopt run CONFIG --out " + str(folder)
        raise FolderError(f"{folder} is no result folder (no {DATABASE} and {CONFIG} there); {made}")
    experiment = validate(read(folder / CONFIG))
    work = list(cells(experiment))
    with Store(folder / DATABASE) as store:
        return Results(experiment, work, store.runs(work), store.sessions())


def modules_of(config: Path) -> str:
    """Where modules that a config imports are: beside it, or in a result folder beside the original."""
    if config.name == CONFIG and (config.parent / DATABASE).is_file():
        with Store(config.parent / DATABASE) as store:
            sessions = store.sessions()
        if sessions:
            return sessions[-1].modules
    return str(config.parent.absolute())


def choose(out: Path | None, config: Path, *, resume: bool) -> Path:
    """Folder to write to: the one named, else results/NAME, the first free one or, to resume, the newest.

    Raises
    ------
    FolderError
        If the folder named can't be taken.
    """
    if out is None:
        return _unnamed(Path("results"), config.stem, resume)
    if out.exists() and not out.is_dir():
        raise FolderError(f"--out {out}: that is a file; expected a folder")
    if not out.exists() or _is_empty(out):
        return out
    if not (out / DATABASE).is_file():
        raise FolderError(f"--out {out}: this folder holds other things than results; name a new one")
    if not resume:
        raise FolderError(f"--out {out}: there are results in it; go on with --resume, or name a new folder")
    return out


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder, and let no other process write to it meanwhile.

    Raises
    ------
    FolderError
        If another process does, or it can't be made.
    """
    lock = filelock.FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise FolderError(f"{folder}: another run is writing there; wait for it, or name another") from None
    except OSError as error:
        raise FolderError(f"{folder}: can't be written ({error.strerror}); name another") from error
    try:
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether some process is writing to it."""
    if not (folder / LOCK).exists():
        return False
    try:
        with filelock.FileLock(folder / LOCK).acquire(blocking=False):
            return False
    except filelock.Timeout:
        return True


def note(folder: Path, experiment: Experiment) -> None:
    """Write the experiment as it is to be run, at once or not at all."""
    new = folder / f"{CONFIG}.new"
    with new.open("w", encoding="utf-8") as file:
        file.write(f"# As it was run; hybridopt run {CONFIG} repeats it.\n{dump(experiment)}")
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / CONFIG)


def noted(folder: Path) -> Experiment | None:
    """The experiment that a folder was made by, if it says."""
    with contextlib.suppress(ConfigError):
        return validate(read(folder / CONFIG))
    return None


def _unnamed(parent: Path, name: str, resume: bool) -> Path:
    """results/name, results/name-2, ...: the newest one to resume, else a new one."""
    pattern = re.compile(rf"{re.escape(name)}(?:-(\d+))?")
    matches = [pattern.fullmatch(path.name) for path in (parent.iterdir() if parent.is_dir() else [])]
    numbers = [int(match[1] or 1) for match in matches if match]
    newest = max(numbers, default=0)
    if resume and newest:
        return parent / (name if newest == 1 else f"{name}-{newest}")
    return parent / (name if newest == 0 else f"{name}-{newest + 1}")


def _is_empty(folder: Path) -> bool:
    """Whether there is nothing in it, but what a start leaves that was killed before it had a database."""
    return {path.name for path in folder.iterdir()} <= {LOCK, CONFIG + ".new"}
