"""Minima that hop and recombine."""

import itertools
import statistics
from dataclasses import replace

import pytest
import torch
from scipy.optimize import minimize as scipy_minimize

import hybridopt
from hybridopt import BasinHopping, problems
from hybridopt.conditions import Trace
from hybridopt.core import Evaluation, best_rows
from hybridopt.evaluate import Evaluator
from hybridopt.hybrid.basin_hopping import _recombined, _rivals
from hybridopt.hybrid.minima import duplicates
from hybridopt.loop import begin, iterate
from hybridopt.objectives.function import TorchObjective
from hybridopt.rng import generator

SEEDS = range(20)


def rastrigin(x):
    return (x**2 - 10 * torch.cos(2 * torch.pi * x) + 10).sum(-1)


def walk(method, fun, dim, steps, seed=0, lower=-5.0, upper=4.0):
    """All states of a run."""
    lower = torch.full((dim,), lower, dtype=torch.float64)
    upper = torch.full((dim,), upper, dtype=torch.float64)
    evaluate = Evaluator(TorchObjective(fun, (), True, None), lower, upper, seed=seed)
    state = method.init((lower + 1)[None], lower, upper, seed=seed)
    steps = itertools.islice(iterate(method, evaluate, begin(state, Trace.for_conditions())), steps)
    return [state, *(progress.state for progress in steps)]


def generation(states, number):
    """First state of a generation."""
    return next(state for state in states if state.generation == number)


def test_minima_are_those_that_scipy_descends_to():
    last = walk(BasinHopping(), rastrigin, 2, 300)[-1]
    assert last.minima.x.shape[0] > 5
    for x, value in zip(last.minima.x, last.minima.value, strict=True):
        found = scipy_minimize(lambda z: float(rastrigin(torch.as_tensor(z))), x.numpy(), tol=1e-10)
        assert found.x == pytest.approx(x.numpy(), abs=3e-3)
        assert found.fun == pytest.approx(float(value), abs=1e-3)


def test_minima_are_distinct_and_counted():
    last = walk(BasinHopping(), rastrigin, 2, 300)[-1]
    assert not duplicates(last.minima.x, last.width).any()
    assert int(last.minima.visits.sum()) > last.minima.x.shape[0]
    assert torch.equal(last.minima.value, last.minima.value.sort().values)


def test_rows_offer_the_best_point_at_every_step_also_where_members_begin_anew():
    values = []

    def seen(x):
        value = rastrigin(x)
        values.append(float(value.detach().min()))
        return value

    states = walk(BasinHopping(population_size=3, patience=1), seen, 2, 400)
    for state, best in zip(states[1:], itertools.accumulate(values[-400:], min), strict=True):
        known = torch.isfinite(state.value)
        assert torch.equal(rastrigin(state.x[known]), state.value[known])
        assert float(rastrigin(best_rows(state)[0])) == best
    assert any(torch.isinf(state.heights).any() for state in states if state.generation > 1)


def test_the_best_minimum_is_polished_and_the_others_are_not():
    def steep(x):
        return rastrigin(x) + 1.0

    last = walk(BasinHopping(ftol=1e-2), steep, 3, 400)[-1]
    x = last.minima.x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(steep(x).sum(), x)
    size = grad.abs().amax(1)
    assert size[0] < 1e-4
    assert size[1:].amax() > 1e-2


def test_a_scheduler_may_pause_where_a_generation_ends():
    states = walk(BasinHopping(), rastrigin, 2, 100)
    for before, after in itertools.pairwise(states):
        assert after.searching == (after.generation == before.generation)


def test_no_member_is_replaced_by_a_worse_one():
    states = walk(BasinHopping(patience=1000), rastrigin, 3, 400)
    for before, after in itertools.pairwise(states):
        assert (after.heights <= before.heights).all()


@pytest.mark.parametrize("size", [1, 5])
def test_a_known_minimum_joins_once_and_no_search_begins_there(size):
    def bowl(x):
        return x.square().sum(-1)

    lower, upper = torch.full((3,), -5.0, dtype=torch.float64), torch.full((3,), 4.0, dtype=torch.float64)
    evaluate = Evaluator(TorchObjective(bowl, (), True, None), lower, upper, seed=0)
    optimizer = BasinHopping(population_size=size, patience=3)
    deep = torch.full((1, 3), 2.0, dtype=torch.float64)
    state = optimizer.init(lower[None] + 1, lower, upper, seed=0)
    while state.searching or not state.generation:
        state = optimizer.tell(state, evaluate(optimizer.ask(state)))
    state = optimizer.joined(state, deep, torch.tensor([-88.0], dtype=torch.float64))
    assert float(state.best_value) == -88.0
    assert torch.equal(state.minima.x[0], deep[0])
    for _ in range(100):
        query = optimizer.ask(state)
        assert not (query.x == deep).all(1).any()
        state = optimizer.tell(state, evaluate(query))
    assert float(state.value.min()) == -88.0
    assert state.generation > 5


