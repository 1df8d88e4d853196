import gc
import math
import random
import weakref

import numpy as np
import pytest
import torch
from hybrid_tasks import BASES, EAGER, REJECTS, quadratic, until_due
from torch import nn

from hybridopt.conditions import Steps
from hybridopt.optim import Escape, Hybrid
from hybridopt.rng import global_generators_fingerprint


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_children_see_the_same_data_and_the_same_random_numbers():
    x, seen = nn.Parameter(torch.ones(3)), []
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.0, escape=REJECTS)

    def closure():
        seen.append((torch.rand(2).tolist(), random.random(), np.random.rand()))  # noqa: NPY002
        optimizer.zero_grad()
        loss = x.square().sum()
        loss.backward()
        return loss

    until_due(optimizer, closure)
    steps = len(seen)
    optimizer.step(closure)
    race = seen[steps:]
    assert len(race) == 1 + 3 + 6 + 1  # the gradient, products, children, the parent
    assert race == race[:1] * 11
    assert race[0] not in seen[:steps]


def test_gradients_accumulated_outside_are_the_same_tensors_after_an_escape():
    x = nn.Parameter(torch.ones(3))
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.0, escape=REJECTS)

    def accumulate():
        loss = x.square().sum()
        loss.backward()
        return loss

    until_due(optimizer, accumulate)
    before, grad = x.grad.clone(), x.grad
    optimizer.step(accumulate)
    assert optimizer.escaping
    assert x.grad is grad
    assert torch.equal(x.grad, before + 2)


def test_torch_manual_seed_alone_repeats_a_run_without_being_drawn_from():
    def final(seed):
        torch.manual_seed(seed)
        before = global_generators_fingerprint()
        x = nn.Parameter(torch.zeros(5))
        optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.0, escape=EAGER)
        for _ in range(10):
            optimizer.step(quadratic(x, optimizer))
        assert global_generators_fingerprint() == before
        assert torch.initial_seed() == seed
        assert any(attempt.accepted for attempt in optimizer.history)
        return x.detach()

    assert torch.equal(final(1), final(1))
    assert not torch.equal(final(1), final(2))


def test_changing_the_returned_loss_in_place_is_not_felt():
    x = nn.Parameter(torch.ones(3))
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.0)
    optimizer.step(quadratic(x, optimizer)).detach().add_(100.0)
    assert optimizer.state_dict()["hybrid"]["fields"]["pending"] == (0.0,)


def test_closures_are_not_kept():
    x = nn.Parameter(torch.zeros(3))
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.1, escape=EAGER)
    kept = []
    for _ in range(10):
        closure = quadratic(x, optimizer)
        optimizer.step(closure)
        kept.append(weakref.ref(closure))
        del closure
    assert optimizer.history
    assert [reference() for reference in kept] == [None] * 10


@pytest.mark.parametrize("seed", range(4))
def test_a_gain_within_the_noise_of_the_losses_is_not_taken(seed):
    torch.manual_seed(seed)
    x = nn.Parameter(torch.zeros(3))
    escape = Escape(when=Steps(1), every=5, margin=0.0, share=math.inf)
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.0, escape=escape)

    def closure():
        loss = (x * torch.randn(3)).sum()
        x.grad = torch.zeros(3)
        return loss

    for _ in range(1000):
        optimizer.step(closure)
    assert max(attempt.gain for attempt in optimizer.history) > 0
    assert not any(attempt.accepted for attempt in optimizer.history)


def test_a_differentiable_base_never_escapes(caplog):
    x = torch.zeros(3)
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.0, differentiable=True, escape=EAGER)

    def closure():
        x.grad = torch.zeros(3)
        return 1.0

    for _ in range(20):
        optimizer.step(closure)
    assert optimizer.history == ()
    assert caplog.text.count("differentiable") == 1


def test_frozen_unused_empty_and_excluded_parameters_are_not_mutated():
    x, other = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(2))
    unused, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2), requires_grad=False)
    empty = nn.Parameter(torch.ones(0, 3))
    groups = [{"params": [x, unused, frozen, empty]}, {"params": [other], "evolve": False}]
    optimizer = Hybrid(groups, base=torch.optim.SGD, lr=0.0, escape=EAGER)

    def closure():
        optimizer.zero_grad()
        loss = (x - 1).square().sum() + (frozen * other).square().sum() + empty.sum()
        loss.backward()
        return loss

    for _ in range(10):
        optimizer.step(closure)
    assert any(attempt.accepted for attempt in optimizer.history)
    assert x.abs().min() > 0
    assert all(torch.equal(fixed, torch.ones(2)) for fixed in (other, unused, frozen))


