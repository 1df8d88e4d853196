"""What a step of Adam on 1,000 rows costs, beside 1,000 separate torch optimizers.

    OMP_NUM_THREADS=1 python benchmarks/descent.py

float32, 10 coordinates a row, gradients given; ask and tell of ours against `step()` of each of theirs. Cases
take turns; the ratio is the median of the ratios within a round, of processor time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from hybridopt import TorchGradient
from hybridopt.core import Evaluation

ROWS, DIM, ROUNDS = 1000, 10, 9


def ours(x: torch.Tensor, grad: torch.Tensor) -> Callable[[], None]:
    """Ask and tell."""
    optimizer = TorchGradient(torch.optim.Adam, lr=0.01)
    free = torch.full((DIM,), torch.inf)
    state = optimizer.init(x, -free, free, seed=0)
    value = grad.sum(1)

    def step() -> None:
        nonlocal state
        state = optimizer.tell(state, Evaluation(optimizer.ask(state).x, value, grad))

    return step


def separate(x: torch.Tensor, grad: torch.Tensor) -> Callable[[], None]:
    """One torch optimizer a row."""
    leaves = [torch.nn.Parameter(row.clone()) for row in x]
    for leaf, row in zip(leaves, grad, strict=True):
        leaf.grad = row.clone()
    optimizers = [torch.optim.Adam([leaf], lr=0.01) for leaf in leaves]

    def step() -> None:
        for optimizer in optimizers:
            optimizer.step()

    return step


def timed(step: Callable[[], None], count: int) -> float:
    """Processor time of one step."""
    began = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - began) / count


def main() -> None:
    """Print both medians and the ratio."""
    torch.set_num_threads(1)
    g = torch.Generator().manual_seed(0)
    x, grad = torch.randn(ROWS, DIM, generator=g), torch.randn(ROWS, DIM, generator=g)
    cases = ours(x, grad), separate(x, grad)
    for case in cases:
        timed(case, 2)
    rounds = [(timed(cases[0], 50), timed(cases[1], 2)) for _ in range(ROUNDS)]
    mine, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(b / a for a, b in rounds)
    print(
        f"{ROWS} rows x {DIM}, Adam, float32: {mine * 1e6:.0f} us; separate optimizers {theirs * 1e3:.1f} ms"
    )
    print(f"times faster: {ratio:.0f}")


if __name__ == "__main__":
    main()
