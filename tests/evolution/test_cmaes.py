import math
import warnings

import numpy as np
import pytest
import torch

from hybridopt import CMAES, minimize
from hybridopt.core import Evaluation
from hybridopt.evolution.cmaes import CMAESState, bipop_cmaes, ipop_cmaes
from hybridopt.evolution.cmaes.constants import constants, default_population
from hybridopt.evolution.cmaes.coordinates import coordinates, to_point, to_unit
from hybridopt.evolution.cmaes.covariance import KINDS
from hybridopt.testing import LAWS, parametrization

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # cma misses matplotlib
    import cma
    import cmaes

F64 = torch.float64
SIZES = [(2, 6), (3, 7), (5, 8), (10, 10), (10, 40), (20, 12), (40, 200), (100, 17)]


def free(dim, dtype=F64):
    upper = torch.full((dim,), torch.inf, dtype=dtype)
    return -upper, upper


def begun(optimizer, mean, seed=0):
    x = torch.as_tensor(mean, dtype=F64).reshape(optimizer.runs, -1)
    return optimizer.init(x, *free(x.shape[1]), seed=seed)


def run(optimizer, state, rows, steps):
    for _ in range(steps):
        query = optimizer.ask(state)
        state = optimizer.tell(state, Evaluation(query.x, rows(query.x)))
    return state


def rotation(dim, seed=0):
    return torch.from_numpy(np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0])


def rotated_ellipsoid(dim, power=4.0):
    turn, scale = rotation(dim), 10 ** (power * torch.arange(dim, dtype=F64) / (dim - 1))
    return lambda x: ((x.to(F64) @ turn - 0.5).square() * scale).sum(1).to(x)


def sphere(x):
    return (x - 0.7).square().sum(1)


VARIANTS = {
    "separable": CMAES(covariance="separable"),
    "three runs": CMAES(runs=3, scale=1.5),
    "scales": CMAES(5, scale=(1.0, 0.5, 3.0), covariance="separable", runs=2),
    "restarted": ipop_cmaes(population_size=30, tol_fun=1e9),  # after 13 generations
    "two regimes": bipop_cmaes(population_size=30, tol_fun=1e9, covariance="separable"),
}


@pytest.mark.parametrize(**parametrization(VARIANTS, laws=[name for name in LAWS if "devices" not in name]))
def test_variant_keeps_the_laws(check):
    check()


@pytest.mark.parametrize(**parametrization(VARIANTS, laws="devices_are_not_mixed", dtypes=[torch.float32]))
def test_variant_mixes_no_devices(check):
    check()


# ---- constants


@pytest.mark.parametrize(("dim", "size"), SIZES)
def test_weights_and_rates_are_those_of_cma(dim, size):
    es = cma.CMAEvolutionStrategy(np.ones(dim), 0.5, {"verbose": -9, "popsize": size})
    ours = constants(dim, size)
    np.testing.assert_allclose(ours.weights, list(es.sp.weights), rtol=1e-12)
    np.testing.assert_allclose(
        [ours.mu_eff, ours.c_1, ours.c_mu, ours.c_c],
        [es.sp.weights.mueff, es.sp.c1, es.sp.cmu, es.sp.cc],
        rtol=1e-12,
    )


@pytest.mark.parametrize(("dim", "size"), SIZES)
def test_step_size_constants_are_those_of_cmaes(dim, size):
    es, ours = cmaes.CMA(mean=np.zeros(dim), sigma=1.0, population_size=size), constants(dim, size)
    np.testing.assert_allclose(
        [ours.mu_eff, ours.c_sigma, ours.d_sigma, ours.c_c, ours.c_1, ours.chi],
        [es._mu_eff, es._c_sigma, es._d_sigma, es._cc, es._c1, es._chi_n],
        rtol=1e-12,
    )


def test_default_population_is_that_of_cma():
    for dim in (1, 2, 3, 10, 40, 1000):
        assert default_population(dim) == 4 + math.floor(3 * math.log(dim))


# ---- one generation


