"""`Hybrid` among things it does not own: unusual bases, constant buffers, later groups."""

import gc
import math
import threading

import numpy as np
import pytest
import torch
from hybrid_tasks import EAGER, REJECTS
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
        found.append([float(copy.sum()) for copy in Buffers(None).found(params).copies()])
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


def test_a_hessian_of_zeros_stops_nobody():
    """Dead units: the gradient is zero all around."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(3, 8), nn.ReLU()), torch.rand(20, 3)
    nn.init.constant_(model[0].bias, -100.0)
    optimizer = Hybrid(model.parameters(), base=torch.optim.Adam, escape=REJECTS)

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - 1).square().mean()
        loss.backward()
        return loss

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

    def loss():
        resumed.zero_grad()
        loss = other(x).square().mean()
        loss.backward()
        return loss

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
    optimizer.thing, optimizer.state_before = thing, None
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


@pytest.mark.parametrize("wrong", ["x", 5, {}, "mixed"])
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

        def closure(model=model, optimizer=optimizer, x=x, y=y):
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            return loss

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
