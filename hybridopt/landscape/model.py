"""`hybridopt.certify_model`: the certificate of a network's weights, for a few passes over its data.

A Hessian-vector product over all data costs about two passes of gradients, and Lanczos' method wants dozens.
So the ends of the spectrum are sought on a sample of the data, and only the direction that was found is
judged on all of them: a negative curvature that is reported is one of the whole loss.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt.autodiff import flatten
from hybridopt.landscape.certificate import GRAD_TOL, LANCZOS_TOL, Certificate, Verdict
from hybridopt.landscape.spectrum import ends
from hybridopt.loop import Ledger
from hybridopt.rng import generator

Batch = tuple[Any, Tensor]
PRODUCTS = 8
CHUNK = 1024
SAMPLE_PASSES = 0.2  # what all products on the sample may cost, in passes of gradients over all data
LEAST_SAMPLE = 16


def certify_model(
    model: nn.Module,
    loss_fn: Callable[[Any, Tensor], Tensor],
    data: tuple[Tensor, Tensor] | Iterable[Batch],
    *,
    sample: int | None = None,
    grad_tol: float | None = None,
    curvature_tol: float = LANCZOS_TOL,
    max_products: int = PRODUCTS,
    seed: int = 0,
) -> Certificate:
    """Tell what kind of point a network's weights are.

    The model is judged in evaluation mode (no dropout, BatchNorm by its running statistics) and left as it
    was. That costs a pass of gradients over all data, `max_products` products on a sample, and, where these
    show negative curvature at a stationary point, one product on all data: together about five passes.

    Parameters
    ----------
    model : nn.Module
    loss_fn : callable, (output, targets) -> ()
        A mean over its examples.
    data : pair of tensors, or iterable of such pairs
        Inputs and targets, all at once or in batches (a DataLoader); it is iterated two or three times.
    sample : int, optional
        Examples for the products; by default so many that these cost about a fifth of a pass, at
        least 16. Of an iterable they are the first ones of its first batch.
    grad_tol : float, optional
        As for `certify`; relative, by default at least the root of the precision.
    curvature_tol : float
        Eigenvalues of at most this share of the largest absolute one count as zero.
    max_products : int
        Products of Lanczos' method on the sample (all of a dense matrix up to 256 parameters).
    seed : int
        Of the sample and the first Lanczos vector.

    Returns
    -------
    Certificate
        "strict saddle" holds on all data; "minimum" as far as the sample shows, which for networks is rare:
        most have directions of no curvature and are "degenerate". `direction` is flat, in the order of
        `model.parameters()` that require gradients. The ledger is empty: `products` tells the cost.

    Raises
    ------
    ValueError
        If no parameter requires a gradient, or there are no data.

    Examples
    --------
    >>> import torch, hybridopt
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3, bias=False), torch.nn.Linear(3, 1, bias=False))
    >>> for weight in model.parameters():
    ...     _ = torch.nn.init.zeros_(weight)
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> hybridopt.certify_model(model, torch.nn.functional.mse_loss, (x, x[:, :1])).verdict
    'strict saddle'
    """
    params = [param for param in model.parameters() if param.requires_grad]
    if not params:
        raise ValueError("no parameter of the model requires a gradient; there is nothing to certify")
    weights = flatten(params)
    with _evaluating(model):
        loss = _Loss(model, loss_fn, data, params, seed)
        value, grad = loss.gradient()
        count = sample or max(LEAST_SAMPLE, int(SAMPLE_PASSES * loss.length / (2 * max_products)))
        found = ends(loss.products(count), weights, seed=seed, tol=curvature_tol / 4, products=max_products)
        size = max(abs(found.smallest), abs(found.largest))
        zero = max(curvature_tol, math.sqrt(torch.finfo(weights.dtype).eps)) * size
        smallest = found.smallest
        grad_norm = float(grad.abs().amax())
        if grad_tol is None:
            relative = max(GRAD_TOL, math.sqrt(torch.finfo(weights.dtype).eps))
            grad_tol = relative * size * max(1.0, float(weights.abs().amax()))
        if grad_norm <= grad_tol and smallest < -zero and count < loss.length:
            smallest = loss.curvature(found.vector)
    verdict: Verdict = "degenerate"
    if not grad_norm <= grad_tol:
        verdict = "not stationary"
    elif smallest < -zero:
        verdict = "maximum" if found.largest < -zero else "strict saddle"
    elif found.smallest > zero and found.settled:
        verdict = "minimum"
    flat = found.vectors[found.values.abs() <= zero]
    taken = loss.taken
    return Certificate(
        verdict, value, grad, grad_norm, smallest, found.largest, found.vector, flat, len(weights), grad_tol,
        zero, taken, Ledger(),
    )  # fmt: skip


class _Loss:
    """Mean loss over the data, with gradient and Hessian-vector products as flat vectors."""

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Any, Tensor], Tensor],
        data: Any,
        params: list[nn.Parameter],
        seed: int,
    ) -> None:
        self.model = model
        self.loss_fn = loss_fn
        self.data = data
        self.params = params
        self.seed = seed
        self.length = 0
        self.taken = 0

    def gradient(self) -> tuple[float, Tensor]:
        """Value and gradient on all data; counts them."""
        total, value, grad = 0, 0.0, torch.zeros_like(flatten(self.params))
        for batch in self._batches():
            loss = self._loss(batch)
            size = len(batch[1])
            grad += size * self._flat(torch.autograd.grad(loss, self.params, materialize_grads=True))
            value += size * float(loss.detach())
            total += size
        if not total:
            raise ValueError("data hold no example; pass (inputs, targets) or an iterable of such pairs")
        self.length = total
        return value / total, grad / total

    def products(self, count: int) -> Callable[[Tensor], Tensor]:
        """Rows H v of rows v on a sample of the data; the graph of the gradient is made once."""
        batch = self._sample(count)
        grads = torch.autograd.grad(self._loss(batch), self.params, create_graph=True, materialize_grads=True)
        return lambda rows: torch.stack([self._product(grads, row) for row in rows])

    def curvature(self, direction: Tensor) -> float:
        """Curvature d H d of the loss on all data."""
        total = 0.0
        for batch in self._batches():
            grads = torch.autograd.grad(
                self._loss(batch), self.params, create_graph=True, materialize_grads=True
            )
            total += len(batch[1]) * float(direction @ self._product(grads, direction))
        return total / self.length

    def _product(self, grads: tuple[Tensor, ...], vector: Tensor) -> Tensor:
        self.taken += 1
        parts = torch.split(vector, [param.numel() for param in self.params])
        along = [part.view_as(param) for part, param in zip(parts, self.params, strict=True)]
        curved = [pair for pair in zip(grads, along, strict=True) if pair[0].requires_grad]
        if not curved:  # the loss is linear in the weights
            return torch.zeros_like(vector)
        outputs, weights = zip(*curved, strict=True)
        product = torch.autograd.grad(
            outputs, self.params, grad_outputs=weights, retain_graph=True, materialize_grads=True
        )
        return self._flat(product)

    def _batches(self) -> Iterator[Batch]:
        if isinstance(self.data, tuple) and len(self.data) == 2 and isinstance(self.data[1], Tensor):
            inputs, targets = self.data
            for start in range(0, len(targets), CHUNK):
                yield inputs[start : start + CHUNK], targets[start : start + CHUNK]
        else:
            yield from self.data

    def _sample(self, count: int) -> Batch:
        """A random sample of tensors; of an iterable the first examples of its first batch."""
        if isinstance(self.data, tuple) and len(self.data) == 2 and isinstance(self.data[1], Tensor):
            inputs, targets = self.data
            order = torch.randperm(len(targets), generator=generator(self.seed, "sample"))[:count]
            order = order.to(targets.device)
            return inputs[order], targets[order]
        inputs, targets = next(iter(self.data))
        return inputs[:count], targets[:count]

    def _loss(self, batch: Batch) -> Tensor:
        with torch.enable_grad():
            return self.loss_fn(self.model(batch[0]), batch[1])

    @staticmethod
    def _flat(tensors: Iterable[Tensor]) -> Tensor:
        return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; every module as it was after it."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
