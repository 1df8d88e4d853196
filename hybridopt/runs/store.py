"""The database of a result folder: one row a run, one transaction a row.

While a session writes, there is a write-ahead log beside the file, synced with every row: a process killed at
any moment or a machine without power leaves it whole, others may read meanwhile, and a row costs one sync in
place of four. When the session ends, one file holds everything again.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import platform
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from hybridopt._version import __version__
from hybridopt.loop import Ledger
from hybridopt.runs import subject
from hybridopt.runs.cell import Cell, Run

FINISHED, FAILED = "finished", "failed"
Key = tuple[str, int]

_TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    config_hash TEXT NOT NULL,  -- of problem, optimizer and budget
    seed INTEGER NOT NULL,
    problem TEXT NOT NULL,
    instance INTEGER NOT NULL,  -- seed of shift, rotation or split
    optimizer TEXT NOT NULL,
    budget INTEGER NOT NULL,
    status TEXT NOT NULL,       -- finished, failed
    value REAL,                 -- best value; for networks the loss over all training data
    metrics TEXT NOT NULL,      -- JSON
    cost INTEGER NOT NULL,      -- units spent
    ledger TEXT NOT NULL,       -- JSON: values, grads, hvps, nonfinite, phases
    curve TEXT NOT NULL,        -- JSON: [[cost, value], ...], thinned
    message TEXT NOT NULL,
    error TEXT,                 -- traceback of a failed run
    seconds REAL NOT NULL,
    ended TEXT NOT NULL,        -- UTC
    PRIMARY KEY (config_hash, seed)
);
CREATE TABLE IF NOT EXISTS sessions (
    started TEXT NOT NULL,      -- UTC
    jobs INTEGER NOT NULL,
    config_hash TEXT NOT NULL,  -- of the whole experiment
    command TEXT NOT NULL,
    modules TEXT NOT NULL,      -- folder of the config, where modules that it imports are looked for
    versions TEXT NOT NULL,     -- JSON
    machine TEXT NOT NULL       -- JSON
);
"""


class StoreError(RuntimeError):
    """A database that can't be read or written."""


@dataclass(frozen=True)
class Session:
    """One start of `hybridopt run` on a folder.

    Attributes
    ----------
    started : str
        UTC.
    jobs : int
    config_hash : str
        Of the whole experiment.
    command : str
    modules : str
        Folder of the config, where modules that it imports are looked for.
    versions : dict of str to str
    machine : dict of str to str
    """

    started: str
    jobs: int
    config_hash: str
    command: str
    modules: str
    versions: dict[str, str]
    machine: dict[str, str]


class Store:
    """Runs and sessions of one result folder.

    Parameters
    ----------
    path : Path
        The database; made if it is not there.

    Raises
    ------
    StoreError
        From every method, if the file is no such database or can't be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writes = False
        with self._explained():
            self._database = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._database.executescript(_TABLES)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._writes:
            with contextlib.suppress(sqlite3.Error):  # somebody reads: then the next session does it
                self._database.execute("PRAGMA busy_timeout=0")
                self._database.execute("PRAGMA journal_mode=DELETE")
        self._database.close()

    def add(self, run: Run) -> None:
        """Put a run in, in the place of an earlier one of the same cell."""
        row = _row(run)
        names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        with self._explained():  # a single statement is a transaction
            self._database.execute(f"INSERT OR REPLACE INTO runs ({names}) VALUES ({marks})", row)

    def statuses(self) -> dict[Key, str]:
        """Status of every run there is."""
        with self._explained():
            rows = self._database.execute("SELECT config_hash, seed, status FROM runs").fetchall()
        return {(config_hash, seed): status for config_hash, seed, status in rows}

    def runs(self, work: Sequence[Cell]) -> list[Run]:
        """What came of those cells that were run, in their order."""
        wanted = {key_of(cell) for cell in work}
        with self._explained():
            cursor = self._database.execute("SELECT * FROM runs")
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
        found = {(row["config_hash"], row["seed"]): row for row in rows}
        runs = {key: row for key, row in found.items() if key in wanted}
        return [_run(cell, runs[key]) for cell in work if (key := key_of(cell)) in runs]

    def begin(self, jobs: int, config_hash: str, command: str, modules: str) -> Session:
        """Note that a session begins: when, with what, where. Write from now on."""
        session = Session(_now(), jobs, config_hash, command, modules, versions(), machine())
        row = {name: _text(value) for name, value in asdict(session).items()}
        names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        self._writes = True
        with self._explained():
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute(f"INSERT INTO sessions ({names}) VALUES ({marks})", row)
        return session

    def sessions(self) -> list[Session]:
        """All sessions, the first one first."""
        names = [field.name for field in fields(Session)]
        with self._explained():
            cursor = self._database.execute(f"SELECT {', '.join(names)} FROM sessions ORDER BY rowid")
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
        decoded = ("versions", "machine")
        return [Session(**{n: json.loads(p) if n in decoded else p for n, p in row.items()}) for row in rows]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(
                f"{self.path}: {error}; runs that ended before are kept. Is the disk full, the folder "
                "write-protected, or the file another program's?"
            ) from error


def key_of(cell: Cell) -> Key:
    """What a run is known by: the hash of what was to be done, and the seed."""
    return cell.config_hash, cell.seed


def unique(work: Iterable[Cell]) -> list[Cell]:
    """Cells without those that would repeat another one's run."""
    return list({key_of(cell): cell for cell in reversed(list(work))}.values())[::-1]


def versions() -> dict[str, str]:
    """Of hybridopt, Python and what results may depend on."""
    packages = ("torch", "numpy", "scipy", "deap")
    found = {name: metadata.version(name) for name in packages}
    return {"hybridopt": __version__, "python": platform.python_version(), **found}


def machine() -> dict[str, str]:
    """Where a session runs."""
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "torch": "CUDA " + str(torch.version.cuda) if torch.cuda.is_available() else "CPU",
        "executable": sys.executable,
    }


def _row(run: Run) -> dict[str, Any]:
    cell = run.cell
    config_hash, seed = key_of(cell)
    return {
        "config_hash": config_hash,
        "seed": seed,
        "problem": subject.label_of(cell.problem),
        "instance": cell.problem.get("instance", seed),
        "optimizer": cell.label,
        "budget": cell.budget,
        "status": FINISHED if run.error is None else FAILED,
        "value": run.metrics.get("value", run.metrics.get("train_loss")),
        "metrics": json.dumps({name: _plain(number) for name, number in run.metrics.items()}),
        "cost": run.cost,
        "ledger": json.dumps(asdict(run.ledger)),
        "curve": json.dumps(run.curve),
        "message": run.message,
        "error": run.error,
        "seconds": run.seconds,
        "ended": _now(),
    }


def _run(cell: Cell, row: dict[str, Any]) -> Run:
    return Run(
        cell,
        {name: float(number) for name, number in json.loads(row["metrics"]).items()},
        Ledger(**json.loads(row["ledger"])),
        tuple((cost, value) for cost, value in json.loads(row["curve"])),
        row["seconds"],
        row["message"],
        row["error"],
    )


def _plain(number: float) -> float | str:
    """JSON knows no infinity."""
    return number if math.isfinite(number) else str(number)


def _text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
