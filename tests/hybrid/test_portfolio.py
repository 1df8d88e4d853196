"""Multi-start, the search along axes, and the portfolio of all."""

import itertools

import pytest
import torch

import hybridopt
from hybridopt import SHADE, BasinHopping, MultiStart, Portfolio, problems
from hybridopt.checkpoint import load, save
from hybridopt.conditions import Trace
from hybridopt.core import Evaluation
from hybridopt.evaluate import Evaluator
from hybridopt.evolution.cmaes.coordinates import to_point
from hybridopt.hybrid import searches as searching
from hybridopt.hybrid.minima import add, none_yet
from hybridopt.hybrid.separable import Separable, agrees, mixed
from hybridopt.hybrid.signs import Ripples
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
    assert sum(gap(name, MultiStart(every=False), seed, dim=3)[0] <= 1e-8 for seed in range(5)) >= 4


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
    last = next(state for state in walk if state.begun >= 12)
    assert last.minima.value[0].item() == pytest.approx(-0.2012, abs=1e-3)
    assert last.minima.visits[0] > 1
    apart = torch.cdist(last.minima.x, last.minima.x) + 9 * torch.eye(len(last.minima.x))
    assert apart.min() > 1
    assert torch.cat([last.minima.x.abs()]).sub(1).abs().max() < 0.03


@pytest.mark.parametrize(("dtype", "offset"), [(torch.float32, 1000.0), (torch.float64, 1e12)])
def test_ends_that_values_can_not_tell_apart_are_one_minimum(dtype, offset):
    bounds = torch.tensor([[-10.0, 9.0]] * 2, dtype=dtype)
    found = hybridopt.minimize(
        lambda x: offset + (x[0] - 0.7) ** 2 + 0.02 * (x[1] - 0.7) ** 2,
        bounds=bounds,
        method="multistart",
        max_evals=1000,
        seed=0,
    )
    assert found.status == 10
    assert len(found.minima.fun) == 1


def test_searches_end_where_floating_point_carries_no_further():
    waste = []
    for name, seed in itertools.product(["bbob_f15", "bbob_f20", "bbob_f21", "bbob_f22"], range(8)):
        problem = problems.make(name, dim=3, seed=seed)
        evaluate = Evaluator(TorchObjective(problem.fun, (), True, None), problem.lower, problem.upper)
        searches = searching.begin(torch.zeros(1, 3, dtype=torch.float64), problem.lower, problem.upper, 0)
        refused, value = 0, torch.inf
        while searches.running:
            searches = searching.told(searches, evaluate(searching.query(searches)), every=True)
            found = float(searches.search.value[0])
            refused, value = 0 if found < value else refused + 1, found
        waste.append(refused)
        x = searches.known.minima.x[:1].clone().requires_grad_(True)
        (grad,) = torch.autograd.grad(problem.fun(x).sum(), x)
        hessian = torch.autograd.functional.hessian(lambda x, f=problem.fun: f(x[None])[0], x[0].detach())
        left = float(grad[0] @ torch.linalg.solve(hessian, grad[0])) / 2
        assert abs(left) <= 1e-13 * abs(value)
    # trials after the last step; 6.5 a search if it ends by itself
    assert sum(waste) <= 3 * len(waste), waste


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


@pytest.mark.parametrize("seed", [0, 1])
def test_cells_that_sums_of_slopes_confuse_are_told_apart_by_values(seed):
    """Büche and Rastrigin's function: hundreds of minima a variable, on one side ten times as steep."""
    problem = problems.make("bbob_f4", dim=5, seed=seed)
    walk = states(Separable(), problem.fun, problem.lower.tolist(), problem.upper.tolist())
    for state in walk:
        if state.value[0] - problem.value < 1e-8 or state.done:
            break
    assert state.value[0] - problem.value < 1e-8


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


def turned(fun, dim, seed=0):
    """The function in other axes, so that it is not separable."""
    g = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(dim, dim, dtype=torch.float64, generator=g))[0]
    return lambda x: fun(x @ axes)


def centres(x):
    """k-means: points at -1, 2 and 2.5; the variables are the centres."""
    points = torch.tensor([-1.0, 2.0, 2.5], dtype=x.dtype)
    return (x[:, None] - points[:, None]).square().amin(2).sum(1)


def network(x):
    """A tanh network without biases, one input, two units; read in, read out."""
    inputs = torch.linspace(-2, 2, 9, dtype=x.dtype)
    out = (x[:, None, 2:] * torch.tanh(x[:, None, :2] * inputs[:, None])).sum(2)
    return (out - torch.sin(2 * inputs)).square().sum(1)


