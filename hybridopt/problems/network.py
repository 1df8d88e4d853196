"""The loss of a network as a function of one flat vector of its parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call


class NetworkLoss:
    """Loss of the parameters w, shape (dim,), on a batch: `(w, x, y) -> ()`.

    The network and floating data are taken in the dtype of w, the network in evaluation mode (no dropout). It
    must have no buffers: what they were would depend on the order of calls.

    Parameters
    ----------
    network : callable, () -> nn.Module
    loss_fn : callable, (output, target) -> ()

    Raises
    ------
    ValueError
        If the network has buffers, e.g. those of BatchNorm.
    """

    def __init__(self, network: Callable[[], nn.Module], loss_fn: Callable[[Tensor, Tensor], Tensor]) -> None:
        with torch.device("meta"):  # no numbers are drawn
            self.model = network().eval()
        buffers = [name for name, _ in self.model.named_buffers()]
        if buffers:
            raise ValueError(
                f"a network as a function of its parameters must have no buffers, got {buffers[0]!r}; "
                "use LayerNorm or GroupNorm in the place of BatchNorm"
            )
        self.loss_fn = loss_fn
        self.shapes = {name: p.shape for name, p in self.model.named_parameters()}
        self.dim = sum(shape.numel() for shape in self.shapes.values())

    def __call__(self, w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Loss on a batch."""
        parts = torch.split(w, [shape.numel() for shape in self.shapes.values()])
        parameters = {
            name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
        output = functional_call(self.model, parameters, (x.to(w.dtype),))
        return self.loss_fn(output, y.to(w.dtype) if y.is_floating_point() else y)


class NetworkRisk:
    """Loss over all of the data at rows (..., dim), each a network.

    Parameters
    ----------
    loss : NetworkLoss
    x, y : Tensor
        The data.
    """

    def __init__(self, loss: NetworkLoss, x: Tensor, y: Tensor) -> None:
        self.loss = loss
        self.x = x
        self.y = y

    def __call__(self, w: Tensor) -> Tensor:
        """Values of shape (...,)."""
        if w.dim() == 1:
            return self.loss(w, self.x, self.y)
        if w.numel() == 0:  # which cross_entropy can't batch
            return w.new_zeros(w.shape[:-1])
        rows = w.reshape(-1, w.shape[-1])
        values: Tensor = torch.func.vmap(lambda row: self.loss(row, self.x, self.y))(rows)
        return values.reshape(w.shape[:-1])
