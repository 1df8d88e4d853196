"""Evaluations that SHADE and L-SHADE need, beside a published implementation and scipy's.

    pip install minionpy  # 1.9.1, compiled; not in the test extra
    OMP_NUM_THREADS=1 python benchmarks/differential.py                    # a quarter of an hour
    OMP_NUM_THREADS=1 python benchmarks/differential.py --generation       # time of a generation

Functions of `hybridopt.problems`, moved and turned (bbob_f3 is moved only), instances by seed, the same for
all. A run has 5000 evaluations a dimension and is solved at f - f* <= 1e-6. A cell has the runs that solved
it and the expected running time: evaluations of all runs, up to the target, over the number of runs that hit
it; where none did, the median of f - f* at the end. Populations are equal: 18 a dimension for L-SHADE, 100
for SHADE.
minionpy's SHADE 1.1 is its L-SHADE with a constant population; its p is constant too, ours is drawn.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import differential_evolution

import hybridopt
from hybridopt.core import Evaluation
from hybridopt.problems import Problem

FUNCTIONS = ("sphere", "rosenbrock", "rastrigin", "bbob_f3", "ackley")
TARGET = 1e-6


class OverError(Exception):
    """Raised at the target and at the end of the budget, since not every peer knows them."""


class Counter:
    """Values of rows (n, dim) over the minimum; counts them and remembers the lowest."""

    def __init__(self, problem: Problem, budget: int) -> None:
        self.problem, self.left = problem, budget
        self.count, self.best = 0, np.inf

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        value = self.problem.fun(x) - self.problem.value
        judged = value[: max(0, self.left - self.count)]
        hits = torch.nonzero(judged <= TARGET)
        if len(judged):
            self.best = min(self.best, float(judged.min()))
        if len(hits):
            self.count += int(hits[0]) + 1
            raise OverError
        self.count = min(self.left, self.count + len(value))
        if self.count >= self.left:
            raise OverError
        return value

    def array(self, x: np.ndarray) -> np.ndarray:
        """The same of and as numpy arrays."""
        return self(torch.as_tensor(np.asarray(x))).numpy()


Run = Callable[[Counter, Problem, int, int], object]


def ours(make: Callable[[int], object]) -> Run:
    """Run an optimizer of this package, made of the budget."""

    def run(fun: Counter, p: Problem, budget: int, seed: int) -> object:
        method = make(budget)
        return hybridopt.minimize(
            fun, bounds=p.bounds, method=method, vectorized=True, max_evals=budget, seed=seed
        )

    return run


def minion(size: Callable[[int], int], **options: object) -> Run:
    """Run minionpy's L-SHADE with these options; ends by evaluating the rest of its budget."""

    def run(fun: Counter, p: Problem, budget: int, seed: int) -> object:
        import minionpy

        over = False

        def values(x: list[list[float]], _: object = None) -> list[float]:
            nonlocal over  # exceptions do not pass through its compiled code
            if over:
                return [0.0] * len(x)
            try:
                found: list[float] = fun.array(np.array(x)).tolist()
            except OverError:
                over, found = True, [0.0] * len(x)
            return found

        given = {
            "population_size": size(p.dim),
            "x_tol": -1.0,
            **{key: value(p.dim) if callable(value) else value for key, value in options.items()},
        }
        bounds = [(low, high) for low, high in p.bounds.tolist()]
        solver = minionpy.Minimizer(
            values,
            bounds,
            algo="LSHADE",
            maxevals=budget,
            seed=seed,
            options=given,
            callback=lambda _: over,
        )
        return solver.optimize()

    return run


def scipys(fun: Counter, p: Problem, budget: int, seed: int) -> object:
    """Run scipy's defaults, without the final polish, until the budget is spent."""
    return differential_evolution(
        lambda x: fun.array(x.T),
        p.bounds.tolist(),
        maxiter=budget,
        tol=0,
        polish=False,
        rng=seed,
        vectorized=True,
        updating="deferred",
    )