def factors(x):
    return (x[:, 0] * x[:, 1] - 1).square() + (x[:, 2] * x[:, 3] - 2).square()


def pole(x):
    return x.square().sum(1).rsqrt() + x.square().sum(1)


@pytest.mark.parametrize(("fun", "dim"), [(centres, 2), (network, 4), (factors, 4), (pole, 2)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_where_parts_are_alike_the_first_search_begins_beside(fun, dim, dtype):
    lower, upper = -3.0 * torch.ones(dim, dtype=dtype), 3.0 * torch.ones(dim, dtype=dtype)
    optimizer = Portfolio()
    evaluate = Evaluator(TorchObjective(fun, (), True, None), lower, upper)
    state = optimizer.init(((lower + upper) / 2)[None], lower, upper, seed=0)
    state = optimizer.tell(state, evaluate(optimizer.ask(state)))
    first = optimizer.ask(state).x
    assert first.shape == (1, dim)
    assert first.abs().min() > 0
    assert first.abs().max() <= 0.025 * 6
    state = optimizer.tell(state, evaluate(optimizer.ask(state)))
    assert state.start.equal(first[0])
    assert not optimizer.ask(state).x.equal(first)


def test_a_start_that_is_given_is_where_the_search_begins():
    x0 = torch.tensor([[0.5, 0.5], [1.0, 2.0], [-2.0, 1.0]], dtype=torch.float64)
    lower, upper = torch.full((2,), -3.0, dtype=torch.float64), torch.full((2,), 3.0, dtype=torch.float64)
    evaluate = Evaluator(TorchObjective(turned(rastrigin, 2), (), True, None), lower, upper)
    optimizer, asked = Portfolio(), []
    state = optimizer.init(x0, lower, upper, seed=0)
    for _ in range(300):
        query = optimizer.ask(state)
        asked.append(query.x)
        state = optimizer.tell(state, evaluate(query))
    assert torch.equal(state.start, x0[0])
    every = torch.cat(asked)
    assert all(bool((every == row).all(1).any()) for row in x0)  # the others too, by an arm that takes more


@pytest.mark.parametrize("number", [1, 2, 5, 8, 15, 19, 20, 24])
@pytest.mark.parametrize("dim", [2, 10])
def test_other_functions_are_searched_from_where_one_begins(number, dim):
    problem = problems.make(f"bbob_f{number}", dim=dim, seed=0)
    walk = states(Portfolio(), problem.fun, problem.lower.tolist(), problem.upper.tolist())
    next(walk)
    assert torch.equal(next(walk).start, torch.zeros(dim, dtype=torch.float64))


def test_every_arm_has_its_share_and_the_books_add_up():
    walk = states(Portfolio(), turned(rastrigin, 3), [-5.0, -4.0, -5.0], [4.0, 5.0, 3.0])
    last = next(s for s in walk if s.step > 1 and sum(a.spent for a in s.books.accounts.values()) > 4000)
    accounts = last.books.accounts
    assert set(accounts) == {"local", "hopping", "funnel", "evolution"}
    assert all(account.turns > 0 and 0 < account.paid <= account.spent for account in accounts.values())


def test_what_one_arm_finds_is_known_to_the_next():
    walk = states(Portfolio(), turned(rastrigin, 3), [-5.0, -4.0, -5.0], [4.0, 5.0, 3.0])
    first = next(s for s in walk if s.turn == "funnel")
    assert len(first.known.origins) >= 6
    assert torch.equal(first.arms["funnel"].searches.known.ends, first.known.ends)


def tilted(x):
    """Rastrigin's function with valleys five times as long as wide."""
    return rastrigin(x * torch.tensor([1.0, 0.2, 0.5], dtype=x.dtype))


def test_no_arm_searches_again_from_where_the_first_one_began():
    walk = states(Portfolio(), turned(tilted, 3), [-5.0] * 3, [4.0] * 3)
    asked = [Portfolio().ask(state).x for _, state in zip(range(600), walk, strict=False)]
    assert sum(bool((x == asked[0]).all(1).any()) for x in asked) == 1


def test_what_hopping_finds_is_known_to_all():
    walk = list(zip(range(1000), states(Portfolio(), turned(tilted, 3), [-5.0] * 3, [4.0] * 3), strict=False))
    told = [
        after
        for (_, before), (_, after) in itertools.pairwise(walk)
        if before.turn == "hopping" != after.turn and before.arms["hopping"].minima.x.shape[0]
    ]
    assert told
    for state in told:
        found = state.arms["hopping"].minima
        apart = ((found.x[:, None] - state.known.minima.x).abs() / 9).amax(2).amin(1)
        assert apart.max() <= 2e-3
        assert state.known.minima.value[0] <= found.value[0]


def test_hopping_goes_on_from_what_another_arm_found():
    fun = turned(rastrigin, 5)
    walk = states(Portfolio(), fun, [-5.0] * 5, [4.0] * 5)
    led = 0
    for before, after in itertools.pairwise(s for _, s in zip(range(1500), walk, strict=False)):
        if after.turn != "hopping" or before.turn == "hopping" or not after.books.accounts["hopping"].turns:
            continue
        others = [s.value.min() for name, s in after.arms.items() if name != "hopping"]
        best = min(*others, after.known.minima.value[0])
        if best < before.arms["hopping"].best_value - 1e-3:
            led += 1
            hopping = after.arms["hopping"]
            assert fun(hopping.members).tolist() == pytest.approx([float(best)])
            away = (Portfolio().ask(after).x - hopping.members).abs().amax() / 9
            assert away <= hopping.reach
            assert (away == 0) == bool(torch.isinf(hopping.heights))  # no search where a minimum is known
    assert led


def test_a_portfolio_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(tmp_path):
    lower, upper = torch.full((3,), -5.0, dtype=torch.float64), torch.full((3,), 4.0, dtype=torch.float64)
    fun, optimizer = turned(tilted, 3), Portfolio()
    evaluate = Evaluator(TorchObjective(fun, (), True, None), lower, upper, seed=0)
    state = optimizer.init(torch.ones(1, 3, dtype=torch.float64), lower, upper, seed=0)
    while state.step < 1000 and state.arms["hopping"].factor is None:
        state = optimizer.tell(state, evaluate(optimizer.ask(state)))
    assert state.arms["hopping"].factor is not None
    save(tmp_path / "run", state)
    resumed = load(tmp_path / "run")
    for _ in range(200):
        assert torch.equal(optimizer.ask(resumed).x, optimizer.ask(state).x)
        state = optimizer.tell(state, evaluate(optimizer.ask(state)))
        resumed = optimizer.tell(resumed, evaluate(optimizer.ask(resumed)))
    assert torch.equal(resumed.arms["hopping"].factor, state.arms["hopping"].factor)


def test_the_result_tells_minima_and_what_each_arm_cost_and_gained():
    fun = turned(rastrigin, 2, seed=1)
    found = hybridopt.minimize(fun, bounds=[(-5.0, 4.0)] * 2, vectorized=True, max_evals=2000, seed=0)
    assert found.minima.fun[0] == pytest.approx(found.fun, abs=1e-9)
    assert (found.minima.fun[1:] >= found.minima.fun[:-1]).all()
    assert found.minima.visits.min() >= 1
    assert torch.from_numpy(found.minima.fun).allclose(fun(torch.from_numpy(found.minima.x)))
    assert sum(phase.cost for phase in found.phases.values()) == found.ledger.cost
    assert all(phase.gain >= 0 for phase in found.phases.values())
    assert found.phases["local"].gain > 0


def test_on_a_function_of_steps_values_lead():
    def steps(x):
        return (x * 4).round().square().sum(-1) + 0.0 * x.sum(-1)

    found = hybridopt.minimize(
        turned(lambda x: steps(x - 0.3), 3), bounds=[(-3, 2)] * 3, vectorized=True, max_evals=2000, seed=0
    )
    assert found.fun == 0
    assert found.phases["evolution"].cost > 0.7 * found.ledger.cost


def test_searches_on_rough_landscapes_are_broken_off_and_values_lead():
    broken = 0
    for name, dim, seed in itertools.product(["bbob_f16", "bbob_f23"], [2, 5], range(5)):
        problem = problems.make(name, dim=dim, seed=seed)
        walk = states(Portfolio(), problem.fun, problem.lower.tolist(), problem.upper.tolist(), seed=seed)
        state = next(state for state in walk if state.turn != "local")
        broken += state.ripples.rough
        if state.ripples.rough:
            assert state.ripples.trials <= 20
            assert len(state.known.ends) == len(state.known.origins) == 1
            assert not len(state.known.minima.x)
            assert next(s.turn for s in walk if s.turn not in ("repeat", "probe")) == "evolution"
    assert broken >= 17


@pytest.mark.parametrize("number", [2, 3, 6, 8, 9, 10, 11, 12, 13, 14, 15, 17, 20, 21, 22])
def test_other_landscapes_are_not_rough(number):
    for dim, seed in itertools.product((2, 5), range(3)):
        problem = problems.make(f"bbob_f{number}", dim=dim, seed=seed)
        walk = states(Portfolio(), problem.fun, problem.lower.tolist(), problem.upper.tolist(), seed=seed)
        assert not next(state for state in walk if state.turn != "local" or state.step > 500).ripples.rough


def test_slopes_are_rough_where_every_trial_meets_ripples():
    def seen(slopes, values):
        ripples = Ripples()
        for slope, value in zip(slopes, values, strict=True):
            grad = torch.tensor([[slope, 0.0]])
            evaluation = Evaluation(torch.full((1, 2), 0.5), torch.tensor([value]), grad)
            ripples = ripples.seen(evaluation, torch.zeros(2), torch.ones(2))
        return ripples

    values = [3.0, 4.0, 3.5, 3.2, 3.1, 3.3]
    assert not Ripples().rough
    assert seen([200.0] * 6, values).rough
    assert not seen([200.0] * 5, values[:5]).rough  # too early to tell
    assert not seen([200.0] * 5 + [20.0], values).rough  # a slope that is left behind
    assert not seen([200.0] * 5 + [torch.nan], values).rough
    assert not seen([200.0] * 6, [*values[:5], torch.inf]).rough
    assert seen([80.0] * 15, [3.0, 4.0] + [3.5] * 13).rough  # takes longer
    assert not seen([50.0] * 100, [3.0, 4.0] + [3.5] * 98).rough
    assert seen([9.0] * 4 + [0.1] * 2, values).rugged  # that was early
    assert seen([9.0] * 3 + [3.0] * 3, values).smooth
    assert not any(
        getattr(seen([slope] * n, values[:n]), sign)
        for slope, n in ((5.0, 6), (9.0, 3), (3.0, 3))
        for sign in ("rugged", "smooth")
    )


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_slopes_of_variables_that_can_not_move_do_not_count(edge):
    def steep(x):
        valley = 100 * (x[..., 1:3] - x[..., :2] ** 2) ** 2 + (1 - x[..., :2]) ** 2
        return valley.sum(-1) + 1e6 * x[..., 3]

    walk = states(Portfolio(), steep, [-5.0, -5.0, -5.0, edge], [4.0, 4.0, 4.0, 1.0])
    state = next(state for state in walk if state.turn != "local")
    assert not state.ripples.rough
    assert state.value.min() < 1e6 * edge + 1e-6


def test_ripples_are_not_looked_for_where_the_box_is_not_finite():
    free = torch.full((2,), torch.inf, dtype=torch.float64)
    start = torch.full((1, 2), 1e8, dtype=torch.float64)
    evaluate = Evaluator(TorchObjective(lambda x: (1 + x**2).sqrt().sum(-1), (), True, None), -free, free)
    state = Portfolio().init(start, -free, free, seed=0)
    while state.turn == "local":
        state = Portfolio().tell(state, evaluate(Portfolio().ask(state)))
    assert state.ripples == Ripples()


def test_an_arm_keeps_the_starts_that_were_given():
    portfolio = Portfolio({"local": MultiStart(), "evolution": SHADE(population_size=20)})
    lower, upper = torch.full((3,), -5.0, dtype=torch.float64), torch.full((3,), 4.0, dtype=torch.float64)
    starts = torch.rand(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    evaluate = Evaluator(TorchObjective(turned(tilted, 3), (), True, None), lower, upper)
    state = portfolio.init(starts, lower, upper, seed=0)
    while state.turn != "evolution":
        state = portfolio.tell(state, evaluate(portfolio.ask(state)))
    asked = portfolio.ask(state).x
    assert all((asked == start).all(1).any() for start in starts[1:])
    assert (asked == state.known.minima.x[0]).all(1).any()


def test_hopping_repeats_no_search_where_no_minimum_is_known():
    problem = problems.make("bbob_f16", dim=2, seed=0)
    portfolio = Portfolio({"local": MultiStart(every=False), "hopping": BasinHopping(population_size=1)})
    walk = states(portfolio, problem.fun, problem.lower.tolist(), problem.upper.tolist())
    state = next(state for state in walk if state.turn == "hopping")
    assert state.ripples.rough
    assert not torch.equal(portfolio.ask(state).x[0], state.start)


def test_evolution_sets_out_from_the_best_point_known_unless_gradients_tell_nothing():
    def first_turn(name):
        problem = problems.make(name, dim=3, seed=0)
        walk = states(Portfolio(), problem.fun, problem.lower.tolist(), problem.upper.tolist())
        state = next(state for state in walk if state.turn == "evolution")
        inner = state.arms["evolution"].inner
        return to_point(inner.mean[0], inner.coordinates, inner.lower, inner.upper)[0], state

    x, state = first_turn("bbob_f17")
    values = torch.cat([state.known.minima.value, state.known.heights])
    best = torch.cat([state.known.minima.x, state.known.ends])[values.argmin()]
    torch.testing.assert_close(x, best)
    for name in ("bbob_f16", "bbob_f7"):  # ripples, steps
        torch.testing.assert_close(first_turn(name)[0], torch.zeros(3, dtype=torch.float64))


def test_a_search_that_begins_at_its_end_has_ended():
    searches = searching.begin(torch.ones(1, 2), -torch.ones(2), 2 * torch.ones(2), 0)
    asked = searching.query(searches)
    searches = searching.told(searches, Evaluation(asked.x, torch.ones(1), torch.zeros(1, 2)), every=False)
    assert not searches.running
    assert searches.known.ends.tolist() == [[1.0, 1.0]]


def test_noise_is_noticed_and_values_lead():
    generator = torch.Generator().manual_seed(0)  # one of its own: no seed of ours makes it repeat

    def noisy(x):
        return x.square().sum(-1) + 1e-3 * torch.randn(x.shape[:-1], generator=generator, dtype=x.dtype)

    shares = []
    for seed in range(4):
        found = hybridopt.minimize(noisy, bounds=[(-3, 2)] * 3, vectorized=True, max_evals=1500, seed=seed)
        assert abs(torch.from_numpy(found.x)).max() < 0.2
        assert found.phases["repeat"].cost == 5
        shares.append(found.phases["evolution"].cost / found.ledger.cost)
    assert min(shares) > 0.6


def test_no_arm_is_paid_for_noise():
    generator = torch.Generator().manual_seed(0)

    def shaken(x):  # its gradient too
        return (x + 0.01 * torch.randn(x.shape, generator=generator, dtype=x.dtype)).square().sum(-1)

    for seed in range(4):
        found = hybridopt.minimize(shaken, bounds=[(-3, 2)] * 3, vectorized=True, max_evals=1500, seed=seed)
        assert abs(torch.from_numpy(found.x)).max() < 0.1
        assert found.phases["local"].cost < 0.5 * found.ledger.cost


@pytest.mark.parametrize("dim", [150, 2000])
def test_many_variables_take_no_matrix_of_their_square(dim):
    def coupled(x):
        return (x - 0.3).square().sum(-1) + 0.2 * (x[..., 1:] * x[..., :-1]).sum(-1)

    found = hybridopt.minimize(coupled, bounds=[(-4, 5)] * dim, vectorized=True, max_evals=4000, seed=0)
    assert abs(found.jac).max() < 1e-5


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize(("dim", "seed"), [(1, 0), (1, 1), (2, 0), (2, 1)])
def test_multistart_stops_when_the_same_minima_keep_coming_back(dim, seed, every):
    problem = problems.make("styblinski_tang", dim=dim, seed=seed)
    found = hybridopt.minimize(
        problem.fun,
        bounds=problem.bounds,
        vectorized=True,
        method=MultiStart(every=every),
        max_evals=5_000,
        seed=seed,
    )
    assert found.status == 10
    assert found.fun == pytest.approx(problem.value, abs=1e-8)
    assert len(found.minima.fun) == 2**dim if every else len(found.minima.fun) <= 2**dim


def test_multistart_finds_every_minimum_beside_fixed_variables():
    def wells(x):
        return (x**4 - 16 * x**2 + 5 * x).sum(-1) / 2

    found = hybridopt.minimize(
        wells,
        bounds=[(-5, 4)] * 2 + [(1, 1)] * 8,
        vectorized=True,
        method="multistart",
        max_evals=5_000,
        seed=0,
    )
    assert found.status == 10
    assert len(found.minima.fun) == 4


@pytest.mark.parametrize("before", [torch.inf, torch.nan, 1.0])
def test_a_second_value_that_is_not_finite_is_no_measure_of_noise(before):
    walk = states(Portfolio(), rastrigin, [-3.0, -3.0], [4.0, 4.0])
    state = next(state for state in walk if state.turn == "repeat")
    search = state.arms["local"].searches.search
    search.value[0] = before
    point = Evaluation(search.x[:1], torch.tensor([torch.inf], dtype=torch.float64), None)
    state = Portfolio().tell(state, point)
    assert state.noisy == (before == 1.0)
    assert state.books.noise == 0
    if state.noisy:
        again = Portfolio().ask(state).x
        assert again.equal(search.x[:1].repeat(4, 1))
        state = Portfolio().tell(state, Evaluation(again, torch.full((4,), torch.inf, dtype=torch.float64)))
        assert 0 < state.books.noise < 1e-300
        assert state.turn != "repeat"


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
