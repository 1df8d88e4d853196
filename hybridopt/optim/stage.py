"""Where children play the optimizer: each takes its place for a step, and leaves all as it was.

A child is what a training run would be with other weights: weights, base state and buffers. The parameters,
the optimizer and the model's buffers are the stage; the parent's own are put aside while a child is on it.
Weights are copied in and out rather than exchanged, so that views, shared memory, compiled models and
distributed wrappers keep the tensors they know.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real

import torch
from torch import Tensor
from torch.optim import Optimizer

from hybridopt.optim.buffers import Buffers, Values
from hybridopt.optim.inner import Inner, Inside
from hybridopt.optim.snapshot import Snapshot

_WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes
_CHUNK = 1 << 20  # entries of a weight, which take eight bytes each for a while


@dataclass(frozen=True)
class Child:
    """A competitor of the parent; a new object after each step.

    Attributes
    ----------
    kind : str
        How it was made.
    weights : tuple of Tensor
        Of the parameters that race, in their order.
    inner : Inner
        What its base keeps.
    buffers : dict
        Those that its steps have written to, by their places; the others are as its parent has them.
    start : float
        How far from its parent it began.
    losses : tuple of float
        Of its steps; to be minimised, +inf where not finite.
    """

    kind: str
    weights: tuple[Tensor, ...]
    inner: Inner
    buffers: Values
    start: float = 0.0
    losses: tuple[float, ...] = ()


def params_of(optimizer: Optimizer) -> list[Tensor]:
    """All parameters, group after group."""
    return [param for group in optimizer.param_groups for param in group["params"]]


def racing(params: Sequence[Tensor]) -> tuple[int, ...]:
    """Places of the parameters that a step can change."""
    return tuple(place for place, param in enumerate(params) if param.requires_grad or param.grad is not None)


class Stage:
    """The optimizer and its parameters, as they are at the beginning of one `step`.

    Parameters
    ----------
    optimizer : Optimizer
    places : tuple of int
        Of the parameters that race.
    buffers : Buffers
    device : str or None
        Where children are kept.
    distributed : bool
        Whether gradients may be views of memory that is written to.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        places: Sequence[int],
        buffers: Buffers,
        device: str | None,
        *,
        distributed: bool = False,
    ) -> None:
        self.optimizer = optimizer
        self.buffers = buffers
        self.device = device
        self.all = params_of(optimizer)
        self.params = [self.all[place] for place in places]
        self._touched = [*self.all, *buffers.strangers(self.all)]
        self.snapshot = Snapshot(self._touched, buffers, copies_grads=distributed)
        self.weights = self.snapshot.keep_weights(self.params)
        self.inside = Inside(optimizer, self.all, device)
        self._had_grad = [p.grad is not None and not p.grad.is_sparse for p in self._touched]

    def show(self, weights: Iterable[tuple[int, Tensor]]) -> None:
        """Put the parent on the stage, some of its weights replaced, by their places."""
        self._rewind()
        replaced = dict(weights)
        with torch.no_grad():
            for place, (param, own) in enumerate(zip(self.params, self.weights, strict=True)):
                param.copy_(replaced.get(place, own))

    def newborn(self, kind: str, weights: Sequence[Tensor]) -> Child:
        """A child of these weights and its parent's base state; of LBFGS' only what it was made with.

        Small second moments of a stalled parent give a child a burst of long steps, which helps it away.
        Differences of gradients along the parent's way would mislead.
        """
        inner = Inner() if isinstance(self.optimizer, torch.optim.LBFGS) else self.inside.copy()
        kept = tuple(weight.detach().to(self.device) for weight in weights)
        child = Child(kind, kept, inner, {})
        return replace(child, start=self.distance(child))

    def distance(self, child: Child) -> float:
        """Euclidean distance of a child from the parameters as they are now."""
        parts = [
            float(torch.linalg.vector_norm(weight.to(param.device, torch.float32) - param.detach()))
            for weight, param in zip(child.weights, self.params, strict=True)
        ]
        return math.hypot(*parts)

    def play(self, child: Child, step: Callable[[], float]) -> Child:
        """Let a child take one step of the base; all else is put back by `restore`, also if it raises."""
        self._rewind()
        self._write(child)
        marks = self.buffers.marks()
        self.inside.enter(child.inner)
        try:
            loss = step()
        except BaseException:
            self.inside.restore()
            raise
        return replace(
            child,
            weights=tuple(param.detach().to(device=self.device, copy=True) for param in self.params),
            inner=self.inside.leave(child.inner),
            buffers=self.snapshot.written(marks, child.buffers, self.device),
            losses=(*child.losses, loss),
        )

    def measure(self, step: Callable[[], object]) -> object:
        """Loss of the parent itself, by a step that changes no weights."""
        self.show(())
        with self.buffers.quiet():
            return step()

    def become(self, child: Child) -> None:
        """Let a child take the parent's place for good; after the parent's step."""
        self._write(child)
        self.inside.become(child.inner)

    def restore(self) -> None:
        """Everything as it was at the beginning."""
        self.snapshot.restore()
        self.inside.restore()

    def ready(self) -> None:
        """The same for the parent's own step, between two closures of which LBFGS' state has changed."""
        self.restore()
        self.inside.keep()

    def checksums(self) -> tuple[int, ...]:
        """Of the parameters as they are now, by which it shows whether somebody else has changed them."""
        return tuple(map(_checksum, self.params))

    def _rewind(self) -> None:
        self.snapshot.rewind()
        for param, had in zip(self._touched, self._had_grad, strict=True):
            if had:  # closures that call p.grad.zero_() expect one
                param.grad = torch.zeros_like(param)

    def _write(self, child: Child) -> None:
        with torch.no_grad():
            for param, weight in zip(self.params, child.weights, strict=True):
                if not torch.equal(param, weight.to(param.device)):  # a graph may wait for those that are
                    param.copy_(weight)
        self.buffers.write(child.buffers)


def _checksum(weight: Tensor) -> int:
    """Of the bits, in whatever order they are summed."""
    if weight.layout != torch.strided:
        return 0
    words = weight.detach().flatten().view(_WORDS[weight.element_size()])
    odd = 2 * torch.arange(min(len(words), _CHUNK), device=words.device) + 1
    sums = [int((chunk.to(torch.int64) * odd[: len(chunk)]).sum()) for chunk in torch.split(words, _CHUNK)]
    return functools.reduce(lambda total, part: (31 * total + part) % 2**62, sums, 0)


def loss_number(loss: object, sign: float) -> float:
    """A closure's loss as a number to be minimised; +inf if it is none or not finite."""
    if isinstance(loss, Tensor) and loss.numel() == 1 and not loss.is_complex():
        value = float(loss.detach())
    elif isinstance(loss, Real):
        value = number(loss)
    else:
        return math.inf
    return sign * value if math.isfinite(value) else math.inf


def number(loss: Real) -> float:
    """A plain number as a float; whole ones may be too large for one."""
    try:
        return float(loss)
    except OverflowError:
        return math.inf
