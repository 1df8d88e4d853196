"""The 24 BBOB functions against COCO's own package, and against numbers it gave."""

import math

import numpy as np
import pytest
import torch

from hybridopt import problems
from hybridopt.problems.bbob.generator import normal, rotation, uniform
from hybridopt.problems.bbob.instance import LARGEST, Instance

FUNCTIONS = range(1, 25)
INSTANCES = (1, 2, 3, 4, 5)
TOLERANCE = {16: 1e-9, 19: 1e-9, 23: 1e-9}  # of max(f - f_opt, 1); else 1e-11

# cocoex.BareProblem("bbob", function, 5, instance) of coco-experiment 2.8.2 at (-2.5, -1.25, 0.1, 1.3, 3.7)
POINT = (-2.5, -1.25, 0.1, 1.3, 3.7)
GIVEN = {
    1: [128.85255568, -171.54517168],
    2: [3472019.396048, 50305687.8847],
    3: [-351.6742501109, 5661.824659981],
    4: [1664.438739197, 237.8663811565],
    5: [132.7060358796, 199.8127928865],
    6: [317721.5104886, 107779.5171276],
    7: [148.9626239845, 2355.545148469],
    8: [5941.160539052, 28988.67854797],
    9: [33511.12074304, 26076.0183953],
    10: [410097.308879, 9448847.566074],
    11: [2497996.975911, 16831742.18679],
    12: [99437971.03794, 115630338.7778],
    13: [1634.198241789, 1242.655239387],
    14: [34.82650117522, 97.95976206955],
    15: [1228.927062261, 275.3783887746],
    16: [186.3868223187, 238.8047297667],
    17: [87.03376009983, 288.0846492036],
    18: [238.3446890164, 317.4040651416],
    19: [-73.05534763532, 262.4554811094],
    20: [9752.542379661, 6738.668052461],
    21: [110.0527821031, -299.2179807929],
    22: [-924.6854957405, 27.69367760828],
    23: [27.6708199597, -113.6262625425],
    24: [192.2372196848, 138.4169269724],
}


def make(function, dim, instance):
    return problems.make(f"bbob_f{function}", dim=dim, seed=instance)


def points(problem, seed):
    """Inside the box, outside of it, and near the minimiser."""
    rng = np.random.default_rng(seed)
    inside, outside = rng.uniform(-5, 5, (8, problem.dim)), rng.uniform(-7, 7, (4, problem.dim))
    near = problem.x.numpy() + 1e-3 * rng.normal(size=(4, problem.dim))
    return torch.as_tensor(np.vstack([inside, outside, near]))


def require_cocos(function, dim, instance):
    cocoex = pytest.importorskip("cocoex", reason="COCO's package is in the test extra")
    ours, cocos = make(function, dim, instance), cocoex.BareProblem("bbob", function, dim, instance)
    assert ours.value == pytest.approx(cocos.best_value(), rel=0, abs=1e-12)
    assert ours.x[0].numpy() == pytest.approx(np.array(cocos.best_parameter()), rel=0, abs=1e-9)
    x = points(ours, dim)
    expected = torch.tensor([cocos(row) for row in x.numpy()], dtype=torch.float64)
    off = (ours.fun(x) - expected).abs() / (expected - ours.value).clamp_min(1)
    assert off.max() < TOLERANCE.get(function, 1e-11)


@pytest.mark.parametrize("dim", [2, 5, 10, 20, 40])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_values_minimum_and_minimiser_are_those_of_cocos_package(function, dim):
    for instance in INSTANCES:
        require_cocos(function, dim, instance)


@pytest.mark.parametrize("instance", [0, 1000, LARGEST])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_instance_zero_and_the_largest_are_what_cocos_generator_makes_of_them(function, instance):
    require_cocos(function, 5, instance)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_seed_is_cocos_instance_number(function):
    """Numbers that stand here, so that it is known without COCO's package too."""
    x = torch.tensor(POINT, dtype=torch.float64)
    assert [make(function, 5, i).fun(x).item() for i in (1, 3)] == pytest.approx(GIVEN[function], rel=1e-9)


