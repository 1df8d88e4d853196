"""What the portfolio costs beside the objective: time of a batch, and memory over a long run.

    OMP_NUM_THREADS=1 python benchmarks/portfolio.py                # 100,000 units; half a minute
    OMP_NUM_THREADS=1 python benchmarks/portfolio.py --units 1000000

Three functions of BBOB in 10 dimensions, which are never solved here: the budget goes on. Time is processor
time of `ask` and `tell`, a batch is one call of the objective. Memory is what the process holds, and what a
checkpoint of the state takes.
"""

from __future__ import annotations

import argparse
import io
import resource
import time

import torch

from hybridopt import Portfolio, problems
from hybridopt.checkpoint import encode
from hybridopt.evaluate import Evaluator
from hybridopt.objectives.function import TorchObjective

DIM = 10
FUNCTIONS = ("bbob_f15", "bbob_f17", "bbob_f22")


def main() -> None:
    """Print a line for each function and tenth of the budget."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--functions", nargs="+", default=FUNCTIONS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("function   units      ms a batch   units a batch   process MB   state MB")
    for name in arguments.functions:
        measure(name, arguments.units)


def measure(name: str, units: int) -> None:
    """Run the portfolio on one function."""
    problem = problems.make(name, dim=DIM, seed=0)
    lower, upper = problem.lower, problem.upper
    evaluate = Evaluator(TorchObjective(problem.fun, (), True, None), lower, upper)
    optimizer = Portfolio()
    state = optimizer.init(((lower + upper) / 2)[None] + 0.01, lower, upper, seed=0)
    cost, batches, spent, told = 0, 0, 0.0, 0
    while cost < units:
        begin = time.process_time()
        query = optimizer.ask(state)
        asked = time.process_time()
        evaluation = evaluate(query)
        answered = time.process_time()
        state = optimizer.tell(state, evaluation)
        spent += asked - begin + time.process_time() - answered
        cost, batches = cost + query.cost, batches + 1
        if cost >= told + units / 10:
            told = cost
            buffer = io.BytesIO()
            torch.save(encode(state), buffer)
            megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{name:10s} {cost:8d} {1e3 * spent / batches:12.2f} {cost / batches:15.1f} "
                f"{megabytes:12.0f} {buffer.tell() / 1e6:10.2f}"
            )


if __name__ == "__main__":
    main()
