"""Runs: what comes of a cell, failures, processes."""

import dataclasses
import math
import os
import sys
from pathlib import Path

import pytest
import torch

from hybridopt import problems
from hybridopt.rng import global_generators_fingerprint
from hybridopt.runs.cell import Cell, CountingClosure, cells, run_cell, start
from hybridopt.runs.config import Comparison, Experiment
from hybridopt.runs.pool import Pool
from hybridopt.runs.runner import run

SPHERE = {"name": "sphere", "dim": 3}
DESCENT = {"name": "sgd", "lr": 0.1}


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """`unreliable` can be named in a config, in this process and in workers."""
    folder = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", folder)


def cell(problem=SPHERE, optimizer=DESCENT, **changes):
    given = {"comparison": 0, "label": "it", "seed": 0, "budget": 2000, "tolerance": 1e-6}
    return Cell(problem=problem, optimizer=optimizer, **{**given, **changes})


def without_times(runs):
    return [dataclasses.replace(run, seconds=0.0) for run in runs]


def by_seed(runs):
    return sorted(runs, key=lambda run: run.cell.seed)


def test_a_run_that_reaches_the_minimum_counts_as_solved():
    result = run_cell(cell())
    assert result.solved
    assert 0 <= result.metrics["gap"] <= 1e-6
    assert 0 < result.cost <= 2000
    assert result.error is None


def test_a_run_that_does_not_reach_the_minimum_does_not_count_as_solved():
    result = run_cell(cell(optimizer={"name": "sgd", "lr": 1e-6}, budget=50))
    assert result.solved is False
    assert result.metrics["gap"] > 1


def test_a_run_starts_at_the_problems_own_start():
    saddle = {"name": "strict_saddle", "dim": 4}
    result = run_cell(cell(problem=saddle, budget=10))  # too little to leave it
    assert abs(result.metrics["value"]) < 1e-6  # the gradient check looks a bit around


def test_all_optimizers_start_at_the_same_point_which_depends_on_the_seed():
    p = problems.make("sphere", dim=4, seed=1)
    assert torch.equal(start(p, 1), start(p, 1))
    assert not torch.equal(start(p, 1), start(p, 2))
    assert ((start(p, 1) >= p.lower) & (start(p, 1) <= p.upper)).all()


def test_instance_fixes_the_problem_over_all_seeds():
    fixed = {**SPHERE, "instance": 5}
    slow = {"name": "sgd", "lr": 1e-9}
    values = {run_cell(cell(fixed, slow, seed=seed, budget=10)).metrics["value"] for seed in (1, 1, 2)}
    assert len(values) == 2


def test_an_exception_is_recorded_with_its_traceback():
    result = run_cell(cell(problem={"import": "unreliable:failing", "dim": 2}, seed=1))
    assert result.message == "RuntimeError: odd seed"
    assert "Traceback" in result.error
    assert result.metrics == {}
    assert result.solved is None


def test_a_function_that_is_nan_everywhere_is_not_solved():
    result = run_cell(cell({"import": "unreliable:odd_one_out", "dim": 2}, {"name": "genetic"}))
    assert not result.solved


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_run_is_recorded_and_the_others_go_on(jobs):
    work = [cell(problem={"import": "unreliable:failing", "dim": 2}, seed=seed) for seed in range(4)]
    runs = by_seed(run(work, jobs))
    assert [result.cell.seed for result in runs] == [0, 1, 2, 3]
    assert [result.error is None for result in runs] == [True, False, True, False]


def test_a_run_whose_process_dies_is_recorded_and_the_others_go_on():
    work = [cell(problem={"import": "unreliable:deadly", "dim": 2}, seed=seed) for seed in range(4)]
    runs = by_seed(run(work, 2))
    assert [result.error is None for result in runs] == [True, False, True, False]
    assert "exit code 7" in runs[1].message


def test_results_do_not_depend_on_the_number_of_processes():
    genetic = {"name": "genetic", "population_size": 10}
    work = [cell(optimizer=genetic, seed=seed, budget=200) for seed in range(4)]
    assert without_times(by_seed(run(work, 1))) == without_times(by_seed(run(work, 2)))


def test_running_leaves_threads_and_global_generators_alone():
    before = torch.get_num_threads(), global_generators_fingerprint()
    list(run([cell(), cell({"name": "digits_linear"}, {"torch": "SGD", "lr": 0.1}, budget=4)], 1))
    assert (torch.get_num_threads(), global_generators_fingerprint()) == before


