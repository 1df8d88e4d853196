"""The best point so far, kept among rows that move on."""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.core import Evaluation


def best_of(evaluation: Evaluation, best_x: Tensor, best_value: Tensor) -> tuple[Tensor, Tensor]:
    """Best point (dim,) so far and its value (), after an evaluation: also of a trial that was refused."""
    lowest = evaluation.value.argmin()
    better = evaluation.value[lowest] < best_value
    return (
        torch.where(better, evaluation.x[lowest], best_x),
        torch.where(better, evaluation.value[lowest], best_value),
    )


def with_best(x: Tensor, value: Tensor, best_x: Tensor, best_value: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of which the worst one is replaced by the best point so far, where none is as good.

    Parameters
    ----------
    x : Tensor, shape (rows, dim)
    value : Tensor, shape (rows,)
    best_x : Tensor, shape (dim,)
    best_value : Tensor, shape ()

    Returns
    -------
    x : Tensor, shape (rows, dim)
    value : Tensor, shape (rows,)
    """
    worst = torch.zeros_like(value, dtype=torch.bool).index_fill(0, value.argmax(), True)
    put = worst & (best_value < value.amin())
    return torch.where(put[:, None], best_x, x), torch.where(put, best_value, value)
