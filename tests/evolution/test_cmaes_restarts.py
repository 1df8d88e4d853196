import math
from dataclasses import replace

import pytest
import torch

from hybridopt import CMAES, RestartedCMAES
from hybridopt.core import Evaluation
from hybridopt.evolution.cmaes import Increasing, TwoRegimes, bipop_cmaes, ipop_cmaes
from hybridopt.evolution.cmaes.covariance import KINDS
from hybridopt.evolution.cmaes.restarts import Books, Run
from hybridopt.evolution.cmaes.stopping import ended, record

F64 = torch.float64
LOWER, UPPER = torch.full((3,), -4.5, dtype=F64), torch.full((3,), 3.5, dtype=F64)


def rastrigin(x):
    z = x - 0.75
    return (z.square() + 10 - 10 * torch.cos(2 * math.pi * z)).sum(1)


def sphere(x):
    return (x - 0.7).square().sum(1)


def runs_of(optimizer, rows, steps, seed=0):
    """Each run with its number of generations."""
    state = optimizer.init(torch.zeros(1, 3, dtype=F64), LOWER, UPPER, seed=seed)
    seen = {}
    for _ in range(steps):
        seen[state.run] = seen.get(state.run, 0) + 1
        query = optimizer.ask(state)
        state = optimizer.tell(state, Evaluation(query.x, rows(query.x)))
    return seen


def after(steps, rows, *, values=None, lower=LOWER, upper=UPPER, optimizer=None):
    """State and history of one run."""
    optimizer = optimizer or CMAES()
    state, history = optimizer.init(torch.zeros(1, 3, dtype=F64), lower, upper, seed=0), ()
    for _ in range(steps):
        state = optimizer.tell(state, Evaluation(state.pending, rows(state.pending)))
        history = record(history, state.value, 3, state.step)
    return state, history


def has_ended(state, history, tol_fun=0.0):
    return ended(KINDS["full"], state, history, 0.3, tol_fun)


def test_ipop_doubles_the_population_with_every_run():
    runs = list(runs_of(ipop_cmaes(), rastrigin, 500))
    assert len(runs) >= 4
    assert [run.population for run in runs] == [7 * 2**number for number in range(len(runs))]
    assert {run.sigma0 for run in runs} == {0.3}


def test_bipop_spends_as_much_on_small_runs_as_on_large_ones():
    seen = runs_of(bipop_cmaes(), rastrigin, 3000)
    spent = dict.fromkeys(("first", "large", "small"), 0)
    for run, steps in seen.items():
        spent[run.regime] += steps * run.population
    last = max(steps * run.population for run, steps in seen.items() if run.regime == "large")
    assert abs(spent["large"] - spent["small"]) <= last
    large = [run.population for run in seen if run.regime == "large"]
    assert large == [14 * 2**number for number in range(len(large))]
    small = [run for run in seen if run.regime == "small"]
    assert all(7 <= run.population <= large[-1] / 2 for run in small)
    assert all(0.003 <= run.sigma0 <= 0.3 for run in small)
    assert len({run.sigma0 for run in small}) == len(small)


def test_a_small_run_takes_half_the_evaluations_of_the_last_large_one_at_most():
    books, default = Books(5000, 0, 4000, 56), Run(0, "first", 7, 0.3)
    run = TwoRegimes().after(Run(3, "large", 56, 0.3), books, default, (1.0, 0.5))
    assert run == Run(4, "small", 28, 0.3 * 10**-1, 2000.0)
    assert TwoRegimes().after(run, books, default, (0.0, 0.0)).population == 7
    assert TwoRegimes().after(run, replace(books, small=6000), default, (0.0, 0.0)).population == 112


@pytest.mark.parametrize("make", [ipop_cmaes, bipop_cmaes])
def test_restarts_find_the_minimum_of_rastrigins_function(make):
    optimizer, found = make(), 0
    for seed in range(20):
        state, spent, best = optimizer.init(LOWER[None, :2], LOWER[:2], UPPER[:2], seed=seed), 0, math.inf
        while best > 1e-8 and spent < 10_000:
            query = optimizer.ask(state)
            state = optimizer.tell(state, Evaluation(query.x, rastrigin(query.x)))
            spent, best = spent + len(query.x), min(best, float(state.value.min()))
        found += best <= 1e-8
    assert found >= 19


def test_a_run_that_converged_has_ended_and_one_that_goes_on_has_not():
    assert not has_ended(*after(30, sphere), tol_fun=1e-11)
    assert has_ended(*after(160, sphere), tol_fun=1e-11)


def test_tied_values_end_a_run():
    state, history = after(20, lambda x: x[:, 0].round())
    assert has_ended(state, tuple((0.0, 1.0, 0.0) for _ in history))
    assert not has_ended(state, tuple((0.0, 1.0, 0.5) for _ in history[:10]))


def test_stagnating_values_end_a_run():
    state, _ = after(10, sphere)
    length = 400
    falling = tuple((-float(i), 2.0 - i, 3.0) for i in range(length))
    level = tuple((float(i % 7), 8.0 + i % 5, 9.0) for i in range(length))
    assert not has_ended(state, falling)
    assert has_ended(state, level)


def test_points_that_no_longer_move_end_a_run():
    state, history = after(10, sphere)
    assert not has_ended(state, history)
    assert has_ended(replace(state, sigma=state.sigma * 1e-17), history)


def test_a_degenerate_covariance_ends_a_run():
    state, history = after(13, sphere)
    state = replace(state, step=10 + 3)  # when it is looked at
    shape = torch.diag(torch.tensor([1.0, 1.0, 1e-15], dtype=F64))[None]
    assert has_ended(replace(state, covariance=shape, step=130), history)
    assert not has_ended(replace(state, covariance=shape * 0 + torch.eye(3, dtype=F64), step=130), history)


def test_a_fixed_variable_does_not_end_a_run():
    lower = torch.tensor([1.0, -4.0, -4.0], dtype=F64)
    upper = torch.tensor([1.0, 5.0, 5.0], dtype=F64)
    state, history = after(10, sphere, lower=lower, upper=upper)
    assert not has_ended(state, history)


def test_values_that_are_never_finite_end_runs_but_not_the_search():
    seen = runs_of(ipop_cmaes(), lambda x: torch.full_like(x[:, 0], math.inf), 12)
    assert len(seen) >= 3


def test_the_history_stays_short():
    history = ()
    for step in range(1, 1500):
        history = record(history, torch.rand(7, generator=torch.Generator().manual_seed(step)), 3, step)
    assert len(history) == 299  # a fifth
    assert history[-1][0] <= history[-1][2] <= history[-1][1]


def test_what_can_not_be_restarted_is_refused():
    with pytest.raises(ValueError, match="runs=1"):
        RestartedCMAES(CMAES(runs=2))
    with pytest.raises(TypeError, match="schedule must be"):
        RestartedCMAES(schedule=Increasing)
    with pytest.raises(TypeError, match="inner must be a CMAES"):
        RestartedCMAES(inner="cmaes")
    with pytest.raises(TypeError, match="populationsize"):
        ipop_cmaes(populationsize=4)
    with pytest.raises(ValueError, match="factor must be at least 1"):
        bipop_cmaes(factor=0.5)