def test_ctrl_c_inside_a_run_is_not_taken_for_a_result(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("hybridopt.problems.functions._sphere", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_cell(cell())


def test_closing_the_results_ends_the_processes():
    with Pool(_identity, lambda piece, reason: -1, jobs=2) as pool:
        results = pool.results(range(100))
        next(results)
        workers = list(pool._workers.values())
    assert len(workers) == 2
    assert not any(worker.is_alive() for worker in workers)


def test_workers_have_one_thread_each():
    with Pool(_threads, lambda piece, reason: -1, jobs=2) as pool:
        assert set(pool.results(range(4))) == {1}


@pytest.mark.skipif(sys.platform == "win32", reason="no signal masks")
def test_workers_never_see_ctrl_c():
    with Pool(_interrupt_oneself, lambda piece, reason: "died", jobs=2) as pool:
        assert list(pool.results(range(2))) == ["alive", "alive"]


def test_cells_finish_a_seed_before_the_next_begins():
    comparison = Comparison(budget=1, problems=[SPHERE], optimizers={"a": DESCENT, "b": DESCENT})
    experiment = Experiment(title="", seeds=[3, 1], comparisons=[comparison])
    assert [(c.seed, c.label) for c in cells(experiment)] == [(3, "a"), (3, "b"), (1, "a"), (1, "b")]


TRAINERS = {
    "torch": {"torch": "AdamW", "lr": 0.01},
    "hybrid": {"hybrid": "AdamW", "lr": 0.01},
    "from_engine": {"from_engine": {"name": "genetic", "population_size": 10}, "radius": 0.5},
    "from_engine with gradients": {"from_engine": {"name": "adam", "lr": 0.01}, "radius": 2.0},
}


@pytest.mark.parametrize("name", TRAINERS)
def test_training_spends_the_budget_and_measures_on_the_test_set(name):
    result = run_cell(cell({"name": "digits_linear"}, TRAINERS[name], budget=100))
    assert result.error is None
    assert result.cost == 100
    assert set(result.metrics) == {"train_loss", "test_loss", "test_accuracy"}
    assert all(math.isfinite(number) for number in result.metrics.values())


@pytest.mark.parametrize(
    ("optimizer", "cost"),
    [
        ({"torch": "LBFGS"}, 30),
        ({"hybrid": "LBFGS"}, 30),
        ({"torch": "AdamW"}, 30),
        ({"from_engine": {"name": "genetic"}}, 31),
        ({"from_engine": {"name": "adam", "population_size": 4}}, 30),
    ],
)
def test_training_never_exceeds_the_budget(optimizer, cost):
    result = run_cell(cell({"name": "digits_linear"}, optimizer, budget=31))
    assert result.error is None
    assert result.cost == cost


@pytest.mark.parametrize(
    "optimizer", [{"torch": "LBFGS", "line_search_fn": "strong_wolfe"}, {"from_engine": {"name": "genetic"}}]
)
def test_a_step_that_can_not_be_paid_is_not_taken(optimizer):
    task = problems.make_task("digits_linear", seed=0)
    result = run_cell(cell({"name": "digits_linear"}, optimizer, budget=7))
    assert result.metrics == task.metrics(task.model(0))


def test_hybrid_without_a_stall_is_its_base():
    base, hybrid = (
        run_cell(cell({"name": "digits_mlp"}, TRAINERS[name], budget=200)) for name in ("torch", "hybrid")
    )
    assert base.metrics == hybrid.metrics


@pytest.mark.parametrize("name", TRAINERS)
def test_a_training_run_repeats_itself(name):
    first, again = (
        run_cell(cell({"name": "digits_mlp"}, TRAINERS[name], budget=60, seed=2)) for _ in range(2)
    )
    assert first.metrics == again.metrics


def test_training_that_diverges_is_a_failure():
    result = run_cell(cell({"name": "digits_linear"}, {"torch": "SGD", "lr": 1e38}, budget=40))
    assert "diverged" in result.message


def test_a_closure_costs_a_unit_for_the_loss_and_one_for_the_gradient():
    task = problems.make_task("digits_linear")
    for gradients, cost in ((True, 2), (False, 1)):
        model = task.model(0)
        closure = CountingClosure(task, model, 10, gradients=gradients)
        loss = closure()
        assert closure.cost == cost
        assert (model.weight.grad is not None) == gradients
        assert loss.item() > 0


def _identity(piece):
    return piece


def _threads(_):
    return torch.get_num_threads()


def _interrupt_oneself(_):
    import signal

    os.kill(os.getpid(), signal.SIGINT)
    return "alive"
