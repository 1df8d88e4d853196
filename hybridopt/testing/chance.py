"""Laws of chance: runs depend on their seed alone, and never repeat their numbers."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch

from hybridopt.conditions import Steps
from hybridopt.core import Optimizer, State
from hybridopt.hybrid.alternate import Alternate
from hybridopt.rng import global_generators, global_generators_fingerprint
from hybridopt.testing.compare import Snapshot, difference, snapshot
from hybridopt.testing.landscape import Rows, bowl, evaluator, flat
from hybridopt.testing.law import Case, law, require, require_same
from hybridopt.testing.walk import begin, fresh, history, start, walk

VISIT = 4  # steps of a phase
VISITS = 4


@law()
def same_seed_gives_the_same_run(optimizer: Optimizer[Any], case: Case) -> None:
    """Whatever state the global generators are in."""
    runs = []
    for elsewhere in (1, 2):
        with global_generators(elsewhere):
            runs.append(_run(optimizer, case, bowl(case), case.seed))
    for step, (got, expected) in enumerate(zip(*runs, strict=True)):
        require_same(
            difference(got, expected),
            f"step {step} of a second run with the same seed (and other global generators) is another one",
        )


@law()
def global_generators_are_left_alone(optimizer: Optimizer[Any], case: Case) -> None:
    """Python's, numpy's and torch's global generators are in the same state after a run."""
    with global_generators(case.seed):
        before = global_generators_fingerprint()
        _run(optimizer, case, bowl(case), case.seed)
        require(
            global_generators_fingerprint() == before,
            "a global generator (random, numpy.random or torch) was drawn from; expected generators of "
            "hybridopt.rng.generator alone, or code of others inside hybridopt.rng.global_generators",
        )


@law(lambda traits, case: traits.stochastic)
def another_seed_gives_another_run(optimizer: Optimizer[Any], case: Case) -> None:
    """On a bowl or where the function is flat, as `traits` declare it stochastic."""
    require(
        any(_first_difference(optimizer, case, rows) for rows in (bowl(case), flat)),
        f"seeds {case.seed} and {case.seed + 1} asked the same {case.steps} queries, on a bowl and where the "
        "function is flat; expected other ones, as `traits` declare stochastic",
    )


@law(lambda traits, case: not traits.stochastic)
def without_chance_the_seed_does_not_matter(optimizer: Optimizer[Any], case: Case) -> None:
    """Given all its rows, another seed gives the same run, as `traits` do not declare it stochastic."""
    require_same(
        _first_difference(optimizer, case, bowl(case)),
        f"seeds {case.seed} and {case.seed + 1} gave different runs, though `traits` are not stochastic",
    )


@law(lambda traits, case: traits.stochastic)
def a_phase_entered_twice_does_not_repeat_its_numbers(optimizer: Optimizer[Any], case: Case) -> None:
    """Neither where it is a phase itself, nor where it has phases."""
    visits = [_visits(optimizer, case, rows) for rows in (bowl(case), flat)]
    for one, other in itertools.combinations(range(VISITS), 2):
        require(
            any(difference(by_turn[one], by_turn[other]) for by_turn in visits),
            f"alternating with itself and beginning at the same rows, visits {one} and {other} asked the "
            "same queries; expected others: draw from hybridopt.rng.generator(state.seed, ..., state.step)",
        )
    seeds = _seeds_by_phase(optimizer, case)
    for one, other in itertools.combinations(range(len(seeds)), 2):
        if other - one > 1:  # the first state of a phase is made in the last tell of the one before
            require(
                not seeds[one] & seeds[other],
                f"phases {one} and {other} of its own drew from generators of the same seed; expected "
                "hybridopt.rng.child_seed(seed, place, visit)",
            )


def _run(optimizer: Optimizer[Any], case: Case, rows: Rows, seed: int) -> list[Snapshot]:
    optimizer = fresh(optimizer)
    return history(optimizer, begin(optimizer, case, seed=seed), evaluator(rows, case), case.steps)


def _first_difference(optimizer: Optimizer[Any], case: Case, rows: Rows) -> str | None:
    """Between the queries of two seeds."""
    asked = []
    for seed in (case.seed, case.seed + 1):
        running = fresh(optimizer)
        state = begin(running, case, seed=seed)
        steps = walk(running, state, evaluator(rows, case), case.steps)
        asked.append(snapshot([step.query for step in steps], "query"))
    return difference(asked[1], asked[0])


def _visits(optimizer: Optimizer[Any], case: Case, rows: Rows) -> list[Snapshot]:
    """What the optimizer asks at each visit, always from the same rows."""
    x = start(optimizer, case)

    def back_to_the_start(source: Optimizer[Any], state: State, target: Optimizer[Any], seed: int) -> State:
        begun: State = target.init(x, state.lower, state.upper, seed=seed)
        return begun

    phase = fresh(optimizer)
    twice = Alternate([phase, phase], Steps(VISIT), back_to_the_start)
    steps = walk(twice, begin(twice, case, x=x), evaluator(rows, case), VISIT * VISITS)
    points = [step.query.x for step in steps]
    return [snapshot(points[VISIT * turn :][:VISIT], "query.x") for turn in range(VISITS)]


def _seeds_by_phase(optimizer: Optimizer[Any], case: Case) -> list[set[int]]:
    """Seeds of the torch generators made in each phase, as `state.phase` tells them apart."""
    optimizer = fresh(optimizer)
    with _recorded_seeds() as seeds:
        state = begin(optimizer, case)
        phases, phase = [set(seeds)], state.phase
        for step in walk(optimizer, state, evaluator(bowl(case), case), 2 * case.steps):
            if step.before.phase != phase:
                phases.append(set())
                phase = step.before.phase
            phases[-1] |= set(seeds)
            seeds.clear()
    return phases


@contextlib.contextmanager
def _recorded_seeds() -> Iterator[list[int]]:
    seeds: list[int] = []

    class Recording(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            seeds.append(seed)
            return super().manual_seed(seed)

    with mock.patch.object(torch, "Generator", Recording):
        yield seeds
