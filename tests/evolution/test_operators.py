"""Whole-population operators against DEAP's own functions.

Distributions are compared by two-sample tests at P_MIN = 1e-6. Some 150 p-values are looked at in a run, so a
correct library would fail with a chance of 2e-4 on other seeds; on these it passes for good.
"""

import math
import random

import numpy as np
import pytest
import torch
from deap import tools
from scipy import stats
from torch._subclasses import FakeTensorMode

from hybridopt.evolution import operators, parameters
from hybridopt.evolution.mutation import draws, mutated_positions
from hybridopt.rng import generator

P_MIN = 1e-6
SEEDS = range(3)
N = 4000
A, B = [0.1, 0.9, 0.5, 0.2], [0.7, 0.3, 0.55, 1.0]
DIM = len(A)


def bernoulli(p, seed, *shape):
    return torch.rand(shape, generator=generator(seed)) < p


def crossed_by_deap(name, seed, **options):
    """Children of N pairs of the same parents, (N, 2, DIM)."""
    random.seed(seed)
    return np.array([getattr(tools, name)(list(A), list(B), **options) for _ in range(N)])


def crossed_by_us(name, seed, dtype=torch.float64, **options):
    population = torch.tensor([A, B], dtype=dtype).repeat(N, 1)
    getattr(operators, name)(population, generator=generator(seed), **options)
    return population.view(N, 2, DIM).double().numpy()


def mutated_by_deap(name, seed, x, **options):
    random.seed(seed)
    return np.array([getattr(tools, name)(list(x), **options)[0] for _ in range(N)])


def mutated_by_us(name, seed, x, dtype=torch.float64, **options):
    population = torch.tensor([x], dtype=dtype).repeat(N, 1)
    getattr(operators, name)(population, generator=generator(seed), **options)
    return population.double().numpy()


def assert_same_numbers(ours, theirs):
    """But for the rounding of float32, which would tell masses at one point apart."""
    assert stats.ks_2samp(ours.round(5), theirs.round(5), method="asymp").pvalue > P_MIN


def rounded(numbers, dtype):
    return torch.tensor(numbers, dtype=dtype).double().numpy()


def assert_inside(x, low, up, dtype):
    assert np.all(x >= rounded(low, dtype))
    assert np.all(x <= rounded(up, dtype))


def assert_same_frequencies(ours, theirs):
    """Of whole patterns, e.g. which genes changed: (n, k) against (m, k)."""
    patterns, codes = np.unique(np.concatenate([ours, theirs]), axis=0, return_inverse=True)
    codes = codes.reshape(-1)
    counts = np.array([np.bincount(part, minlength=len(patterns)) for part in np.split(codes, [len(ours)])])
    rare = counts.sum(0) < 20
    counts = np.column_stack([counts[:, ~rare], counts[:, rare].sum(1)])
    counts = counts[:, counts.sum(0) > 0]
    assert counts.shape[1] == 1 or stats.chi2_contingency(counts).pvalue > P_MIN


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_blend_crossover_has_deaps_distribution(alpha, dtype, seed):
    ours = crossed_by_us("cxBlend", seed, dtype, alpha=alpha)
    theirs = crossed_by_deap("cxBlend", seed, alpha=alpha)
    for gene in range(DIM):
        assert_same_numbers(ours[:, 0, gene], theirs[:, 0, gene])
    np.testing.assert_allclose(ours.sum(1), np.broadcast_to(np.add(A, B), (N, DIM)), rtol=1e-5)
    gamma = (ours[:, 0] - A) / np.subtract(B, A)
    assert np.all((gamma > -alpha - 1e-4) & (gamma < 1 + alpha + 1e-4))
    assert stats.pearsonr(gamma[:, 0], gamma[:, 1]).pvalue > P_MIN  # one draw a gene
    assert stats.pearsonr(gamma[1:, 0], gamma[:-1, 0]).pvalue > P_MIN


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cxUniform", {"indpb": 0.3}),
        ("cxUniform", {"indpb": 0.0}),
        ("cxUniform", {"indpb": 1.0}),
        ("cxOnePoint", {}),
        ("cxTwoPoint", {}),
    ],
)
def test_swapping_crossover_swaps_as_deaps_does(name, options, seed):
    ours, theirs = crossed_by_us(name, seed, **options), crossed_by_deap(name, seed, **options)
    assert_same_frequencies(ours[:, 0] == B, theirs[:, 0] == B)
    np.testing.assert_array_equal(np.sort(ours, 1), np.sort(theirs, 1))