def tutorial(state, points, values, c):
    """The update of figure 6 of arXiv:1604.00772 in plain numpy, with the symmetric root of C for p_sigma."""
    n, lam = points.shape[1], len(values)
    mean, sigma = state.mean[0, 0].numpy(), float(state.sigma)
    matrix = state.covariance[0].numpy()
    matrix = np.tril(matrix) + np.tril(matrix, -1).T
    weights = np.array(c.weights)
    y = ((points - mean) / sigma)[np.argsort(values, kind="stable")]
    y_w = sum(weights[i] * y[i] for i in range(c.mu))  # (41)
    d2, b = np.linalg.eigh(matrix)
    root = b @ np.diag(d2**-0.5) @ b.T
    # the state keeps the path in the coordinates of z: turn it into those of the symmetric root
    turn = root @ np.linalg.cholesky(matrix)
    p_sigma = (1 - c.c_sigma) * (turn @ state.path_sigma[0, 0].numpy())
    p_sigma = p_sigma + math.sqrt(c.c_sigma * (2 - c.c_sigma) * c.mu_eff) * root @ y_w  # (43)
    length = np.linalg.norm(p_sigma)
    chi = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
    h = length / math.sqrt(1 - (1 - c.c_sigma) ** (2 * (state.step + 1))) < (1.4 + 2 / (n + 1)) * chi
    p_c = (1 - c.c_c) * state.path_c[0, 0].numpy()
    p_c = p_c + h * math.sqrt(c.c_c * (2 - c.c_c) * c.mu_eff) * y_w  # (45)
    signed = [
        weights[i] * (1 if weights[i] >= 0 else n / np.linalg.norm(root @ y[i]) ** 2) for i in range(lam)
    ]  # (46)
    delta = (1 - h) * c.c_c * (2 - c.c_c)
    new = (1 + c.c_1 * delta - c.c_1 - c.c_mu * weights.sum()) * matrix  # (47)
    new = (
        new + c.c_1 * np.outer(p_c, p_c) + c.c_mu * sum(signed[i] * np.outer(y[i], y[i]) for i in range(lam))
    )
    sigma_new = sigma * math.exp(c.c_sigma / c.d_sigma * (length / chi - 1))  # (44)
    return mean + sigma * y_w, sigma_new, new, p_c, length, h


