"""What a closure may touch when it is only tried out: put aside before, put back after.

A closure reads the weights, but it also writes gradients, moves the global generators (dropout) and updates
buffers (BatchNorm). Whoever tries weights out must undo all of it, and must show every candidate the same
random numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Closure = Callable[[], Any]


class Draws:
    """Where the global generators stand: Python's, numpy's, torch's and those of some CUDA devices."""

    def __init__(self, devices: Iterable[torch.device]) -> None:
        self._python = random.getstate()
        self._array = np.random.get_state()  # noqa: NPY002
        self._tensor = torch.get_rng_state()
        self._cuda = {device: torch.cuda.get_rng_state(device) for device in devices if device.type == "cuda"}

    def replay(self) -> None:
        """Set them back: whoever draws next draws the same numbers again."""
        random.setstate(self._python)
        np.random.set_state(self._array)  # noqa: NPY002
        torch.set_rng_state(self._tensor)
        for device, state in self._cuda.items():
            torch.cuda.set_rng_state(state, device)


class Snapshot:
    """Weights, gradients, buffers and random numbers as they were.

    Weights and buffers are copied; gradients are only taken off the parameters and hung on again, so that
    their layout and whoever else holds them stay as they were.

    Parameters
    ----------
    params : sequence of Tensor
        Whose gradients, and whose devices' generators, closures may touch.
    buffers : sequence of Tensor
        What else closures may write to.
    """

    def __init__(self, params: Sequence[Tensor], buffers: Sequence[Tensor] = ()) -> None:
        self._params = params
        self._grads = [param.grad for param in params]
        self._buffers = [(buffer, buffer.detach().clone()) for buffer in buffers]
        self._weights: list[tuple[Tensor, Tensor]] = []
        self._draws = Draws({param.device for param in params})

    def keep_weights(self, params: Iterable[Tensor]) -> list[Tensor]:
        """Copies of the weights that are about to change; `restore` puts them back."""
        self._weights = [(param, param.detach().clone()) for param in params]
        return [weight for _, weight in self._weights]

    def rewind(self) -> None:
        """Make everything but the weights ready for a closure, the same for each; gradients are None."""
        for param in self._params:
            param.grad = None
        _put_back(self._buffers)
        self._draws.replay()

    def restore_grads(self) -> None:
        """Hang the gradients on again."""
        for param, grad in zip(self._params, self._grads, strict=True):
            param.grad = grad

    def restore(self) -> None:
        """Put everything back."""
        self.rewind()
        _put_back(self._weights)
        self.restore_grads()


def loss_of(closure: Closure) -> float:
    """Loss by a closure that is run with gradients on; it may return a tensor or a plain number."""
    with torch.enable_grad():
        loss = closure()
    return float(loss.item() if isinstance(loss, Tensor) else loss)


def _put_back(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    with torch.no_grad():
        for tensor, saved in pairs:
            tensor.copy_(saved)
