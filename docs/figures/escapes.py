"""The picture of docs/escapes.md: three trainings that get stuck, and what their escapes try.

    python docs/figures/escapes.py            # prints the escapes and draws docs/figures/escapes.png
    python docs/figures/escapes.py --print    # the escapes alone; needs no matplotlib; some seconds

Every closure's loss is a point: those of a step but the last are children's, the last is the parent's.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from hybridopt.optim import Attempt, Hybrid

PICTURE = Path(__file__).with_suffix(".png")
Loss = Callable[[], Tensor]


def xor(seed: int) -> tuple[nn.Module, Loss, int, dict[str, Any]]:
    """Four points and three ReLUs, some of them dead."""
    torch.manual_seed(seed)
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([0.0, 1.0, 1.0, 0.0])
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    options = {"base": torch.optim.Adam, "lr": 0.01}
    return model, lambda: binary_cross_entropy_with_logits(model(x)[:, 0], y), 700, options


def parity(seed: int) -> tuple[nn.Module, Loss, int, dict[str, Any]]:
    """Parity of four bits and five tanh units: poor minima."""
    torch.manual_seed(seed)
    x = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4)))
    y = (x > 0).sum(1).remainder(2).float()
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    options = {"base": torch.optim.Adam, "lr": 0.01}
    return model, lambda: binary_cross_entropy_with_logits(model(x)[:, 0], y), 2000, options


def factors(seed: int) -> tuple[nn.Module, Loss, int, dict[str, Any]]:
    """A matrix of rank 4 by two factors from exactly zero: a saddle."""
    torch.manual_seed(seed)
    target = torch.randn(20, 4) @ torch.randn(4, 20) / 20
    model = nn.ParameterList([torch.zeros(20, 4), torch.zeros(4, 20)])
    options = {"base": torch.optim.SGD, "lr": 0.003, "momentum": 0.9}
    scale = target.square().sum()
    return model, lambda: (model[0] @ model[1] - target).square().sum() / scale, 700, options


RUNS = {
    "XOR, three ReLUs": (xor, 5),
    "parity of four bits": (parity, 6),
    "factors from zero": (factors, 1),
}
Step = list[float]  # losses of all closures of a step, the parent's last


def run(task: Callable[[int], Any], seed: int) -> tuple[list[Step], tuple[Attempt, ...]]:
    """Steps of one training with the default escape."""
    model, loss, closures, options = task(seed)
    optimizer = Hybrid(model.parameters(), **options)
    steps: list[Step] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        steps[-1].append(value.item())
        return value

    while sum(map(len, steps)) < closures:
        steps.append([])
        optimizer.step(closure)
    return steps, optimizer.history


def draw(runs: dict[str, list[Step]]) -> None:
    """Draw the picture."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(runs), figsize=(11, 3.4), layout="constrained")
    for panel, (name, steps) in zip(panels, runs.items(), strict=True):
        spent = list(itertools.accumulate(map(len, steps)))
        children = [(end, value) for end, step in zip(spent, steps, strict=True) for value in step[:-1]]
        panel.plot(*zip(*children, strict=True), ".", ms=2, color="tab:orange", label="children", alpha=0.5)
        panel.plot(spent, [step[-1] for step in steps], color="tab:blue", lw=1.5, label="the training")
        panel.set_yscale("log")
        lowest = min(step[-1] for step in steps)
        panel.set_ylim(max(lowest / 2, 1e-6), 3)
        panel.set_title(name)
        panel.set_xlabel("closures, children's included")
    panels[0].set_ylabel("loss")
    panels[0].legend(loc="lower left")
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--print", action="store_true", help="only print the escapes")
    arguments = parser.parse_args()
    runs = {}
    for name, (task, seed) in RUNS.items():
        runs[name], history = run(task, seed)
        print(f"{name}: loss {runs[name][-1][-1]:.2g} after {len(runs[name])} steps")
        for attempt in history:
            verdict = "accepted" if attempt.accepted else "rejected"
            print(
                f"    step {attempt.step:4}: {verdict} {attempt.child}, {attempt.calls} calls, "
                f"{attempt.cost} closures, gain {attempt.gain:.2g}"
            )
    if not arguments.print:
        draw(runs)


if __name__ == "__main__":
    main()
