"""Gradient noise and perturbed descent at a strict saddle, where plain descent stands still."""

import itertools

import pytest
import torch

import hybridopt
from hybridopt import GeneticAlgorithm, GradientNoise, PerturbedDescent, TorchGradient
from hybridopt.conditions import Trace
from hybridopt.core import Evaluation
from hybridopt.evaluate import Evaluator
from hybridopt.loop import begin, iterate
from hybridopt.objectives.function import TorchObjective

SEEDS = range(20)


def saddle(x):
    return x[..., 0] ** 2 - x[..., 1] ** 2 + x[..., 1] ** 4 / 4


def solved(method, seed):
    run = {"x0": [0.0, 0.0], "method": method, "max_evals": 4000, "seed": seed, "vectorized": True}
    return hybridopt.minimize(saddle, target=-0.99, **run).success


def test_plain_descent_never_leaves_the_saddle():
    descent = TorchGradient(torch.optim.SGD, lr=0.05)
    free = torch.full((2,), torch.inf, dtype=torch.float64)
    evaluate = Evaluator(TorchObjective(saddle, (), True, None), -free, free)
    state = descent.init(torch.zeros(1, 2, dtype=torch.float64), -free, free, seed=0)
    last = list(itertools.islice(iterate(descent, evaluate, begin(state, Trace())), 1000))[-1]
    assert last.state.x.tolist() == [[0.0, 0.0]]


FAST = TorchGradient(torch.optim.SGD, lr=0.05)


@pytest.mark.parametrize("method", [GradientNoise(FAST), PerturbedDescent(FAST)])
def test_noise_leaves_the_saddle_on_every_seed(method):
    assert all(solved(method, seed) for seed in SEEDS)


def test_noise_has_the_variance_of_the_paper():
    method = GradientNoise(TorchGradient(torch.optim.SGD, lr=1.0), eta=0.3, gamma=0.55)
    free = torch.full((1000,), torch.inf, dtype=torch.float64)
    state = method.init(torch.zeros(100, 1000, dtype=torch.float64), -free, free, seed=3)
    zeros = torch.zeros(100, 1000, dtype=torch.float64)
    for step in range(4):
        before = method.ask(state).x
        state = method.tell(state, Evaluation(before, zeros[:, 0], zeros))
        moved = method.ask(state).x - before
        assert float(moved.var()) == pytest.approx(0.3 / (1 + step) ** 0.55, rel=0.02)


def test_perturbations_are_uniform_in_the_ball_and_wait_their_turn():
    method = PerturbedDescent(TorchGradient(torch.optim.SGD, lr=0.01), radius=2.0, every=3)
    free = torch.full((2,), torch.inf, dtype=torch.float64)
    state = method.init(torch.zeros(5000, 2, dtype=torch.float64), -free, free, seed=1)
    zeros = torch.zeros(5000, 2, dtype=torch.float64)
    lengths = []
    for _ in range(6):
        before = method.ask(state).x
        state = method.tell(state, Evaluation(before, zeros[:, 0], zeros))
        lengths.append((method.ask(state).x - before).norm(dim=1))
    assert [bool((length > 0).all()) for length in lengths] == [True, False, False, True, False, False]
    assert float(lengths[0].max()) <= 2.0
    assert float((lengths[0] < 2.0 * 0.5**0.5).double().mean()) == pytest.approx(
        0.5, abs=0.03
    )  # half the area


@pytest.mark.parametrize("method", [GradientNoise, PerturbedDescent])
@pytest.mark.parametrize("inner", [GeneticAlgorithm(), "sgd", torch.optim.SGD, TorchGradient])
def test_only_gradient_methods_can_be_inside(method, inner):
    with pytest.raises(TypeError, match="inner must be a TorchGradient, got"):
        method(inner)


@pytest.mark.parametrize("options", [{"eta": 0.0}, {"gamma": -1.0}])
def test_noise_refuses_what_is_not_positive(options):
    with pytest.raises(ValueError, match="must be positive"):
        GradientNoise(**options)


@pytest.mark.parametrize("options", [{"threshold": 0.0}, {"radius": -1.0}, {"every": 0}])
def test_perturbation_refuses_what_is_not_positive(options):
    with pytest.raises(ValueError, match="must be (positive|at least 1)"):
        PerturbedDescent(**options)
