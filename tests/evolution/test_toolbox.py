import array
import math
import random

import numpy as np
import pytest
import torch
from deap import algorithms, base, creator, tools

from hybridopt.core import Evaluation
from hybridopt.evolution import GeneticAlgorithm, batched, default_toolbox, operators
from hybridopt.evolution.toolbox import is_batched, offspring_by_deap
from hybridopt.rng import generator, global_generators_fingerprint


def deap_toolbox():
    toolbox = base.Toolbox()
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("mate", tools.cxBlend, alpha=0.5)
    toolbox.register("mutate", tools.mutGaussian, mu=0.0, sigma=0.3, indpb=0.2)
    return toolbox


@pytest.fixture
def made():
    """Class of individuals as DEAP's users make it."""
    creator.create("FitnessOfTest", base.Fitness, weights=(-1.0,))
    creator.create("IndividualOfTest", list, fitness=creator.FitnessOfTest)
    yield creator.IndividualOfTest
    del creator.FitnessOfTest, creator.IndividualOfTest


def run(optimizer, generations=40, seed=0):
    lower, upper = torch.full((3,), -5.0), torch.full((3,), 4.0)
    state = optimizer.init(torch.zeros(1, 3), lower, upper, seed=seed)
    for _ in range(generations):
        query = optimizer.ask(state)
        assert (query.x >= lower).all()
        assert (query.x <= upper).all()
        state = optimizer.tell(state, Evaluation(query.x, (query.x - 1.3).square().sum(1)))
    return state


@pytest.mark.parametrize("individual", ["list", "array", "numpy"])
@pytest.mark.parametrize("elite", [0, 1])
def test_toolbox_of_deaps_operators_runs(individual, elite):
    optimizer = GeneticAlgorithm(31, deap_toolbox(), individual=individual, elite=elite)
    state = run(optimizer)
    assert state.value.min() < 1e-1
    assert state.x.dtype == torch.float32
    assert run(optimizer).x.equal(state.x)
    assert not run(optimizer, seed=1).x.equal(state.x)


def test_toolbox_runs_on_the_users_own_class(made):
    seen = set()
    toolbox = deap_toolbox()

    def mutate(individual):
        seen.add(type(individual))
        return tools.mutGaussian(individual, 0.0, 0.3, 0.2)

    toolbox.register("mutate", mutate)
    assert run(GeneticAlgorithm(30, toolbox, individual=made)).value.min() < 1e-1
    assert seen == {made}


@pytest.mark.parametrize(
    ("individual", "kind"), [("list", list), ("array", array.array), ("numpy", np.ndarray)]
)
def test_operators_get_the_individuals_asked_for(individual, kind):
    def mutate(one):
        assert isinstance(one, kind)
        assert len(one) == 3
        return (one,)

    toolbox = deap_toolbox()
    toolbox.register("mutate", mutate)
    run(GeneticAlgorithm(6, toolbox, individual=individual), generations=3)


def test_children_are_those_that_deap_makes(made):
    x = torch.rand(9, 3, generator=generator(0), dtype=torch.float64)
    value = x.sum(1)
    toolbox = deap_toolbox()
    options = {"cxpb": 0.7, "mutpb": 0.4}
    ours = offspring_by_deap(toolbox, x, value, 8, individual="list", seed=42, **options)
    population = [made(row) for row in x.tolist()]
    for row, one in zip(population, value.tolist(), strict=True):
        row.fitness.values = (one,)
    random.seed(42)
    theirs = algorithms.varAnd(toolbox.select(population, 8), toolbox, **options)
    assert ours.tolist() == [list(row) for row in theirs]


@pytest.mark.parametrize("toolbox", [None, deap_toolbox()])
def test_global_random_state_stays_untouched(toolbox):
    before = global_generators_fingerprint()
    run(GeneticAlgorithm(10, toolbox), generations=5)
    assert global_generators_fingerprint() == before


def test_infinite_values_never_win_in_deap_either():
    optimizer = GeneticAlgorithm(100, deap_toolbox(), cxpb=0.0, mutpb=0.0, elite=0)
    x, bad = torch.zeros(100, 1), torch.arange(100) < 50
    x[bad] = 1.0
    state = optimizer.init(x, -torch.ones(1), torch.ones(1), seed=0)
    state = optimizer.tell(state, Evaluation(x, torch.where(bad, math.inf, 3.0)))
    assert optimizer.ask(state).x.mean() < 0.3  # 1/8 of them meet no other in their tournament


def test_mark_is_found_through_toolbox_partial_and_decorator():
    toolbox = default_toolbox()
    assert all(is_batched(getattr(toolbox, role)) for role in ("select", "mate", "mutate"))
    toolbox.register("again", toolbox.mutate, sigma=0.2)
    assert is_batched(toolbox.again)
    assert not any(is_batched(getattr(deap_toolbox(), role)) for role in ("select", "mate", "mutate"))