@pytest.mark.parametrize(("dim", "size"), [(2, 6), (5, 8), (10, 30)])
def test_generations_equal_the_tutorials_equations(dim, size):
    optimizer = CMAES(size, sigma0=0.05, scale=1.0)  # a short step, so that h_sigma is 0 at times
    state, rows, stalled = begun(optimizer, [3.0] * dim), rotated_ellipsoid(dim), 0
    for _ in range(40):
        unit = state.mean + state.sigma * state.y
        values = rows(state.pending)
        mean, sigma, matrix, path, length, h = tutorial(
            state, unit[0].numpy(), values.numpy(), constants(dim, size)
        )
        state = optimizer.tell(state, Evaluation(state.pending, values))
        np.testing.assert_allclose(state.mean[0, 0], mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(float(state.sigma), sigma, rtol=1e-9)
        np.testing.assert_allclose(state.covariance[0], matrix, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(state.path_c[0, 0], path, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(float(state.path_sigma.norm()), length, rtol=1e-9)
        stalled += not h
    assert stalled, "h_sigma was 1 in all generations: the test does not see the other branch"


def test_separable_generation_is_the_diagonal_of_the_full_one():
    optimizer = CMAES(8, covariance="separable", scale=1.0)
    dim, c = 5, constants(5, 8, 7 / 3)
    state = run(optimizer, begun(optimizer, [3.0] * dim), sphere, 10)
    diagonal = state.covariance[0, 0]
    as_full = CMAESState(**{**state.__dict__, "covariance": torch.diag(diagonal)[None]})
    values = sphere(state.pending)
    unit = (state.mean + state.sigma * state.y)[0].numpy()
    mean, sigma, matrix, *_ = tutorial(as_full, unit, values.numpy(), c)
    state = optimizer.tell(state, Evaluation(state.pending, values))
    np.testing.assert_allclose(state.mean[0, 0], mean, rtol=1e-9)
    np.testing.assert_allclose(float(state.sigma), sigma, rtol=1e-9)
    np.testing.assert_allclose(state.covariance[0, 0], np.diag(matrix), rtol=1e-9)


def test_separable_rates_are_a_third_of_the_dimension_and_two_higher():
    ours, full = constants(10, 10, 12 / 3), constants(10, 10)
    np.testing.assert_allclose([ours.c_1, ours.c_mu], [4 * full.c_1, 4 * full.c_mu], rtol=1e-12)


# ---- invariances


def test_a_monotone_transformation_of_values_does_not_change_the_run():
    optimizer = CMAES()
    rows = rotated_ellipsoid(4)
    one = run(optimizer, begun(optimizer, [1.0, 2.0, -1.0, 0.5]), rows, 60)
    other = run(
        optimizer, begun(optimizer, [1.0, 2.0, -1.0, 0.5]), lambda x: 3 * rows(x).sqrt().sqrt() - 7, 60
    )
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.covariance, other.covariance)


def test_shifting_a_box_shifts_the_run():
    optimizer, shift = CMAES(), 2.75
    lower, upper = torch.full((3,), -4.0, dtype=F64), torch.full((3,), 5.0, dtype=F64)
    here = optimizer.init(torch.ones(1, 3, dtype=F64), lower, upper, seed=1)
    there = optimizer.init(torch.ones(1, 3, dtype=F64) + shift, lower + shift, upper + shift, seed=1)
    for _ in range(30):
        assert torch.allclose(there.pending, here.pending + shift, rtol=1e-9)
        here = run(optimizer, here, sphere, 1)
        there = run(optimizer, there, lambda x: sphere(x - shift), 1)


def test_scaling_a_box_scales_the_run():
    optimizer, scale = CMAES(), torch.tensor([1.0, 64.0, 1 / 1024], dtype=F64)
    lower, upper = torch.full((3,), -4.0, dtype=F64), torch.full((3,), 4.0, dtype=F64)
    here = optimizer.init(torch.ones(1, 3, dtype=F64), lower, upper, seed=1)
    there = optimizer.init(scale[None], lower * scale, upper * scale, seed=1)
    here = run(optimizer, here, sphere, 50)
    there = run(optimizer, there, lambda x: sphere(x / scale), 50)
    assert torch.allclose(there.x, here.x * scale, rtol=1e-9)


# ---- many runs in one batch


def test_rows_of_one_run_never_influence_another():
    optimizer = CMAES(runs=3)
    means = [[1.0, 2.0], [-1.0, 0.5], [4.0, 4.0]]
    alone = run(optimizer, begun(optimizer, means), sphere, 40)
    size = alone.weights.shape[2]

    def other_first_run(x):
        return torch.cat([-(x[:size, 0] ** 3), sphere(x[size:])])

    beside = run(optimizer, begun(optimizer, means), other_first_run, 40)
    for name in ("mean", "sigma", "covariance", "path_sigma", "path_c"):
        assert torch.equal(getattr(beside, name)[1:], getattr(alone, name)[1:]), name
        assert not torch.equal(getattr(beside, name)[0], getattr(alone, name)[0]), name


def test_rows_best_first_become_the_means():
    optimizer = CMAES(runs=2)
    x = torch.tensor([[1.0, 2.0], [-1.0, 0.5], [3.0, 3.0]], dtype=F64)
    lower, upper = torch.full((2,), -4.0, dtype=F64), torch.full((2,), 6.0, dtype=F64)
    state = optimizer.init(x, lower, upper, seed=0)
    assert state.x.shape == (12, 2)
    torch.testing.assert_close(to_point(state.mean[:, 0], state.coordinates, lower, upper), x[:2])


# ---- handing a distribution over


def test_a_given_covariance_is_sampled_from():
    turn = rotation(3)
    matrix = turn @ torch.diag(torch.tensor([1.0, 1e-2, 1e-4], dtype=F64)) @ turn.T
    optimizer, mean = CMAES(20_000), torch.tensor([[1.0, -2.0, 0.5]], dtype=F64)
    lower, upper = torch.full((3,), -50.0, dtype=F64), torch.full((3,), 60.0, dtype=F64)
    state = optimizer.begin(mean, lower, upper, seed=0, covariance=matrix, sigma=0.5)
    torch.testing.assert_close(torch.cov(state.pending.T), 0.25 * matrix, rtol=0.05, atol=2e-3)
    torch.testing.assert_close(state.pending.mean(0), mean[0], rtol=0, atol=0.02)


def test_a_hessians_inverse_saves_learning_the_shape():
    rows, dim = rotated_ellipsoid(8, power=6.0), 8
    scale = 10 ** (6 * torch.arange(dim, dtype=F64) / (dim - 1))
    inverse = rotation(dim) @ torch.diag(1 / scale) @ rotation(dim).T
    optimizer, mean = CMAES(), torch.full((1, dim), 2.0, dtype=F64)
    known = optimizer.begin(mean, *free(dim), seed=0, covariance=inverse, sigma=100.0)
    known, unknown = run(optimizer, known, rows, 250), run(optimizer, begun(optimizer, mean), rows, 250)
    assert float(known.value.min()) < 1e-12 < 1e-6 < float(unknown.value.min())


def test_a_wrong_shape_of_what_is_handed_over_is_refused():
    mean = torch.zeros(1, 3, dtype=F64)
    with pytest.raises(ValueError, match=r"covariance must have shape \(dim, dim\) = \(3, 3\)"):
        CMAES().begin(mean, *free(3), seed=0, covariance=torch.eye(2, dtype=F64))
    with pytest.raises(ValueError, match="runs = 2"):
        CMAES(runs=2).begin(mean, *free(3), seed=0)
    with pytest.raises(ValueError, match="scale must have 3 numbers"):
        CMAES(scale=(1.0, 2.0)).begin(mean, *free(3), seed=0)


# ---- bounds


def boxes():
    inf = math.inf
    yield [-4.0, -4.0, -4.0], [5.0, 5.0, 5.0], None
    yield [-4.0, -inf, -inf], [5.0, 2.0, inf], None
    yield [0.0, 0.0, 1.0], [inf, 1e-3, 1.0], None
    yield [-4.0, -4.0, -4.0], [5.0, 4.0, 4.1], [1.0, 100.0, 0.01]


@pytest.mark.parametrize(("lower", "upper", "scale"), list(boxes()))
def test_unit_coordinates_of_points_lead_back_to_them(lower, upper, scale):
    lower, upper = torch.tensor(lower, dtype=F64), torch.tensor(upper, dtype=F64)
    low, high = lower.clamp_min(-50), upper.clamp_max(50)
    x = low + torch.linspace(0, 1, 501, dtype=F64)[:, None] * (high - low)
    where = coordinates(x[100], lower, upper, None if scale is None else torch.tensor(scale, dtype=F64))
    torch.testing.assert_close(to_point(to_unit(x, where), where, lower, upper), x, rtol=1e-9, atol=1e-9)


def test_unit_coordinates_are_folded_smoothly_and_repeat():
    lower, upper = torch.tensor([-4.0], dtype=F64), torch.tensor([5.0], dtype=F64)
    where = coordinates(lower, lower, upper)
    u = torch.linspace(-3, 3, 60_001, dtype=F64)[:, None]
    x = to_point(u, where, lower, upper)
    slope = x.diff(dim=0) / u.diff(dim=0) / 9
    assert float(slope.abs().max()) <= 1 + 1e-6
    assert float(slope.diff(dim=0).abs().max()) < 2e-3  # no kink: curvature is 1 / (2 bend) = 10
    assert ((slope.abs() - 1).abs() < 1e-6).double().mean() > 0.8
    torch.testing.assert_close(to_point(u + where.fold.period, where, lower, upper), x, rtol=0, atol=1e-12)


def corner(dim, upper=5.0):
    """Lowest, 0, where half of the coordinates are at their upper bound, with a slope there."""
    turn, first = rotation(dim), torch.arange(dim) < dim // 2

    def rows(x):
        z = x - torch.where(first, upper, 1.0)
        return ((z @ turn).square() * torch.linspace(1, 100, dim, dtype=F64)).sum(1) - 10 * z[:, first].sum(1)

    return rows


@pytest.mark.parametrize("dim", [2, 6])
def test_a_minimum_on_the_bounds_is_found(dim):
    optimizer = CMAES(runs=20)
    upper = torch.full((dim,), 5.0, dtype=F64)
    state = optimizer.init(torch.zeros(1, dim, dtype=F64), -upper, upper, seed=0)
    state = run(optimizer, state, corner(dim), 150 * dim)
    assert state.value.view(20, -1).amin(1).max() < 1e-8


@pytest.mark.parametrize("covariance", ["full", "separable"])
def test_no_standard_deviation_grows_beyond_a_third_of_the_box(covariance):
    optimizer = CMAES(40, covariance=covariance, runs=2)
    lower, upper = (
        torch.tensor([-1.0, -40.0, -math.inf], dtype=F64),
        torch.tensor([3.0, 40.0, 5.0], dtype=F64),
    )
    state = optimizer.init(torch.zeros(2, 3, dtype=F64), lower, upper, seed=0)
    kind, widest, outermost = KINDS[covariance], 0.0, 0.0
    for step in range(60):
        query = optimizer.ask(state)
        noise = torch.rand(80, generator=torch.Generator().manual_seed(step), dtype=F64)
        state = optimizer.tell(state, Evaluation(query.x, noise - 1e-3 * query.x[:, 2].abs()))
        spread = (state.sigma * kind.variances(state.covariance).sqrt())[:, 0]
        widest, outermost = max(widest, float(spread[:, :2].max())), max(outermost, float(spread[:, 2].max()))
    assert 0.3 < widest < 1 / 3 + 1e-9  # of the width
    assert outermost > 1.0


def test_a_half_bounded_minimum_is_found_at_either_end():
    lower = torch.tensor([2.0, -math.inf, -math.inf], dtype=F64)
    upper = torch.tensor([math.inf, -3.0, math.inf], dtype=F64)
    optimizer = CMAES(runs=20)
    state = optimizer.init(torch.zeros(1, 3, dtype=F64), lower, upper, seed=0)
    state = run(optimizer, state, lambda x: x.square().sum(1), 250)
    best = state.x.view(20, -1, 3)[torch.arange(20), state.value.view(20, -1).argmin(1)]
    torch.testing.assert_close(
        best, torch.tensor([[2.0, -3.0, 0.0]], dtype=F64).expand(20, 3), atol=1e-5, rtol=0
    )


# ---- robustness


def test_separable_solves_a_separable_ellipsoid_sooner_than_full():
    scale = 10 ** (6 * torch.arange(20, dtype=F64) / 19)
    reached = {}
    for covariance in ("full", "separable"):
        optimizer = CMAES(runs=20, covariance=covariance, sigma0=1.0)
        state = begun(optimizer, torch.full((20, 20), 2.0))
        state = run(optimizer, state, lambda x: (x.square() * scale).sum(1), 500)
        reached[covariance] = float(state.value.view(20, -1).amin(1).median())
    assert reached["separable"] < 1e-8 < reached["full"]


@pytest.mark.parametrize("covariance", ["full", "separable"])
def test_an_ill_conditioned_covariance_stays_positive_definite_in_float32(covariance):
    optimizer, dim = CMAES(runs=4, covariance=covariance), 6
    x = torch.full((4, dim), 1.5)
    state = optimizer.init(x, *free(dim, torch.float32), seed=0)
    scale = 10 ** (12 * torch.arange(dim) / (dim - 1)).float()
    turn = rotation(dim).float()
    for _ in range(600):
        state = run(optimizer, state, lambda x: ((x @ turn).square() * scale).sum(1), 1)
        assert torch.isfinite(state.factor).all()
        assert torch.isfinite(state.pending).all()
    diagonal = state.covariance.diagonal(dim1=1, dim2=2) if covariance == "full" else state.covariance
    assert (diagonal > 0).all()
    if covariance == "full":
        symmetric = state.covariance.tril() + state.covariance.tril(-1).mT
        assert (torch.linalg.cholesky_ex(symmetric).info == 0).all()


def test_indefinite_and_infinite_matrices_are_repaired_and_sound_ones_kept():
    from hybridopt.evolution.cmaes.covariance import Full

    sound = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=F64)
    indefinite = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=F64)
    infinite = torch.tensor([[math.inf, 0.0], [0.0, math.nan]], dtype=F64)
    matrix, factor = Full().factor(torch.stack([sound, indefinite, infinite]))
    torch.testing.assert_close(matrix[0], sound, rtol=0, atol=0)
    torch.testing.assert_close(torch.linalg.eigvalsh(matrix[1])[1], torch.tensor(3.0, dtype=F64))
    torch.testing.assert_close(matrix[2], torch.eye(2, dtype=F64))
    torch.testing.assert_close(factor @ factor.mT, matrix)


