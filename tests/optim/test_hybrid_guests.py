"""`Hybrid` among things it does not own: unusual bases, constant buffers, later groups."""

import gc
import math

import pytest
import torch
from hybrid_tasks import REJECTS
from torch import nn

from hybridopt.conditions import SmallGradient, Steps
from hybridopt.optim import Escape, Hybrid
from hybridopt.optim.buffers import Buffers


class SecondLoss(torch.optim.Optimizer):
    """Sharpness-aware steps that return the loss at the disturbed weights."""

    def __init__(self, params, lr=1e-4, radius=0.3):
        super().__init__(params, {"lr": lr, "radius": radius})

    @torch.no_grad()
    def step(self, closure):
        with torch.enable_grad():
            closure()
        (group,) = self.param_groups
        norm = math.hypot(*(float(p.grad.norm()) for p in group["params"]))
        ways = [group["radius"] / norm * p.grad for p in group["params"]]
        for param, way in zip(group["params"], ways, strict=True):
            param.add_(way)
        with torch.enable_grad():
            loss = closure()
        for param, way in zip(group["params"], ways, strict=True):
            param.sub_(way).sub_(group["lr"] * param.grad)
        return loss


def regression(make):
    """Model, its optimizer and closure."""
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randn(32, 1)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = make(model)

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    return model, optimizer, closure


def test_a_base_that_returns_a_later_loss_is_compared_by_the_first():
    escape = Escape(
        when=Steps(1), every=1, spread=(1e-6,), length=16, longest=1, share=math.inf, products=0
    )  # a child like its parent
    _, optimizer, closure = regression(
        lambda model: Hybrid(model.parameters(), base=SecondLoss, escape=escape)
    )
    for _ in range(30):
        optimizer.step(closure)
    assert optimizer.history
    assert not any(attempt.accepted for attempt in optimizer.history)


@pytest.mark.parametrize("kind", ["expanded", "inference"])
def test_constant_buffers_that_cannot_be_written_to_are_no_hindrance(kind):
    with torch.inference_mode(kind == "inference"):
        constant = torch.ones(1, 4).expand(32, 4)
    model, optimizer, closure = regression(lambda model: Hybrid(model.parameters(), escape=REJECTS))
    model.register_buffer("constant", constant)
    for _ in range(8):
        optimizer.step(closure)
    assert optimizer.history


def test_a_graph_that_holds_a_constant_buffer_outlives_an_escape():
    whole = nn.ModuleDict({"generator": nn.Linear(4, 4), "critic": nn.Linear(4, 1)})
    whole.register_buffer("scale", torch.full((4,), 2.0))
    optimizer = Hybrid(whole["critic"].parameters(), escape=REJECTS)
    for _ in range(8):
        made = whole["generator"](torch.randn(8, 4)) * whole.scale

        def closure(made=made):
            optimizer.zero_grad()
            loss = whole["critic"](made.detach()).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        made.sum().backward()
    assert optimizer.history


def test_a_frozen_group_added_in_an_escape_ends_it():
    _, optimizer, closure = regression(lambda model: Hybrid(model.parameters(), escape=REJECTS))
    while not optimizer.escaping:
        optimizer.step(closure)
    tried = len(optimizer.history)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(3), requires_grad=False)]})
    optimizer.step(closure)
    assert len(optimizer.history) == tried + 1


def test_a_condition_that_reads_more_is_fed_after_loading_a_state_saved_with_another():
    never = Escape(when=Steps(10**6), every=1)
    model, optimizer, closure = regression(lambda model: Hybrid(model.parameters(), escape=never))
    optimizer.step(closure)
    always = Escape(when=SmallGradient(1e9), every=1)
    other = Hybrid(model.parameters(), escape=always)
    other.load_state_dict(optimizer.state_dict())
    other.step(closure)
    other.step(closure)
    assert other.escaping


def test_the_seed_that_processes_agreed_on_outlives_a_closure_that_raises(monkeypatch):
    _, optimizer, closure = regression(lambda model: Hybrid(model.parameters(), escape=REJECTS))
    monkeypatch.setattr(optimizer._escape.ranks, "same", lambda number, _: 77)
    optimizer.step(closure)

    def fails():
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        optimizer.step(fails)
    optimizer.step(closure)
    assert optimizer._escape.memory.seed == 77


def test_buffers_of_separate_models_are_found_in_one_order_in_any_process(monkeypatch):
    models = [nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)) for _ in range(2)]
    params = [param for model in models for param in model.parameters()]
    models[1][1].running_mean.fill_(1.0)
    living = gc.get_objects()
    found = []
    for objects in (living, living[::-1]):
        monkeypatch.setattr(gc, "get_objects", lambda objects=objects: objects)
        found.append([float(copy.sum()) for copy in Buffers(None).found(params).copies()])
    assert found[0] == found[1]
