"""Known optima, boxes and starts of the functions."""

import math

import pytest
import torch

from hybridopt import problems

DIMS = {"beale": (2,)}
CASES = [
    (name, dim, seed) for name in problems.PROBLEMS for dim in DIMS.get(name, (2, 7)) for seed in range(5)
]
MOVED = [case for case in CASES if case[0] != "beale"]


def gradient(problem, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(problem.fun(x).sum(), x)[0]


@pytest.mark.parametrize(("name", "dim", "seed"), CASES)
def test_the_value_at_the_optimum_is_the_known_minimum(name, dim, seed):
    p = problems.make(name, dim=dim, seed=seed)
    torch.testing.assert_close(
        p.fun(p.x), torch.full((len(p.x),), p.value, dtype=torch.float64), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(("name", "dim", "seed"), CASES)
def test_the_gradient_at_the_optimum_is_zero(name, dim, seed):
    p = problems.make(name, dim=dim, seed=seed)
    assert gradient(p, p.x).abs().max() < 1e-13


@pytest.mark.parametrize(("name", "dim", "seed"), CASES)
def test_no_point_of_the_box_is_below_the_known_minimum(name, dim, seed):
    p = problems.make(name, dim=dim, seed=seed)
    g = torch.Generator().manual_seed(seed)
    share = torch.rand(5000, dim, generator=g, dtype=torch.float64)
    near = p.x[0] + 0.1 * torch.randn(5000, dim, generator=g, dtype=torch.float64)
    rows = torch.cat([p.lower + share * (p.upper - p.lower), near])
    assert p.fun(rows).min() > p.value


@pytest.mark.parametrize(("name", "dim", "seed"), MOVED)
def test_optimum_lies_inside_the_box_and_off_its_centre_and_the_origin(name, dim, seed):
    p = problems.make(name, dim=dim, seed=seed)
    centre, half = (p.lower + p.upper) / 2, (p.upper - p.lower) / 2
    for x in p.x:
        assert ((x - centre).abs() < 0.95 * half).all()
        assert ((x - centre) / half).norm() > 0.1
        assert x.norm() > 0.1


@pytest.mark.parametrize("name", ["sphere", "rosenbrock", "rastrigin"])
def test_every_coordinate_of_the_optimum_is_off_the_centre(name):
    for seed in range(20):
        p = problems.make(name, dim=10, seed=seed)
        off = (p.x[0] - (p.lower + p.upper) / 2) / ((p.upper - p.lower) / 2)
        assert (off.abs() >= 0.1).all()
        assert (off.abs() <= 0.7).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [2, 3, 50])
def test_gradient_at_the_saddle_start_is_exactly_zero(dim, dtype):
    for seed in range(10):
        p = problems.make("strict_saddle", dim=dim, seed=seed)
        start = p.start.to(dtype)
        assert (gradient(p, start) == 0).all()
        assert (gradient(p, start.expand(3, dim)) == 0).all()
        assert p.fun(start) == 0


def test_hessian_at_the_saddle_start_has_one_negative_eigenvalue():
    p = problems.make("strict_saddle", dim=4, seed=1)
    spectrum = torch.linalg.eigvalsh(torch.autograd.functional.hessian(p.fun, p.start))
    torch.testing.assert_close(spectrum, torch.tensor([-2.0, 2.0, 2.0, 2.0], dtype=torch.float64))


def test_beale_has_its_published_minimum_and_value_at_the_origin():
    p = problems.make("beale")
    assert p.x.tolist() == [[3.0, 0.5]]
    assert p.fun(p.x).item() == 0.0
    assert p.fun(torch.zeros(2)).item() == pytest.approx(1.5**2 + 2.25**2 + 2.625**2)


def test_unmoved_functions_agree_with_scipy():
    from scipy.optimize import rosen

    p = problems.make("rosenbrock", dim=4, seed=3)
    z = torch.tensor([0.3, -1.2, 2.0, 0.7], dtype=torch.float64)
    assert p.fun(p.fun.at(z)).item() == pytest.approx(rosen(z.numpy()), rel=1e-12)


def test_rastrigin_has_a_local_minimum_near_every_grid_point():
    p = problems.make("rastrigin", dim=2, seed=0)
    z = torch.tensor([0.994958638, 0.0], dtype=torch.float64)  # stationary point of z^2 + 10 (1 - cos 2 pi z)
    assert p.fun(p.fun.at(z)).item() == pytest.approx(0.99496, abs=1e-5)
    assert gradient(p, p.fun.at(z)).abs().max() < 1e-6


def test_rotation_is_orthogonal():
    turned = problems.make("sphere", dim=30, seed=2).fun.rotation
    torch.testing.assert_close(turned @ turned.T, torch.eye(30, dtype=torch.float64))


@pytest.mark.parametrize("name", ["rastrigin", "strict_saddle"])
def test_same_seed_same_problem_and_another_seed_another(name):
    first, again, other = (problems.make(name, dim=5, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(first.x, again.x)
    assert not torch.allclose(first.x, other.x)
    point = torch.full((5,), 0.3, dtype=torch.float64)
    assert first.fun(point) == again.fun(point)
    assert first.fun(point) != other.fun(point)


def test_making_a_problem_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    problems.make("rastrigin", dim=10, seed=0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("name", "dim", "seed"), [case for case in CASES if case[2] == 0])
def test_values_come_for_any_leading_shape_and_in_the_dtype_of_x(name, dim, seed):
    p = problems.make(name, dim=dim, seed=seed)
    x = torch.rand(3, 4, dim, dtype=torch.float32)
    assert p.fun(x).shape == (3, 4)
    assert p.fun(x).dtype == torch.float32
    assert p.fun(x[0, 0]).shape == ()
    torch.testing.assert_close(torch.func.vmap(p.fun)(x[0]), p.fun(x[0]))


def test_functions_can_be_sent_to_other_processes():
    import pickle

    p = problems.make("rosenbrock", dim=3, seed=1)
    assert pickle.loads(pickle.dumps(p)).fun(p.start if p.start is not None else p.x[0]) == 0


def test_bounds_are_pairs():
    assert problems.make("sphere", dim=3).bounds.tolist() == [[-5.0, 5.0]] * 3
    assert math.isclose(problems.make("rosenbrock", dim=2).bounds[0, 1].item(), 10.0)