@pytest.mark.parametrize("value", [0.0, math.inf])
@pytest.mark.parametrize("covariance", ["full", "separable"])
def test_values_all_equal_or_all_infinite_do_not_break_the_state(value, covariance):
    optimizer = CMAES(covariance=covariance)
    lower, upper = torch.full((4,), -1.0, dtype=F64), torch.full((4,), 3.0, dtype=F64)
    state = optimizer.init(torch.zeros(1, 4, dtype=F64), lower, upper, seed=0)
    state = run(optimizer, state, lambda x: torch.full_like(x[:, 0], value), 1000)
    assert torch.isfinite(state.factor).all()
    assert float(state.sigma) == 0.3  # nothing was learnt
    state = run(optimizer, state, sphere, 400)
    assert float(state.value.min()) < 1e-10


def test_a_function_without_a_minimum_keeps_numbers_finite():
    optimizer = CMAES()
    state = run(optimizer, begun(optimizer, [0.0, 0.0]), lambda x: x.sum(1), 2000)
    assert torch.isfinite(state.pending).all()


def test_it_is_a_method_of_minimize_in_one_dimension():
    result = minimize(lambda x: (x[0] - 0.3) ** 2, bounds=[(-1, 4)], method="cmaes", max_evals=600, seed=0)
    assert abs(result.x[0] - 0.3) < 1e-6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"population_size": 1}, "population_size must be at least 2"),
        ({"runs": 0}, "runs must be at least 1"),
        ({"covariance": "diagonal"}, "covariance must be one of full, separable"),
        ({"sigma0": 0.0}, "sigma0 must be positive"),
        ({"scale": (1.0, -1.0)}, "scale must be positive"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        CMAES(**options)


# ---- against cma


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sphere", "ellipsoid"])
def test_evaluations_to_the_minimum_are_within_a_tenth_of_cmas(name):
    dim, seeds, target = 5, 51, 1e-8
    rows = {"sphere": sphere, "ellipsoid": rotated_ellipsoid(dim, 6.0)}[name]
    starts = np.random.default_rng(7).uniform(-3, 3, (seeds, dim))
    optimizer = CMAES(runs=seeds, sigma0=1.0, scale=1.0)
    state, size = begun(optimizer, starts), default_population(dim)
    spent, arrived = torch.zeros(seeds), torch.zeros(seeds, dtype=torch.bool)
    while not arrived.all():
        state = run(optimizer, state, rows, 1)
        spent += size * ~arrived
        arrived |= state.value.view(seeds, -1).amin(1) <= target
    theirs = []
    for seed, x in enumerate(starts, 1):
        es = cma.CMAEvolutionStrategy(x, 1.0, {"verbose": -9, "seed": seed, "ftarget": target})
        while not es.stop():
            points = es.ask()
            es.tell(points, rows(torch.from_numpy(np.array(points))).tolist())
        assert es.best.f <= target
        theirs.append(es.countevals)
    assert float(spent.median()) <= 1.1 * float(np.median(theirs))


def test_rosenbrocks_valley_is_followed_to_the_end():
    optimizer = CMAES(runs=20, sigma0=0.5, scale=1.0)
    state = begun(optimizer, torch.zeros(20, 5))

    def rosenbrock(x):
        return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)

    state = run(optimizer, state, rosenbrock, 500)
    assert int((state.value.view(20, -1).amin(1) < 1e-8).sum()) >= 18