def test_operator_of_ones_own_can_be_batched():
    @batched
    def shift(population, by, *, chosen, generator):
        population += by

    toolbox = default_toolbox()
    toolbox.register("mutate", shift, by=0.25)
    toolbox.register("mate", operators.cxUniform, indpb=0.0)
    optimizer = GeneticAlgorithm(5, toolbox, elite=0)
    state = optimizer.init(torch.zeros(5, 2), -torch.ones(2), torch.ones(2), seed=0)
    state = optimizer.tell(state, Evaluation(state.x, torch.zeros(5)))
    assert (optimizer.ask(state).x == 0.25).all()


def test_mixed_toolbox_is_refused_by_naming_which_is_which():
    toolbox = default_toolbox()
    toolbox.register("mate", tools.cxTwoPoint)
    message = r"whole populations \(select, mutate\) and for single individuals \(mate\)"
    with pytest.raises(TypeError, match=message):
        GeneticAlgorithm(10, toolbox)


def test_missing_operators_are_named():
    toolbox = base.Toolbox()
    toolbox.register("select", operators.selBest)
    with pytest.raises(
        TypeError, match="the toolbox has no mate and no mutate; expected select, mate, mutate"
    ):
        GeneticAlgorithm(10, toolbox)


@pytest.mark.parametrize(
    ("role", "function", "options", "error", "message"),
    [
        ("select", operators.selTournament, {}, TypeError, "missing a required .*'tournsize'"),
        (
            "mate",
            operators.cxBlend,
            {"alfa": 0.5},
            TypeError,
            "toolbox.mate: .*register an operator with all",
        ),
        (
            "mutate",
            operators.mutGaussian,
            {"mu": 0.0, "sigma": torch.tensor([1.0, -1.0]), "indpb": 0.1},
            ValueError,
            "sigma",
        ),
        (
            "mate",
            operators.cxSimulatedBinaryBounded,
            {"eta": 1.0, "low": [0.0, -math.inf], "up": 1.0},
            ValueError,
            "low must be finite; where there is no bound take another operator",
        ),
        (
            "mate",
            operators.cxSimulatedBinaryBounded,
            {"eta": 1.0, "low": [0.0, 2.0], "up": 1.0},
            ValueError,
            "low must not be above up",
        ),
    ],
)
def test_batched_operators_are_checked_when_the_algorithm_is_made(role, function, options, error, message):
    toolbox = default_toolbox()
    toolbox.register(role, function, **options)
    with pytest.raises(error, match=message):
        GeneticAlgorithm(10, toolbox)


def test_individuals_that_maximize_are_refused():
    class Individual(list):
        fitness = type("FitnessMax", (base.Fitness,), {"weights": (1.0,)})

    with pytest.raises(
        ValueError, match=r"one negative weight, as hybridopt minimizes; got weights \(1.0,\)"
    ):
        GeneticAlgorithm(10, deap_toolbox(), individual=Individual)


def test_individuals_without_fitness_are_refused():
    with pytest.raises(ValueError, match="got weights None"):
        GeneticAlgorithm(10, deap_toolbox(), individual=list)


@pytest.mark.parametrize(
    ("mutant", "message"),
    [
        (lambda one: one[:-1], "expected .count, dim. = .9, 3."),
        (lambda one: ["a"] * 3, "not rows of numbers"),
        (lambda one: [math.nan] * 3, "NaN genes"),
    ],
)
def test_toolbox_that_breaks_rows_is_refused(mutant, message):
    def mutate(one):
        one[:] = mutant(one)
        return (one,)

    toolbox = deap_toolbox()
    toolbox.register("mutate", mutate)
    with pytest.raises(ValueError, match=message):
        run(GeneticAlgorithm(10, toolbox))


@pytest.mark.parametrize(
    ("role", "operator"),
    [
        ("mutate", lambda one: one),
        ("mutate", lambda one: None),
        ("mate", lambda one, two: one),
        ("mate", lambda one, two: None),
    ],
)
def test_an_operator_that_forgets_deaps_tuple_is_told_so(role, operator):
    toolbox = deap_toolbox()
    toolbox.register(role, operator)
    with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
        run(GeneticAlgorithm(10, toolbox))
    assert "DEAP's mutate returns a tuple (individual,)" in caught.value.__notes__[0]


def test_an_error_inside_an_operator_gets_no_such_note():
    def mutate(one):
        raise ValueError("mine")

    toolbox = deap_toolbox()
    toolbox.register("mutate", mutate)
    with pytest.raises(ValueError, match="mine") as caught:
        run(GeneticAlgorithm(10, toolbox))
    assert not hasattr(caught.value, "__notes__")
