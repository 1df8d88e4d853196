"""The database: what goes in comes out, and how it says that it can't."""

import dataclasses
import json
import math
import sqlite3
from contextlib import closing

import pytest

from hybridopt.loop import Ledger
from hybridopt.runs.cell import Cell, Run, run_cell
from hybridopt.runs.store import Store, StoreError, key_of, unique

CELL = Cell(0, {"name": "sphere", "dim": 2}, "descent", {"name": "sgd", "lr": 0.1}, 3, 200, 1e-6)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "results.sqlite") as store:
        yield store


def column(store, name):
    with closing(sqlite3.connect(store.path)) as database:
        return [row[0] for row in database.execute(f"SELECT {name} FROM runs")]


def test_a_run_comes_out_as_it_went_in(store):
    run = run_cell(CELL)
    store.add(run)
    assert store.runs([CELL]) == [run]
    assert column(store, "status") == ["finished"]
    assert column(store, "value") == [run.metrics["value"]]
    assert column(store, "cost") == [run.ledger.cost]
    assert json.loads(column(store, "curve")[0])[-1] == [run.cost, run.metrics["value"]]


def test_a_failed_run_keeps_its_traceback_and_what_it_cost(store):
    run = Run(CELL, ledger=Ledger(5, 2, phases={"search": 7}), message="no", error="Traceback\n  no")
    store.add(run)
    assert store.runs([CELL]) == [run]
    assert column(store, "status") == ["failed"]


def test_numbers_that_are_not_finite_survive(store):
    store.add(Run(CELL, {"value": math.inf, "gap": math.inf}))
    assert store.runs([CELL])[0].metrics == {"value": math.inf, "gap": math.inf}
    assert "Infinity" not in column(store, "metrics")[0]  # which is no JSON


def test_labels_and_tolerance_make_no_other_run(store):
    store.add(Run(CELL, {"value": 1e-4, "gap": 1e-4}))
    other = dataclasses.replace(
        CELL, comparison=2, label="renamed", problem={**CELL.problem, "label": "bowl"}, tolerance=1e-3
    )
    (run,) = store.runs([other])
    assert run.cell is other
    assert run.solved
    assert unique([CELL, other]) == [CELL]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"budget": 201},
        {"optimizer": {"name": "sgd", "lr": 0.2}},
        {"problem": {"name": "sphere", "dim": 3}},
    ],
)
def test_what_changes_the_result_makes_another_run(change, store):
    store.add(run_cell(CELL))
    assert store.runs([dataclasses.replace(CELL, **change)]) == []


def test_a_run_that_is_repeated_takes_the_place_of_the_one_before(store):
    store.add(Run(CELL, message="no", error="no"))
    store.add(Run(CELL, {"value": 1.0}))
    assert store.statuses() == {key_of(CELL): "finished"}


def test_sessions_tell_versions_and_machine(store):
    session = store.begin(2, "abc", "hybridopt run x.yaml", "/home/me")
    assert store.sessions() == [session]
    assert session.versions["torch"]
    assert session.machine["processor"]


def test_runs_come_in_the_order_of_the_cells(store):
    work = [dataclasses.replace(CELL, seed=seed) for seed in (5, 1, 3)]
    for cell in sorted(work, key=lambda cell: cell.seed):
        store.add(Run(cell, {"value": 0.0}))
    assert [run.cell for run in store.runs(work)] == work


def test_a_file_that_is_no_database_is_told(tmp_path):
    path = tmp_path / "results.sqlite"
    path.write_text("no database at all" * 100)
    with pytest.raises(StoreError, match=r"results\.sqlite: file is not a database"):
        Store(path)


def test_a_full_disk_is_told_and_what_was_stored_stays(store):
    run = run_cell(CELL)
    store.add(run)
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreError, match="disk is full; runs that ended before are kept"):
        for seed in range(100):
            store.add(dataclasses.replace(run, cell=dataclasses.replace(CELL, seed=100 + seed)))
    assert run in store.runs([CELL])


def test_when_a_session_ends_one_file_holds_everything(tmp_path):
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.begin(1, "", "", "")
        store.add(run_cell(CELL))
        with Store(path) as reader:
            assert len(reader.runs([CELL])) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["results.sqlite"]
    assert path.read_bytes()[18] == 1  # no write-ahead log
