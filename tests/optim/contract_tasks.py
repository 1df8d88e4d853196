"""A way to run `Hybrid` beside its base and compare all."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from hybrid_tasks import REJECTS, Task, plain_closure, same, seed_everything
from torch import nn

from hybridopt.optim import Hybrid
from hybridopt.rng import global_generators_fingerprint

PATIENCE = 400  # steps by which an escape must have been tried


def base(name: str, params: Any, *, buffers: Any = (), **options: Any) -> torch.optim.Optimizer:
    return getattr(torch.optim, name)(params, **copy.deepcopy(options))


def hybrid(name: str, params: Any, *, buffers: Any = (), **options: Any) -> Hybrid:
    options = copy.deepcopy(options)  # schedulers write to a learning rate that is a tensor
    return Hybrid(params, base=getattr(torch.optim, name), escape=REJECTS, buffers=buffers, **options)


Make = Callable[..., torch.optim.Optimizer]


@dataclass
class Loop:
    """One training run: `step(number)` takes one step and returns its loss."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    step: Callable[[int], Any]
    others: dict[str, Any] = field(default_factory=dict)  # what else must agree: schedulers, averages

    def everything(self) -> list[Any]:
        groups = self.optimizer.param_groups
        params = [param for group in groups for param in group["params"]]
        return [
            dict(self.model.state_dict()),
            [param.grad for param in params],
            [self.optimizer.state[param] for param in params if param in self.optimizer.state],
            [{key: value for key, value in group.items() if key != "params"} for group in groups],
            {key: other.state_dict() for key, other in self.others.items()},
            global_generators_fingerprint(),
        ]


def assert_twins(build: Callable[[Make], Loop], steps: int = 8, *, tried: bool = True) -> Loop:
    """Hybrid's run is its base's bit for bit, though it goes on until an escape was tried.

    Parameters
    ----------
    build : callable
        Makes the loop from `base` or `hybrid`.
    steps : int
        At least.
    tried : bool
        Whether escapes can be tried: with closures and with parameters to mutate.
    """
    twin = build(hybrid)
    seed_everything()
    losses: list[Any] = []
    while len(losses) < steps or (tried and not twin.optimizer.history and len(losses) < PATIENCE):
        losses.append(twin.step(len(losses)))
    found = copy.deepcopy(twin.everything())
    alone = build(base)
    seed_everything()
    expected = [alone.step(step) for step in range(len(losses))]
    assert same(losses, expected)
    assert same(found, alone.everything())
    if tried:
        assert twin.optimizer.history
    assert not any(attempt.accepted for attempt in twin.optimizer.history)
    return twin


def task_loop(name: str, make: Make, options: dict[str, Any], *, closures: bool = True) -> Loop:
    """The noisy model of `hybrid_tasks` on minibatches."""
    task = Task(name)
    optimizer = make(name, task.model.parameters(), buffers=task.model.buffers(), **options)

    def step(number: int) -> Any:
        closure = task.closure(optimizer, number)
        if closures:
            return optimizer.step(closure).detach()
        loss = closure().detach()
        optimizer.step()
        return loss

    return Loop(task.model, optimizer, step)


def small(
    name: str,
    make: Make,
    options: dict[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    named: bool = False,
    steps: int = 0,
) -> tuple[torch.optim.Optimizer, Callable[[], torch.Tensor], nn.Parameter]:
    """Optimizer of one weight (of two dimensions, for Muon) after some steps, its closure, and the weight."""
    torch.manual_seed(1)
    model = nn.Linear(3, 2, bias=False, dtype=dtype)
    x, y = torch.randn(8, 3, dtype=dtype), torch.randn(8, 2, dtype=dtype)
    params = model.named_parameters() if named else model.parameters()
    memory = {"momentum": 0.9} if name == "SGD" else {}  # it has no state otherwise
    optimizer = make(name, params, **memory, **(options or {}))
    dense = plain_closure(model, optimizer, x, y)

    def closure() -> torch.Tensor:
        loss = dense()
        if name == "SparseAdam":
            model.weight.grad = model.weight.grad.to_sparse()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return optimizer, closure, model.weight


def tried_anything(name: str, optimizer: Hybrid) -> bool:
    """Whether an escape was tried; sparse gradients are never mutated."""
    return bool(optimizer.history) or name == "SparseAdam"


def step_together(name: str, *runs: tuple[Hybrid, Callable[[], Any]], steps: int = 20) -> None:
    """Step several optimizers in turn, at least so often and until the first has tried an escape."""
    done = 0
    while done < steps or (done < PATIENCE and not tried_anything(name, runs[0][0])):
        for optimizer, closure in runs:
            optimizer.step(closure)
        done += 1


def network() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Model with batch norm and dropout, inputs (64, 4) and targets (64, 2)."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 2))
    return model, torch.randn(64, 4), torch.randn(64, 2)


def started(
    make: Make, name: str = "AdamW", **options: Any
) -> tuple[nn.Module, torch.optim.Optimizer, torch.Tensor, torch.Tensor]:
    """`network` with its optimizer."""
    model, x, y = network()
    options = {"lr": 0.01, **options}
    return model, make(name, model.parameters(), buffers=model.buffers(), **options), x, y
