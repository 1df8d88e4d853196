"""Schedules replayed into tables against the torch scheduler itself."""

import pickle

import pytest
import torch
from torch.optim import lr_scheduler

from hybridopt import TorchGradient
from hybridopt.core import Evaluation
from hybridopt.gradient import Replay

SCHEDULERS = [
    (lr_scheduler.StepLR, {"step_size": 7, "gamma": 0.3}),
    (lr_scheduler.CosineAnnealingLR, {"T_max": 20}),
    (lr_scheduler.ExponentialLR, {"gamma": 0.97}),
    (lr_scheduler.CyclicLR, {"base_lr": 0.001, "max_lr": 0.1, "step_size_up": 9}),
    (lr_scheduler.OneCycleLR, {"max_lr": 0.1, "total_steps": 60}),
    (lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 10}),
]


@pytest.mark.parametrize(("scheduler", "options"), SCHEDULERS)
def test_replayed_schedule_equals_torch_step_by_step(scheduler, options):
    base = {"lr": 0.05, "momentum": 0.9}
    leaf = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    peer = torch.optim.SGD([leaf], **base)
    live = scheduler(peer, **options)
    optimizer = TorchGradient(torch.optim.SGD, schedule=Replay(scheduler, **options), **base)
    free = torch.full((2,), torch.inf, dtype=torch.float64)
    state = optimizer.init(leaf.detach()[None].clone(), -free, free, seed=0)
    for _ in range(55):
        x = optimizer.ask(state).x
        grad = 2 * x - 1
        leaf.grad = grad[0].clone()
        peer.step()
        live.step()
        state = optimizer.tell(state, Evaluation(x, grad.sum(1), grad))
        assert torch.equal(optimizer.ask(state).x[0], leaf.detach())


def test_schedule_of_fixed_length_keeps_its_last_value_when_it_is_over():
    replay = Replay(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=10)
    last = replay.options_at(9, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9})
    assert replay.options_at(5000, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}) == last


def test_callable_schedule_sets_the_learning_rate_of_each_step():
    optimizer = TorchGradient(torch.optim.SGD, schedule=lambda step: 1.0 / (1 + step))
    free = torch.full((1,), torch.inf, dtype=torch.float64)
    state = optimizer.init(torch.zeros(1, 1, dtype=torch.float64), -free, free, seed=0)
    one = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(3):
        state = optimizer.tell(state, Evaluation(optimizer.ask(state).x, one[0], one))
    assert optimizer.ask(state).x.item() == pytest.approx(-(1 + 1 / 2 + 1 / 3))


def test_reduce_on_plateau_is_refused_and_a_condition_suggested():
    with pytest.raises(TypeError, match="use a condition instead"):
        Replay(lr_scheduler.ReduceLROnPlateau)


def test_an_instance_is_refused():
    with pytest.raises(TypeError, match="must be a class of torch.optim.lr_scheduler"):
        Replay("cosine")


def test_replay_survives_pickle():
    replay = pickle.loads(pickle.dumps(Replay(lr_scheduler.StepLR, step_size=3)))
    assert repr(replay) == "Replay(StepLR, step_size=3)"


@pytest.mark.parametrize("options", [{"stepsize": 3}, {}])
def test_an_option_that_is_unknown_or_missing_is_told_at_once(options):
    with pytest.raises(TypeError, match="StepLR: .*it takes step_size, gamma"):
        Replay(lr_scheduler.StepLR, **options)


def test_a_scheduler_that_does_not_go_with_the_optimizer_is_told_at_once():
    with pytest.raises(ValueError, match="does not go with Adagrad: .*momentum"):
        TorchGradient(
            torch.optim.Adagrad, schedule=Replay(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=9)
        )
