"""When escapes are tried, what they cost, that they succeed, and their options."""

import dataclasses
import math

import pytest
import torch
from hybrid_tasks import EAGER, Task, quadratic
from torch import nn

from hybridopt.conditions import AllOf, NegativeCurvature, SmallGradient, Steps
from hybridopt.optim import Escape, Hybrid


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("steps", [300, 2000, 12000])
def test_hopeless_escapes_cost_at_most_a_twentieth_of_the_closures(steps):
    x, calls = nn.Parameter(torch.zeros(1)), 0
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.0)

    def closure():
        nonlocal calls
        calls += 1
        x.grad = torch.zeros(1)
        return x.detach().square().sum()

    for _ in range(steps):
        optimizer.step(closure)
    first, *others = optimizer.history
    assert len(others) == {300: 0, 2000: 0, 12000: 1}[steps]
    assert calls - steps == first.cost + sum(attempt.cost for attempt in others)
    assert calls - steps <= max(first.cost, 0.05 * steps)


def test_a_loss_that_falls_is_left_alone():
    task = Task("AdamW", dropout=False)
    optimizer = Hybrid(task.model.parameters(), base=torch.optim.AdamW, lr=1e-4)
    for step in range(400):
        optimizer.step(task.closure(optimizer, step))
    assert optimizer.history == ()


def tanh_network_at_zero():
    """A small tanh network whose weights are all zero: a strict saddle but for the last bias."""
    x = torch.linspace(-2.0, 2.0, 16)[:, None]
    y = torch.tanh(2.0 * x) + 0.5
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    for param in model.parameters():
        nn.init.zeros_(param)
    return model, lambda: (model(x) - y).square().mean()


def matrix_factorisation_from_zero():
    """|A - W2 W1|^2 at zero: a strict saddle."""
    target = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    for param in model.parameters():
        nn.init.zeros_(param)
    return model, lambda: (model(torch.eye(3)) - target).square().sum()


def double_well():
    """(z^2 - 1)^2 + 0.3 z for z = x - 3, begun in the shallower well; the deeper one is at -0.31."""
    model = nn.ParameterList([nn.Parameter(torch.tensor(3.95))])
    return model, lambda: ((model[0] - 3) ** 2 - 1) ** 2 + 0.3 * (model[0] - 3)


@pytest.mark.parametrize(
    ("task", "steps", "reached", "successes"),
    [
        (tanh_network_at_zero, 900, 0.05, 18),
        (matrix_factorisation_from_zero, 600, 0.1, 20),
        (double_well, 900, -0.3, 8),
    ],
)
def test_it_gets_out_where_the_base_stays_stuck(task, steps, reached, successes):
    """Over 20 seeds, with default options: never the base, at least so often Hybrid."""

    def gets_there(seed, kind):
        torch.manual_seed(seed)
        model, loss = task()
        optimizer = kind(model.parameters(), lr=0.02, weight_decay=0.0, fused=True)

        def closure():
            optimizer.zero_grad()
            value = loss()
            value.backward()
            return value

        return any(optimizer.step(closure) <= reached for _ in range(steps))

    assert not gets_there(0, torch.optim.AdamW)  # nothing random in it: one run tells for all seeds
    assert sum(gets_there(seed, Hybrid) for seed in range(20)) >= successes


@pytest.mark.parametrize(
    "options",
    [
        {"every": 0},
        {"redraw": (0.0,)},
        {"redraw": (1.5,)},
        {"spread": (0.0,)},
        {"spread": (math.inf,)},
        {"spread": (math.nan,)},
        {"margin": -1.0},
        {"share": 0.0},
        {"seed": -1},
    ],
)
def test_bad_options_of_an_escape_are_clear_errors(options):
    with pytest.raises(ValueError, match=rf"Escape.{next(iter(options))}(\[0\])? must"):
        Escape(**options)


@pytest.mark.parametrize(
    "options",
    [{"every": 2.5}, {"spread": 0.3}, {"spread": ("a",)}, {"seed": "a"}, {"when": Steps}, {"share": "a"}],
)
def test_options_of_an_escape_of_a_wrong_type_are_clear_errors(options):
    with pytest.raises(TypeError, match=rf"Escape.{next(iter(options))}(\[0\])? must"):
        Escape(**options)


def test_a_saddle_is_seen_by_small_gradient_and_negative_curvature():
    def attempts(curve):
        torch.manual_seed(0)
        x = nn.Parameter(torch.zeros(4))
        when = AllOf(SmallGradient(1e-6), NegativeCurvature())
        escape = Escape(when=when, every=2, length=32, share=math.inf)
        optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.1, escape=escape)

        def closure():
            optimizer.zero_grad()
            loss = (torch.tensor([1.0, 1.0, 1.0, curve]) * x**2).sum() + x.pow(4).sum() + 1
            loss.backward()
            return loss

        for _ in range(40):
            optimizer.step(closure)
        return x, optimizer.history

    x, history = attempts(-1.0)
    assert any(attempt.accepted for attempt in history)
    assert x[3].abs() > 0.5
    assert attempts(1.0)[1] == ()


def test_children_can_be_kept_on_another_device():
    x = nn.Parameter(torch.zeros(3))
    escape = dataclasses.replace(EAGER, device="cpu")
    optimizer = Hybrid([x], base=torch.optim.Adam, lr=0.01, escape=escape)
    for _ in range(20):
        optimizer.step(quadratic(x, optimizer))
    assert any(attempt.accepted for attempt in optimizer.history)
    for device in ("nowhere", "meta", 0.5):
        with pytest.raises(ValueError, match=rf"Escape.device must be a device.*{device}"):
            Escape(device=device)
