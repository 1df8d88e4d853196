"""What torch's own tests feed their optimizers: the options of every class, for the CPU."""

import inspect
from typing import Any

import torch


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


KINDS = [(name, flag) for name in BASES for flag in flags(name)]
CASES = [(name, {**options, **flag}) for name in BASES for options in OPTIONS[name] for flag in flags(name)]


def label(case: object) -> str:
    """Readable id of a test for a name and its options."""
    return "-".join(f"{k}={v}" for k, v in case.items()) if isinstance(case, dict) else str(case)
