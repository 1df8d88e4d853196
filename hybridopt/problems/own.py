"""A learning task of one's own: any network, any data, any loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt.problems import data as shipped
from hybridopt.problems.catalogue import task
from hybridopt.problems.data import standardise
from hybridopt.problems.task import Task, split
from hybridopt.registry import lookup

SETS: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
    "breast_cancer": shipped.breast_cancer,
    "diabetes": shipped.diabetes,
    "digits": shipped.digits,
}


@task("network")
def network(
    seed: int = 0,
    *,
    model: Callable[[], nn.Module],
    data: str | Callable[[], Sequence[Any]],
    loss: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    batch_size: int = 64,
    test_share: float = 0.25,
) -> Task:
    """Your own model on your own data.

    Parameters
    ----------
    seed : int
        Which samples are for testing, where the data don't say.
    model : callable, () -> nn.Module
    data : str or callable
        "breast_cancer", "diabetes" or "digits" (scikit-learn's); or a function that returns (x, y), of which
        a share is kept for testing and whose features are standardised, or (train_x, train_y, test_x,
        test_y), which are taken as they are. Tensors or arrays; integer y are classes.
    loss : str or callable, (output, target) -> (), optional
        A function of `torch.nn.functional`; by default "cross_entropy" for classes, else "mse_loss".
    batch_size : int, >= 1
    test_share : float, in (0, 1)

    Returns
    -------
    Task

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, or the data have another form.

    Examples
    --------
    >>> import torch
    >>> from hybridopt import problems
    >>> task = problems.make_task("network", model=lambda: torch.nn.Linear(64, 10), data="digits")
    >>> task.train_x.shape
    torch.Size([1347, 64])
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must be above 0 and below 1, got {test_share}")
    load = lookup(data, SETS, "data set") if isinstance(data, str) else data
    parts = _divided(load(), test_share, seed)
    loss_fn = _loss(loss, parts[1])
    return Task("network", model, loss_fn, *parts, batch_size)


def _divided(parts: Sequence[Any], test_share: float, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test data, (train_x, train_y, test_x, test_y)."""
    if len(parts) not in (2, 4):
        raise ValueError(
            f"data must return (x, y) or (train_x, train_y, test_x, test_y), got {len(parts)} parts"
        )
    tensors = [torch.as_tensor(part) for part in parts]
    for x, y in zip(tensors[::2], tensors[1::2], strict=True):
        if len(x) != len(y) or len(x) == 0:
            raise ValueError(
                f"data must have a target for each sample, got {len(x)} samples, {len(y)} targets"
            )
    if len(tensors) == 4:
        train_x, train_y, test_x, test_y = map(_single, tensors)
        return train_x, train_y, test_x, test_y
    x, y = map(_single, tensors)
    train, test = split(y if not y.is_floating_point() else y.new_zeros(len(y)), test_share, seed)
    train_x, test_x = standardise(x[train], x[test]) if x.is_floating_point() else (x[train], x[test])
    if y.is_floating_point() and y.ndim == 1:
        y = y[:, None]
    return train_x, y[train], test_x, y[test]


def _single(part: Tensor) -> Tensor:
    """Numbers as float32, what torch's layers are in; classes as int64."""
    return part.float() if part.is_floating_point() else part.long()


def named_loss(name: str) -> Callable[..., Tensor]:
    """Loss of `torch.nn.functional`.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    functions = vars(nn.functional)
    losses = {n: f for n, f in functions.items() if n.endswith(("_loss", "_entropy", "kl_div", "_logits"))}
    found: Callable[..., Tensor] = lookup(name, losses, "loss")
    return found


def _loss(loss: str | Callable[[Tensor, Tensor], Tensor] | None, y: Tensor) -> Callable[..., Tensor]:
    if loss is None:
        loss = "mse_loss" if y.is_floating_point() else "cross_entropy"
    return named_loss(loss) if isinstance(loss, str) else loss
