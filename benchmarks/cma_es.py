"""CMA-ES beside the packages cma and cmaes: evaluations to 1e-8, time of a generation, and runs in a batch.

    OMP_NUM_THREADS=1 python benchmarks/cma_es.py --evaluations   # an hour, most of it Rastrigin by cma
    OMP_NUM_THREADS=1 python benchmarks/cma_es.py --time          # two minutes

Evaluations: 51 starts, equal ones for both, each package's own defaults; counted are whole generations until
a value of 1e-8 was seen. The first three functions have no bounds; on `corner` half of the minimum's
coordinates are bounds. On Rastrigin, in a box, both restart with twice the population up to a budget, and
evaluations are the expected ones: all that were spent by all runs over the number of runs that arrived.
Ratios are of medians (or of expectations), with a 95 % interval by bootstrap over seeds.

Time: of ask and tell without the objective, on the sphere, float64; cases take turns, ratios are medians of
the ratios within a round, of processor time.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hybridopt.core import Evaluation
from hybridopt.evolution.cmaes import CMAES, ipop_cmaes
from hybridopt.evolution.cmaes.constants import default_population

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # cma misses matplotlib
    import cma
    import cmaes

SEEDS = 51
TARGET = 1e-8
SIGMA = {"sphere": 1.0, "ellipsoid": 1.0, "rosenbrock": 0.5, "rastrigin": 2.0, "corner": 2.0}
BOX = {"rastrigin": 5.0, "corner": 5.0}  # the others are free
Rows = Callable[[Tensor], Tensor]
Result = tuple[int, bool]  # evaluations, and whether the target was reached
Figure = Callable[[np.ndarray], float]
Generation = Callable[[], float]


def function(name: str, dim: int) -> Rows:
    """Function of rows (n, dim) -> (n,), rotated where that matters; its minimum is 0."""
    rotation = torch.from_numpy(np.linalg.qr(np.random.default_rng(dim).standard_normal((dim, dim)))[0])
    place = torch.arange(dim, dtype=torch.float64) / (dim - 1)

    def rastrigin(x: Tensor) -> Tensor:
        z = (x - 1) @ rotation
        return (z.square() + 10 - 10 * torch.cos(2 * math.pi * z)).sum(1)

    def corner(x: Tensor) -> Tensor:
        """Lowest where the first half of the coordinates are at their upper bound, 5, with a slope there."""
        z = x - torch.where(place < 0.5, 5.0, 1.0)
        return ((z @ rotation).square() * 10 ** (2 * place)).sum(1) - 10 * z[:, place < 0.5].sum(1)

    return {
        "sphere": lambda x: (x - 1).square().sum(1),
        "ellipsoid": lambda x: (((x - 1) @ rotation).square() * 10 ** (6 * place)).sum(1),
        "rosenbrock": lambda x: (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1),
        "rastrigin": rastrigin,
        "corner": corner,
    }[name]


def starts(name: str, dim: int) -> np.ndarray:
    """Shape (SEEDS, dim)."""
    reach = {"rosenbrock": 0.5, "rastrigin": 5.0}.get(name, 3.0)
    return np.random.default_rng(7).uniform(-reach, reach, (SEEDS, dim))


def bounds(name: str, dim: int) -> tuple[Tensor, Tensor]:
    """Lower and upper, each (dim,)."""
    upper = torch.full((dim,), BOX.get(name, math.inf), dtype=torch.float64)
    return -upper, upper


def ours(name: str, dim: int, most: int) -> list[Result]:
    """All starts in one batch."""
    optimizer = CMAES(runs=SEEDS, sigma0=SIGMA[name], scale=1.0)
    rows, size = function(name, dim), default_population(dim)
    state = optimizer.init(torch.from_numpy(starts(name, dim)), *bounds(name, dim), seed=0)
    spent = torch.zeros(SEEDS, dtype=torch.int64)
    arrived = torch.zeros(SEEDS, dtype=torch.bool)
    while not arrived.all() and state.step * size < most:
        query = optimizer.ask(state)
        state = optimizer.tell(state, Evaluation(query.x, rows(query.x)))
        spent += size * ~arrived
        arrived |= state.value.view(SEEDS, -1).amin(1) <= TARGET
    return list(zip(spent.tolist(), arrived.tolist(), strict=True))


def ours_restarted(name: str, dim: int, most: int) -> list[Result]:
    """One start after another."""
    rows, results = function(name, dim), []
    optimizer = ipop_cmaes(sigma0=SIGMA[name], scale=1.0)
    for seed, x in enumerate(starts(name, dim)):
        state = optimizer.init(torch.from_numpy(x)[None], *bounds(name, dim), seed=seed)
        spent, best = 0, math.inf
        while best > TARGET and spent < most:
            query = optimizer.ask(state)
            state = optimizer.tell(state, Evaluation(query.x, rows(query.x)))
            spent, best = spent + len(query.x), min(best, float(state.value.min()))
        results.append((spent, best <= TARGET))
    return results


def theirs(name: str, dim: int, most: int, *, restarts: int = 0) -> list[Result]:
    """By cma, with twice the samples after every restart."""
    rows, results = function(name, dim), []
    for seed, x in enumerate(starts(name, dim), 1):
        rng, spent, best, first = np.random.default_rng(seed), 0, math.inf, x
        for run in range(restarts + 1):
            es = strategy(name, first, default_population(dim) * 2**run, 100 * seed + run)
            while not es.stop() and spent + es.countevals < most:
                points = es.ask()
                es.tell(points, rows(torch.from_numpy(np.array(points))).tolist())
            spent, best = spent + es.countevals, min(best, es.best.f)
            if best <= TARGET or spent >= most:
                break
            first = rng.uniform(-5, 5, dim)
        results.append((spent, best <= TARGET))
    return results


def strategy(name: str, x: np.ndarray, size: int, seed: int) -> Any:
    """A run of cma; its own defaults but for what is given to both."""
    box = {"bounds": [-BOX[name], BOX[name]]} if name in BOX else {}
    options = {"verbose": -9, "seed": seed, "popsize": size, "ftarget": TARGET, **box}
    return cma.CMAEvolutionStrategy(x, SIGMA[name], options)


def expected(results: np.ndarray) -> float:
    """Evaluations of all runs over the number of those that arrived; infinite where none did."""
    return results[:, 0].sum() / results[:, 1].sum() if results[:, 1].any() else math.inf


def median(results: np.ndarray) -> float:
    """Median evaluations of the runs that arrived."""
    return float(np.median(results[results[:, 1] > 0, 0])) if results[:, 1].any() else math.inf


def interval(
    mine: np.ndarray, other: np.ndarray, figure: Callable[[np.ndarray], float]
) -> tuple[float, float]:
    """The middle 95 % of the ratio of two figures under resampling of seeds, each on its own."""
    rng = np.random.default_rng(0)
    draws = [
        figure(mine[rng.integers(SEEDS, size=SEEDS)]) / figure(other[rng.integers(SEEDS, size=SEEDS)])
        for _ in range(2000)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def evaluations(names: list[str], dims: list[int]) -> None:
    """Print the table of evaluations."""
    print("| function | dim | figure | ours | cma | ratio | 95 % | arrived |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        for dim in dims:
            most, figure = (20_000 * dim, expected) if name == "rastrigin" else (10**5, median)
            run = ours_restarted if name == "rastrigin" else ours
            runs = run(name, dim, most), theirs(name, dim, most, restarts=12 * (name == "rastrigin"))
            mine, other = np.array(runs[0]), np.array(runs[1])
            low, high = interval(mine, other, figure)
            print(
                f"| {name} | {dim} | {figure.__name__} | {figure(mine):.0f} | {figure(other):.0f} "
                f"| {figure(mine) / figure(other):.3f} | {low:.2f} to {high:.2f} "
                f"| {mine[:, 1].sum()}, {other[:, 1].sum()} of {SEEDS} |",
                flush=True,
            )


def timed_ours(dim: int, runs: int, reach: float, **options: Any) -> Generation:
    """Seconds of ask and tell of a generation; begun anew after 300, so that no number becomes tiny."""
    optimizer = CMAES(runs=runs, sigma0=0.5, scale=1.0, **options)
    upper = torch.full((dim,), reach, dtype=torch.float64)
    first = state = optimizer.init(torch.ones(runs, dim, dtype=torch.float64), -upper, upper, seed=0)

    def generation() -> float:
        nonlocal state
        state = first if state.step >= 300 else state
        begun = time.process_time()
        query = optimizer.ask(state)
        asked = time.process_time()
        evaluation = Evaluation(query.x, query.x.square().sum(1))
        told = time.process_time()
        state = optimizer.tell(state, evaluation)
        return time.process_time() - told + asked - begun

    return generation


def timed_cma(dim: int, reach: float) -> Generation:
    """The same of cma, which is kept from stopping."""
    never = dict.fromkeys(("tolfun", "tolx", "tolfunhist"), 0) | {"tolflatfitness": 10**9}
    box = {"bounds": [-reach, reach]} if math.isfinite(reach) else {}
    options = {"verbose": -9, "seed": 1, "tolstagnation": 10**9, **never, **box}
    es = None

    def generation() -> float:
        nonlocal es
        if es is None or es.countiter >= 300:
            es = cma.CMAEvolutionStrategy(np.ones(dim), 0.5, options)
        begun = time.process_time()
        points = es.ask()
        asked = time.process_time()
        values = np.square(np.array(points)).sum(1).tolist()
        told = time.process_time()
        es.tell(points, values)
        return time.process_time() - told + asked - begun

    return generation


def timed_cmaes(dim: int, reach: float) -> Generation:
    """The same of cmaes."""
    box = np.tile([-reach, reach], (dim, 1)) if math.isfinite(reach) else None
    es = None

    def generation() -> float:
        nonlocal es
        if es is None or es.generation >= 300:
            es = cmaes.CMA(mean=np.ones(dim), sigma=0.5, seed=1, bounds=box)
        begun = time.process_time()
        points = [es.ask() for _ in range(es.population_size)]
        asked = time.process_time()
        told_points = [(x, float(x @ x)) for x in points]
        told = time.process_time()
        es.tell(told_points)
        return time.process_time() - told + asked - begun

    return generation


def times(rounds: int) -> None:
    """Print the table of times."""
    print("| dim | case | a generation | of cma's, alike in a box | of cmaes's |")
    print("|---|---|---|---|---|")
    for dim, count in ((10, 100), (100, 30), (1000, 16)):
        cases = {
            "cma": timed_cma(dim, math.inf),
            "cma, box": timed_cma(dim, 5.0),
            "cmaes": timed_cmaes(dim, math.inf),
            "cmaes, box": timed_cmaes(dim, 5.0),
            "ours": timed_ours(dim, 1, math.inf),
            "ours, box": timed_ours(dim, 1, 5.0),
            "ours, separable": timed_ours(dim, 1, math.inf, covariance="separable"),
        }
        if dim == 10:
            cases["ours, 32 runs"] = timed_ours(dim, 32, math.inf)
        taken: dict[str, list[float]] = {case: [] for case in cases}
        for turn in range(rounds + 1):
            for case, generation in cases.items():
                repeats = min(count, 1) if dim == 1000 and case.startswith("cmaes") else count
                spent = sum(generation() for _ in range(repeats)) / repeats
                if turn:  # the first one warms up
                    taken[case].append(spent)
        for case, seconds in taken.items():
            box = ", box" if case.endswith("box") else ""
            print(
                f"| {dim} | {case} | {1e6 * statistics.median(seconds):.0f} us "
                f"| {ratio(seconds, taken['cma' + box]):.3f} | {ratio(seconds, taken['cmaes' + box]):.3f} |",
                flush=True,
            )


def ratio(a: list[float], b: list[float]) -> float:
    """Median of paired ratios."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--evaluations", action="store_true")
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--functions", nargs="+", default=list(SIGMA), choices=list(SIGMA))
    parser.add_argument("--dims", nargs="+", type=int, default=[5, 20])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.time:
        times(arguments.rounds)
    if arguments.evaluations or not arguments.time:
        evaluations(arguments.functions, arguments.dims)


if __name__ == "__main__":
    main()
