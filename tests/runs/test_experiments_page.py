"""The page on experiments: its example is valid, its tables are complete."""

import inspect
import re
from pathlib import Path

import pytest

from hybridopt.cli import FAILED, INTERRUPTED, WRONG_USE
from hybridopt.runs import build
from hybridopt.runs.cell import Cell, cells, run_cell
from hybridopt.runs.config import load

TEXT = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text()


@pytest.fixture
def example(tmp_path):
    path = tmp_path / "example.yaml"
    path.write_text(re.findall(r"```yaml\n(.*?)```", TEXT, re.S)[0])
    return load(path)


def test_the_example_is_valid_and_runs(example):
    assert example.seeds == [0, 1, 2, 3, 4]
    for cell in cells(example):
        if cell.seed == 0:
            assert run_cell(Cell(**{**vars(cell), "budget": 200})).error is None


@pytest.mark.parametrize("name", build.CONDITIONS)
def test_every_condition_stands_in_the_table_with_its_options(name):
    row = next(line for line in TEXT.splitlines() if line.startswith("| ") and f"`{name}`" in line)
    for option, parameter in inspect.signature(build.CONDITIONS[name]).parameters.items():
        assert f"`{option}`" in row
        if isinstance(parameter.default, int | float):
            assert float(re.search(rf"`{option}` \((.*?)\)", row)[1]) == parameter.default


@pytest.mark.parametrize("trainer", build.TRAINERS)
def test_every_key_of_trainers_stands_in_the_table(trainer):
    assert f"| `{trainer}` |" in TEXT


@pytest.mark.parametrize("code", [0, FAILED, WRONG_USE, INTERRUPTED])
def test_every_exit_code_stands_in_the_table(code):
    assert f"\n| {code} |" in TEXT
