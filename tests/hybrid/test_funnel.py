"""The trend of minima, and the search that follows it."""

import pytest
import torch

import hybridopt
from hybridopt import Funnel, problems
from hybridopt.hybrid.minima import none_yet
from hybridopt.hybrid.payment import Account, Books, earns
from hybridopt.hybrid.searches import Known
from hybridopt.hybrid.signs import foresight, idle
from hybridopt.hybrid.trend import fit, needed, sample


def cloud(count, dim, seed=0):
    g = torch.Generator().manual_seed(seed)
    return 4 * torch.rand(count, dim, generator=g, dtype=torch.float64) - 2


@pytest.mark.parametrize(("dim", "count"), [(2, 40), (4, 100)])
def test_the_trend_of_a_quadratic_has_its_minimum(dim, count):
    x = cloud(count, dim)
    centre = torch.linspace(-0.4, 0.5, dim, dtype=torch.float64)
    axes = torch.linalg.qr(cloud(dim, dim, seed=1))[0]
    value = ((x - centre) @ axes).square() @ torch.linspace(1, 9, dim, dtype=torch.float64)
    lowest = sample(fit(x, value), 1, torch.Generator().manual_seed(0))[0]
    assert (lowest - centre).abs().max() < 0.02


def test_with_few_points_the_trend_is_a_ball():
    x = cloud(needed(6), 6)
    trend = fit(x, x.square().sum(1))
    assert trend.axes is None
    assert trend.curvature.unique().numel() == 1


def test_nothing_is_believed_beyond_the_points():
    x = cloud(60, 3)
    trend = fit(x, -x.square().sum(1))  # concave: the lowest points are the corners
    points = sample(trend, 50, torch.Generator().manual_seed(0))
    assert (points >= x.amin(0) - 1e-12).all()
    assert (points <= x.amax(0) + 1e-12).all()


def test_samples_spread_with_the_noise():
    x = cloud(80, 2)
    noise = cloud(80, 1, seed=5)[:, 0]
    wide, narrow = (
        sample(fit(x, x.square().sum(1) + size * noise), 200, torch.Generator().manual_seed(0)).std()
        for size in (1.0, 0.01)
    )
    assert wide > 3 * narrow


@pytest.mark.parametrize("dim", [2, 5])
def test_the_funnel_of_a_turned_rastrigin_is_descended(dim):
    """MLSL with L-BFGS solves none of these within 1,000 units a variable in five."""
    solved = 0
    for seed in range(10):
        problem = problems.make("rastrigin", dim=dim, seed=seed)
        found = hybridopt.minimize(
            problem.fun,
            bounds=problem.bounds,
            vectorized=True,
            method=Funnel(),
            max_evals=1500 * dim,
            target=problem.value + 1e-6,
            seed=seed,
        )
        solved += found.success
    assert solved >= 8


def test_foresight_is_the_rank_correlation_of_begin_and_end():
    nothing = none_yet(torch.zeros(1, 2))
    origins = torch.arange(50.0)
    ends = torch.zeros(50, 2)
    assert foresight(Known(nothing, ends, origins.exp(), origins)) > 0.9
    assert foresight(Known(nothing, ends, -origins, origins)) < -0.8
    assert foresight(Known(nothing, ends[:0], origins[:0], origins[:0])) == pytest.approx(0.4)


def test_searches_that_never_move_are_idle():
    nothing, values = none_yet(torch.zeros(1, 2)), torch.tensor([3.0, 4.0])
    assert idle(Known(nothing, torch.zeros(2, 2), values, values))
    assert not idle(Known(nothing, torch.zeros(2, 2), values - torch.tensor([0.0, 1.0]), values))


def test_news_among_the_best_earns_credit():
    results = tuple(float(n) for n in range(20))
    assert earns(results, -1.0)
    assert earns(results, 2.5)
    assert not earns(results, 2.0)  # seen before
    assert not earns(results, 9.5)  # not among the best
    assert not earns(results, float("inf"))
    assert not earns((), 1.0)


def test_the_arm_that_earns_has_the_higher_rate_and_credit_fades():
    books = Books({"a": Account(), "b": Account()}, results=(5.0, 6.0, 7.0))
    for value in range(10):
        books = books.booked(100, -float(value)).closed("a", 100.0)
        books = books.booked(100, 9.0).closed("b", 100.0)
    a, b = books.accounts["a"], books.accounts["b"]
    assert a.spent == b.spent == 1000
    assert a.rate(1.0, 100.0) > 4 * b.rate(1.0, 100.0)
    for _ in range(100):
        books = books.booked(100, 9.0).closed("b", 100.0)
    assert books.accounts["a"].credit < 0.05 * a.credit


def test_a_wrong_population_is_refused():
    with pytest.raises(ValueError, match="population_size must be at least 1"):
        Funnel(population_size=0)