def test_hops_reach_farther_in_wide_basins_than_in_narrow_ones():
    def waves(length):
        return lambda x: (x**2 + 10 - 10 * torch.cos(2 * torch.pi * x / length)).sum(-1)

    walks = [walk(BasinHopping(recombined=0.0), waves(length), 2, 600) for length in (0.3, 3.0)]
    reach = [statistics.median(state.reach for state in states) for states in walks]
    assert reach[0] < reach[1] / 2, reach


def placed(members, heights, children, values, reach=0.1):
    """A state on [0, 1]^1 whose searches have ended."""
    state = walk(BasinHopping(len(members)), rastrigin, 1, 0, lower=0.0, upper=1.0)[0]
    column = {"dtype": torch.float64}
    search = replace(
        state.search,
        x=torch.tensor(children, **column)[:, None],
        value=torch.tensor(values, **column),
    )
    return replace(
        state,
        members=torch.tensor(members, **column)[:, None],
        heights=torch.tensor(heights, **column),
        search=search,
        reach=reach,
    )


def test_a_near_child_competes_with_the_nearest_and_a_far_one_with_the_worst():
    state = placed([0.1, 0.3, 0.5], [1.0, 3.0, 2.0], [0.32, 0.9, 0.11], [5.0, 0.5, 0.9])
    assert _rivals(state, state.heights).tolist() == [1, 1, 0]


def test_far_children_compete_with_one_of_the_worst_each_unless_they_are_near_to_one_another():
    state = placed([0.1, 0.15, 0.2], [1.0, 3.0, 2.0], [0.6, 0.95, 0.9], [0.5, 0.7, 0.6])
    assert _rivals(state, state.heights).tolist() == [1, -1, 2]


def test_recombinations_take_what_other_members_are_made_of():
    state = walk(BasinHopping(3, recombined=1.0), rastrigin, 2, 0)[0]
    x = torch.tensor([[0.0, 0.0], [1.0, 0.5], [-1.0, 0.25]], dtype=torch.float64)
    for seed in SEEDS:
        new = _recombined(x, state, generator(seed))
        for column in range(2):
            possible = [
                {float(x[i, column])}
                | {float(x[j, column]) for j in range(3)}
                | {float(x[i, column] + x[j, column] - x[k, column]) for j in range(3) for k in range(3)}
                for i in range(3)
            ]
            assert all(float(new[i, column]) in possible[i] for i in range(3))
        assert (new != x).any()


def gap(name, method, seed, max_evals, dim):
    problem = problems.make(name, dim=dim, seed=seed)
    found = hybridopt.minimize(
        problem.fun,
        bounds=problem.bounds,
        vectorized=True,
        method=method,
        max_evals=max_evals,
        target=problem.value + 1e-6,
        seed=seed,
    )
    return found.fun - problem.value


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rastrigin", "bbob_f15"])
def test_of_20_runs_on_rastrigin_turned_or_not_18_find_the_lowest_minimum(name):
    assert sum(gap(name, BasinHopping(), seed, 6000, dim=3) <= 1e-6 for seed in SEEDS) >= 18


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"population_size": 0}, ValueError, "population_size must be at least 1"),
        ({"recombined": 2}, ValueError, "recombined must be at least 0 and at most 1"),
        ({"reach": 0.7}, ValueError, "reach must be above 0 and at most 0.5"),
        ({"reach": "far"}, TypeError, "reach must be a number"),
        ({"ftol": -1.0}, ValueError, "ftol must be at least 0"),
        ({"patience": 0}, ValueError, "patience must be at least 1"),
    ],
)
def test_wrong_options_say_what_was_expected(options, error, message):
    with pytest.raises(error, match=message):
        BasinHopping(**options)


def test_searches_begin_with_the_inverse_hessian_of_the_one_before_until_all_begin_anew():
    method = BasinHopping(population_size=1, patience=3)
    states = walk(method, lambda x: rastrigin(x * torch.tensor([1.0, 0.3])), 2, 600)
    begins = [state for state in states if state.generation and not state.search.step]
    told = [state.factor is not None for state in begins]
    assert any(told)
    for state in begins:
        pairs = int(state.search.running.pairs[0])
        assert pairs == (state.factor is not None)
        if pairs:
            assert torch.equal(state.search.running.memory.factor[0], state.factor)
        if state.heights.isinf().all():
            assert state.factor is None


def test_a_point_that_joins_takes_the_place_of_the_worst_member():
    method = BasinHopping(population_size=3)
    state = next(s for s in walk(method, rastrigin, 2, 400) if s.generation == 2)
    worst, point = int(state.heights.argmax()), torch.tensor([[0.9, 0.1]], dtype=torch.float64)
    joined = method.joined(state, point)
    others = [row for row in range(3) if row != worst]
    assert torch.equal(method.ask(joined).x, torch.cat([method.ask(state).x[others], point]))
    assert torch.equal(joined.heights[others], state.heights[others])
    while joined.generation == 2:
        query = method.ask(joined)
        grad = torch.func.grad(lambda x: rastrigin(x).sum())(query.x)
        joined = method.tell(joined, Evaluation(query.x, rastrigin(query.x), grad))
    assert joined.members[worst].tolist() == pytest.approx([0.995, 0.0], abs=1e-3)
