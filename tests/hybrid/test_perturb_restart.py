"""Perturb and restart: where descents begin, what is kept, what it solves, beside scipy's basin hopping."""

import itertools
import math

import pytest
import torch

import hybridopt
from hybridopt import GeneticAlgorithm, PerturbRestart, RandomSearch, TorchGradient
from hybridopt.conditions import SmallGradient, Stalled, Steps, Trace
from hybridopt.core import Evaluation
from hybridopt.evaluate import Evaluator
from hybridopt.loop import begin, iterate
from hybridopt.objectives.function import TorchObjective
from hybridopt.problems import make

SEEDS = range(20)


def descent(lr=0.1, **options):
    return TorchGradient(torch.optim.SGD, lr=lr, **options)


def box(dim, half_width=3.0):
    upper = torch.full((dim,), half_width, dtype=torch.float64)
    return -upper, upper


def evaluated(query, value=None):
    value = query.x.square().sum(1) if value is None else value
    return Evaluation(query.x, value, 2 * query.x if query.order else None)


def starts(method, rows, bounds, steps=1):
    """Where the second descents begin from these rows, after `steps` tells of a parabola."""
    state = method.init(rows, *bounds, seed=3)
    for _ in range(steps):
        state = method.tell(state, evaluated(method.ask(state)))
    assert state.restarts == 1
    return state, method.ask(state).x


def test_descents_begin_uniformly_within_the_share_of_the_box_and_inside_it():
    from scipy.stats import kstest

    lower = torch.tensor([-4.0, -1.0, 2.0, -torch.inf], dtype=torch.float64)
    upper = torch.tensor([6.0, 9.0, 2.0, torch.inf], dtype=torch.float64)
    rows = torch.tensor([[1.0, -0.5, 2.0, 20.0]], dtype=torch.float64).expand(4000, 4)
    _, x = starts(PerturbRestart(descent(), Steps(1), share=0.2), rows, (lower, upper))
    expected = {0: (-1.0, 3.0), 1: (-1.0, 1.5), 3: (16.0, 24.0)}  # 20 % of 10, 10 and |20| to either side
    for place, (low, high) in expected.items():
        assert kstest(((x[:, place] - low) / (high - low)).numpy(), "uniform").pvalue > 0.01
    assert (x[:, 2] == 2).all()


def test_with_share_one_descents_begin_anywhere_in_the_box():
    from scipy.stats import kstest

    rows = torch.full((4000, 1), 2.9, dtype=torch.float64)
    _, x = starts(PerturbRestart(descent(), Steps(1), share=1.0), rows, box(1))
    assert kstest(((x[:, 0] + 3) / 6).numpy(), "uniform").pvalue > 0.01


def test_every_row_keeps_its_best_point_whatever_the_descents_find():
    method = PerturbRestart(descent(lr=0.3), Stalled(2), share=0.5)
    state = method.init(torch.full((5, 2), 2.0, dtype=torch.float64), *box(2), seed=0)
    best = torch.full((5,), torch.inf, dtype=torch.float64)
    for step in range(60):
        query = method.ask(state)
        value = query.x.square().sum(1) + torch.cos(7.0 * query.x).sum(1) + 10 * (step % 3)
        best = torch.minimum(best, value)
        state = method.tell(state, evaluated(query, value))
        assert torch.equal(state.value, best)
    assert state.restarts > 5


def test_descents_begin_around_the_best_and_not_around_the_last():
    method = PerturbRestart(descent(lr=1.0), Steps(4), share=1e-6)
    values = iter([5.0, 1.0, 4.0, 3.0])
    state = method.init(torch.tensor([[2.0]], dtype=torch.float64), *box(1), seed=0)
    asked = []
    for value in values:
        query = method.ask(state)
        asked.append(query.x)
        told = torch.tensor([value], dtype=torch.float64)
        state = method.tell(state, Evaluation(query.x, told, torch.full_like(query.x, 0.4)))
    assert state.restarts == 1
    assert float((method.ask(state).x - asked[1]).abs()) < 1e-5


def test_rows_know_nothing_of_one_another():
    """A row finds the same with a neighbour that stands much better and one that stands much worse."""
    method = PerturbRestart(descent(), Steps(3), share=0.3)
    paths = []
    for neighbour in (0.01, 2.5):
        rows = torch.tensor([[1.0, -2.0], [neighbour, neighbour]], dtype=torch.float64)
        state = method.init(rows, *box(2), seed=4)
        path = []
        for _ in range(12):
            query = method.ask(state)
            path.append(query.x[0])
            state = method.tell(state, evaluated(query))
        paths.append(torch.stack(path))
    assert torch.equal(*paths)


