"""What scipy says is a minimum, and what baselines promise about their scale."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import optimize

from hybridopt import baselines
from hybridopt.baselines import BASELINES

SEEDS = range(20)
NAMES_AND_SEEDS = list(itertools.product(BASELINES, SEEDS))


def gradient(baseline, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(baseline.fun(x), x)[0]


def curvatures(baseline, x):
    return torch.linalg.eigvalsh(torch.autograd.functional.hessian(baseline.fun, x))


def test_there_are_nine_baselines_and_each_names_its_solver():
    assert len(BASELINES) >= 9
    assert all("scipy" in baselines.make(name).solver for name in BASELINES)
    assert [baselines.make(name).name for name in BASELINES] == list(BASELINES)


@pytest.mark.parametrize(("name", "seed"), NAMES_AND_SEEDS)
def test_solution_is_a_stationary_point_of_the_box_with_no_negative_curvature(name, seed):
    b = baselines.make(name, seed=seed)
    grad = gradient(b, b.x)
    moved = (b.x - grad).clamp(b.lower, b.upper) - b.x
    assert float(moved.norm()) < 1e-8
    assert float(curvatures(b, b.x)[0]) > -1e-12
    assert abs(float(b.fun(b.x)) - b.value) <= 1e-12 * max(1.0, abs(b.value))


@pytest.mark.parametrize(("name", "seed"), NAMES_AND_SEEDS)
def test_one_learning_rate_suits_every_baseline(name, seed):
    b = baselines.make(name, seed=seed)
    way = [b.start + share * (b.x - b.start) for share in torch.linspace(0, 1, 5)]
    largest = max(float(curvatures(b, x)[-1]) for x in way)
    assert 0.4 < largest < 1.6
    at_solution = curvatures(b, b.x)
    assert float(at_solution[at_solution > 1e-6][0]) > 0.099
    assert 0.9 < float((b.start - b.x).norm()) < 4


@pytest.mark.parametrize(("name", "seed"), NAMES_AND_SEEDS)
def test_start_and_solution_lie_in_the_box_and_nothing_at_its_centre(name, seed):
    b = baselines.make(name, seed=seed)
    for x in (b.start, b.x):
        assert bool(((x >= b.lower) & (x <= b.upper)).all())
    assert float((b.x - (b.lower + b.upper) / 2).norm()) > 0.1
    assert float(b.x.norm()) > 0.3
    assert bool(((b.x == b.lower) | (b.x == b.upper)).any()) == b.bounded


@pytest.mark.parametrize("name", BASELINES)
def test_errors_are_one_at_the_start_and_zero_at_the_solution(name):
    b = baselines.make(name)
    for error in (b.error, b.selection_error, b.value_error):
        assert error(b.start) == pytest.approx(1.0)
        assert error(b.x) < 1e-12


@pytest.mark.parametrize("name", BASELINES)
def test_no_other_point_that_scipy_finds_is_lower(name):
    b = baselines.make(name, seed=3)
    found = optimize.minimize(
        lambda x: float(b.fun(torch.from_numpy(x))),
        b.start.numpy(),
        jac=lambda x: gradient(b, torch.from_numpy(x)).numpy(),
        bounds=b.bounds.numpy(),
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    assert found.fun >= b.value - 1e-10
    assert b.error(torch.from_numpy(found.x)) < 1e-3


@pytest.mark.parametrize("name", BASELINES)
def test_a_batch_of_rows_has_the_values_of_its_rows(name):
    b = baselines.make(name)
    rows = torch.stack([b.start, b.x, (b.start + b.x) / 2])
    torch.testing.assert_close(b.fun(rows), torch.stack([b.fun(row) for row in rows]), rtol=1e-9, atol=1e-12)
    assert b.dim == rows.shape[1] <= 12


@pytest.mark.parametrize("name", BASELINES)
def test_another_seed_gives_other_data_and_the_same_seed_the_same(name):
    first, again, other = (baselines.make(name, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.x, other.x)


@pytest.mark.parametrize("seed", SEEDS)
def test_duplicated_column_has_the_solution_of_least_norm_among_many(seed):
    b = baselines.make("duplicated_column", seed=seed)
    other = b.x + torch.tensor([0.3, 0, 0, 0, -0.3], dtype=torch.float64)
    assert b.error(other) < 1e-12
    assert b.value_error(other) < 1e-12
    assert b.selection_error(other) > 0.05
    assert float(b.x.norm()) < float(other.norm())


def test_either_sign_and_length_of_an_eigenvector_is_a_solution_and_no_other_eigenvector():
    b = baselines.make("smallest_eigenvalue")
    assert b.error(-2.5 * b.x) < 1e-12
    others = torch.from_numpy(np.linalg.eigh(b.fun.a.numpy())[1].T[1:])
    for vector in others:
        assert float(gradient(b, vector).norm()) < 1e-12
        assert b.error(vector) > 0.5
        assert float(curvatures(b, vector)[0]) < -0.1


def test_factors_are_a_solution_up_to_an_invertible_matrix():
    b = baselines.make("low_rank")
    u, v = b.x[:6].reshape(3, 2), b.x[6:].reshape(3, 2)
    mix = torch.tensor([[1.0, 0.5], [-0.2, 2.0]], dtype=torch.float64)
    mixed = torch.cat([(u @ mix).flatten(), (v @ torch.linalg.inv(mix).T).flatten()])
    assert b.error(mixed) < 1e-12
    assert b.selection_error(mixed) > 0.1


def test_cayley_transform_of_the_procrustes_solution_is_scipys_rotation():
    from scipy.linalg import orthogonal_procrustes

    from hybridopt.baselines.matrices import rotation

    b = baselines.make("procrustes", seed=4)
    r, _ = orthogonal_procrustes(b.fun.a.numpy(), b.fun.b.numpy())
    np.testing.assert_allclose(rotation(b.x).numpy(), r, atol=1e-12)
    assert math.isclose(np.linalg.det(r), 1.0)


def test_derivatives_of_the_logistic_loss_are_those_of_autograd():
    b = baselines.make("logistic")
    torch.testing.assert_close(b.fun.grad(b.start), gradient(b, b.start))
    torch.testing.assert_close(
        b.fun.hessian(b.start), torch.autograd.functional.hessian(b.fun, b.start), rtol=1e-9, atol=1e-12
    )


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'ridge'"):
        baselines.make("rigde")
