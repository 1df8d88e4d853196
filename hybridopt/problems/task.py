"""A learning task: data split in two, a network to be trained, a loss, and what counts in the end.

Everything random is a hash: of the task's seed the split, of a run's seed the first weights, of the run's
seed and the epoch the order of the minibatches. So all optimizers see equal weights and equal minibatches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hybridopt.objectives import EmpiricalRisk
from hybridopt.problems.network import NetworkLoss
from hybridopt.rng import generator, global_generators, hash_seed

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Task:
    """A learning task with classes, or with numbers to be predicted.

    Attributes
    ----------
    name : str
    network : callable, () -> nn.Module
        Makes the network, with torch's own first weights.
    loss_fn : callable, (output, target) -> scalar
    train_x : Tensor, shape (samples, features)
        Standardised with the mean and the spread of the training samples.
    train_y : Tensor, shape (samples,) or (samples, outputs)
        Classes, int64; or numbers, floating.
    test_x, test_y : Tensor
        The same of samples that no optimizer sees.
    batch_size : int
        Samples in a minibatch.
    """

    name: str
    network: Callable[[], nn.Module]
    loss_fn: Callable[[Tensor, Tensor], Tensor]
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    batch_size: int

    def model(self, seed: int) -> nn.Module:
        """Make the network with first weights by seed; the global generators stay as they are."""
        with global_generators(hash_seed(seed, "model", self.name)):
            return self.network()

    def epoch(self, seed: int, epoch: int) -> Iterator[Batch]:
        """Yield minibatches that cover the training data once, in an order by (seed, epoch).

        All but the last have `batch_size` samples.
        """
        g = generator(seed, "epoch", epoch)
        order = torch.randperm(self.train_x.shape[0], generator=g)
        for rows in torch.split(order, self.batch_size):
            yield self.train_x[rows], self.train_y[rows]

    def batches(self, seed: int) -> Iterator[Batch]:
        """Yield minibatches of epoch after epoch, for ever."""
        epoch = 0
        while True:
            yield from self.epoch(seed, epoch)
            epoch += 1

    def train_loss(self, model: nn.Module) -> float:
        """Loss over all training samples, in evaluation mode."""
        with _evaluation(model):
            return float(self.loss_fn(model(self.train_x), self.train_y))

    def metrics(self, model: nn.Module) -> dict[str, float]:
        """Loss over all training samples, loss and accuracy over all test samples, in evaluation mode.

        There is an accuracy, `test_accuracy`, only where there are classes.
        """
        with _evaluation(model):
            output = model(self.test_x)
        metrics = {
            "train_loss": self.train_loss(model),
            "test_loss": float(self.loss_fn(output, self.test_y)),
        }
        if not self.test_y.is_floating_point():
            metrics["test_accuracy"] = float((output.argmax(1) == self.test_y).double().mean())
        return metrics

    def risk(self, batch_size: int | None = None) -> EmpiricalRisk:
        """Loss over the training data as an objective for `minimize`, of the flat parameter vector.

        Parameters
        ----------
        batch_size : int, optional
            Samples in a minibatch; None: all at once.

        Returns
        -------
        EmpiricalRisk
            Its points are in the order of `network.parameters()`; `flatten(model(seed).parameters())` is one.
        """
        return EmpiricalRisk(
            NetworkLoss(self.network, self.loss_fn), (self.train_x, self.train_y), batch_size
        )


@contextlib.contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    """No dropout, fixed statistics, no gradients; then as before."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def split(y: Tensor, test_share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Rows for training and for testing, with the same share of every class.

    Parameters
    ----------
    y : Tensor, shape (samples,)
        Classes.
    test_share : float
        In (0, 1).
    seed : int

    Returns
    -------
    train, test : Tensor
        Row numbers, rising.
    """
    g = generator(seed, "split")
    test = []
    for label in sorted(set(y.tolist())):
        rows = torch.nonzero(y == label)[:, 0]
        count = max(1, round(test_share * len(rows)))
        test.append(rows[torch.randperm(len(rows), generator=g)[:count]])
    chosen = torch.zeros(len(y), dtype=torch.bool)
    chosen[torch.cat(test)] = True
    return torch.nonzero(~chosen)[:, 0], torch.nonzero(chosen)[:, 0]
