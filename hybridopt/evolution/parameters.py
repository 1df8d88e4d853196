"""What the operators for whole populations have in common: their mark, their parameters' checks, blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor

from hybridopt.check import check_number

F = TypeVar("F", bound=Callable[..., Any])

Genes = float | Sequence[float] | Tensor
"""One number for all genes, or one a gene, shape (dim,)."""

BLOCK = 2**18
"""Genes a CPU works on at a time, so that temporaries stay in its cache and take little memory."""

_UNBOUNDED = "finite; where there is no bound take another operator, e.g. cxBlend or mutGaussian"
_VALID: dict[str, tuple[Callable[[float], bool], str]] = {
    "tournsize": (lambda v: v >= 1 and v % 1 == 0, "a whole number of at least 1"),
    "alpha": (lambda v: 0 <= v < math.inf, "finite and at least 0"),
    "eta": (lambda v: 0 <= v < math.inf, "finite and at least 0"),
    "sigma": (lambda v: 0 <= v < math.inf, "finite and at least 0"),
    "indpb": (lambda v: 0 <= v <= 1, "a probability between 0 and 1"),
    "cxpb": (lambda v: 0 <= v <= 1, "a probability between 0 and 1"),
    "mutpb": (lambda v: 0 <= v <= 1, "a probability between 0 and 1"),
    "mu": (math.isfinite, "finite"),
    "low": (math.isfinite, _UNBOUNDED),
    "up": (math.isfinite, _UNBOUNDED),
}


def batched(operator: F) -> F:
    """Mark an operator of your own as one for whole populations."""
    operator.__dict__["batched"] = True  # Toolbox.register and functools.wraps carry __dict__ along
    return operator


def check(name: str, value: float) -> None:
    """Refuse a value that makes no sense for a parameter of this name."""
    check_number(name, value, *_VALID[name])


def check_genes(name: str, value: Genes) -> None:
    """Check every number of a parameter. Waits for its device, so `check_toolbox` does it, not operators."""
    if name in _VALID:
        numbers = torch.as_tensor(value).double().reshape(-1)
        check(name, float(numbers.min()))
        check(name, float(numbers.max()))


def genes(name: str, value: Genes, population: Tensor) -> Tensor | float:
    """Parameter as a checked number, or as a tensor of shape (dim,)."""
    if isinstance(value, Real):  # numpy's numbers too
        check(name, float(value))
        return float(value)
    row = torch.as_tensor(value, dtype=population.dtype, device=population.device)
    if row.shape != population.shape[1:]:
        raise ValueError(
            f"{name} must be a number or have shape (dim,) = ({population.shape[1]},), "
            f"got shape {tuple(row.shape)}"
        )
    return row


def bounds(low: Genes, up: Genes, population: Tensor) -> tuple[Tensor, Tensor]:
    """Both bounds as tensors of shape (dim,)."""
    low, up = (
        torch.as_tensor(
            genes(name, value, population), dtype=population.dtype, device=population.device
        ).expand(population.shape[1:])
        for name, value in (("low", low), ("up", up))
    )
    return low, up


def at(parameter: Tensor | float, position: Tensor, dim: int) -> Tensor | Any:
    """Parameter's numbers at flat positions of a population."""
    return parameter[position % dim] if isinstance(parameter, Tensor) else parameter


def blocks(count: int, size: int, population: Tensor) -> Iterator[slice]:
    """Cut `count` items of `size` genes each into blocks for the cache; a GPU takes all at once."""
    step = max(1, BLOCK // size if population.device.type == "cpu" else count)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def uniform(
    count: int, middle: float, width: float, dtype: torch.dtype, generator: torch.Generator
) -> Tensor:
    """Numbers uniform in middle +- width / 2, ends excluded, (count,): 32 random bits each.

    Two are made of one draw of 64 bits, which is what a number of `torch.rand` in float64 takes.
    """
    device = generator.device
    bits = torch.empty((count + 1) // 2, dtype=torch.int64, device=device)
    bits.random_(-(2**63), None, generator=generator)
    centre = torch.full((), middle + width * 2.0**-33, dtype=dtype, device=device)
    return torch.add(centre, bits.view(torch.int32)[:count], alpha=width * 2.0**-32)
