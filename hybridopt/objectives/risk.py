"""Empirical risk: the mean loss over data, in batches.

Batch descent, stochastic descent and mini-batch descent are one objective with another `batch_size`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hybridopt.autodiff import derivatives
from hybridopt.core import Query
from hybridopt.evaluate import Answer
from hybridopt.objectives.function import TorchObjective
from hybridopt.rng import generator


class EmpiricalRisk:
    """An objective for `minimize`: the loss of a model on data, a batch at a time.

    Every epoch runs through all data in an order that is a hash of (seed, epoch); all rows of a population
    see the same batch. The ledger books an evaluation as one unit whatever the size of its batch.

    Parameters
    ----------
    loss : callable, (w, ``*batch``) -> ()
        Mean loss of the parameters w, shape (dim,), over a batch.
    data : sequence of Tensor
        Tensors with the same first length, e.g. inputs and targets.
    batch_size : int, optional
        1: stochastic descent; None: all data at once (batch descent).

    Raises
    ------
    TypeError
        If the data are no tensors.
    ValueError
        If they differ in length or are empty, or batch_size is not in 1 .. length.

    Examples
    --------
    >>> import torch, hybridopt
    >>> inputs = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
    >>> risk = hybridopt.EmpiricalRisk(
    ...     lambda w, x, y: ((x @ w - y) ** 2).mean(), (inputs, 3 * inputs[:, 0]), batch_size=10)
    >>> result = hybridopt.minimize(
    ...     risk, x0=[0.0], method=torch.optim.SGD, options={"lr": 0.1}, max_evals=1000, seed=0)
    >>> round(float(result.x[0]), 6)
    3.0

    References
    ----------
    S. Ruder, "An overview of gradient descent optimization algorithms", arXiv:1609.04747, 2016, section 2.
    """

    order = 2

    def __init__(
        self, loss: Callable[..., Tensor], data: Sequence[Tensor], batch_size: int | None = None
    ) -> None:
        if isinstance(data, Tensor):
            raise TypeError("data must be a sequence of tensors, got one tensor; write (data,)")
        data = tuple(data)
        if not all(isinstance(part, Tensor) and part.ndim for part in data):
            kinds = [type(part).__name__ for part in data]
            raise TypeError(f"data must be tensors with a first dimension, got {kinds}; use torch.as_tensor")
        lengths = {len(part) for part in data}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"data must be of the same length, at least 1, got lengths {sorted(lengths)}")
        (self.length,) = lengths
        if batch_size is not None and (batch_size != int(batch_size) or not 1 <= batch_size <= self.length):
            raise ValueError(f"batch_size must be a whole number in 1 .. {self.length}, got {batch_size!r}")
        self.data = data
        self.batch_size = self.length if batch_size is None else int(batch_size)
        self._loss = TorchObjective(loss, (), False, None)
        self._order: tuple[tuple[int, int], Tensor] | None = None

    @property
    def draws(self) -> bool | None:
        """Whether the loss draws from a global generator (dropout)."""
        return self._loss.draws

    @draws.setter
    def draws(self, draws: bool | None) -> None:
        self._loss.draws = draws

    @property
    def eps(self) -> float:
        """Rounding of the loss."""
        return self._loss.eps

    @property
    def sampled(self) -> bool:
        """Whether a batch is less than all data."""
        return self.batch_size < self.length

    @property
    def batches(self) -> int:
        """Batches in an epoch; the last one may be smaller."""
        return -(-self.length // self.batch_size)

    def batch(self, sample: int, seed: int) -> tuple[Tensor, ...]:
        """Data of the `sample`-th batch since the start; -1 means all."""
        if sample < 0 or not self.sampled:
            return self.data
        epoch, place = divmod(sample, self.batches)
        if self._order is None or self._order[0] != (seed, epoch):
            order = torch.randperm(self.length, generator=generator(seed, "epoch", epoch))
            self._order = (seed, epoch), order.to(self.data[0].device)
        rows = self._order[1][place * self.batch_size : (place + 1) * self.batch_size]
        return tuple(part[rows] for part in self.data)

    def answer(self, query: Query, seed: int) -> Answer:
        """Mean loss of every row on the query's batch, and its derivatives."""
        batch = self.batch(query.sample, seed)
        return derivatives(lambda x: self._loss.values(x, *batch), query.x, query.order, query.direction)
