"""Alternate: hand-overs, nesting, and what it reaches that neither part reaches alone."""

import pytest
import torch

import hybridopt
from hybridopt import Alternate, GeneticAlgorithm, TorchGradient
from hybridopt.conditions import AllOf, AnyOf, SmallGradient, Stalled, Steps, Trace
from hybridopt.core import Evaluation
from hybridopt.evaluate import Evaluator
from hybridopt.loop import begin, iterate
from hybridopt.objectives.function import TorchObjective
from hybridopt.problems import make
from hybridopt.rng import generator

SEEDS = range(20)


def descent(rows):
    return TorchGradient(torch.optim.Rprop, lr=0.02, step_sizes=(1e-12, 50.0), population_size=rows)


def reaches(problem, tolerance, method, budget, seed):
    """Whether it comes so near to the known minimum within the budget; `minimize` would leave saddles."""
    evaluate = Evaluator(TorchObjective(problem.fun, (), True, None), problem.lower, problem.upper)
    width = problem.upper - problem.lower
    uniform = torch.rand(problem.dim, generator=generator(seed, "start"), dtype=torch.float64)
    start = problem.lower + width * uniform if problem.start is None else problem.start
    state = method.init(start[None], problem.lower, problem.upper, seed=seed)
    for progress in iterate(method, evaluate, begin(state, Trace.for_conditions())):
        if progress.best_value <= problem.value + tolerance:
            return True
        if progress.ledger.cost + method.ask(progress.state).cost > budget:
            return False
    raise AssertionError


def count_within(tolerance, name, method, budget, **options):
    return sum(reaches(make(name, seed=seed, **options), tolerance, method, budget, seed) for seed in SEEDS)


@pytest.mark.slow
def test_rastrigin_in_ten_dimensions_is_solved_by_alternation_and_by_neither_part():
    evolution = GeneticAlgorithm(population_size=50)
    roughly_down = AllOf(Steps(25), Stalled(4, rtol=0.01))
    both = Alternate([evolution, descent(50)], switch=[Steps(2), roughly_down])
    reached = [count_within(1e-6, "rastrigin", m, 70_000, dim=10) for m in (evolution, descent(500), both)]
    assert reached[:2] == [0, 0]
    assert reached[2] >= 18, reached


@pytest.mark.slow
def test_strict_saddle_is_left_and_its_minimum_found_to_1e_12_by_alternation_and_by_neither_part():
    arrived = AnyOf(SmallGradient(1e-9), Stalled(40))
    evolution = GeneticAlgorithm(population_size=20)
    both = Alternate([descent(1), evolution], switch=[arrived, Steps(5)])
    reached = [count_within(1e-12, "strict_saddle", m, 600, dim=2) for m in (evolution, descent(1), both)]
    assert reached == [0, 0, 20]


def box(dim):
    upper = torch.full((dim,), 3.0, dtype=torch.float64)
    return -upper, upper


def evaluated(query):
    value = (query.x - 1).square().sum(1)
    return Evaluation(query.x, value, 2 * (query.x - 1) if query.order else None)


def run(optimizer, steps, seed=0):
    """States of a run on a parabola, the first one included."""
    states = [optimizer.init(torch.zeros(1, 2, dtype=torch.float64), *box(2), seed=seed)]
    for _ in range(steps):
        states.append(optimizer.tell(states[-1], evaluated(optimizer.ask(states[-1]))))
    return states


def test_the_next_phase_begins_at_the_best_rows_of_the_one_before():
    states = run(Alternate([GeneticAlgorithm(population_size=9), descent(3)], switch=Steps(2)), 2)
    before = run(GeneticAlgorithm(population_size=9), 0)
    assert len(before[0].x) == 9
    phases = [state.phase for state in states]
    assert phases == ["0:GeneticAlgorithm", "0:GeneticAlgorithm", "1:TorchGradient"]
    assert len(states[-1].x) == 3
    distance = (states[-1].x - 1).norm(dim=1)
    assert torch.equal(distance, distance.sort().values)


def test_phases_nest_and_the_ledger_names_them():
    inner = Alternate([GeneticAlgorithm(population_size=4), descent(2)], switch=Steps(1))
    result = hybridopt.minimize(
        lambda x: (x**2).sum(), bounds=[(-1, 2)] * 2, method=Alternate([inner, descent(1)], switch=Steps(2)),
        max_evals=60, seed=0,
    )  # fmt: skip
    named = {"0:Alternate/0:GeneticAlgorithm", "0:Alternate/1:TorchGradient", "1:TorchGradient"}
    assert named <= set(result.ledger.phases)
    assert sum(result.ledger.phases.values()) == result.ledger.cost == 60


def test_a_phase_entered_twice_draws_other_numbers():
    states = run(Alternate([GeneticAlgorithm(population_size=5), descent(1)], Steps(1)), 4)
    fillings = [state.x[1:] for state in states if state.phase == "0:GeneticAlgorithm"]
    assert len(fillings) == 3
    assert not any(torch.equal(a, b) for i, a in enumerate(fillings) for b in fillings[:i])


def test_handover_of_ones_own_sees_both_optimizers_and_a_seed():
    seen = []

    def keep_two(source, state, target, seed):
        seen.append((type(source).__name__, type(target).__name__, seed))
        return target.init(state.x[:2], state.lower, state.upper, seed=seed)

    phases = [GeneticAlgorithm(population_size=5), TorchGradient(torch.optim.SGD, lr=0.1)]
    states = run(Alternate(phases, Steps(1), keep_two), 1)
    assert len(states[-1].x) == 2
    assert seen[0][:2] == ("GeneticAlgorithm", "TorchGradient")


def test_phases_that_ask_for_all_data_or_repeat_a_sample_get_them():
    class Repeats(TorchGradient):
        def ask(self, state):
            return super().ask(state)._replace(sample=-1 if state.step == 0 else state.step // 2)

    states = run(Alternate([Repeats(torch.optim.SGD, lr=0.1)] * 2, Steps(4)), 7)
    alternate = Alternate([Repeats(torch.optim.SGD, lr=0.1)] * 2, Steps(4))
    assert [alternate.ask(state).sample for state in states] == [-1, 0, 1, 1, -1, 4, 5, 5]


@pytest.mark.parametrize(
    ("phases", "switch", "error", "message"),
    [
        ([GeneticAlgorithm()], Steps(1), ValueError, "two or more"),
        ([GeneticAlgorithm(), "adam"], Steps(1), TypeError, "must be optimizers"),
        ([GeneticAlgorithm, descent(1)], Steps(1), TypeError, "must be optimizers"),
        ([GeneticAlgorithm(), descent(1)], [Steps(1)], ValueError, "one condition or 2"),
        ([GeneticAlgorithm(), descent(1)], 30, TypeError, "must be a condition"),
        ([GeneticAlgorithm(), descent(1)], "stalled", TypeError, "must be a condition .* got 'stalled'"),
        ([GeneticAlgorithm(), descent(1)], Stalled, TypeError, "must be a condition .* got <class"),
        (GeneticAlgorithm(), Steps(1), TypeError, "phases must be a sequence of optimizers"),
    ],
)
def test_wrong_arguments_say_what_was_expected(phases, switch, error, message):
    with pytest.raises(error, match=message):
        Alternate(phases, switch)


def test_a_handover_that_can_not_be_called_is_refused():
    with pytest.raises(TypeError, match="handover must be a callable .* got 'x'"):
        Alternate([GeneticAlgorithm(), descent(1)], Steps(1), handover="x")
