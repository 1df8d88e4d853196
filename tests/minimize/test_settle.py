"""`minimize` never says success at a saddle point, and uses the budget it has to leave it."""

import numpy as np
import pytest
import torch

import hybridopt
from hybridopt import minimize
from hybridopt.rng import generator


def saddle(x):
    return x[..., 0] ** 2 - x[..., 1] ** 2 + x[..., 1] ** 4 / 4


def gaussian(seed, *shape):
    return torch.randn(*shape, generator=generator(seed, "test"), dtype=torch.float64)


def strict_saddle(seed):
    """Rotated and shifted; the start is the saddle."""
    rotation, shift = torch.linalg.qr(gaussian(seed, 4, 4))[0], gaussian(seed + 1000, 4)

    def fun(x):
        z = (x - shift) @ rotation.T
        return (z[..., 0] ** 2 + z[..., 2] ** 2 + 2 * z[..., 3] ** 2) - z[..., 1] ** 2 + z[..., 1] ** 4 / 4

    return fun, shift, -1.0


def rayleigh(seed):
    """Smallest eigenvalue 1; the start is another eigenvector."""
    vectors = torch.linalg.qr(gaussian(seed, 6, 6))[0]
    matrix = vectors @ torch.diag(torch.arange(1.0, 7.0, dtype=torch.float64)) @ vectors.T

    def fun(x):
        return ((x @ matrix) * x).sum(-1) / (x * x).sum(-1)

    return fun, vectors[:, 1 + seed % 5], 1.0


def factorisation(seed):
    """|U V' - M|^2 with M of rank 2; the start is the origin."""
    matrix = gaussian(seed, 5, 2) @ gaussian(seed + 1000, 2, 4)

    def fun(x):
        u, v = x[..., :10].unflatten(-1, (5, 2)), x[..., 10:].unflatten(-1, (4, 2))
        return (u @ v.mT - matrix).square().sum((-1, -2))

    return fun, torch.zeros(18, dtype=torch.float64), 0.0


PROBLEMS = [strict_saddle, rayleigh, factorisation]


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("seeds", [range(10), pytest.param(range(10, 100), marks=pytest.mark.slow)])
def test_run_started_at_a_saddle_ends_with_success_at_the_minimum(problem, seeds):
    for seed in seeds:
        fun, start, value = problem(seed)
        result = minimize(fun, x0=start, vectorized=True, seed=seed)
        assert result.success, (seed, result.message)
        assert result.fun == pytest.approx(value, abs=1e-8)
        assert result.stationarity.verdict in ("minimum", "degenerate")


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("budget", [3, 10, 40, 100])
def test_no_budget_is_small_enough_for_success_at_a_saddle(problem, budget):
    fun, start, value = problem(0)
    result = minimize(fun, x0=start, vectorized=True, max_evals=budget, seed=0)
    assert result.ledger.cost <= budget
    assert not result.success or result.fun == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize("method", ["sgd", "adam", "rmsprop", "rprop", "adadelta"])
def test_every_gradient_method_is_helped_out(method):
    options = {"lr": 0.01} if method in ("sgd", "rmsprop", "adam") else {}
    result = minimize(saddle, x0=[0.0, 0.0], method=method, options=options, vectorized=True)
    assert result.fun == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_degenerate_saddle_is_left_along_directions_without_curvature(seed):
    def monkey(x):
        return x[0] ** 3 - 3 * x[0] * x[1] ** 2

    result = minimize(monkey, x0=[0.0, 0.0], bounds=[(-1, 1.5)] * 2, method="rprop", seed=seed)
    assert result.success
    assert min(abs(result.fun - local) for local in (-6.75, -2)) < 1e-6  # two minima on the boundary
    assert result.ledger.phases["way down"] > 0


def test_budget_too_small_to_leave_is_told():
    result = minimize(saddle, x0=[0.0, 0.0], method="rprop", vectorized=True, max_evals=30)
    assert (result.success, result.status) == (False, 9)
    assert result.stationarity.verdict == "strict saddle"
    unsure = minimize(saddle, x0=[0.0, 0.0], method="rprop", vectorized=True, max_evals=8)
    assert (unsure.success, unsure.status, unsure.stationarity) == (False, 8, None)


def test_certificate_of_a_minimum_is_in_the_result():
    result = minimize(lambda x: ((x - 1) ** 2).sum(), x0=[0.0, 3.0])
    assert result.success
    assert result.stationarity.verdict == "minimum"
    assert isinstance(result.stationarity, hybridopt.Certificate)
    np.testing.assert_allclose(result.jac, 2 * (result.x - 1))


def test_numpy_function_with_jac_is_helped_out_too():
    result = minimize(
        lambda x: float(x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4),
        x0=[0.0, 0.0],
        jac=lambda x: np.array([2 * x[0], -2 * x[1] + x[1] ** 3]),
        method="rprop",
    )
    assert result.success
    assert result.fun == pytest.approx(-1)


def test_resumed_run_that_left_a_saddle_equals_the_uninterrupted_one(tmp_path):
    fun, start, _ = rayleigh(3)
    arguments = {"x0": start, "vectorized": True, "seed": 0}
    whole = minimize(fun, **arguments)
    for budget in (100, 180, 200, 300, 10_000):
        resumed = minimize(fun, **arguments, max_evals=budget, checkpoint=tmp_path / "c")
    assert torch.equal(whole.x, resumed.x)
    assert whole.nit == resumed.nit


def test_best_point_with_a_gradient_is_no_success_though_the_method_settled_elsewhere():
    def two_wells(x):  # a narrow, deep one at 0 that a long step leaves, a wide one at 3
        return ((x - 3) ** 2).sum() - 20 * torch.exp(-50 * (x**2)).sum()

    start = [0.05]
    result = minimize(two_wells, x0=start, method="sgd", options={"lr": 0.3}, check_grad=False)
    assert result.fun == pytest.approx(float(two_wells(torch.tensor(start, dtype=torch.float64))))
    assert result.stationarity.verdict == "not stationary"
    assert (result.success, result.status) == (False, 6)