def test_tied_parameters_stay_tied():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    model, x = nn.Sequential(first, nn.Tanh(), second), torch.randn(8, 3)
    optimizer = Hybrid(model.parameters(), base=torch.optim.SGD, lr=0.01, escape=EAGER)

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - 1).square().mean()
        loss.backward()
        return loss

    for _ in range(10):
        optimizer.step(closure)
    assert any(attempt.accepted for attempt in optimizer.history)
    assert first.weight is second.weight


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_dtypes_are_kept_through_accepted_escapes(dtype):
    x = nn.Parameter(torch.zeros(4, 3, dtype=dtype).t())  # not contiguous
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.01, escape=EAGER)
    losses = [float(optimizer.step(quadratic(x, optimizer)).detach()) for _ in range(20)]
    assert x.dtype == dtype
    assert any(attempt.accepted for attempt in optimizer.history)
    assert losses[-1] < losses[0]


def test_what_is_maximised_escapes_upwards():
    x = nn.Parameter(torch.zeros(3))
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.01, maximize=True, escape=EAGER)

    def closure():
        optimizer.zero_grad()
        value = -(x - 1).square().sum()
        value.backward()
        return value

    values = [float(optimizer.step(closure).detach()) for _ in range(20)]
    assert any(attempt.accepted for attempt in optimizer.history)
    assert all(attempt.gain > 0 for attempt in optimizer.history if attempt.accepted)
    assert values[-1] > values[0]


def test_a_group_can_be_added_between_escapes():
    x, late = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2))
    optimizer = Hybrid([x], base=torch.optim.Adam, lr=0.0, escape=EAGER)
    for step in range(30):
        if step == 5:
            optimizer.add_param_group({"params": (p for p in [late]), "lr": 0.1})
        target = x if step < 5 else torch.cat([x, late])
        optimizer.step(quadratic(target, optimizer))
        assert optimizer.param_groups[-1]["lr"] == (0.0 if step < 5 else 0.1)
    assert late.abs().min() > 0


def test_a_nan_loss_neither_wins_nor_hides_a_finite_child():
    x = nn.Parameter(torch.full((2,), -0.01))
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.0, escape=EAGER)

    def closure():
        x.grad = torch.zeros(2)
        return x.sqrt().sum()  # NaN below zero

    for _ in range(200):
        optimizer.step(closure)
    assert any(attempt.accepted for attempt in optimizer.history)
    assert (x > 0).all()


def test_after_an_accepted_escape_the_base_goes_on_with_its_state():
    for name in BASES.keys() - {"SparseAdam", "Muon", "LBFGS"}:
        x, steps = nn.Parameter(torch.zeros(3, 3)), 0
        optimizer = Hybrid([x], base=getattr(torch.optim, name), lr=1e-9, escape=EAGER)
        while not any(attempt.accepted for attempt in optimizer.history):
            optimizer.step(quadratic(x, optimizer))
            steps += 1
        assert optimizer.state[x].get("step", steps) == steps, name


def test_differences_of_gradients_on_the_parents_way_are_not_handed_on():
    x = nn.Parameter(torch.zeros(3, 3))
    optimizer = Hybrid([x], base=torch.optim.LBFGS, lr=1e-9, escape=EAGER)
    while not any(attempt.accepted and attempt.child != "leap" for attempt in optimizer.history[-1:]):
        optimizer.step(quadratic(x, optimizer))
    assert optimizer.state[x]["n_iter"] <= optimizer.history[-1].calls


def test_a_condition_that_does_not_read_gradients_leaves_them_alone():
    x = nn.Parameter(torch.zeros(3))
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.1)
    for _ in range(5):
        optimizer.step(quadratic(x, optimizer))
    assert optimizer.state_dict()["hybrid"]["fields"]["trace"]["fields"]["grad_norm"] == ()


class Counting(torch.optim.SGD):
    """A base that keeps a number of its own in its groups, as some outside of torch do."""

    def step(self, closure=None):
        loss = super().step(closure)
        for group in self.param_groups:
            group["k"] = group.get("k", 0) + 1
            group["lr"] = 0.1 / group["k"]
        return loss


@pytest.mark.parametrize("escape", [REJECTS, EAGER])
def test_options_that_the_base_changes_are_each_runner_s_own(escape):
    x, alone = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    optimizer = Hybrid([x], base=Counting, lr=0.1, escape=escape)
    base = Counting([alone], lr=0.1)
    for step in range(20):
        optimizer.step(quadratic(x, optimizer))
        base.step(quadratic(alone, base))
        if not any(attempt.accepted for attempt in optimizer.history):
            assert torch.equal(x, alone)
            assert optimizer.param_groups[0]["k"] == step + 1
    assert optimizer.history
    assert optimizer.param_groups[0]["k"] <= 20


def test_no_copy_of_the_parameters_is_kept_outside_of_escapes():
    model = nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.Linear(32, 1))
    data = torch.randn(16, 32)
    optimizer = Hybrid(model.parameters(), base=torch.optim.SGD, lr=0.01, escape=REJECTS)

    def closure():
        optimizer.zero_grad()
        loss = model(data).square().mean()
        loss.backward()
        return loss

    while len(optimizer.history) < 2 or optimizer.escaping:
        optimizer.step(closure)
    model.zero_grad()
    gc.collect()
    held = [thing for thing in gc.get_referents(*gc.get_referents(vars(optimizer))) if torch.is_tensor(thing)]
    known = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    assert all(id(tensor) in known for tensor in held)
    assert optimizer._escape.memory.race is None
