"""Where children play the optimizer: each takes its place for a step, and leaves all as it was.

A child is what a training run would be with other weights: weights, base state and buffers. The parameters,
the optimizer and the model's buffers are the stage; the parent's own are put aside while a child is on it.
Weights are copied in and out rather than exchanged, so that views, shared memory, compiled models and
distributed wrappers keep the tensors they know.
"""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from hybridopt.optim.buffers import Buffers
from hybridopt.optim.snapshot import Snapshot

Group = dict[str, Any]
_SCALING = (
    "grad_scale",
    "found_inf",
)  # what a GradScaler hangs on fused optimizers, for the parent's gradients


@dataclass(frozen=True)
class Child:
    """A competitor of the parent; a new object after each step.

    Attributes
    ----------
    kind : str
        How it was made.
    weights : tuple of Tensor
        Of the parameters that race, in their order.
    state : dict
        Base state, by the parameter's place in all groups.
    groups : tuple of dict
        Options that the base itself has changed in its steps, for each group.
    buffers : tuple of Tensor or None
    start : float
        How far from its parent it began.
    losses : tuple of float
        Of its steps; to be minimised, +inf where not finite.
    """

    kind: str
    weights: tuple[Tensor, ...]
    state: dict[int, Any]
    groups: tuple[Group, ...]
    buffers: tuple[Tensor | None, ...]
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
        self.snapshot = Snapshot(self.all, buffers, copies_grads=distributed)
        self.weights = self.snapshot.keep_weights(self.params)
        self._state = optimizer.state
        self._groups = _options(optimizer)
        self._scaling = {name: vars(optimizer)[name] for name in _SCALING if name in vars(optimizer)}
        self._had_grad = [param.grad is not None and not param.grad.is_sparse for param in self.all]

    def show(self, weights: Iterable[tuple[int, Tensor]]) -> None:
        """Put the parent on the stage, some of its weights replaced, by their places."""
        self._rewind()
        replaced = dict(weights)
        with torch.no_grad():
            for place, (param, own) in enumerate(zip(self.params, self.weights, strict=True)):
                param.copy_(replaced.get(place, own))

    def newborn(self, kind: str, weights: Sequence[Tensor], *, heir: bool) -> Child:
        """A child of these weights; the base state is its parent's if it is an heir, else as if just made."""
        state = self.packed() if heir else {}
        kept = tuple(_moved(weight, self.device) for weight in weights)
        groups: tuple[Group, ...] = tuple({} for _ in self._groups)
        child = Child(kind, kept, state, groups, self.buffers.copies(self.device))
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
        self._enter(child)
        loss = step()
        changed = tuple(
            {name: copy.copy(value) for name, value in now.items() if not _same(value, before.get(name))}
            for now, before in zip(_options(self.optimizer), self._groups, strict=True)
        )
        return replace(
            child,
            weights=tuple(_copied(param, self.device) for param in self.params),
            state=self._leave(),
            groups=changed,
            buffers=self.buffers.copies(self.device),
            losses=(*child.losses, loss),
        )

    def measure(self, step: Callable[[], object]) -> object:
        """Loss of the parent itself, by a step that changes no weights."""
        self.show(())
        return step()

    def become(self, child: Child) -> None:
        """Let a child take the parent's place for good; after the parent's step."""
        self._write(child)
        self.optimizer.state = self._unpacked(child.state)

    def restore(self) -> None:
        """Everything as it was at the beginning."""
        self.snapshot.restore()
        self.optimizer.state = self._state
        for group, options in zip(self.optimizer.param_groups, self._groups, strict=True):
            for name in group.keys() - options.keys() - {"params"}:
                del group[name]
            group.update(options)
        vars(self.optimizer).update(self._scaling)

    def packed(self) -> dict[int, Any]:
        """A copy of the base state, by places."""
        state = self.optimizer.state
        return {
            place: _mapped(state[param], _copied, self.device)
            for place, param in enumerate(self.all)
            if param in state
        }

    def _enter(self, child: Child) -> None:
        self._rewind()
        for name in self._scaling:
            vars(self.optimizer).pop(name, None)
        self._write(child)
        self.optimizer.state = self._unpacked(child.state)

    def _rewind(self) -> None:
        self.snapshot.rewind()
        for param, had in zip(self.all, self._had_grad, strict=True):
            if had:  # closures that call p.grad.zero_() expect one
                param.grad = torch.zeros_like(param)

    def _write(self, child: Child) -> None:
        with torch.no_grad():
            for param, weight in zip(self.params, child.weights, strict=True):
                param.copy_(weight)
        self.buffers.write(child.buffers)
        for group, before, changed in zip(
            self.optimizer.param_groups, self._groups, child.groups, strict=True
        ):
            group.update({**before, **changed})

    def _unpacked(self, packed: dict[int, Any]) -> Any:
        """Base state by parameters, copied, each tensor on the device where the parent's is."""
        state: Any = defaultdict(dict)
        for place, own in packed.items():
            param = self.all[place]
            there = self._state.get(param, {})
            homes = {name: _home(there.get(name), param) for name in own}
            state[param] = {name: _mapped(value, _copied, homes[name]) for name, value in own.items()}
        return state

    def _leave(self) -> dict[int, Any]:
        """State that a child leaves with; nobody else holds it, so it is only moved."""
        state = self.optimizer.state
        return {
            place: _mapped(state[param], _moved, self.device)
            for place, param in enumerate(self.all)
            if param in state
        }


def loss_number(loss: object, sign: float) -> float:
    """A closure's loss as a number to be minimised; +inf if it is none or not finite."""
    if isinstance(loss, Tensor) and loss.numel() == 1:
        value = float(loss.detach())
    elif isinstance(loss, Real):
        value = float(loss)
    else:
        return math.inf
    return sign * value if math.isfinite(value) else math.inf


def _options(optimizer: Optimizer) -> tuple[Group, ...]:
    return tuple(
        {name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups
    )


def _same(a: Any, b: Any) -> bool:
    return a is b or (not isinstance(a, Tensor) and not isinstance(b, Tensor) and bool(a == b))


def _home(parents: Any, param: Tensor) -> torch.device:
    return parents.device if isinstance(parents, Tensor) else param.device


def _copied(tensor: Tensor, device: Any) -> Tensor:
    return tensor.detach().to(device=device, copy=True)


def _moved(tensor: Tensor, device: Any) -> Tensor:
    return tensor.detach().to(device=device)


def _mapped(value: Any, change: Callable[[Tensor, Any], Tensor], device: Any) -> Any:
    """The same containers with other tensors."""
    if isinstance(value, Tensor):
        return change(value, device)
    if type(value) in (list, tuple):
        return type(value)(_mapped(part, change, device) for part in value)
    if isinstance(value, dict):
        return {name: _mapped(part, change, device) for name, part in value.items()}
    return copy.deepcopy(value)
