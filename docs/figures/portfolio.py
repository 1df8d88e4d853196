"""The picture and the numbers of docs/portfolio.md: which arm has the turn, what it costs, what it wins.

    python docs/figures/portfolio.py            # prints the table and draws docs/figures/portfolio.png
    python docs/figures/portfolio.py --print    # the table alone; needs no matplotlib; about two minutes

Each run is `hybridopt.minimize` by default (`method="auto"`) in a box of five variables, with 10,000 units (a
value costs 1, its gradient 1 more), ended when it is 1e-8 above the known minimum; every seed has its own
instance of the problem (`hybridopt.problems`).
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
from pathlib import Path
from typing import Any

import hybridopt

DIM, BUDGET, SEEDS, SOLVED = 5, 10_000, range(1, 11), 1e-8
PROBLEMS = {
    "curved valley": "rosenbrock",
    "separable": "bbob_f3",
    "many minima": "rastrigin",
    "narrow wells": "bbob_f21",
    "rough, values tell": "bbob_f17",
    "steps": "bbob_f7",
    "rough at every scale": "bbob_f23",
    "two funnels": "bbob_f24",
}
SHOWN = ("curved valley", "separable", "many minima", "narrow wells", "rough, values tell")
SEED = 1  # of the runs in the picture
ARMS = ("local", "axes", "hopping", "funnel", "evolution")
PICTURE = Path(__file__).with_suffix(".png")
Step = tuple[int, float, str]  # units so far, best gap so far, the arm that had the turn


def run(name: str, seed: int) -> list[Step]:
    """Steps of one run."""
    problem = hybridopt.problems.make(name, dim=DIM, seed=seed)
    assert problem.value is not None
    lowest = problem.value
    steps: list[Step] = []
    before: dict[str, int] = {}

    def look(intermediate_result: Any) -> None:
        nonlocal before
        ledger = intermediate_result.ledger
        arms = [arm for arm in ARMS if ledger.phases.get(arm, 0) > before.get(arm, 0)]
        before = dict(ledger.phases)
        steps.append((ledger.cost, intermediate_result.fun - lowest, arms[0] if arms else "axes"))

    hybridopt.minimize(
        problem.fun,
        bounds=problem.bounds,
        vectorized=True,
        max_evals=BUDGET,
        target=lowest + SOLVED,
        seed=seed,
        callback=look,
    )
    return steps


def shares(steps: list[Step]) -> dict[str, tuple[float, float]]:
    """Shares of each arm of the units, and of the way down, in orders of magnitude of the gap."""
    units, won = dict.fromkeys(ARMS, 0.0), dict.fromkeys(ARMS, 0.0)
    for (cost, gap, _), (further, lower, arm) in zip([(0, steps[0][1], ""), *steps], steps, strict=False):
        units[arm] += further - cost
        won[arm] += math.log10(max(gap, SOLVED) / max(lower, SOLVED))
    return {arm: (units[arm] / sum(units.values()), won[arm] / max(sum(won.values()), 1e-9)) for arm in ARMS}


def line(title: str) -> str:
    """A line of the table: how many runs ended at the minimum, the median units and gap, and who had them."""
    runs = [run(PROBLEMS[title], seed) for seed in SEEDS]
    ends = [steps[-1] for steps in runs]
    solved = sum(gap <= SOLVED for _, gap, _ in ends)
    parts = [shares(steps) for steps in runs]
    spent = "".join(f"{statistics.mean(part[arm][0] for part in parts):10.0%}" for arm in ARMS)
    units, gap = (statistics.median(end[place] for end in ends) for place in (0, 1))
    return f"{title:21}{PROBLEMS[title]:11}{solved:2} of {len(runs)}{units:7.0f}{max(gap, 0):9.0e}{spent}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--print", action="store_true", help="only print the table")
    only_print = parser.parse_args().print
    print(f"{'':32}{'solved':>8}{'units':>7}{'gap':>9}" + "".join(f"{arm:>10}" for arm in ARMS))
    for title in PROBLEMS:
        print(line(title), flush=True)
    if not only_print:
        draw()


COLOURS = dict(zip(ARMS, ("#1f77b4", "#7f7f7f", "#e6a700", "#2ca02c", "#c0392b"), strict=True))


def draw() -> None:
    """A row for each problem: the gap against the units by arm, and the shares of the arms."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    pyplot.rcParams.update({"font.size": 10, "axes.titlesize": 10.5})
    pyplot.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    figure, rows = pyplot.subplots(
        len(SHOWN), 2, figsize=(8.8, 2.15 * len(SHOWN)), width_ratios=(2.2, 1), layout="constrained"
    )
    for title, (left, right) in zip(SHOWN, rows, strict=True):
        steps = run(PROBLEMS[title], SEED)
        draw_curve(left, steps)
        left.set_title(f"{title} ({PROBLEMS[title]})", loc="left")
        draw_shares(right, shares(steps))
    rows[-1, 0].set_xlabel("units spent")
    rows[-1, 1].set_xlabel("share of the run")
    handles = [Line2D([], [], color=COLOURS[arm], linewidth=3, label=arm) for arm in ARMS]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(ARMS), frameon=False)
    figure.savefig(PICTURE, dpi=120, metadata={"Software": None})


def draw_curve(axis: Any, steps: list[Step]) -> None:
    """The best gap against the units, each piece in the colour of the arm that had the turn."""
    for (cost, gap, _), (further, lower, arm) in itertools.pairwise(steps):
        heights = [max(value, SOLVED / 10) for value in (gap, gap, lower)]
        axis.plot([cost, further, further], heights, color=COLOURS[arm], linewidth=2.2, solid_capstyle="butt")
    axis.axhline(SOLVED, color="black", linewidth=0.8, linestyle=":")
    axis.set(xscale="log", yscale="log", xlim=(3, BUDGET), ylim=(SOLVED / 20, None), ylabel="best gap")


def draw_shares(axis: Any, parts: dict[str, tuple[float, float]]) -> None:
    """Two bars: units, and the way down."""
    begins = [0.0, 0.0]
    for arm in ARMS:
        axis.barh([1, 0], parts[arm], left=begins, color=COLOURS[arm], height=0.55)
        begins = [begin + share for begin, share in zip(begins, parts[arm], strict=True)]
    axis.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "50 %", "100 %"])
    axis.set(ylim=(-0.6, 1.6), yticks=[1, 0], yticklabels=["units", "way down"])


if __name__ == "__main__":
    main()
