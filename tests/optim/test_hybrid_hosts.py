"""What `Hybrid` must not disturb, nor be disturbed by: others' objects, models that write, bad states."""

import gc
import threading

import pytest
import torch
from hybrid_tasks import EAGER, REJECTS, plain_closure, regression
from torch import nn

from hybridopt.optim import Hybrid


def test_a_hessian_of_zeros_stops_nobody():
    """Dead units: the gradient is zero all around."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(3, 8), nn.ReLU()), torch.rand(20, 3)
    nn.init.constant_(model[0].bias, -100.0)
    optimizer = Hybrid(model.parameters(), base=torch.optim.Adam, escape=REJECTS)
    closure = plain_closure(model, optimizer, x, 1.0)
    for _ in range(20):
        optimizer.step(closure)
    assert optimizer.history


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_race_that_is_loaded_in_another_precision_ends(dtype):
    model, optimizer, closure = regression(lambda model: Hybrid(model.parameters(), escape=REJECTS))
    while not optimizer.escaping:
        optimizer.step(closure)
    other = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype)
    other.load_state_dict(model.state_dict())
    resumed = Hybrid(other.parameters(), escape=REJECTS)
    resumed.load_state_dict(optimizer.state_dict())
    x = torch.ones(5, 4, dtype=dtype)
    loss = plain_closure(other, resumed, x, 0.0)
    tried = len(resumed.history)
    resumed.step(loss)
    assert len(resumed.history) == tried + 1
    for _ in range(20):
        resumed.step(loss)


class Tag:
    """Something that doesn't say when two are equal."""


@pytest.mark.parametrize("thing", [Tag(), threading.Lock(), object()], ids=["object", "lock", "bare"])
def test_what_others_hang_on_an_optimizer_is_still_theirs_after_an_escape(thing):
    _, optimizer, closure = regression(
        lambda model: Hybrid([{"params": model.parameters(), "tag": thing}], escape=EAGER)
    )
    optimizer.thing = thing
    optimizer.scheduler = scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    state = optimizer.state
    while not any(attempt.accepted for attempt in optimizer.history):
        optimizer.step(closure)
    assert optimizer.thing is thing
    assert optimizer.param_groups[0]["tag"] is thing
    assert optimizer.scheduler is scheduler
    assert scheduler.optimizer is optimizer
    assert optimizer.state is state


class Average:
    """What a base may keep."""

    def __init__(self):
        self.seen = 0


class Averaging(torch.optim.SGD):
    """Keeps an object of its own, which it writes to in each step."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.average = Average()

    def step(self, closure=None):
        self.average.seen += 1
        return super().step(closure)


def test_an_object_that_a_base_writes_to_is_its_parent_s_own():
    _, optimizer, closure = regression(
        lambda model: Hybrid(model.parameters(), base=Averaging, lr=0.01, escape=REJECTS)
    )
    average = optimizer.average
    for step in range(1, 20):
        optimizer.step(closure)
        assert optimizer.average is average
        assert average.seen == step
    assert optimizer.history


def test_modules_that_call_something_else_parameters_are_let_alone():
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.parameters = {"depth": 3}

    other = Other()
    _, optimizer, closure = regression(lambda model: Hybrid(model.parameters(), escape=REJECTS))
    for _ in range(10):
        optimizer.step(closure)
    assert optimizer.history
    assert other.parameters == {"depth": 3}


def test_maximize_that_is_set_later_is_what_counts():
    weight = nn.Parameter(torch.zeros(2))
    optimizer = Hybrid([weight], base=torch.optim.SGD, lr=1e-3, escape=EAGER)
    optimizer.param_groups[0]["maximize"] = True

    def closure():
        optimizer.zero_grad()
        gain = -(weight - 1).square().sum()
        gain.backward()
        return gain

    for _ in range(60):
        optimizer.step(closure)
    assert any(attempt.accepted for attempt in optimizer.history)
    assert closure() > -1.6  # of the base alone


@pytest.mark.parametrize("wrong", ["x", 5, {}, None, "mixed"])
def test_a_state_dict_that_is_refused_changes_nothing(wrong):
    def groups():
        return [{"params": [nn.Parameter(torch.ones(2))]} for _ in range(2)]

    saved = Hybrid(groups(), base=torch.optim.SGD, lr=0.5).state_dict()
    if wrong == "mixed":
        saved["param_groups"][1]["maximize"] = True
    else:
        saved["hybrid"] = wrong
    optimizer = Hybrid(groups(), base=torch.optim.SGD, lr=0.1)
    with pytest.raises(ValueError, match="maximize" if wrong == "mixed" else "'hybrid' in this state_dict"):
        optimizer.load_state_dict(saved)
    assert [(group["lr"], group["maximize"]) for group in optimizer.param_groups] == [(0.1, False)] * 2


class Momentum(nn.Module):
    """A frozen encoder that follows a trained one, when it is run; and a list that grows."""

    def __init__(self):
        super().__init__()
        self.query, self.head = nn.Linear(4, 8), nn.Linear(8, 1)
        self.key = nn.Linear(4, 8).requires_grad_(False)
        self.register_buffer("seen", torch.zeros(0))

    def forward(self, x):
        with torch.no_grad():
            for own, others in zip(self.key.parameters(), self.query.parameters(), strict=True):
                own.lerp_(others, 0.1)
            self.seen.resize_(len(self.seen) + 1).fill_(1.0)
        return self.head(self.query(x).tanh() * self.key(x))


def test_frozen_weights_and_grown_buffers_that_a_model_writes_are_felt_by_no_parent():
    finals = []
    for escape in (None, REJECTS):
        torch.manual_seed(0)
        model, x, y = Momentum(), torch.randn(16, 4), torch.randn(16, 1)
        optimizer = Hybrid(model.parameters(), base=torch.optim.SGD, lr=0.05, escape=escape)
        closure = plain_closure(model, optimizer, x, y)
        for _ in range(20):
            optimizer.step(closure)
        finals.append([*model.parameters(), *model.buffers()])
    assert optimizer.history
    assert all(map(torch.equal, *finals))


def test_it_says_that_a_frozen_collector_hides_the_model(caplog):
    _, optimizer, closure = regression(lambda model: Hybrid(model.parameters(), escape=REJECTS))
    gc.freeze()
    try:
        while not optimizer.history:
            optimizer.step(closure)
    finally:
        gc.unfreeze()
    assert "pass them: buffers=" in caplog.text
