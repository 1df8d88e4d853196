"""The functions with a known minimum against the published forms, DEAP's and scipy's."""

import math

import numpy as np
import pytest
import torch
from deap import benchmarks
from scipy.optimize import brentq, rosen

from hybridopt import problems
from hybridopt.problems import multimodal, planar

Z = np.random.default_rng(0).uniform(-4, 4, (10, 4))


def levy(z):
    w = 1 + (z - 1) / 4
    walls = (w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)
    end = (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)
    return np.sin(np.pi * w[0]) ** 2 + walls.sum() + end


PUBLISHED = {
    "sphere": lambda z: benchmarks.sphere(z)[0],
    "ellipsoid": lambda z: (10 ** np.linspace(0, 6, len(z)) * z**2).sum(),
    "rosenbrock": rosen,
    "rastrigin": lambda z: benchmarks.rastrigin(z)[0],
    "ackley": lambda z: benchmarks.ackley(z)[0],
    "griewank": lambda z: benchmarks.griewank(z)[0],
    "schwefel": lambda z: benchmarks.schwefel(100 * z)[0],
    "levy": levy,
    "styblinski_tang": lambda z: (z**4 - 16 * z**2 + 5 * z).sum() / 2,
    "himmelblau": lambda z: benchmarks.himmelblau(z[:2])[0],
    "beale": lambda z: sum((c - z[0] + z[0] * z[1] ** k) ** 2 for k, c in ((1, 1.5), (2, 2.25), (3, 2.625))),
}
MOVED = ("sphere", "ellipsoid", "rosenbrock", "rastrigin", "ackley", "griewank", "levy", "styblinski_tang")


@pytest.mark.parametrize("name", PUBLISHED)
def test_values_are_those_of_the_published_function_at_the_point_moved(name):
    planar_one = name in ("beale", "himmelblau")
    p = problems.make(name, seed=3, **({} if planar_one else {"dim": 4}))
    scale = 100 if name == "schwefel" else 1
    for z in Z:
        x = p.fun.at(scale * torch.as_tensor(z[: p.dim]))
        assert p.fun(x).item() == pytest.approx(PUBLISHED[name](z), rel=1e-9, abs=1e-3 * (name == "schwefel"))


@pytest.mark.parametrize("name", MOVED)
def test_every_coordinate_of_the_optimum_is_off_the_centre(name):
    for seed in range(20):
        p = problems.make(name, dim=10, seed=seed)
        off = (p.x[0] - (p.lower + p.upper) / 2) / ((p.upper - p.lower) / 2)
        assert (off.abs() >= 0.1).all()
        assert (off.abs() <= 0.7).all()


def test_constants_of_schwefel_and_styblinski_tang_have_all_their_digits():
    root = brentq(lambda t: math.tan(t) + t / 2, 20.45, 20.8, xtol=1e-15)
    assert pytest.approx(root**2, rel=1e-14) == multimodal.SCHWEFEL_X
    assert pytest.approx(-(root**2) * math.sin(root), rel=1e-15) == multimodal.SCHWEFEL_VALUE
    z = multimodal.STYBLINSKI_TANG_X
    assert abs(4 * z**3 - 32 * z + 5) < 1e-13
    assert pytest.approx((z**4 - 16 * z**2 + 5 * z) / 2, rel=1e-15) == multimodal.STYBLINSKI_TANG_VALUE


def test_schwefels_box_moves_with_it_and_its_gradient_is_finite_where_the_root_has_none():
    p = problems.make("schwefel", dim=3, seed=1)
    centre = (p.lower + p.upper) / 2
    assert (centre.abs() <= 100).all()
    torch.testing.assert_close((p.x[0] - centre).abs(), torch.full_like(centre, multimodal.SCHWEFEL_X))
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(p.fun.raw(zero), zero)
    assert (grad.abs() < 1e-100).all()


def test_ackley_has_a_kink_at_its_minimum_where_torch_takes_the_subgradient_zero():
    p = problems.make("ackley", dim=3, seed=1)
    x = p.x[0].clone().requires_grad_()
    (grad,) = torch.autograd.grad(p.fun(x), x)
    assert (grad == 0).all()
    beside = (p.x[0] + torch.tensor([1e-9, 0.0, 0.0])).requires_grad_()
    assert torch.autograd.grad(p.fun(beside), beside)[0].norm() > 1


def test_rastrigin_has_a_local_minimum_near_every_grid_point():
    p = problems.make("rastrigin", dim=2, seed=0)
    z = torch.tensor([0.994958638, 0.0], dtype=torch.float64)  # stationary point of z^2 + 10 (1 - cos 2 pi z)
    x = p.fun.at(z).requires_grad_()
    assert p.fun(x).item() == pytest.approx(0.99496, abs=1e-5)
    assert torch.autograd.grad(p.fun(x), x)[0].abs().max() < 1e-6


def test_ellipsoid_has_the_condition_1e6():
    p = problems.make("ellipsoid", dim=5, seed=1)
    spectrum = torch.linalg.eigvalsh(torch.autograd.functional.hessian(p.fun, p.x[0]))
    assert float(spectrum[-1] / spectrum[0]) == pytest.approx(1e6, rel=1e-6)


def test_beale_has_its_published_minimum_and_value_at_the_origin():
    raw = problems.make("beale").fun.raw
    assert raw(torch.tensor([3.0, 0.5])).item() == 0.0
    assert raw(torch.zeros(2)).item() == pytest.approx(1.5**2 + 2.25**2 + 2.625**2)


def test_himmelblau_has_four_minima_and_four_saddles_in_the_box():
    p = problems.make("himmelblau", seed=2)
    hessians = [torch.autograd.functional.hessian(p.fun, x) for x in (*p.x, *p.saddles)]
    negative = [int((torch.linalg.eigvalsh(h) < 0).sum()) for h in hessians]
    assert negative == [0] * 4 + [1] * 4
    assert torch.cdist(p.x, p.x).add(torch.eye(4) * 9).min() > 3
    assert planar.HIMMELBLAU_MINIMA[0] == (3.0, 2.0)


def test_rotation_is_orthogonal():
    turned = problems.make("sphere", dim=30, seed=2).fun.rotation
    torch.testing.assert_close(turned @ turned.T, torch.eye(30, dtype=torch.float64))


def test_bounds_are_pairs():
    assert problems.make("sphere", dim=3).bounds.tolist() == [[-5.0, 5.0]] * 3
    assert math.isclose(problems.make("rosenbrock", dim=2).bounds[0, 1].item(), 10.0)
