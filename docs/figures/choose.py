"""The numbers of docs/choose.md: methods by situations, 20 seeds each.

    python docs/figures/choose.py

Each run is `hybridopt.minimize` with 6,000 units (a value costs 1, its gradient 1 more), ended when it is
1e-6 above the known minimum; every seed has its own instance of the problem.
"""

from __future__ import annotations

import statistics
from typing import Any

import torch

import hybridopt
from hybridopt.conditions import AllOf, Stalled, Steps

BUDGET, SEEDS, SOLVED = 6000, range(20), 1e-6
SITUATIONS = {
    "bowl, condition 1e6": ("ellipsoid", 5),
    "curved valley": ("rosenbrock", 5),
    "saddle at the start": ("strict_saddle", 5),
    "some minima": ("styblinski_tang", 5),
    "many minima": ("rastrigin", 5),
}
HYBRID = hybridopt.Alternate(  # that of docs/idea.md
    [
        hybridopt.GeneticAlgorithm(population_size=50),
        hybridopt.TorchGradient(torch.optim.Rprop, lr=0.02, population_size=50),
    ],
    switch=[Steps(2), AllOf(Steps(25), Stalled(4, rtol=0.01))],
)
METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "rprop": ("rprop", {}),
    "adam": ("adam", {"lr": 0.05}),
    "bfgs": ("bfgs", {}),
    "genetic": ("genetic", {}),
    "auto": ("auto", {}),
    "hybrid": (HYBRID, {}),
    "random_search": ("random_search", {}),
}


def gap(situation: str, method: str, seed: int) -> float:
    """How far above the minimum a run ends."""
    name, dim = SITUATIONS[situation]
    problem = hybridopt.problems.make(name, dim=dim, seed=seed)
    chosen, options = METHODS[method]
    assert problem.value is not None
    result = hybridopt.minimize(
        problem.fun,
        problem.start,
        bounds=problem.bounds,
        method=chosen,
        options=options,
        vectorized=True,
        max_evals=BUDGET,
        target=problem.value + SOLVED,
        seed=seed,
    )
    return float(result.fun) - problem.value


def main() -> None:
    """Print the table."""
    print("| " + " | ".join(["", *METHODS]) + " |")
    print("|---" * (len(METHODS) + 1) + "|")
    for situation in SITUATIONS:
        cells = []
        for method in METHODS:
            gaps = [gap(situation, method, seed) for seed in SEEDS]
            solved = sum(end <= SOLVED for end in gaps)
            cells.append(f"{solved}" if solved >= 10 else f"{solved} ({statistics.median(gaps):.0e})")
        print("| " + " | ".join([situation, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
