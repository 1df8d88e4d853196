"""Certificates against critical points whose spectra are known."""

import numpy as np
import pytest
import torch

from hybridopt import certify
from hybridopt.landscape.spectrum import DENSE


def quadratic(dim, smallest, seed, sign=1.0):
    """A rotated quadratic and its centre: eigenvalues in [1e-3, 1], the largest 1, the smallest as given."""
    g = torch.Generator().manual_seed(seed)
    eigenvalues = torch.rand(dim, generator=g, dtype=torch.float64) * 0.999 + 1e-3
    eigenvalues[0], eigenvalues[-1] = 1.0, smallest
    mirrors = torch.nn.functional.normalize(torch.randn(2, dim, generator=g, dtype=torch.float64), dim=1)
    centre = torch.randn(dim, generator=g, dtype=torch.float64)

    def fun(x):
        z = x - centre
        for mirror in mirrors:  # Householder reflections
            z = z - 2 * (z @ mirror)[..., None] * mirror
        return sign * 0.5 * (eigenvalues * z * z).sum(-1)

    return fun, centre


CASES = [(-1.0, "strict saddle"), (-1e-3, "strict saddle"), (0.0, "degenerate"), (1e-3, "minimum")]


@pytest.mark.parametrize(("smallest", "verdict"), CASES)
@pytest.mark.parametrize("dim", [2, 3, 10, 50, DENSE, DENSE + 1, 1000])
def test_verdict_is_right_at_critical_points_with_known_spectra(dim, smallest, verdict):
    for seed in range(3):
        fun, centre = quadratic(dim, smallest, seed)
        found = certify(fun, centre, vectorized=True)
        assert found.verdict == verdict
        assert found.smallest == pytest.approx(smallest, abs=1e-4)
        assert found.largest == pytest.approx(1.0, rel=0.05)


@pytest.mark.slow
def test_verdict_is_right_at_1000_critical_points_up_to_10000_dimensions():
    counts = {2: 250, 5: 200, 20: 200, 100: 150, 300: 100, 1000: 60, 3000: 24, 10000: 16}
    dims = [dim for dim, count in counts.items() for _ in range(count)]
    assert len(dims) == 1000
    for seed, dim in enumerate(dims):
        smallest, verdict = CASES[seed % len(CASES)]
        fun, centre = quadratic(dim, smallest, seed)
        assert certify(fun, centre, vectorized=True).verdict == verdict, (seed, dim)


def test_maximum_is_told_and_its_direction_falls():
    fun, centre = quadratic(5, 0.5, 0, sign=-1.0)
    found = certify(fun, centre, vectorized=True)
    assert found.verdict == "maximum"
    assert fun(centre + 0.1 * found.direction) < fun(centre)


@pytest.mark.parametrize("dim", [6, DENSE + 50])
def test_direction_of_a_saddle_is_the_eigenvector_of_the_smallest_eigenvalue(dim):
    fun, centre = quadratic(dim, -0.5, 1)
    found = certify(fun, centre, vectorized=True)
    assert float(found.direction.norm()) == pytest.approx(1)
    assert float(fun(centre + found.direction)) == pytest.approx(-0.25, abs=1e-4)


def test_point_with_a_gradient_is_not_stationary():
    found = certify(lambda x: (x**2).sum(), [1.0, 0.0])
    assert found.verdict == "not stationary"
    assert not found.stationary
    assert found.grad_norm == 2.0


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_gradient_tolerance_scales_with_the_function(scale):
    assert certify(lambda x: scale * (x**2).sum(), [1e-7, 0.0]).verdict == "minimum"


def test_gradient_tolerance_may_be_given():
    assert certify(lambda x: (x**2).sum(), [1e-7, 0.0], grad_tol=1e-8).verdict == "not stationary"


def test_gradient_that_is_not_finite_is_not_stationary():
    assert certify(lambda x: torch.sqrt((x**2).sum()), [0.0, 0.0]).verdict == "not stationary"


BOUNDS = [
    (lambda x: x[0] + x[1] ** 2, [0.0, 0.0], "minimum", 1),  # pushed against the bound
    (lambda x: x[0] - x[1] ** 2, [0.0, 0.0], "maximum", 1),  # in what is free to move
    (lambda x: x[0] + x[1], [0.0, -1.0], "minimum", 0),  # a vertex
    (lambda x: -x[0] + x[1] ** 2, [0.0, 0.0], "not stationary", 2),  # the gradient leads inside
    (lambda x: -(x[0] ** 2) + x[1] ** 2, [0.0, 0.0], "strict saddle", 2),  # zero gradient on the bound
]


@pytest.mark.parametrize(("fun", "x", "verdict", "free"), BOUNDS)
def test_on_the_boundary_the_conditions_are_those_of_the_box(fun, x, verdict, free):
    found = certify(fun, x, bounds=[(0, 2), (-1, 1)])
    assert (found.verdict, found.free) == (verdict, free)


def test_fixed_variable_is_not_free():
    found = certify(lambda x: x[0] ** 2 - x[1] ** 2, [0.0, 0.5], bounds=[(-1, 1), (0.5, 0.5)])
    assert (found.verdict, found.free) == ("minimum", 1)


def test_numpy_function_is_certified_by_differences_of_its_jac():
    found = certify(
        lambda x: float(x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4),
        [0.0, 0.0],
        jac=lambda x: np.array([2 * x[0], -2 * x[1] + x[1] ** 3]),
    )
    assert found.verdict == "strict saddle"
    assert (found.smallest, found.largest) == pytest.approx((-2, 2), rel=1e-6)
    with pytest.raises(TypeError, match="pass jac="):
        certify(lambda x: float(np.sum(np.asarray(x) ** 2)), [0.0])


def test_several_rows_are_refused():
    with pytest.raises(ValueError, match="one point"):
        certify(lambda x: (x**2).sum(), [[0.0], [1.0]])


def test_cost_is_booked():
    found = certify(lambda x: (x**2).sum(), [0.0, 0.0, 0.0])
    assert found.products == 3
    assert found.ledger.cost == 2 + 3 * 3


def test_single_precision_works():
    fun, centre = quadratic(20, -0.1, 3)
    found = certify(lambda x: fun(x.double()).float(), centre.float(), vectorized=True)
    assert found.verdict == "strict saddle"


@pytest.mark.parametrize("dim", [2, DENSE + 10])
def test_kink_without_a_hessian_is_degenerate(dim):
    found = certify(lambda x: (x.abs() ** 1.5).sum(), [0.0] * dim)
    assert found.verdict == "degenerate"
    assert np.isnan(found.smallest)


def test_a_function_that_is_constant_all_around_is_degenerate_in_many_variables_too():
    found = certify(lambda x: 0 * x.sum() + 1, torch.ones(DENSE + 1, dtype=torch.float64))
    assert found.verdict == "degenerate"
    assert found.smallest == found.largest == 0
