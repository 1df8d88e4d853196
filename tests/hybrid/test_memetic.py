"""Children that learn before they are selected, and what of it they inherit."""

import pytest
import torch

import hybridopt
from hybridopt import GeneticAlgorithm, MemeticGenetic, problems
from hybridopt.core import Evaluation, Query, best_rows

LOWER, UPPER = -4.0 * torch.ones(3, dtype=torch.float64), 3.0 * torch.ones(3, dtype=torch.float64)
SEEDS = range(20)


def bowl(query):
    """A bowl around 1, not separable, with its gradient."""
    z = query.x - 1
    value = z.square().sum(1) + 10 * z.sum(1).square()
    return Evaluation(query.x, value, 2 * z + 20 * z.sum(1, keepdim=True))


def generations(method, count, seed=0):
    """States at the start of each of the next generations, and all states before them."""
    state = method.init(LOWER[None] / 2, LOWER, UPPER, seed=seed)
    states = [state]
    while state.generation < count:
        state = method.tell(state, bowl(method.ask(state)))
        states.append(state)
    return [state for state in states if not state.searching], states


def test_lamarckian_genomes_are_what_was_learnt():
    starts, _ = generations(MemeticGenetic(GeneticAlgorithm(6), local_steps=3), 1)
    genetic = starts[1].genetic
    assert torch.equal(genetic.value, bowl(genetic).value)
    assert (genetic.value < bowl(starts[0].genetic).value).all()


def test_baldwinian_genomes_stay_and_have_the_value_of_what_was_learnt():
    starts, _ = generations(MemeticGenetic(GeneticAlgorithm(6), lamarck=0.0, local_steps=3), 1)
    genetic = starts[1].genetic
    assert torch.equal(genetic.x, starts[0].genomes)
    assert (genetic.value < bowl(genetic).value).all()


def test_the_dial_is_the_share_of_genomes_written_back():
    method = MemeticGenetic(GeneticAlgorithm(2000), lamarck=0.3, local_steps=2)
    starts, _ = generations(method, 1)
    written = (starts[1].genetic.x != starts[0].genomes).any(1)
    assert 0.26 < float(written.double().mean()) < 0.34


def test_rows_that_are_not_the_best_learn_for_so_many_trials():
    method = MemeticGenetic(GeneticAlgorithm(6), local_steps=3)
    state = method.init(LOWER[None] / 2, LOWER, UPPER, seed=0)
    asked = []
    while state.generation == 0:
        query = method.ask(state)
        asked.append(len(query.x))
        state = method.tell(state, bowl(query))
    assert asked[:3] == [6, 6, 6]
    assert set(asked[3:]) == {1}


@pytest.mark.parametrize("lamarck", [0.0, 0.5, 1.0])
def test_rows_offer_the_best_point_at_every_step(lamarck):
    method = MemeticGenetic(GeneticAlgorithm(6, elite=0), lamarck=lamarck, local_steps=2)
    state = method.init(LOWER[None] / 2, LOWER, UPPER, seed=1)
    best = torch.inf
    for _ in range(40):
        evaluation = bowl(method.ask(state))
        state = method.tell(state, evaluation)
        best = min(best, float(evaluation.value.min()))
        assert float(state.value.min()) == best
        assert float(bowl(Query(best_rows(state))).value[0]) == best


def test_one_trial_without_more_is_the_genetic_algorithm_itself():
    """Rows that only look at themselves, all Baldwinian: the same generations, but for the best row."""
    inner = GeneticAlgorithm(8)
    method = MemeticGenetic(inner, lamarck=0.0, local_steps=1)
    state = method.init(LOWER[None] / 2, LOWER, UPPER, seed=0)
    plain = inner.init(LOWER[None] / 2, LOWER, UPPER, seed=state.genetic.seed)
    assert torch.equal(method.ask(state).x, inner.ask(plain).x)
    first = bowl(method.ask(state))
    while state.generation == 0:
        state = method.tell(state, bowl(method.ask(state)))
    others = torch.arange(8) != first.value.argmin()
    assert torch.equal(state.genetic.x, first.x)
    assert torch.equal(state.genetic.value[others], first.value[others])


def test_a_generation_scattered_by_the_search_has_its_new_places_as_genomes():
    """Nothing is finite where the first generation starts, and everything is where it is scattered to."""
    method = MemeticGenetic(GeneticAlgorithm(4), lamarck=0.0, local_steps=3)
    state = method.init(LOWER[None] / 2, LOWER, UPPER, seed=0)
    asked = method.ask(state)
    bad = torch.full((4,), torch.inf, dtype=torch.float64)
    state = method.tell(state, Evaluation(asked.x, bad, torch.full_like(asked.x, torch.nan)))
    scattered = method.ask(state).x
    assert not torch.equal(scattered, asked.x)
    while state.generation == 0:
        state = method.tell(state, bowl(method.ask(state)))
    assert torch.equal(state.genetic.x, scattered)


def gap(method, seed, max_evals):
    problem = problems.make("bbob_f3", dim=2, seed=seed)
    found = hybridopt.minimize(
        problem.fun,
        bounds=problem.bounds,
        vectorized=True,
        method=method,
        max_evals=max_evals,
        target=problem.value + 1e-6,
        seed=seed,
    )
    return found.fun - problem.value


def test_of_20_runs_on_rastrigin_learning_solves_more_than_evolution_alone():
    learnt = sum(gap(MemeticGenetic(), seed, 4000) <= 1e-6 for seed in SEEDS)
    alone = sum(gap(GeneticAlgorithm(20, sigma=0.1), seed, 4000) <= 1e-6 for seed in SEEDS)
    assert learnt >= 15, learnt
    assert learnt >= alone + 10, (learnt, alone)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"genetic": "genetic"}, TypeError, "genetic must be a GeneticAlgorithm"),
        ({"genetic": GeneticAlgorithm}, TypeError, "genetic must be a GeneticAlgorithm"),
        ({"lamarck": 1.5}, ValueError, "lamarck must be at least 0 and at most 1"),
        ({"local_steps": 0}, ValueError, "local_steps must be at least 1"),
        ({"ftol": -1}, ValueError, "ftol must be at least 0"),
    ],
)
def test_wrong_options_say_what_was_expected(options, error, message):
    with pytest.raises(error, match=message):
        MemeticGenetic(**options)
