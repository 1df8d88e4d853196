"""The numbers of docs/choose.md: methods by situations, 10 seeds each.

    python docs/figures/choose.py    # about seven minutes

Each run is `hybridopt.minimize` with 6,000 units (a value costs 1, its gradient 1 more), ended when it is
1e-6 above the known minimum; every seed has its own instance of the problem, and all methods begin there at
the same point.
"""

from __future__ import annotations

import statistics
from typing import Any

import torch

import hybridopt
from hybridopt.conditions import AllOf, Stalled, Steps

BUDGET, SEEDS, SOLVED = 6000, range(1, 11), 1e-6
SITUATIONS = {
    "bowl": ("ellipsoid", 5),
    "curved valley": ("rosenbrock", 5),
    "saddle": ("strict_saddle", 5),
    "some minima": ("styblinski_tang", 5),
    "many minima": ("rastrigin", 5),
    "rough": ("bbob_f17", 5),
    "steps": ("bbob_f7", 5),
    "narrow wells": ("bbob_f22", 5),
}
HYBRID = hybridopt.Alternate(  # that of docs/idea.md
    [
        hybridopt.GeneticAlgorithm(population_size=50),
        hybridopt.TorchGradient(torch.optim.Rprop, lr=0.02, population_size=50),
    ],
    switch=[Steps(2), AllOf(Steps(25), Stalled(4, rtol=0.01))],
)
METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "auto": ("auto", {}),
    "bfgs": ("bfgs", {}),
    "rprop": ("rprop", {}),
    "adam": ("adam", {"lr": 0.05}),
    "multistart": ("multistart", {}),
    "basin_hopping": ("basin_hopping", {}),
    "funnel": ("funnel", {}),
    "memetic": ("memetic", {}),
    "hybrid": (HYBRID, {}),
    "bipop_cmaes": ("bipop_cmaes", {}),
    "genetic": ("genetic", {}),
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


def cell(situation: str, method: str) -> str:
    """How many runs came near enough; where those are fewer than half, the median gap too."""
    gaps = [gap(situation, method, seed) for seed in SEEDS]
    solved = sum(end <= SOLVED for end in gaps)
    return f"{solved}" if 2 * solved >= len(gaps) else f"{solved} ({statistics.median(gaps):.0e})"


def main() -> None:
    """Print the table."""
    print("| " + " | ".join(["", *SITUATIONS]) + " |")
    print("|---" * (len(SITUATIONS) + 1) + "|")
    for method in METHODS:
        named = method if method == "hybrid" else f"`{method}`"
        print("| " + " | ".join([named, *(cell(name, method) for name in SITUATIONS)]) + " |", flush=True)


if __name__ == "__main__":
    main()
