"""From what users write as `method` to an optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hybridopt import registry
from hybridopt.core import Optimizer
from hybridopt.start import is_finite

WIDE = 300  # variables above which evolution learns a diagonal instead of a matrix


def choose(
    method: Any, options: dict[str, Any], differentiable: bool, lower: Tensor, upper: Tensor
) -> Optimizer[Any]:
    """Optimizer for `minimize(method=..., options=...)`.

    Raises
    ------
    ValueError
        For an unknown name; the nearest is suggested.
    TypeError
        For options that the method does not take, options beside a finished optimizer, or a gradient
        method for a function that can't be differentiated.
    """
    optimizer = _make(method, options, differentiable, lower, upper)
    if optimizer.traits.order > 0 and not differentiable:
        raise TypeError(
            f"{method!r} needs gradients, but fun is a numpy function without jac, or its value does not "
            "depend on x through torch operations; pass jac=, write fun with torch operations, or choose a "
            "gradient-free method such as 'genetic'"
        )
    return optimizer


def _make(
    method: Any, options: dict[str, Any], differentiable: bool, lower: Tensor, upper: Tensor
) -> Optimizer[Any]:
    if method == "auto":
        if options:
            raise TypeError(
                f"method='auto' takes no options, got {sorted(options)}; name a method to tune it"
            )
        return _auto(differentiable, lower, upper)
    if isinstance(method, str):
        made: Optimizer[Any] = registry.make(method, **options)
        return made
    if isinstance(method, type):
        if issubclass(method, torch.optim.Optimizer):
            from hybridopt.gradient.descent import TorchGradient

            return TorchGradient(method, **options)
        method, options = method(**options), {}  # the class of an engine optimizer
    if not all(hasattr(method, verb) for verb in ("init", "ask", "tell", "traits")):
        raise TypeError(
            f"method must be a name, an optimizer or a class of torch.optim, got {method!r}; "
            f"names are: auto, {', '.join(sorted(registry.OPTIMIZERS))}"
        )
    if options:
        raise TypeError(f"options are for methods given by name or class; give them to {method!r} itself")
    optimizer: Optimizer[Any] = method
    return optimizer


def _auto(differentiable: bool, lower: Tensor, upper: Tensor) -> Optimizer[Any]:
    """The portfolio in a finite box, or where there are values alone; else one local search."""
    from hybridopt.gradient.suited import quasi_newton
    from hybridopt.hybrid.portfolio import Portfolio, default_arms

    if not differentiable or is_finite(lower, upper):
        wide = len(lower) > WIDE
        return Portfolio(default_arms(differentiable, "separable" if wide else "full"))
    return quasi_newton(len(lower))
