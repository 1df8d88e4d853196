"""What torch's own tests feed their optimizers, and a way to run `Hybrid` beside its base and compare all."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from hybrid_tasks import Task, same, seed_everything
from torch import nn

from hybridopt.conditions import Steps
from hybridopt.optim import Escape, Hybrid
from hybridopt.rng import global_generators_fingerprint

# Tries an escape whenever it may, and never accepts one.
REJECTS = Escape(when=Steps(1), every=1, margin=1e9, share=1.0)
PATIENCE = 400  # steps by which an escape must have been tried


def tensor_lr() -> torch.Tensor:
    return torch.tensor(0.001)


# At least the inputs of torch.testing._internal.common_optimizers for the CPU; test_contract_inputs compares.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "ASGD": [
        {},
        {"lambd": 0.1},
        {"lr": 0.02},
        {"t0": 100},
        {"maximize": True},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "maximize": True},
    ],
    "Adadelta": [
        {},
        {"lr": 0.01},
        {"weight_decay": 0.1},
        {"maximize": True},
        {"weight_decay": 0.1, "maximize": True},
        {"rho": 0.95, "weight_decay": 0.9},
    ],
    "Adafactor": [
        {},
        {"weight_decay": 0.1, "lr": 0.01},
        {"weight_decay": 0.1, "maximize": True},
        {"beta2_decay": -1.0},
        {"d": 1.5},
    ],
    "Adagrad": [
        {},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "maximize": True},
        {"lr": 0.1},
        {"initial_accumulator_value": 0.1, "weight_decay": 0.1},
        {"lr": 0.1, "lr_decay": 0.5, "weight_decay": 0.1},
        {"lr": tensor_lr()},
    ],
    "Adam": [
        {},
        {"lr": 0.01},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "maximize": True},
        {"weight_decay": 0.1, "amsgrad": True},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": tensor_lr()},
        {"lr": tensor_lr(), "betas": (torch.tensor(0.9), torch.tensor(0.99))},
    ],
    "AdamW": [
        {},
        {"lr": 0.01},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "maximize": True},
        {"weight_decay": 0.1, "amsgrad": True},
        {"lr": tensor_lr()},
    ],
    "Adamax": [
        {},
        {"lr": 0.1},
        {"weight_decay": 0.1},
        {"maximize": True},
        {"weight_decay": 0.1, "maximize": True},
    ],
    "LBFGS": [
        {},
        {"lr": 0.01},
        {"lr": tensor_lr()},
        {"tolerance_grad": 1e-6},
        {"line_search_fn": "strong_wolfe"},
    ],
    "Muon": [
        {},
        {"lr": 0.01},
        {"lr": tensor_lr()},
        {"weight_decay": 0.2},
        {"momentum": 0.8},
        {"ns_steps": 6},
        {"ns_coefficients": (3.4, -4.7, 2.0)},
        {"adjust_lr_fn": "match_rms_adamw", "nesterov": False},
    ],
    "NAdam": [
        {},
        {"lr": 0.001},
        {"momentum_decay": 0.006},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "momentum_decay": 0.006},
        {"weight_decay": 0.1, "momentum_decay": 0.006, "decoupled_weight_decay": True},
        {"weight_decay": 0.1, "maximize": True},
    ],
    "RAdam": [
        {},
        {"lr": 0.002},
        {"eps": 1e-6},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"weight_decay": 0.1, "maximize": True},
    ],
    "RMSprop": [
        {},
        {"lr": 0.001},
        {"weight_decay": 0.1},
        {"maximize": True},
        {"weight_decay": 0.1, "centered": True},
        {"weight_decay": 0.1, "maximize": True},
        {"weight_decay": 0.1, "centered": True, "momentum": 0.1},
        {"weight_decay": 0.1, "centered": True, "momentum": 0.1, "maximize": True},
    ],
    "Rprop": [
        {},
        {"lr": 0.0002},
        {"etas": (0.5, 1.5)},
        {"step_sizes": (2e-6, 100)},
        {"maximize": True},
    ],
    "SGD": [
        {},
        {"lr": 0.01},
        {"lr": tensor_lr()},
        {"weight_decay": 0.5},
        {"momentum": 0.9},
        {"weight_decay": 0.1, "maximize": True},
        {"momentum": 0.9, "dampening": 0.5},
        {"momentum": 0.9, "weight_decay": 0.1},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ],
    "SparseAdam": [{}, {"lr": 0.01}, {"lr": tensor_lr()}, {"maximize": True}],
}
BASES = [name for name in OPTIONS if hasattr(torch.optim, name)]  # Muon is younger than torch 2.6


def takes(name: str) -> list[str]:
    """Names of the base's options."""
    return list(inspect.signature(getattr(torch.optim, name)).parameters)


def flags(name: str) -> list[dict[str, bool]]:
    """No flag, and each implementation that the base offers on a CPU."""
    return [{}, *({flag: True} for flag in ("foreach", "fused") if flag in takes(name))]


CASES = [(name, {**options, **flag}) for name in BASES for options in OPTIONS[name] for flag in flags(name)]


def label(case: object) -> str:
    """Readable id of a test for a name and its options."""
    return "-".join(f"{k}={v}" for k, v in case.items()) if isinstance(case, dict) else str(case)


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


def plain_closure(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor
) -> Callable[[], torch.Tensor]:
    """Zero, mean squared error, backward."""

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    return closure
