import math
import random
import subprocess
import sys

import pytest
import torch
from deap import algorithms, base, tools
from scipy import stats

from hybridopt import checkpoint
from hybridopt.core import Evaluation
from hybridopt.evaluate import Evaluator
from hybridopt.evolution import GeneticAlgorithm, default_toolbox, operators
from hybridopt.rng import generator

BEST = 1.3  # neither the origin nor the middle of the box


def sphere(x):
    return (x - BEST).square().sum(1)


def box(dim, low=-5.0, up=4.0, dtype=torch.float64):
    return torch.full((dim,), low, dtype=dtype), torch.full((dim,), up, dtype=dtype)


def begin(optimizer, dim=5, seed=0, dtype=torch.float64, bounds=None):
    lower, upper = box(dim, dtype=dtype) if bounds is None else bounds
    return optimizer.init(torch.full((1, dim), -2.0, dtype=dtype), lower, upper, seed=seed)


def evolve(optimizer, state, generations, fun=sphere):
    for _ in range(generations):
        query = optimizer.ask(state)
        assert (query.x >= state.lower).all()
        assert (query.x <= state.upper).all()
        state = optimizer.tell(state, Evaluation(query.x, fun(query.x)))
    return state


def by_deap(x, generations, sigma, indpb):
    """Final values of eaSimple from the rows of x."""

    class Individual(list):
        def __init__(self, genes):
            super().__init__(genes)
            self.fitness = type("FitnessMin", (base.Fitness,), {"weights": (-1.0,)})()

        def __deepcopy__(self, memo):
            copy = Individual(self)
            copy.fitness.wvalues = self.fitness.wvalues
            return copy

    toolbox = base.Toolbox()
    toolbox.register("evaluate", lambda row: (sum((gene - BEST) ** 2 for gene in row),))
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("mate", tools.cxBlend, alpha=0.5)
    toolbox.register("mutate", tools.mutGaussian, mu=0.0, sigma=sigma, indpb=indpb)
    rows = [Individual(row) for row in x.tolist()]
    algorithms.eaSimple(rows, toolbox, 0.9, 1.0, generations, verbose=False)
    return [row.fitness.values[0] for row in rows]


def test_search_is_as_good_as_deaps_ea_simple():
    """20 runs each: rank tests of the best and of the median value, which fail once in 1000 by chance."""
    optimizer = GeneticAlgorithm(60, indpb=0.1, sigma=0.02, elite=0)
    bounds = box(8, -50.0, 40.0)  # so wide that no child is projected
    ours, theirs = [], []
    for seed in range(20):
        x = torch.rand(60, 8, generator=generator(seed, "x"), dtype=torch.float64) * 9 - 5
        state = evolve(optimizer, optimizer.init(x, *bounds, seed=seed), 26)
        ours.append((state.value.min().item(), state.value.median().item()))
        random.seed(seed)
        values = sorted(by_deap(x, 25, sigma=0.02 * 90, indpb=0.1))
        theirs.append((values[0], values[29]))
    for mine, deaps in zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True):
        assert stats.mannwhitneyu(mine, deaps).pvalue > 1e-3