@pytest.mark.parametrize("name", ["cxOnePoint", "cxTwoPoint"])
@pytest.mark.parametrize("dim", [2, 3])
def test_cut_points_are_deaps_in_few_dimensions_too(name, dim):
    random.seed(dim)
    theirs = np.array([getattr(tools, name)([0] * dim, [1] * dim)[0] for _ in range(N)])
    population = torch.tensor([[0.0], [1.0]]).repeat(N, dim)
    getattr(operators, name)(population, generator=generator(dim))
    assert_same_frequencies(population[::2].numpy(), theirs)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), ([0.0, 0.2, 0.5, -3.0], [0.7, 1.0, 0.6, 1.0])])
def test_simulated_binary_crossover_has_deaps_distribution(bounds, dtype, seed):
    options = {"eta": 2.0, "low": bounds[0], "up": bounds[1]}
    ours = crossed_by_us("cxSimulatedBinaryBounded", seed, dtype, **options)
    theirs = crossed_by_deap("cxSimulatedBinaryBounded", seed, **options)
    a, b = rounded(A, dtype), rounded(B, dtype)
    assert_inside(ours, *bounds, dtype)
    changed = ours[:, 0] != a
    assert_same_frequencies(changed, theirs[:, 0] != A)
    np.testing.assert_array_equal(changed, ours[:, 1] != b)
    for gene in range(DIM):
        for child in range(2):
            mine, deaps = ours[:, child, gene], theirs[:, child, gene]
            assert_same_numbers(mine[changed[:, gene]], deaps[deaps != [A, B][child][gene]])
        assert_same_numbers(ours[:, :, gene].sum(1), theirs[:, :, gene].sum(1))  # the children's pairing


def test_simulated_binary_crossover_leaves_equal_parents_alone():
    population = torch.full((10, 3), 0.5)
    operators.cxSimulatedBinaryBounded(population, eta=2.0, low=0.0, up=1.0, generator=generator(0))
    assert (population == 0.5).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("indpb", [0.02, 0.3, 1.0])
