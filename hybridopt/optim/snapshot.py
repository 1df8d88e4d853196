"""What a closure may touch when it is only tried out: put aside before, put back after.

A closure reads the weights, but it also writes gradients, moves the global generators (dropout) and updates
buffers (BatchNorm). Whoever tries weights out must undo all of it, and must show every candidate the same
random numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.grad_mode import _unsafe_preserve_version_counter as _version_of

from hybridopt.optim.buffers import Buffers, Mark, Values

Closure = Callable[[], Any]


class Draws:
    """Where the global generators stand: Python's, numpy's, torch's and those of some other devices."""

    def __init__(self, devices: Iterable[torch.device]) -> None:
        self._python = random.getstate()
        self._array = np.random.get_state()  # noqa: NPY002
        self._tensor = torch.get_rng_state()
        self._others = [
            (module, (device,) if device.index is not None else (), module.get_rng_state(device))
            for device in devices
            if hasattr(module := torch.get_device_module(device), "get_rng_state") and device.type != "cpu"
        ]

    def replay(self) -> None:
        """Set them back: whoever draws next draws the same numbers again."""
        random.setstate(self._python)
        np.random.set_state(self._array)  # noqa: NPY002
        torch.set_rng_state(self._tensor)
        for module, device, state in self._others:
            module.set_rng_state(state, *device)


class Snapshot:
    """Weights, gradients, buffers and random numbers as they were.

    Weights and buffers are copied; gradients are only taken off the parameters and hung on again, so that
    their layout and whoever else holds them stay as they were.

    Parameters
    ----------
    params : sequence of Tensor
        Whose gradients, and whose devices' generators, closures may touch.
    buffers : Buffers, optional
        What else closures may write to.
    copies_grads : bool
        Whether the contents of gradients are copied too: distributed training lets them be views of memory
        that the next backward writes to.
    """

    def __init__(
        self, params: Sequence[Tensor], buffers: Buffers | None = None, *, copies_grads: bool = False
    ) -> None:
        self._params = params
        self._grads = [param.grad for param in params]
        self._contents = [g if g is None or not copies_grads else g.clone() for g in self._grads]
        self._buffers = buffers or Buffers(())
        self._saved = self._buffers.save()
        self._weights: list[tuple[Tensor, Tensor]] = []
        self._draws = Draws({param.device for param in params})
        written = [*params, *(buffer for buffer, _ in self._saved.buffers if buffer is not None)]
        self._versions = [_version_of(tensor) for tensor in written if not tensor.is_inference()]

    def keep_weights(self, params: Iterable[Tensor]) -> list[Tensor]:
        """Copies of the weights that are about to change; `restore` puts them back."""
        self._weights = [(param, param.detach().clone()) for param in params]
        return [weight for _, weight in self._weights]

    def written(self, marks: Sequence[Mark], own: Collection[int], device: str | None) -> Values:
        """Copies of buffers in `own`, and of those written to since these marks."""
        return self._buffers.written(marks, self._saved, own, device)

    def rewind(self) -> None:
        """Make everything but the weights ready for a closure, the same for each; gradients are None."""
        for param in self._params:
            param.grad = None
        self._buffers.restore(self._saved)
        self._draws.replay()
        torch.clear_autocast_cache()  # of other weights, where a closure runs inside somebody's autocast

    def restore_grads(self) -> None:
        """Hang the gradients on again."""
        for param, grad, content in zip(self._params, self._grads, self._contents, strict=True):
            if grad is not None and content is not grad and content is not None:
                grad.copy_(content)
            param.grad = grad

    def restore(self) -> None:
        """Put everything back."""
        self.restore_grads()
        self._buffers.restore(self._saved)
        self._draws.replay()
        torch.clear_autocast_cache()
        with torch.no_grad():
            for param, weight in self._weights:
                param.copy_(weight)
        for version in self._versions:  # of the same contents: graphs that hold them stay valid
            version.__exit__(None, None, None)


def loss_of(closure: Closure) -> float:
    """Loss by a closure that is run with gradients on; it may return a tensor or a plain number."""
    with torch.enable_grad():
        loss = closure()
    return float(loss.item() if isinstance(loss, Tensor) else loss)
