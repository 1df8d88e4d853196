"""The picture and the numbers of docs/idea.md: four methods on one landscape, 20 seeds each.

    python docs/figures/idea.py            # prints the table and draws docs/figures/idea.png; some minutes
    python docs/figures/idea.py --print    # the table alone; needs no matplotlib

Rastrigin's function in [-5.12, 5.12]^d, ten local minima a dimension, moved and turned by the seed
(`hybridopt.problems`). The budget is in units (a value costs 1, its gradient 1 more); all methods start at
the same place, drawn by the seed.
"""

from __future__ import annotations

import argparse
import bisect
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hybridopt
from hybridopt.conditions import AllOf, Stalled, Steps, Trace
from hybridopt.core import Optimizer
from hybridopt.evaluate import Evaluator
from hybridopt.loop import advance, begin
from hybridopt.objectives.function import TorchObjective
from hybridopt.rng import generator

SEEDS, SOLVED = range(20), 1e-6
BUDGETS = {2: 6000, 5: 25000}  # by dimension
PICTURE = Path(__file__).with_suffix(".png")
SHOWN = 0  # the seed of the three landscapes
Curve = list[tuple[int, float]]


def methods(dim: int) -> dict[str, Optimizer[Any]]:
    """Four methods; the last two differ in nothing but what they explore with."""
    size, rows = (40, 20) if dim == 2 else (50, 50)
    evolution = hybridopt.GeneticAlgorithm(population_size=size)
    chance = hybridopt.RandomSearch(population_size=size)
    descent = hybridopt.TorchGradient(torch.optim.Rprop, lr=0.02, population_size=rows)
    switch = [Steps(2), AllOf(Steps(25), Stalled(4, rtol=0.01))]
    return {
        "gradient": hybridopt.TorchGradient(torch.optim.Rprop, lr=0.02),
        "genetic": evolution,
        "fresh starts": hybridopt.Alternate([chance, descent], switch),
        "hybrid": hybridopt.Alternate([evolution, descent], switch),
    }


def run(optimizer: Optimizer[Any], dim: int, seed: int) -> Iterator[tuple[int, float, str, Tensor]]:
    """Yield cost, best gap so far, phase and asked rows (n, dim) of each step within the budget."""
    problem = hybridopt.problems.make("rastrigin", dim=dim, seed=seed)
    assert problem.value is not None
    lower, upper = problem.lower, problem.upper
    evaluate = Evaluator(TorchObjective(problem.fun, (), True, None), lower, upper, seed=seed)
    share = torch.rand(1, dim, generator=generator(seed, "start"), dtype=torch.float64)
    state = optimizer.init(lower + share * (upper - lower), lower, upper, seed=seed)
    progress = begin(state, Trace.for_conditions())
    while True:
        evaluation = evaluate(optimizer.ask(progress.state))
        phase = progress.state.phase
        progress = advance(optimizer, progress, evaluation)
        if progress.ledger.cost > BUDGETS[dim]:
            return
        yield progress.ledger.cost, progress.best_value - problem.value, phase, evaluation.x


def curves_of(dim: int) -> dict[str, list[Curve]]:
    """Curves of (cost, gap), one a seed, by method."""
    return {
        name: [[(cost, gap) for cost, gap, *_ in run(method, dim, seed)] for seed in SEEDS]
        for name, method in methods(dim).items()
    }


def table(curves: dict[int, dict[str, list[Curve]]]) -> str:
    """Lines: dimensions, budget, method, how often solved, median gap at the end of the budget."""
    lines = ["dimensions  units  method        solved    median gap"]
    for dim, by_method in curves.items():
        for name, of_seeds in by_method.items():
            ends = [curve[-1][1] for curve in of_seeds]
            solved = f"{sum(end <= SOLVED for end in ends)} of {len(ends)}"
            lines.append(
                f"{dim:10}  {BUDGETS[dim]:5}  {name:12}  {solved:>8}  {statistics.median(ends):10.0e}"
            )
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--print", action="store_true", help="only print the table")
    only_print = parser.parse_args().print
    curves = {dim: curves_of(dim) for dim in BUDGETS}
    print(table(curves))
    if not only_print:
        draw(curves[5])


COLOURS = {"gradient": "#d95f02", "genetic": "#7570b3", "fresh starts": "#666666", "hybrid": "#1b9e77"}