METHODS: dict[str, Run] = {
    "LSHADE": ours(lambda budget: hybridopt.LSHADE(max_evals=budget)),
    "minionpy LSHADE": minion(lambda dim: 18 * dim),
    "SHADE": ours(lambda budget: hybridopt.SHADE()),
    "SHADE 1.1": ours(lambda budget: hybridopt.SHADE(lehmer_rate=True)),
    "minionpy SHADE 1.1": minion(
        lambda dim: 100, minimum_population_size=100, memory_size=100, archive_size_ratio=1.0
    ),
    "scipy DE": scipys,
}


def cell(run: Run, name: str, dim: int, seeds: int) -> tuple[str, float]:
    """What stands in the table, and the expected running time where all runs solved it."""
    budget = 5000 * dim
    counters = []
    for seed in range(seeds):
        problem = hybridopt.problems.make(name, dim=dim, seed=seed + 1)
        counters.append(Counter(problem, budget))
        with contextlib.suppress(OverError):
            run(counters[-1], problem, budget, seed)
    solved = sum(counter.best <= TARGET for counter in counters)
    if not solved:
        return f"0, {statistics.median(c.best for c in counters):.2g}", np.inf
    expected = sum(counter.count for counter in counters) / solved
    return f"{solved}, {expected:,.0f}", expected if solved == seeds else np.inf


def compare(dims: list[int], seeds: int) -> None:
    """Print the table and the geometric means of the ratios where all runs of both solved it."""
    print(f"| function-dim | {' | '.join(METHODS)} |\n|---|{'---|' * len(METHODS)}")
    ratios: dict[str, list[float]] = {"LSHADE": [], "SHADE 1.1": []}
    for name in FUNCTIONS:
        for dim in dims:
            cells = {method: cell(run, name, dim, seeds) for method, run in METHODS.items()}
            for method, found in ratios.items():
                mine, peer = cells[method][1], cells[f"minionpy {method}"][1]
                if np.isfinite(mine) and np.isfinite(peer):
                    found.append(mine / peer)
            print(f"| {name}-{dim} | {' | '.join(text for text, _ in cells.values())} |", flush=True)
    for method, found in ratios.items():
        print(f"{method}: {np.exp(np.mean(np.log(found))):.2f} of minionpy's evaluations, {len(found)} cases")


def generation(population: int, dim: int, rounds: int = 5) -> None:
    """Print what a generation of SHADE costs beside one of scipy's, in turns, without an objective."""
    lower = torch.full((dim,), -5.0, dtype=torch.float64)
    optimizer = hybridopt.SHADE(population)
    state = optimizer.init(lower[None], lower, -lower, seed=0)
    g = torch.Generator().manual_seed(0)

    def values(count: int) -> torch.Tensor:
        return torch.rand(count, generator=g, dtype=torch.float64)

    state = optimizer.tell(state, Evaluation(state.x, values(population)))
    times: dict[str, list[float]] = {"ours": [], "scipy": []}
    steps = 20
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(steps):
            query = optimizer.ask(state)
            state = optimizer.tell(state, Evaluation(query.x, values(population)))
        times["ours"].append((time.process_time() - start) / steps)
        start = time.process_time()
        differential_evolution(
            lambda x: values(x.shape[1]).numpy(),
            [(-5, 5)] * dim,
            maxiter=steps - 1,
            tol=0,
            polish=False,
            init=np.random.default_rng(0).uniform(-5, 5, (population, dim)),
            vectorized=True,
            updating="deferred",
            rng=0,
        )
        times["scipy"].append((time.process_time() - start) / steps)
    ratio = statistics.median(a / b for a, b in zip(times["scipy"], times["ours"], strict=True))
    mine, peer = (1e3 * statistics.median(times[who]) for who in times)
    print(f"| ({population}, {dim}) | {mine:.3g} ms | {peer:.3g} ms | {ratio:.1f} |", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--generation", action="store_true")
    parser.add_argument("--dims", type=int, nargs="+", default=[5, 10, 30])
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.generation:
        compare(arguments.dims, arguments.seeds)
        return
    print("| (population, dim) | a generation | scipy's | times scipy |\n|---|---|---|---|")
    for population, dim in ((100, 10), (1000, 100), (2000, 100)):
        generation(population, dim)


if __name__ == "__main__":
    main()