def test_seeds_that_are_no_instance_are_refused():
    with pytest.raises(ValueError, match="at least 0, got -1"):
        make(1, 5, -1)
    with pytest.raises(ValueError, match="at most 200000, got 200001"):
        make(1, 5, LARGEST + 1)
    with pytest.raises(ValueError, match="'bbob_f3' needs dim of at least 2, got 1"):
        make(3, 1, 1)


def test_minimisers_are_in_the_box():
    for function in FUNCTIONS:
        for instance in INSTANCES:
            x = make(function, 10, instance).x
            assert (x.abs() <= 5).all()
            assert function == 5 or (x.abs() < 4.9).all()


def test_pairs_of_functions_share_their_minimum_as_in_the_definition():
    assert make(3, 5, 2).value == make(4, 5, 2).value
    assert make(17, 5, 2).value == make(18, 5, 2).value
    assert torch.equal(make(17, 5, 2).x, make(18, 5, 2).x)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_float32_is_computed_in_float64_and_rounded_once(function):
    p = make(function, 10, 1)
    x = points(p, 0).float()
    assert torch.equal(p.fun(x), p.fun(x.double()).float())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients_are_finite_at_the_minimiser_at_the_origin_and_at_corners(function):
    p = make(function, 5, 3)
    x = torch.cat([p.x, torch.zeros(1, 5), p.lower[None], p.upper[None], 2 * p.upper[None]]).requires_grad_()
    (grad,) = torch.autograd.grad(p.fun(x).sum(), x)
    assert torch.isfinite(grad).all()


def test_katsuuras_gradient_is_its_closed_form():
    p = make(23, 6, 2)
    _, matrix = p.fun.constants
    x = points(p, 1)[:8].requires_grad_()
    (grad,) = torch.autograd.grad(p.fun(x).sum(), x)
    z = ((x - p.x) @ matrix.T).detach().numpy()[..., None] * 2.0 ** np.arange(1, 33)
    nearest = np.floor(z + 0.5)
    rough = (np.abs(z - nearest) / 2.0 ** np.arange(1, 33)).sum(-1)
    place, power = np.arange(1, 7), 10 / 6**1.2
    product = np.prod(1 + place * rough, -1, keepdims=True) ** power
    by_z = 10 / 36 * product * power * place / (1 + place * rough) * np.sign(z - nearest).sum(-1)
    assert grad.numpy() == pytest.approx(by_z @ matrix.numpy(), rel=1e-9)


def test_plateaus_of_the_step_ellipsoid_have_no_slope():
    p = make(7, 5, 1)
    x = points(p, 2)[:8].requires_grad_()
    (grad,) = torch.autograd.grad(p.fun(x).sum(), x)
    assert (grad == 0).all()


def test_generator_is_the_minimal_standard_one_with_its_known_check():
    """From 1, the 10,000th number of Park and Miller's generator is 1043618065 [CACM 31, p. 1195]."""
    state, drawn = 1, []
    for _ in range(10_000):
        state = 16807 * state % (2**31 - 1)
        drawn.append(state)
    assert state == 1043618065
    shuffled = uniform(9_000, 1) * (2**31 - 1)
    assert {round(number) for number in shuffled} <= set(drawn)
    assert torch.equal(torch.from_numpy(uniform(3, 0)), torch.from_numpy(uniform(3, 1)))


def test_numbers_of_the_generator_are_uniform_and_normal():
    u, n = np.sort(uniform(20_000, 7)), normal(20_000, 7)
    assert np.abs(u - np.arange(20_000) / 20_000).max() < 1.95 / math.sqrt(20_000)  # Kolmogorov, 0.1 %
    assert abs(n.mean()) < 4 / math.sqrt(20_000)
    assert n.std() == pytest.approx(1, abs=0.02)


def test_rotations_are_orthogonal_and_made_once():
    turned = rotation(40, 10_006)
    torch.testing.assert_close(turned @ turned.T, torch.eye(40, dtype=torch.float64), rtol=0, atol=1e-13)
    assert rotation(40, 10_006) is turned
    assert Instance(6, 40, 1).q is turned
