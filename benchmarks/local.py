"""What many local searches at once cost, beside a loop of scipy's L-BFGS-B on the same torch function.

    OMP_NUM_THREADS=1 python benchmarks/local.py            # searches; about two minutes
    OMP_NUM_THREADS=1 python benchmarks/local.py --steps    # one step of 1, 10, 100, 1000 rows

Rosenbrock's function in 10 dimensions, starts uniform in [-2, 2], until no component of the gradient is above
1e-5. Cases take turns, so that a busy machine slows all of them; ratios are medians of the ratios within a
round, of processor time. Evaluations are per search; a search that is found ends below 1e-6.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from hybridopt.autodiff import derivatives
from hybridopt.core import Evaluation, Query
from hybridopt.evaluate import Answer, Evaluator
from hybridopt.gradient import BFGS, LBFGS

DIM, TOL = 10, 1e-5
Result = tuple[np.ndarray, float]  # values, evaluations a search


def rosenbrock(x: Tensor) -> Tensor:
    """Of rows, (..., dim) -> (...,)."""
    a, b = x[..., :-1], x[..., 1:]
    return (100 * (b - a * a).square() + (1 - a).square()).sum(-1)


class Rosenbrock:
    """As the engine wants it."""

    draws = None
    sampled = False
    order = 1
    eps = 0.0

    def answer(self, query: Query, seed: int) -> Answer:
        return derivatives(rosenbrock, query.x, query.order)


def ours(optimizer: BFGS | LBFGS, x: Tensor) -> Callable[[], Result]:
    """Ask, evaluate with all checks, tell, until every row has ended."""
    free = torch.full((x.shape[1],), torch.inf, dtype=x.dtype)
    evaluate = Evaluator(Rosenbrock(), -free, free)

    def run() -> Result:
        state = optimizer.init(x, -free, free, seed=0)
        while state.running.rows.shape[0]:
            state = optimizer.tell(state, evaluate(optimizer.ask(state)))
        return state.value.numpy(), float(state.cost.double().mean()) / 2

    return run


def scipys(method: str, x: Tensor) -> Callable[[], Result]:
    """A loop over the starts."""
    options = {"gtol": TOL, "maxiter": 10**6}
    if method == "L-BFGS-B":
        options |= {"ftol": 0, "maxfun": 10**6}

    def fun(point: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.from_numpy(point).requires_grad_()
        value = rosenbrock(leaf)
        return value.item(), torch.autograd.grad(value, leaf)[0].numpy()

    def run() -> Result:
        results = [minimize(fun, row, jac=True, method=method, options=options) for row in x.numpy()]
        return np.array([r.fun for r in results]), float(np.mean([r.nfev for r in results]))

    return run


def compare(searches: int, rounds: int) -> None:
    """Print a line for each case."""
    x = torch.rand(searches, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4 - 2
    cases = {
        "scipy L-BFGS-B": scipys("L-BFGS-B", x),
        "BFGS": ours(BFGS(tol=TOL), x),
        "LBFGS": ours(LBFGS(tol=TOL), x),
    }
    if searches <= 100:
        cases["scipy BFGS"] = scipys("BFGS", x)
    times: dict[str, list[float]] = {name: [] for name in cases}
    results: dict[str, Result] = {}
    for _ in range(rounds):
        for name, run in cases.items():
            begun = time.process_time()
            results[name] = run()
            times[name].append(time.process_time() - begun)
    print(f"{searches} searches, dim {DIM}")
    for name, (values, evaluations) in results.items():
        ratios = [b / a for a, b in zip(times[name], times["scipy L-BFGS-B"], strict=True)]
        took = statistics.median(times[name]) * 1e3
        words = f"{evaluations:6.1f} evaluations  {np.mean(values < 1e-6):.0%} found"
        print(f"  {name:15} {took:8.0f} ms  {statistics.median(ratios):6.1f} x  {words}")


def step_seconds(optimizer: BFGS | LBFGS, rows: int, dim: int) -> float:
    """Processor time of ask and tell, without the evaluation."""
    x = torch.rand(rows, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4 - 2
    free = torch.full((dim,), torch.inf, dtype=torch.float64)
    state, spent, steps = optimizer.init(x, -free, free, seed=0), 0.0, 40
    for step in range(steps + 5):
        query = optimizer.ask(state)
        answer = Evaluation(query.x, *derivatives(rosenbrock, query.x, 1)[:2])
        begun = time.process_time()
        state = optimizer.tell(state, answer)
        spent += (step >= 5) * (time.process_time() - begun)
    return spent / steps


def steps() -> None:
    """Print a table of microseconds."""
    for dim in (10, 40, 100):
        for rows in (1, 10, 100, 1000) if dim == 10 else (1, 10, 100):
            times = {type(o).__name__: step_seconds(o, rows, dim) * 1e6 for o in (BFGS(), LBFGS())}
            words = "  ".join(f"{name} {microseconds:8.0f} us" for name, microseconds in times.items())
            print(f"dim {dim:4}, {rows:5} rows: {words} a step")


def main() -> None:
    """Parse the arguments and go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.steps:
        steps()
        return
    compare(1, rounds=9)
    compare(100, rounds=5)
    compare(1000, rounds=3)


if __name__ == "__main__":
    main()