def test_minimum_of_a_sphere_is_found_in_20_of_20_runs():
    optimizer = GeneticAlgorithm(60)
    for seed in range(20):
        state = evolve(optimizer, begin(optimizer, seed=seed), 100)
        assert state.value.min() < 1e-4
        torch.testing.assert_close(
            state.x[state.value.argmin()], torch.full_like(state.x[0], BEST), atol=0.01, rtol=0
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    optimizer = GeneticAlgorithm(10)
    state = evolve(optimizer, begin(optimizer, dtype=dtype), 3)
    assert optimizer.ask(state).x.dtype == state.x.dtype == state.value.dtype == dtype


def test_asking_twice_answers_the_same_and_changes_nothing():
    optimizer = GeneticAlgorithm(11)
    state = evolve(optimizer, begin(optimizer), 4)
    before = state.x.clone()
    first, second = optimizer.ask(state), optimizer.ask(state)
    assert first.x.equal(second.x)
    assert state.x.equal(before)
    assert first.sample == second.sample == 4


def test_start_rows_are_evaluated_first():
    optimizer = GeneticAlgorithm(7)
    x = torch.rand(3, 2, generator=generator(0), dtype=torch.float64)
    query = optimizer.ask(optimizer.init(x, *box(2), seed=1))
    assert query.x.shape == (7, 2)
    assert query.x[:3].equal(x)


@pytest.mark.parametrize("population_size", [2, 3, 10, 11])
@pytest.mark.parametrize("elite", [0, 1])
def test_population_may_be_even_or_odd(population_size, elite):
    optimizer = GeneticAlgorithm(population_size, elite=elite)
    assert evolve(optimizer, begin(optimizer), 5).x.shape == (population_size, 5)


def test_elite_comes_first_and_is_evaluated_again():
    optimizer = GeneticAlgorithm(20, elite=3)
    state = evolve(optimizer, begin(optimizer), 2)
    best = state.x[state.value.argsort()[:3]]
    query = optimizer.ask(state)
    assert query.x[:3].equal(best)
    state = optimizer.tell(state, Evaluation(query.x, torch.arange(20, 0, -1).double()))
    assert not optimizer.ask(state).x[:3].equal(best)  # its luck did not last


def test_best_value_never_rises_with_an_elite():
    optimizer = GeneticAlgorithm(10, sigma=1.0)
    state, best = begin(optimizer), math.inf
    for _ in range(50):
        state = evolve(optimizer, state, 1)
        assert state.value.min() <= best
        best = state.value.min()


def test_mutation_is_in_widths_of_the_box():
    lower, upper = torch.tensor([-50.0, -1.0]), torch.tensor([50.0, 1.0])
    optimizer = GeneticAlgorithm(4000, cxpb=0.0, indpb=1.0, sigma=0.02)
    state = optimizer.init(torch.zeros(4000, 2), lower, upper, seed=3)
    children = optimizer.ask(evolve(optimizer, state, 1)).x[1:]
    for gene, width in enumerate((100.0, 2.0)):
        assert stats.kstest(children[:, gene].numpy(), stats.norm(0, 0.02 * width).cdf).pvalue > 1e-6


def test_common_width_is_kept_as_a_number():
    optimizer = GeneticAlgorithm(4)
    assert begin(optimizer).width == 9.0
    assert begin(
        optimizer, 2, bounds=(torch.zeros(2).double(), torch.tensor([1.0, 2.0]).double())
    ).width.tolist() == [1, 2]


def test_half_infinite_free_and_fixed_variables_work():
    inf = math.inf
    lower = torch.tensor([-inf, 0.0, -inf, -2.0, -5.0], dtype=torch.float64)
    upper = torch.tensor([inf, inf, 3.0, -2.0, 5.0], dtype=torch.float64)
    optimizer = GeneticAlgorithm(60)
    state = optimizer.init(torch.full((1, 5), -2.0).double(), lower, upper, seed=0)
    state = evolve(optimizer, state, 150)
    assert (state.x[:, 3] == -2).all()
    assert state.value.min() - (2 + BEST) ** 2 < 1e-2


def test_resumed_run_equals_uninterrupted_run(tmp_path):
    optimizer = GeneticAlgorithm(12)
    half = evolve(optimizer, begin(optimizer, seed=5), 6)
    checkpoint.save(tmp_path / "half.pt", half)
    resumed = evolve(optimizer, checkpoint.load(tmp_path / "half.pt"), 6)
    whole = evolve(optimizer, begin(optimizer, seed=5), 12)
    assert resumed.x.equal(whole.x)
    assert resumed.value.equal(whole.value)
    assert resumed.step == whole.step


def test_other_seed_makes_another_run():
    optimizer = GeneticAlgorithm(12)
    x = torch.rand(12, 5, generator=generator(0), dtype=torch.float64)
    first, second = (evolve(optimizer, optimizer.init(x, *box(5), seed=seed), 2) for seed in (0, 1))
    assert not first.x.equal(second.x)


def test_run_in_a_finite_box_shifts_with_the_problem():
    optimizer, shift = GeneticAlgorithm(20), torch.tensor([3.0, -7.0, 0.5], dtype=torch.float64)
    lower, upper = box(3)
    x = torch.rand(20, 3, generator=generator(1), dtype=torch.float64)
    here = evolve(optimizer, optimizer.init(x, lower, upper, seed=2), 10)
    there = optimizer.init(x + shift, lower + shift, upper + shift, seed=2)
    there = evolve(optimizer, there, 10, lambda rows: sphere(rows - shift))
    torch.testing.assert_close(there.x - shift, here.x, rtol=1e-9, atol=1e-9)


class Broken:
    """Sphere that is NaN or -inf on the side where its minimum is."""

    draws = sampled = False

    def answer(self, query, seed):
        value = sphere(query.x)
        value[query.x[:, 0] > 0] = math.nan
        value[query.x[:, 1] > 0] = -math.inf
        return value, None, None


def test_values_that_are_not_finite_never_win():
    optimizer = GeneticAlgorithm(30)
    state = begin(optimizer)
    evaluate = Evaluator(Broken(), state.lower, state.upper)
    for _ in range(30):
        state = optimizer.tell(state, evaluate(optimizer.ask(state)))
    best = state.x[state.value.argmin()]
    assert torch.isfinite(state.value).any()
    assert best[0] <= 0
    assert best[1] <= 0


def test_nothing_but_infinite_values_is_survived():
    optimizer = GeneticAlgorithm(10)
    state = evolve(optimizer, begin(optimizer), 5, lambda x: torch.full_like(x[:, 0], math.inf))
    assert torch.isfinite(state.x).all()


def test_other_batched_operators_can_be_registered():
    toolbox = default_toolbox(sigma=0.2)
    toolbox.register("mate", operators.cxSimulatedBinaryBounded, eta=5.0, low=-5.0, up=4.0)
    toolbox.register("mutate", operators.mutPolynomialBounded, eta=5.0, low=-5.0, up=4.0, indpb=0.2)
    optimizer = GeneticAlgorithm(60, toolbox, mutpb=0.5)
    assert evolve(optimizer, begin(optimizer), 80).value.min() < 1e-2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 1}, "population_size must be at least 2, got 1"),
        ({"population_size": 5, "elite": 5}, "elite must be below population_size = 5"),
        ({"cxpb": 1.1}, "cxpb must be a probability between 0 and 1, got 1.1"),
        ({"sigma": -0.1}, "sigma must be finite and at least 0"),
        ({"indpb": 2}, "indpb must be a probability"),
        ({"elite": -1}, "elite must be at least 0, got -1"),
        ({"individual": "tuple"}, "individual must be one of 'list', 'array', 'numpy'"),
        ({"individual": "numpy"}, "individual='numpy' would go unused"),
        ({"individual": "numpy", "toolbox": default_toolbox()}, "individual='numpy' would go unused"),
        ({"toolbox": default_toolbox(), "sigma": 0.5}, "sigma would go unused beside a toolbox of your own"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GeneticAlgorithm(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 10.5}, "population_size must be a whole number of at least 2, got 10.5"),
        ({"elite": 0.5}, "elite must be a whole number of at least 0, got 0.5"),
        ({"sigma": "wide"}, "sigma must be a number, finite and at least 0, got 'wide'"),
    ],
)
def test_options_of_a_wrong_type_are_refused(options, message):
    with pytest.raises(TypeError, match=message):
        GeneticAlgorithm(**options)


def test_importing_evolution_does_not_import_deap():
    code = "import sys, hybridopt.evolution as e; e.GeneticAlgorithm(); sys.exit('deap' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
