"""Children of a network: its weights and Gaussian noise, scaled tensor by tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hybridopt.rng import generator

VECTOR_SCALE = 0.1  # biases and scalars that are zero: about what trained biases come to


def scale(weight: Tensor) -> Tensor:
    """Natural size of a tensor's entries; shape ().

    The root mean square of the weights, and at least the one torch's initialisation gives a matrix or a
    convolution, 1 / sqrt(3 * fan_in): weights at or near zero, where saddles lie, have no size of their own.

    Parameters
    ----------
    weight : Tensor
        Not empty.
    """
    precise = torch.promote_types(weight.dtype, torch.float32)
    size: Tensor = torch.linalg.vector_norm(weight, dtype=precise) / math.sqrt(weight.numel())
    if weight.ndim < 2:
        return size.clamp_min(VECTOR_SCALE)
    fan_in = weight.numel() / weight.shape[0]
    return size.clamp_min(1.0 / math.sqrt(3.0 * fan_in))


def mutate_into(
    params: Sequence[Tensor], parents: Sequence[Tensor], sigma: float, seed: int, *path: int | str
) -> None:
    """Write a child into the parameters: parent + sigma * scale * standard normal, tensor by tensor.

    The same (seed, path) gives the same child, so that none has to be kept.

    Parameters
    ----------
    params, parents : sequences of Tensor
        Where the child goes, and the weights it is a child of; neither holds empty tensors.
    sigma : float
        Share of each tensor's `scale`.
    seed, path : int, int or str
        Name of the child.
    """
    with torch.no_grad():
        for index, (param, parent) in enumerate(zip(params, parents, strict=True)):
            g = generator(seed, *path, index, device=param.device)
            noise = torch.randn(parent.shape, generator=g, dtype=parent.dtype, device=parent.device)
            param.copy_(parent + noise * (sigma * scale(parent)))
