"""The best point so far, kept among rows that move on."""

from __future__ import annotations

from torch import Tensor

from hybridopt.core import Evaluation


def best_of(evaluation: Evaluation, best_x: Tensor, best_value: Tensor) -> tuple[Tensor, Tensor]:
    """Best point (dim,) so far and its value (), after an evaluation: also of a trial that was refused."""
    value, row = evaluation.value.min(0)
    if not bool(value < best_value):
        return best_x, best_value
    return evaluation.x.index_select(0, row[None])[0], value


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
    if not bool(best_value < value.amin()):
        return x, value
    worst = value.argmax()[None]
    return x.index_copy(0, worst, best_x[None]), value.index_copy(0, worst, best_value[None])
