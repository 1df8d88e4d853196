"""What a generation of the genetic algorithm costs, beside DEAP's eaSimple and a hand-tuned floor.

    OMP_NUM_THREADS=1 python benchmarks/genetic.py            # time, one thread; one or two minutes
    OMP_NUM_THREADS=1 python benchmarks/genetic.py --memory   # peak memory at 1e7 genes, fresh process

The same work for all: tournaments of 3, blend crossover (alpha 0.5, probability 0.9), Gaussian mutation of
10 % of the genes (sigma 0.1), sphere. Cases take turns, so that a busy machine slows all of them; ratios are
medians of the ratios within a round, of processor time. The floor has two buffers it writes to in turn,
takes no elite, keeps to no bounds and checks nothing.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from deap import algorithms, base, tools

from hybridopt.core import Query
from hybridopt.evaluate import Answer, Evaluator
from hybridopt.evolution import GeneticAlgorithm

SIZES = [(100, 10), (1000, 100), (10000, 100), (1000, 10000)]
Generation = Callable[[], None]


class Sphere:
    """Sum of squares of every row."""

    draws = False
    sampled = False

    def answer(self, query: Query, seed: int) -> Answer:
        return torch.linalg.vector_norm(query.x, dim=1).square_(), None, None


def ours(population: int, dim: int, dtype: torch.dtype) -> Generation:
    """Ask, evaluate with all checks, tell."""
    lower, upper = torch.full((dim,), -5.0, dtype=dtype), torch.full((dim,), 5.0, dtype=dtype)
    optimizer = GeneticAlgorithm(population, indpb=0.1, sigma=0.01)  # of a width of 10
    evaluate = Evaluator(Sphere(), lower, upper)
    state = optimizer.init(torch.zeros(1, dim, dtype=dtype), lower, upper, seed=0)

    def generation() -> None:
        nonlocal state
        state = optimizer.tell(state, evaluate(optimizer.ask(state)))

    return generation


def floor(population: int, dim: int, dtype: torch.dtype) -> Generation:
    """As fast as eager torch goes by hand: buffers made once, one random number a gene pair and mutation."""
    half, genes = population // 2, population * dim
    x, out = torch.rand(population, dim, dtype=dtype) * 10 - 5, torch.empty(population, dim, dtype=dtype)
    gamma, delta = torch.empty(half, dim, dtype=dtype), torch.empty(half, dim, dtype=dtype)
    value = x.square().sum(1)

    def generation() -> None:
        nonlocal x, out, value
        aspirants = torch.randint(population, (population, 3))
        winners = aspirants.gather(1, value[aspirants].argmin(1, keepdim=True)).squeeze(1)
        torch.index_select(x, 0, winners, out=out)
        a, b = out[:half], out[half : 2 * half]
        gamma.uniform_(-0.5, 1.5).mul_(torch.rand(half, 1) < 0.9)
        torch.sub(b, a, out=delta).mul_(gamma)
        a.add_(delta)
        b.sub_(delta)
        count = int(torch.binomial(torch.tensor(float(genes)), torch.tensor(0.1)))
        change = torch.randn(count, dtype=dtype).mul_(0.1)
        out.view(-1).scatter_add_(0, torch.randint(genes, (count,)), change)
        x, out, value = out, x, torch.linalg.vector_norm(out, dim=1).square_()

    return generation


def deap(population: int, dim: int) -> Generation:
    """DEAP's own functions on lists."""
    fitness = type("FitnessMin", (base.Fitness,), {"weights": (-1.0,)})

    class Individual(list[float]):
        def __init__(self, genes: list[float]) -> None:
            super().__init__(genes)
            self.fitness = fitness()

    toolbox = base.Toolbox()
    toolbox.register("evaluate", lambda x: (sum(v * v for v in x),))
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("mate", tools.cxBlend, alpha=0.5)
    toolbox.register("mutate", tools.mutGaussian, mu=0.0, sigma=0.1, indpb=0.1)
    rows = [Individual([random.uniform(-5, 5) for _ in range(dim)]) for _ in range(population)]
    for row in rows:
        row.fitness.values = toolbox.evaluate(row)
    return lambda: algorithms.eaSimple(rows, toolbox, 0.9, 1.0, 1, verbose=False) and None


def seconds(generation: Generation, least: float) -> float:
    """Processor seconds of one generation, repeated for `least` seconds."""
    start, count = time.process_time(), 0
    while count == 0 or time.process_time() - start < least:
        generation()
        count += 1
    return (time.process_time() - start) / count


def compare(population: int, dim: int, rounds: int) -> None:
    """Print a line of the table for each dtype."""
    f32, f64 = torch.float32, torch.float64
    cases = {
        "deap": deap(population, dim),
        **{("ours", dtype): ours(population, dim, dtype) for dtype in (f32, f64)},
        **{("floor", dtype): floor(population, dim, dtype) for dtype in (f32, f64)},
    }
    times: dict[object, list[float]] = {case: [] for case in cases}
    for case, generation in cases.items():
        if case != "deap":
            seconds(generation, 0.05)
    for _ in range(3 if population * dim >= 10**7 else rounds):
        for case, generation in cases.items():
            times[case].append(seconds(generation, 0.0 if case == "deap" else 0.1))
    for dtype in (f32, f64):
        mine = times["ours", dtype]
        print(
            f"| ({population}, {dim}) | {str(dtype)[6:]} | {1e3 * statistics.median(mine):.3g} ms "
            f"| {1e3 * statistics.median(times['deap']):.4g} ms | {ratio(times['deap'], mine):.0f} "
            f"| {ratio(mine, times['floor', dtype]):.2f} |",
            flush=True,
        )


def ratio(a: list[float], b: list[float]) -> float:
    """Median of paired ratios."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def memory(population: int = 1000, dim: int = 10000) -> None:
    """Print the peak of resident memory above that of the libraries and of a small run, in MB."""
    ours(10, 10, torch.float32)()
    before = resident("VmRSS")
    generation = ours(population, dim, torch.float32)
    for _ in range(4):
        generation()
    print(
        f"peak memory at ({population}, {dim}) float32: {resident('VmHWM') - before:.0f} MB "
        f"(a population is {4e-6 * population * dim:.0f} MB)"
    )


def resident(field: str) -> float:
    """Resident memory of this process in MB, now (VmRSS) or at most (VmHWM); Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"no {field} in /proc/self/status")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.memory:
        memory()
        return
    print("| (population, dim) | dtype | a generation | DEAP, lists | times DEAP | of the floor |")
    print("|---|---|---|---|---|---|")
    for population, dim in SIZES:
        compare(population, dim, arguments.rounds)


if __name__ == "__main__":
    main()
