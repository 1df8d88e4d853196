"""What a certificate of a network costs, in passes of gradients over its data.

    OMP_NUM_THREADS=1 python benchmarks/certificate.py

784-110-110-10 (99,670 parameters, tanh), 5,000 random images, ten classes of 500, float32: at random weights,
and at a saddle, where all but the first layer's are zero. Cases take turns; the ratio is the median of the
ratios within a round, of processor time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import hybridopt

ROUNDS = 9


def timed(action: Callable[[], object]) -> float:
    """Processor time of an action."""
    began = time.process_time()
    action()
    return time.process_time() - began


def main() -> None:
    """Measure at both points."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 110), nn.Tanh(), nn.Linear(110, 110), nn.Tanh(), nn.Linear(110, 10))
    data = torch.randn(5000, 784), torch.arange(5000) % 10
    for name in ("random weights", "saddle"):
        if name == "saddle":
            for weight in list(model.parameters())[2:]:
                nn.init.zeros_(weight)
        measure(name, model, data)


def measure(name: str, model: nn.Module, data: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Print the ratio and the verdict for one point."""
    loss_fn = nn.functional.cross_entropy

    def gradients() -> None:
        for start in range(0, 5000, 1024):
            inputs, targets = (part[start : start + 1024] for part in data)
            torch.autograd.grad(loss_fn(model(inputs), targets), list(model.parameters()))

    def certificate() -> None:
        nonlocal found
        found = hybridopt.certify_model(model, loss_fn, data)

    found = hybridopt.certify_model(model, loss_fn, data)
    gradients()
    rounds = [(timed(gradients), timed(certificate)) for _ in range(ROUNDS)]
    print(f"{name}: {statistics.median(b / a for a, b in rounds):.2f} passes; {found.verdict}, ", end="")
    print(f"eigenvalues {found.smallest:.3g} .. {found.largest:.3g}, {found.products} products")


if __name__ == "__main__":
    main()
