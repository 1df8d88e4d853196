"""Derivatives by torch.autograd, and networks as flat vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor


class NotDifferentiableError(TypeError):
    """The value does not depend on the point through torch operations."""


def derivatives(
    rows: Callable[[Tensor], Tensor], x: Tensor, order: int, direction: Tensor | None = None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Values, gradients and Hessian-vector products of a function of rows.

    Parameters
    ----------
    rows : callable, (population, dim) -> (population,)
        Each value depends on its own row alone.
    x : Tensor, shape (population, dim)
    order : {0, 1, 2}
    direction : Tensor of shape (population, dim), optional
        Needed for order 2.

    Returns
    -------
    value : Tensor, shape (population,)
    grad : Tensor of shape (population, dim), or None for order 0
    hvp : Tensor of shape (population, dim), or None for orders below 2

    Raises
    ------
    NotDifferentiableError
        If the values carry no gradient.
    """
    if order == 0:
        with torch.no_grad():
            return rows(x).detach(), None, None
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        value = rows(x)
        if not value.requires_grad:
            raise NotDifferentiableError(
                "the value does not depend on x through torch operations (a .detach(), float() or numpy "
                "call on the way?); differentiable throughout is expected by gradient methods: use torch "
                "operations, pass jac=, or choose a gradient-free method such as 'genetic'"
            )
        (grad,) = torch.autograd.grad(value.sum(), x, create_graph=order > 1)
        if order == 1:
            return value.detach(), grad, None
        assert direction is not None
        if not grad.requires_grad:  # linear: the Hessian is zero
            return value.detach(), grad, torch.zeros_like(grad)
        (hvp,) = torch.autograd.grad((grad * direction).sum(), x, materialize_grads=True)
    return value.detach(), grad.detach(), hvp


def flatten(tensors: Iterable[Tensor]) -> Tensor:
    """All entries in one vector, shape (dim,)."""
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def unflatten(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Views of a vector of shape (dim,) with the shapes of the tensors `like`."""
    parts = torch.split(vector, [tensor.numel() for tensor in like])
    return [part.view_as(tensor) for part, tensor in zip(parts, like, strict=True)]


def unflatten_into(vector: Tensor, tensors: Sequence[Tensor]) -> None:
    """Copy a vector of shape (dim,) into the tensors, in place."""
    with torch.no_grad():
        for tensor, part in zip(tensors, unflatten(vector, tensors), strict=True):
            tensor.copy_(part)
