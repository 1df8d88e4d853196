"""`Hybrid` among things it does not own: unusual bases, constant buffers, later groups."""

import gc
import math

import numpy as np
import pytest
import torch
from hybrid_tasks import EAGER, REJECTS, regression
from torch import nn

from hybridopt.conditions import NegativeCurvature, SmallGradient, Steps
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


def test_a_base_that_returns_a_later_loss_is_compared_by_the_first():
    escape = Escape(
        when=Steps(1), every=1, redraw=(), spread=(1e-6,), length=16, longest=1, share=math.inf, products=0
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
        found.append([float(copy.sum()) for _, copy in Buffers(None).found(params).save().buffers])
    assert found[0] == found[1]


class Keeping(torch.optim.Optimizer):
    """A base whose rate depends on something it keeps in a place of its own; `kept` changes it."""

    def __init__(self, params, lr=0.01):
        super().__init__(params, {"lr": lr})
        self.begin()

    def begin(self):
        """Make what is kept."""

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        factor = self.kept()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.sub_(group["lr"] * factor * param.grad)
        return loss


class InGroupTensor(Keeping):
    def begin(self):
        self.param_groups[0]["d"] = torch.tensor(1.0)

    def kept(self):
        return float(self.param_groups[0]["d"].mul_(1.01))  # in place


class InGroupArray(Keeping):
    def begin(self):
        self.param_groups[0]["d"] = np.ones(2)

    def kept(self):
        self.param_groups[0]["d"] = self.param_groups[0]["d"] * 1.01
        return float(self.param_groups[0]["d"][0])


class InAttribute(Keeping):
    def begin(self):
        self.past = []

    def kept(self):
        self.past.append(1.0)
        return 1.01 ** len(self.past)


class InGenerator(Keeping):
    def begin(self):
        self.generator = torch.Generator().manual_seed(0)

    def kept(self):
        return float(torch.rand((), generator=self.generator))


class UnderAWord(Keeping):
    def kept(self):
        count = self.state.setdefault("all", {"count": torch.zeros(())})["count"].add_(1)
        return 1.01 ** float(count)


class MadeOnce(Keeping):
    def begin(self):
        self.made = False

    def kept(self):
        for param in self.param_groups[0]["params"]:
            if not self.made:
                self.state[param]["count"] = torch.zeros(())
            self.state[param]["count"] += 1  # KeyError where a newborn has no state
        self.made = True
        return 1.01 ** float(self.state[param]["count"])


@pytest.mark.parametrize("escape", [REJECTS, EAGER])
@pytest.mark.parametrize(
    "base", [InGroupTensor, InGroupArray, InAttribute, InGenerator, UnderAWord, MadeOnce]
)
def test_what_a_base_keeps_anywhere_is_its_own_and_unfelt_by_its_parent(base, escape):
    model, optimizer, closure = regression(
        lambda model: Hybrid(model.parameters(), base=base, lr=0.01, escape=escape)
    )
    alone, other, closure_alone = regression(lambda model: base(model.parameters(), lr=0.01))
    for _ in range(25):
        optimizer.step(closure)
        other.step(closure_alone)
        if not any(attempt.accepted for attempt in optimizer.history):
            assert all(map(torch.equal, model.parameters(), alone.parameters()))
    assert optimizer.history
    assert any(attempt.accepted for attempt in optimizer.history) == (escape is EAGER)


@pytest.mark.parametrize("base", [InGroupArray, InGenerator])
def test_what_no_checkpoint_can_hold_does_not_keep_one_from_being_made(base):
    _, optimizer, closure = regression(
        lambda model: Hybrid(model.parameters(), base=base, lr=0.01, escape=REJECTS)
    )
    while not (optimizer.escaping and optimizer._escape.memory.race.calls > 1):
        optimizer.step(closure)
    _, again, closure_again = regression(
        lambda model: Hybrid(model.parameters(), base=base, lr=0.01, escape=REJECTS)
    )
    again.load_state_dict(optimizer.state_dict())
    assert again.escaping
    again.step(closure_again)


@pytest.mark.parametrize("how", ["closure", "objective"])
def test_gradients_of_parameters_of_another_optimizer_are_as_without_escapes(how):
    def train(hybrid):
        torch.manual_seed(0)
        x, y = torch.randn(32, 4), torch.randn(32, 1)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

        def loss():
            return (model(x) - y).square().mean()

        options = {"escape": REJECTS, "objective": loss if how == "objective" else None} if hybrid else {}
        kind = Hybrid if hybrid else torch.optim.AdamW
        first = kind(model[0].parameters(), lr=0.01, **options)
        second = torch.optim.SGD(model[2].parameters(), lr=0.01)

        def closure():
            first.zero_grad()
            value = loss()
            value.backward()
            return value

        for _ in range(20):
            second.zero_grad()
            if how == "objective":
                closure()
                first.step()
            else:
                first.step(closure)
            second.step()
        assert not hybrid or first.history
        return list(model.parameters())

    assert all(map(torch.equal, train(True), train(False)))


def test_an_objective_that_makes_no_gradients_is_named(caplog):
    _, optimizer, closure = regression(
        lambda model: Hybrid(model.parameters(), lr=0.01, escape=REJECTS, objective=lambda: 1.0)
    )
    for _ in range(3):
        closure()
        optimizer.step()
    assert "found nothing to mutate" in caplog.text


def test_options_given_by_position_are_named():
    with pytest.raises(TypeError, match=r"optimizer class, got \{'lr': 0.1\}.*by keyword"):
        Hybrid([nn.Parameter(torch.ones(2))], {"lr": 0.1})


def test_curvature_that_is_read_but_never_measured_is_named():
    with pytest.raises(ValueError, match="reads curvature"):
        Escape(when=NegativeCurvature(), products=0)