def test_gaussian_mutation_has_deaps_distribution(indpb, dtype, seed):
    options = {"mu": [0.0, 1.0, 0.0, -0.3], "sigma": [1.0, 2.0, 0.1, 0.0], "indpb": indpb}
    ours = mutated_by_us("mutGaussian", seed, [0.0] * DIM, dtype, **options)
    theirs = mutated_by_deap("mutGaussian", seed, [0.0] * DIM, **options)
    assert_same_frequencies(ours != 0, theirs != 0)
    for gene in range(DIM):
        assert_same_numbers(ours[:, gene][ours[:, gene] != 0], theirs[:, gene][theirs[:, gene] != 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gaussian_mutation_by_numbers_is_normal(dtype):
    changes = mutated_by_us("mutGaussian", 5, [0.0] * DIM, dtype, mu=1, sigma=2.0, indpb=0.5)
    assert stats.kstest(changes[changes != 0], stats.norm(1, 2).cdf).pvalue > P_MIN


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("eta", [0.5, 20.0])
def test_polynomial_mutation_has_deaps_distribution(eta, dtype, seed):
    options = {"eta": eta, "low": [0.0, -1.0, 0.5, 0.0], "up": [1.0, 1.0, 3.0, 0.21], "indpb": 0.4}
    ours = mutated_by_us("mutPolynomialBounded", seed, A, dtype, **options)
    theirs = mutated_by_deap("mutPolynomialBounded", seed, A, **options)
    unchanged = rounded(A, dtype)
    assert_same_frequencies(ours != unchanged, theirs != A)
    assert_inside(ours, options["low"], options["up"], dtype)
    for gene in range(DIM):
        mine, deaps = ours[:, gene], theirs[:, gene]
        assert_same_numbers(mine[mine != unchanged[gene]], deaps[deaps != A[gene]])


def test_polynomial_mutation_leaves_fixed_genes_alone():
    population = torch.tensor([[0.5, 2.0]]).repeat(50, 1)
    low, up = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 2.0])
    operators.mutPolynomialBounded(population, eta=5.0, low=low, up=up, indpb=1.0, generator=generator(0))
    assert (population[:, 1] == 2.0).all()
    assert (population[:, 0] != 0.5).all()


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_mutated_positions_are_a_bernoulli_process(p):
    genes, rows = 5, 40_000
    position, missed = mutated_positions(genes * rows, p, generator(1))
    hit = torch.zeros(genes * rows, dtype=torch.bool)
    hit[position[~missed]] = True
    assert (position[~missed].diff() > 0).all()
    count = hit.view(rows, genes).mul(2 ** torch.arange(genes)).sum(1).bincount(minlength=2**genes).numpy()
    bits = np.array([bin(code).count("1") for code in range(2**genes)])
    expected = rows * p**bits * (1 - p) ** (genes - bits)
    often = expected > 10
    observed = np.append(count[often], count[~often].sum())
    expected = np.append(expected[often], expected[~often].sum())
    assert (
        stats.chisquare(observed[expected > 0.01], expected[expected > 0.01], sum_check=False).pvalue > P_MIN
    )


@pytest.mark.parametrize("p", [0.2, 0.8])
def test_first_and_last_genes_mutate_as_often_as_others(p):
    hits = np.zeros(3)
    g = generator(7)
    for _ in range(N):
        position, missed = mutated_positions(3, p, g)
        hits[position[~missed].numpy()] += 1
    assert all(stats.binomtest(int(hit), N, p).pvalue > P_MIN for hit in hits)


def test_draws_run_out_less_often_than_once_in_1e11():
    probabilities = np.concatenate([np.logspace(-9, -0.01, 60), 1 - np.logspace(-9, -1, 30)])
    for n in (1, 3, 10, 100, 1000, 2**18, 10**8):
        assert max(stats.binom.sf(draws(n, p), n, p) for p in probabilities) < 1e-11


def test_probabilities_of_zero_and_one_are_exact():
    never, always = torch.zeros(30, 4), torch.zeros(30, 4)
    operators.mutGaussian(never, mu=0.0, sigma=1.0, indpb=0.0, generator=generator(0))
    operators.mutGaussian(always, mu=0.0, sigma=1.0, indpb=1.0, generator=generator(0))
    assert (never == 0).all()
    assert (always != 0).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("tournsize", [1, 3])
def test_tournament_selects_as_deaps_does_also_among_ties(tournsize, seed):
    value = [3.0, 1.0, 2.0, 1.0, math.inf, math.inf]
    population = [Row(number, one) for number, one in enumerate(value)]
    random.seed(seed)
    theirs = [row.number for row in tools.selTournament(population, N, tournsize=tournsize)]
    ours = operators.selTournament(torch.tensor(value), N, tournsize=tournsize, generator=generator(seed))
    assert_same_frequencies(ours[:, None].numpy(), np.array(theirs)[:, None])


def test_best_rows_are_deaps():
    value = torch.randn(50, generator=generator(3))
    population = [Row(number, one) for number, one in enumerate(value.tolist())]
    assert operators.selBest(value, 7).tolist() == [row.number for row in tools.selBest(population, 7)]


class Row:
    """What DEAP's selection looks at; the better, the larger its fitness."""

    def __init__(self, number, value):
        self.number, self.fitness = number, -value


