"""COCO's own random numbers: the minimal standard generator with a shuffle, normals and rotations of it.

Instances are a part of the definition of a benchmark, so these numbers are as they are, for ever; nothing
else in the package draws them.

References
----------
.. [1] S. K. Park, K. W. Miller (1988), Random number generators: good ones are hard to find, CACM 31.
.. [2] C. Bays, S. D. Durham (1976), Improving a poor random number generator, ACM TOMS 2, the shuffle.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MODULUS = 2**31 - 1
SHUFFLED = 32
WARM_UP = 8


def uniform(count: int, seed: int) -> NDArray[np.float64]:
    """Numbers in (0, 1) by seed in [0, 2^31 - 1); shape (count,)."""
    state = max(seed, 1)
    for _ in range(WARM_UP):
        state = 16807 * state % MODULUS
    table = [0] * SHUFFLED
    for place in reversed(range(SHUFFLED)):
        state = 16807 * state % MODULUS
        table[place] = state
    drawn, last = np.empty(count), table[0]
    for index in range(count):
        state = 16807 * state % MODULUS
        place = last // 67108865
        last, table[place] = table[place], state
        drawn[index] = last
    return drawn / MODULUS


def normal(count: int, seed: int) -> NDArray[np.float64]:
    """Numbers by Box and Muller; shape (count,)."""
    u = uniform(2 * count, seed)
    drawn: NDArray[np.float64] = np.sqrt(-2 * np.log(u[:count])) * np.cos(2 * np.pi * u[count:])
    return drawn


@functools.lru_cache(maxsize=256)
def rotation(dim: int, seed: int) -> Tensor:
    """Orthogonal matrix (dim, dim): columns of normals, made orthogonal one after the other (Gram-Schmidt).

    In this order, as COCO does it: a QR decomposition rounds otherwise, which functions of high condition
    enlarge.
    """
    columns = normal(dim * dim, seed).reshape(dim, dim)  # a row here is a column of the matrix
    for index, column in enumerate(columns):
        for before in columns[:index]:
            column -= (column @ before) * before
        column /= np.sqrt(column @ column)
    return torch.from_numpy(columns.T.copy())
