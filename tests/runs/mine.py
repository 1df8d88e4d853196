"""Problems, an optimizer, a model and data of a user's own, for tests of import paths in configs."""

import numpy as np
import torch

from hybridopt import GeneticAlgorithm, problems


def bowl(x):
    return ((x - 1) ** 2).sum()


def rows_of_bowls(x):
    return ((x - 1) ** 2).sum(-1)


def numpy_bowl(x):
    return float(np.square(x - 1).sum())


def valley(dim, seed, width=1.0):
    lower, upper = problems.box(dim, -2.0, 3.0)
    return problems.Problem(
        "valley", dim, lambda x: width * (x - seed).square().sum(-1), lower, upper, value=0.0
    )


def own_task(seed=0, batch_size=8):
    return problems.make_task("network", seed=seed, model=Net, data=load, batch_size=batch_size)


class Evolution(GeneticAlgorithm):
    """An optimizer of one's own."""


class Net(torch.nn.Sequential):
    def __init__(self, width=3):
        super().__init__(torch.nn.Linear(2, width), torch.nn.Tanh(), torch.nn.Linear(width, 2))


def load(samples=40):
    x = torch.randn(samples, 2, generator=torch.Generator().manual_seed(0))
    return x, (x.sum(1) > 0).long()