def test_samples_of_one_descent_are_not_those_of_another():
    method = PerturbRestart(descent(), Steps(3))
    state = method.init(torch.ones(1, 2, dtype=torch.float64), *box(2), seed=0)
    samples = []
    for _ in range(9):
        query = method.ask(state)
        samples.append(query.sample)
        state = method.tell(state, evaluated(query))
    assert samples == list(range(9))


def test_descents_within_descents_keep_their_phase_for_the_ledger():
    inner = hybridopt.Alternate([descent(population_size=2), GeneticAlgorithm(2)], Steps(2))
    method = PerturbRestart(inner, Steps(5))
    state = method.init(torch.ones(1, 2, dtype=torch.float64), *box(2), seed=0)
    assert state.phase == "0:TorchGradient"


def solved(name, method, budget, seed, **options):
    problem = make(name, seed=seed, **options)
    result = hybridopt.minimize(
        problem.fun, bounds=problem.bounds, method=method, vectorized=True, max_evals=budget, seed=seed
    )
    return result.fun <= problem.value + 1e-6


def rprop(rows):
    return TorchGradient(torch.optim.Rprop, lr=0.02, population_size=rows)


@pytest.mark.parametrize(("share", "least", "most"), [(0.1, 15, 20), (1.0, 0, 4)])
def test_of_20_searches_on_rastrigin_small_steps_solve_15_and_starts_anywhere_few(share, least, most):
    """Rows are searches of their own: 40 descents each, in three dimensions."""
    problem = make("rastrigin", dim=3, seed=1)
    method = PerturbRestart(rprop(20), Steps(25), share)
    evaluate = Evaluator(TorchObjective(problem.fun, (), True, None), problem.lower, problem.upper)
    state = method.init(problem.lower[None], problem.lower, problem.upper, seed=2)
    steps = iterate(method, evaluate, begin(state, Trace.for_conditions()))
    *_, last = itertools.islice(steps, 40 * 25)
    assert least <= int((last.state.value < 1e-2).sum()) <= most, last.state.value.sort().values


@pytest.mark.slow
def test_it_solves_as_many_as_scipys_basin_hopping_with_temperature_zero_at_the_same_cost():
    """The same algorithm with BFGS inside; a call of function and gradient there costs 2 units."""
    from scipy.optimize import basinhopping

    dim, budget = 3, 8000

    def by_scipy(seed):
        problem = make("rastrigin", dim=dim, seed=seed)
        spent, best = 0, math.inf

        class Spent(Exception):  # noqa: N818
            pass

        def fun(x):
            nonlocal spent, best
            if spent + 2 > budget:
                raise Spent
            spent += 2
            leaf = torch.as_tensor(x).clone().requires_grad_()
            value = problem.fun(leaf)
            (grad,) = torch.autograd.grad(value, leaf)
            best = min(best, value.item())
            return value.item(), grad.numpy()

        try:
            basinhopping(
                fun, problem.upper.numpy() * 0.5, niter=10**6, T=0, stepsize=1.0, rng=seed,
                minimizer_kwargs={"jac": True, "method": "L-BFGS-B", "bounds": problem.bounds.numpy()},
            )  # fmt: skip
        except Spent:
            return best <= 1e-6
        raise AssertionError

    theirs = sum(by_scipy(seed) for seed in SEEDS)
    ours = sum(solved("rastrigin", PerturbRestart(), budget, seed, dim=dim) for seed in SEEDS)
    assert ours >= theirs - 1, (ours, theirs)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"inner": "rprop"}, TypeError, "inner must be an optimizer"),
        ({"inner": RandomSearch}, TypeError, "inner must be an optimizer"),
        ({"switch": 30}, TypeError, "switch must be a condition"),
        ({"switch": SmallGradient}, TypeError, "switch must be a condition"),
        ({"share": 0}, ValueError, "share must be above 0 and at most 1"),
        ({"share": 1.5}, ValueError, "share must be above 0 and at most 1"),
        ({"share": "all"}, TypeError, "share must be a number"),
    ],
)
def test_wrong_options_say_what_was_expected(options, error, message):
    with pytest.raises(error, match=message):
        PerturbRestart(**options)


def test_an_inner_method_whose_rows_change_in_number_is_refused_when_they_do():
    inner = hybridopt.Alternate([descent(population_size=1), GeneticAlgorithm(4)], Steps(2))
    method = PerturbRestart(inner, Steps(9))
    state = method.init(torch.ones(1, 2, dtype=torch.float64), *box(2), seed=0)
    state = method.tell(state, evaluated(method.ask(state)))
    with pytest.raises(ValueError, match="must keep the number of its rows, got 4 after 1"):
        method.tell(state, evaluated(method.ask(state)))