def draw(curves: dict[str, list[Curve]]) -> None:
    """Three landscapes in two dimensions, and the curves in five."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 10, "axes.titlesize": 11, "axes.spines.top": False})
    figure, axes = pyplot.subplots(2, 2, figsize=(8.4, 8.2), constrained_layout=True)
    for axis in axes.flat[:3]:
        landscape(axis)
    draw_gradient(axes[0, 0])
    draw_genetic(axes[0, 1])
    draw_hybrid(axes[1, 0])
    draw_curves(axes[1, 1], curves)
    figure.savefig(PICTURE, dpi=120, metadata={"Software": None})


def landscape(axis: Any) -> None:
    """Values as shades, the minimum as a star."""
    problem = hybridopt.problems.make("rastrigin", dim=2, seed=SHOWN)
    side = torch.linspace(-5.12, 5.12, 201, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1)
    axis.contourf(side, side, problem.fun(grid).clamp_max(80), levels=16, cmap="Greys", alpha=0.55)
    axis.plot(*problem.x[0], marker="*", markersize=17, color="gold", markeredgecolor="black", zorder=5)
    axis.set(xlim=(-5.12, 5.12), ylim=(-5.12, 5.12), xticks=[], yticks=[], aspect="equal")


def draw_gradient(axis: Any) -> None:
    """The path of one descent."""
    path = torch.stack([rows[0] for *_, rows in run(methods(2)["gradient"], 2, SHOWN)])
    axis.plot(*path.T, "-", color=COLOURS["gradient"], linewidth=2)
    axis.plot(*path[0], "o", color=COLOURS["gradient"], markersize=7)
    axis.plot(*path[-1], "X", color=COLOURS["gradient"], markeredgecolor="black", markersize=10)
    axis.set_title("gradient: the nearest minimum")


def draw_genetic(axis: Any) -> None:
    """Three generations of one population."""
    generations = [rows for *_, rows in run(methods(2)["genetic"], 2, SHOWN)]
    for number, alpha, size in ((0, 0.35, 16), (5, 0.65, 22), (20, 1.0, 28)):
        axis.scatter(
            *generations[number].T, s=size, color=COLOURS["genetic"], alpha=alpha, linewidths=0,
            label=f"generation {number}",
        )  # fmt: skip
    axis.legend(loc="lower left", framealpha=0.9, fontsize=9)
    axis.set_title("genetic: gathers beside it")


def draw_hybrid(axis: Any) -> None:
    """The first round: what evolution asks for, and the paths of the rows that descend from there."""
    steps = list(run(methods(2)["hybrid"], 2, SHOWN))
    descents: list[list[Tensor]] = []
    before = ""
    for _, _, phase, rows in steps:
        if phase.startswith("1:"):
            descents += [[]] if before != phase else []
            descents[-1].append(rows)
        before = phase
    first = torch.cat([rows for _, _, phase, rows in steps[:2] if phase.startswith("0:")])
    axis.scatter(*first.T, s=14, color=COLOURS["genetic"], alpha=0.6, linewidths=0, label="evolution")
    for number, path in enumerate(torch.stack(descents[0]).permute(1, 2, 0)):
        label = "descent" if number == 0 else None
        axis.plot(*path, "-", color=COLOURS["hybrid"], linewidth=1.6, label=label)
        axis.plot(*path[:, -1], ".", color=COLOURS["hybrid"], markersize=6)
    axis.legend(loc="lower left", framealpha=0.9, fontsize=9)
    axis.set_title("hybrid: evolution's best rows descend")


def draw_curves(axis: Any, curves: dict[str, list[Curve]]) -> None:
    """Median over the seeds of the best gap so far."""
    grid = list(range(50, BUDGETS[5] + 1, 50))
    for name, of_seeds in curves.items():
        gaps = torch.tensor([[_at(curve, cost) for cost in grid] for curve in of_seeds]).clamp_min(1e-12)
        axis.plot(grid, gaps.quantile(0.5, dim=0), color=COLOURS[name], linewidth=2, label=name)
    axis.axhline(SOLVED, color="black", linewidth=0.8, linestyle=":")
    axis.set(
        yscale="log",
        ylim=(1e-10, 200),
        xlabel="units spent",
        title="five dimensions: median gap",
    )
    axis.spines["right"].set_visible(False)
    axis.legend(loc="lower left", fontsize=9)


def _at(curve: Curve, cost: int) -> float:
    """Best gap when so much was spent; before the first step that of the first."""
    return curve[max(0, bisect.bisect_right(curve, cost, key=lambda point: point[0]) - 1)][1]


if __name__ == "__main__":
    main()