MATES = [
    ("cxBlend", {"alpha": 0.5}),
    ("cxUniform", {"indpb": 1.0}),
    ("cxOnePoint", {}),
    ("cxTwoPoint", {}),
    ("cxSimulatedBinaryBounded", {"eta": 0.0, "low": 0.0, "up": 1.0}),
]
MUTATIONS = [
    ("mutGaussian", {"mu": 0.0, "sigma": 1.0, "indpb": 1.0}),
    ("mutPolynomialBounded", {"eta": 1.0, "low": 0.0, "up": 1.0, "indpb": 1.0}),
]


@pytest.mark.parametrize("block", [1, 2**18])
@pytest.mark.parametrize(("name", "options"), MATES)
def test_only_chosen_pairs_are_crossed_whatever_the_blocks(name, options, block, monkeypatch):
    monkeypatch.setattr(parameters, "BLOCK", block)
    before = torch.rand(41, 25, generator=generator(1))
    after = before.clone()
    chosen = bernoulli(0.5, 2, 20)
    getattr(operators, name)(after, chosen=chosen, generator=generator(3), **options)
    changed = (after != before).any(1)
    assert changed[:40].view(20, 2).any(1).equal(chosen)
    assert not changed[40]


@pytest.mark.parametrize("block", [1, 2**18])
@pytest.mark.parametrize(("name", "options"), MUTATIONS)
def test_only_chosen_rows_mutate_whatever_the_blocks(name, options, block, monkeypatch):
    monkeypatch.setattr(parameters, "BLOCK", block)
    before = torch.rand(41, 5, generator=generator(1))
    after = before.clone()
    chosen = bernoulli(0.5, 2, 41)
    getattr(operators, name)(after, chosen=chosen, generator=generator(3), **options)
    assert (after != before).all(1).equal(chosen)
    assert (after != before).any(1).equal(chosen)


@pytest.mark.parametrize(("name", "options"), MATES + MUTATIONS)
@pytest.mark.parametrize("chosen", [True, False])
def test_operators_have_static_shapes_and_read_no_numbers(name, options, chosen):
    count = 3 if name.startswith("cx") else 7
    with FakeTensorMode():
        population = torch.empty(7, 5)
        mask = torch.ones(count, dtype=torch.bool) if chosen else None
        options = {key: 0.5 if key == "indpb" else value for key, value in options.items()}
        getattr(operators, name)(population, chosen=mask, generator=torch.Generator(), **options)
        rows = operators.selTournament(population[:, 0], 9, tournsize=2, generator=torch.Generator())
        assert rows.shape == (9,)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mutGaussian", {"mu": 0.0, "sigma": -1.0, "indpb": 0.1}, "sigma must be finite and at least 0"),
        ("mutGaussian", {"mu": 0.0, "sigma": 1.0, "indpb": 1.5}, "indpb must be a probability"),
        (
            "mutGaussian",
            {"mu": 0.0, "sigma": [1.0, 2.0], "indpb": 0.5},
            r"shape \(dim,\) = \(3,\), got shape",
        ),
        ("mutPolynomialBounded", {"eta": 1.0, "low": 0.0, "up": math.inf, "indpb": 0.1}, "up must be finite"),
        ("cxSimulatedBinaryBounded", {"eta": -1.0, "low": 0.0, "up": 1.0}, "eta must be finite and at least"),
        ("cxBlend", {"alpha": math.nan}, "alpha must be finite and at least 0"),
        ("cxUniform", {"indpb": -0.1}, "indpb must be a probability between 0 and 1, got -0.1"),
    ],
)
def test_impossible_parameters_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(operators, name)(torch.zeros(4, 3), generator=generator(0), **options)


@pytest.mark.parametrize("name", ["cxOnePoint", "cxTwoPoint"])
def test_cutting_a_single_gene_is_refused(name):
    with pytest.raises(ValueError, match="needs 2, got dim 1"):
        getattr(operators, name)(torch.zeros(4, 1), generator=generator(0))


def test_tournaments_of_nobody_are_refused():
    with pytest.raises(ValueError, match="tournsize must be a whole number of at least 1, got 0"):
        operators.selTournament(torch.zeros(4), 4, tournsize=0, generator=generator(0))
