"""Random search: its distribution, what it keeps, and how near it comes, against the closed form."""

import pytest
import torch

import hybridopt
from hybridopt import RandomSearch
from hybridopt.core import Evaluation

LOWER = torch.tensor([-1.0, 2.0, 3.0, -torch.inf, 0.0], dtype=torch.float64)
UPPER = torch.tensor([4.0, 8.0, 3.0, torch.inf, torch.inf], dtype=torch.float64)
START = torch.tensor([[0.5, 7.0, 3.0, -6.0, 0.5]], dtype=torch.float64)


def told(optimizer, state):
    x = optimizer.ask(state).x
    return optimizer.tell(state, Evaluation(x, (x - 1).square().sum(1)))


def draws(steps=40):
    """Points of all batches but the first."""
    search = RandomSearch(population_size=500)
    state = search.init(START, LOWER, UPPER, seed=5)
    batches = []
    for _ in range(steps):
        state = told(search, state)
        batches.append(search.ask(state).x)
    return torch.cat(batches)


def test_points_are_uniform_in_finite_bounds_by_the_test_of_kolmogorov_and_smirnov():
    from scipy.stats import kstest

    x = draws()
    for place in (0, 1):
        share = (x[:, place] - LOWER[place]) / (UPPER[place] - LOWER[place])
        assert kstest(share.numpy(), "uniform").pvalue > 0.01
    assert (x[:, 2] == 3).all()


def test_points_are_normal_around_the_start_where_there_are_no_bounds():
    from scipy.stats import kstest

    x = draws()
    assert kstest(((x[:, 3] + 6) / 6).numpy(), "norm").pvalue > 0.01  # width max(1, |-6|)
    free = (x[:, 4] - 0.5) / 1.0
    assert (x[:, 4] >= 0).all()
    assert float((x[:, 4] == 0).double().mean()) == pytest.approx(0.3085, abs=0.02)  # P(normal < -0.5)
    assert float((free > 0).double().mean()) == pytest.approx(0.5, abs=0.02)


def test_the_first_batch_begins_with_the_rows_given():
    search = RandomSearch(population_size=4)
    state = search.init(START, LOWER, UPPER, seed=0)
    assert torch.equal(search.ask(state).x[:1], START)


def test_every_row_keeps_the_best_of_its_own_draws():
    search = RandomSearch(population_size=3)
    state = search.init(START, LOWER, UPPER, seed=0)
    best = torch.full((3,), torch.inf, dtype=torch.float64)
    for _ in range(30):
        x = search.ask(state).x
        best = torch.minimum(best, (x - 1).square().sum(1))
        state = told(search, state)
        assert torch.equal(state.value, best)


def test_the_best_of_n_points_lies_as_far_as_the_minimum_of_n_uniform_numbers():
    """Of abs(x - c) the share below d is 2d / width, so the best of n is width / (2 (n + 1)) on average."""
    found = [
        hybridopt.minimize(
            lambda x: (x - 1).abs().sum(-1), x0=[8.0], bounds=[(-5, 9)], vectorized=True, seed=seed,
            method=RandomSearch(100), max_evals=1001,
        ).fun
        for seed in range(60)
    ]  # fmt: skip
    assert sum(found) / 60 == pytest.approx(14 / 2 / 1001, rel=0.4)  # its spread is its size / sqrt(60)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (2.5, TypeError), ("ten", TypeError)])
def test_a_wrong_population_size_is_refused(size, error):
    with pytest.raises(error, match="population_size must be"):
        RandomSearch(size)
