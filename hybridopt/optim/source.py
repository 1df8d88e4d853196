"""Where losses and gradients come from: the closure of a step, or an objective for loops that pass none."""

from __future__ import annotations

import sys
from typing import Any, Protocol

import torch
from torch import Tensor

from hybridopt.optim.snapshot import Closure
from hybridopt.optim.stage import Stage, params_of


class Source(Protocol):
    """What a race asks for; `cost` counts what it ran besides the parent's own step."""

    cost: int

    def gradients(self, optimizer: Any) -> object:
        """Run it, so that gradients are there; its loss."""

    def child_step(self, optimizer: Any) -> object:
        """A step of the base on a child's weights; the loss before it."""

    def parent_step(self, optimizer: Any, stage: Stage) -> tuple[Any, object]:
        """The parent's ordinary step, after everything was put back: what the base returns, and the loss."""


class ByClosure:
    """The closure of one `step` call."""

    def __init__(self, closure: Closure) -> None:
        self.closure = closure
        self.cost = 0

    def gradients(self, optimizer: Any) -> object:
        self.cost += 1
        with torch.enable_grad():
            return self.closure()

    def child_step(self, optimizer: Any) -> object:
        return _heard_step(optimizer, lambda: self.gradients(optimizer))[1]

    def parent_step(self, optimizer: Any, stage: Stage) -> tuple[Any, object]:
        stage.ready()
        return _heard_step(optimizer, self.closure)


class ByObjective:
    """An objective; the parent steps on the gradients that the loop has left, or by a closure of its own."""

    def __init__(self, objective: Closure, closure: Closure | None = None) -> None:
        self.objective = objective
        self.closure = closure
        self.cost = 0

    def value(self) -> object:
        """Loss alone; not under no_grad, which distributed wrappers remember and some objectives forbid."""
        self.cost += 1
        with torch.inference_mode(False), torch.enable_grad():
            return self.objective()

    def gradients(self, optimizer: Any) -> object:
        self.cost += 1
        params = params_of(optimizer)
        for param in params:
            param.grad = None
        with torch.inference_mode(False), torch.enable_grad():
            loss = self.objective()
            if all(param.grad is None for param in params) and isinstance(loss, Tensor):
                loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def child_step(self, optimizer: Any) -> object:
        return _heard_step(optimizer, lambda: self.gradients(optimizer))[1]

    def parent_step(self, optimizer: Any, stage: Stage) -> tuple[Any, object]:
        loss = stage.measure(self.value)
        stage.ready()
        return self.base_step(optimizer), loss

    def base_step(self, optimizer: Any) -> Any:
        """The parent's, as the loop asked for it."""
        return optimizer._base_step() if self.closure is None else optimizer._base_step(self.closure)


def _heard_step(optimizer: Any, closure: Closure) -> tuple[Any, object]:
    """Let the base step by a closure; what it returns, and the loss before it."""
    first: list[object] = []

    def heard() -> Any:
        loss = closure()
        if not first:  # a base may return a later one: SAM's is of disturbed weights
            first.append(loss.detach().clone() if isinstance(loss, Tensor) else loss)
        return loss

    answer = optimizer._base_step(heard)
    return answer, first[0] if first else None


def refuse_scaler() -> None:
    """Refuse a closure that came through an enabled GradScaler by position; by keyword it refuses itself.

    Raises
    ------
    RuntimeError
        The scaler would unscale gradients that the closure then makes anew, scaled.
    """
    frame: Any = sys._getframe(1)
    for _ in range(10):
        if frame is None:
            return
        if frame.f_code is torch.amp.GradScaler.step.__code__ and frame.f_locals["self"].is_enabled():
            raise RuntimeError(
                "an enabled GradScaler can't step by a closure: it unscales the gradients before the closure "
                "makes them anew; call scaler.step(optimizer) without one, and pass objective= to Hybrid for "
                "its escapes"
            )
        frame = frame.f_back
