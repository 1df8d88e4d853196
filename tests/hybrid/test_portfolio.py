"""Multi-start, the search along axes, and the portfolio of all."""

import pytest
import torch

import hybridopt
from hybridopt import MultiStart, Portfolio, problems
from hybridopt.conditions import Trace
from hybridopt.core import Evaluation
from hybridopt.evaluate import Evaluator
from hybridopt.hybrid.minima import add, none_yet
from hybridopt.hybrid.separable import Separable, agrees, mixed
from hybridopt.loop import begin, iterate
from hybridopt.objectives.function import TorchObjective


def gap(name, method, seed, dim=5, max_evals=5000):
    problem = problems.make(name, dim=dim, seed=seed)
    found = hybridopt.minimize(
        problem.fun,
        bounds=problem.bounds,
        vectorized=True,
        method=method,
        max_evals=max_evals,
        target=problem.value + 1e-8,
        seed=seed,
    )
    return found.fun - problem.value, found.ledger.cost


def states(optimizer, fun, lower, upper, seed=0):
    lower, upper = torch.tensor(lower, dtype=torch.float64), torch.tensor(upper, dtype=torch.float64)
    evaluate = Evaluator(TorchObjective(fun, (), True, None), lower, upper, seed=seed)
    state = optimizer.init(((lower + upper) / 2)[None], lower, upper, seed=seed)
    for progress in iterate(optimizer, evaluate, begin(state, Trace.for_conditions())):
        yield progress.state


def rastrigin(x):
    return (x**2 - 10 * torch.cos(2 * torch.pi * x) + 10).sum(-1)


@pytest.mark.parametrize("name", ["styblinski_tang", "levy"])
def test_multistart_finds_the_lowest_of_some_minima(name):
    assert sum(gap(name, MultiStart(), seed, dim=3)[0] <= 1e-8 for seed in range(5)) >= 4


def test_searches_side_by_side_find_it_too():
    assert gap("styblinski_tang", MultiStart(population_size=8), 0, dim=3)[0] <= 1e-8


def test_a_minimum_that_comes_back_is_one_minimum():
    x, width = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 10.0])
    minima = add(none_yet(x[None]), x[None], torch.tensor([3.0]), width)
    minima = add(minima, x[None] + 1e-4, torch.tensor([2.9]), width)
    minima = add(minima, x[None] + 1.0, torch.tensor([1.0]), width)
    assert minima.value.tolist() == pytest.approx([1.0, 2.9])
    assert minima.visits.tolist() == [1, 2]


def test_minima_of_a_double_well_are_told_apart():
    def wells(x):
        return ((x**2 - 1) ** 2).sum(-1) + 0.1 * x.sum(-1)

    walk = states(MultiStart(), wells, [-2.0, -2.0], [2.1, 2.1])
    last = next(state for state in walk if state.searches >= 12)
    assert last.minima.value[0].item() == pytest.approx(-0.2012, abs=1e-3)
    assert last.minima.visits[0] > 1
    apart = torch.cdist(last.minima.x, last.minima.x) + 9 * torch.eye(len(last.minima.x))
    assert apart.min() > 1
    assert torch.cat([last.minima.x.abs()]).sub(1).abs().max() < 0.03


@pytest.mark.parametrize("dim", [2, 3, 10])
def test_a_mixture_takes_half_of_each_point(dim):
    a, b = torch.zeros(dim), torch.ones(dim)
    point, mask = mixed(a, b, seed=3)
    assert int(mask.sum()) == dim // 2
    assert torch.equal(point, (~mask).float())


def test_only_gradients_of_separable_functions_agree():
    a, b = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    point, mask = mixed(a, b, seed=1)
    turned = torch.linalg.qr(
        torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    )[0]

    def slopes(fun):
        return [torch.func.grad(fun)(x) for x in (a, b, point)]

    assert agrees(mask, *slopes(rastrigin))
    assert not agrees(mask, *slopes(lambda x: rastrigin(turned @ x)))
    assert not agrees(mask, *slopes(lambda x: rastrigin(x) + 1e-3 * x[0] * x[1] * x[2:].sum()))


@pytest.mark.parametrize("dim", [1, 2, 30])
def test_axes_of_a_separable_function_cost_the_same_in_any_dimension(dim):
    shift = torch.linspace(-1.3, 2.1, dim, dtype=torch.float64)
    walk = states(Separable(), lambda x: rastrigin(x - shift), [-5.0] * dim, [4.0] * dim)
    for state in walk:
        if state.value[0] < 1e-9 or state.step > 400:
            break
    assert state.value[0] < 1e-9
    assert state.points.shape[0] < 400


def test_a_minimum_on_the_edge_of_the_box_is_found_along_the_axes():
    walk = states(
        Separable(), lambda x: (x - torch.tensor([3.0, -1.0])).square().sum(-1), [-5.0, 0.0], [2.0, 4.0]
    )
    for state in walk:
        if state.level > 5:
            break
    assert state.x[0].tolist() == pytest.approx([2.0, 0.0], abs=1e-12)


def test_the_portfolio_solves_a_separable_function_of_many_minima_along_the_axes():
    shift = torch.linspace(-1.3, 2.1, 12, dtype=torch.float64)
    found = hybridopt.minimize(
        lambda x: rastrigin(x - shift), bounds=[(-5.12, 5.0)] * 12, vectorized=True, max_evals=3000, seed=0
    )
    assert found.fun < 1e-8
    assert "axes" in found.ledger.phases


def test_the_portfolio_begins_with_one_local_search():
    problem = problems.make("ellipsoid", dim=5, seed=0)
    found = hybridopt.minimize(
        problem.fun, bounds=problem.bounds, vectorized=True, target=problem.value + 1e-8, seed=0
    )
    assert found.success
    assert set(found.ledger.phases) <= {"probe", "gradient check", "local"}
    assert found.ledger.cost < 500, found.ledger


def test_arms_share_the_cost_by_who_leads():
    walk = states(Portfolio(lead=3.0), rastrigin, [-5.0, -4.0], [4.0, 5.0])
    last = next(state for state in walk if sum(state.spent.values()) > 4000)
    leader = min(last.best, key=last.best.get)
    other = next(name for name in last.spent if name != leader)
    assert last.spent[leader] <= 3 * last.spent[other] + 300


def test_without_gradients_values_lead():
    def steps(x):
        return float(((x * 4).round() ** 2).sum())

    found = hybridopt.minimize(lambda x: steps(x - 0.3), bounds=[(-3, 2)] * 3, max_evals=2000, seed=0)
    assert found.fun == 0
    assert {"evolution", "differential"} & set(found.ledger.phases)
    assert found.njev == 0


@pytest.mark.parametrize("arms", [{}, {"axes": MultiStart()}])
def test_wrong_arms_are_refused(arms):
    with pytest.raises(ValueError, match="arms must be one or more"):
        Portfolio(arms)


def test_an_arm_that_is_no_optimizer_is_refused():
    with pytest.raises(TypeError, match="arms must be optimizers by name"):
        Portfolio({"local": MultiStart})


def test_infinite_values_are_no_reason_to_stop():
    state = Portfolio().init(torch.zeros(1, 2), -torch.ones(2), torch.ones(2), seed=0)
    for _ in range(30):
        query = Portfolio().ask(state)
        bad = torch.full((len(query.x),), torch.inf)
        grad = torch.full_like(query.x, torch.nan) if query.order else None
        state = Portfolio().tell(state, Evaluation(query.x, bad, grad))
    assert state.step == 30
