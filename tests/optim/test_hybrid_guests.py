"""`Hybrid` among things it does not own: unusual bases, constant buffers, later groups."""

import math

import torch
from torch import nn

from hybridopt.conditions import Steps
from hybridopt.optim import Escape, Hybrid


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
