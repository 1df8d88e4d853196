"""A small regression with BatchNorm, dropout and shuffled minibatches, to be trained by each framework."""

import math
from dataclasses import replace

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hybridopt.conditions import Steps
from hybridopt.optim import Escape

# Begins a race whenever it may, and never accepts a child.
REJECTS = Escape(when=Steps(1), every=1, length=8, longest=1, margin=1e9, share=math.inf)
# Accepts what is better by a standard error.
ACCEPTS = Escape(when=Steps(1), every=1, length=8, longest=1, margin=0.0, z=1.0, share=math.inf)
# The same, but not within the first epoch of six steps.
ACCEPTS_LATE = replace(ACCEPTS, length=32)

g = torch.Generator().manual_seed(1)
X = torch.rand(96, 2, generator=g) * 4 - 2
Y = torch.sin(2 * X[:, :1]) * X[:, 1:]


def network(outputs: int = 1) -> nn.Sequential:
    """A network that begins far off, so that children soon find better."""
    torch.manual_seed(0)
    last = nn.Linear(8, outputs)
    nn.init.constant_(last.bias[:1], 2.0)
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Tanh(), last)


def batches(*, shuffle: bool = True) -> DataLoader:
    """Six minibatches."""
    return DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=shuffle)


def same_model(a: nn.Module, b: nn.Module) -> bool:
    """Equal bit for bit, buffers too."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def error_of(model: nn.Module) -> float:
    """Loss over all data, without dropout."""
    with torch.no_grad():
        error = nn.functional.mse_loss(model.eval()(X), Y).item()
    model.train()
    return error
