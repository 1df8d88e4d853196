"""What the runner adds to a run, and what a second process brings.

    OMP_NUM_THREADS=1 python benchmarks/runner.py

Overhead: wall time of many short runs, in this process and stored in a database, less what the runs
themselves took. Two jobs: runs a second, of some 50 ms each, with one and with two processes in turns, from
the first result to the last; how long the first takes is printed.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from hybridopt.runs.cell import cells
from hybridopt.runs.config import load
from hybridopt.runs.runner import run
from hybridopt.runs.store import Store

SHORT = """\
title: short
seeds: {seeds}
comparisons:
  - budget: 4
    problems: [{{name: sphere, dim: 2}}]
    optimizers: {{descent: {{name: sgd, lr: 0.1}}}}
"""
LONG = """\
title: long
seeds: {seeds}
comparisons:
  - budget: 2000
    problems: [{{name: rastrigin, dim: 10}}]
    optimizers: {{genetic: {{name: genetic, population_size: 20}}}}
"""
ROUNDS = 5


def config(folder: Path, text: str, seeds: int) -> Path:
    """Experiment file with so many seeds."""
    path = folder / "it.yaml"
    path.write_text(text.format(seeds=seeds))
    return path


def overhead(folder: Path) -> float:
    """Milliseconds a run that are not the run's own: dealing it out, taking it in, storing it."""
    work = list(cells(load(config(folder, SHORT, 500))))
    with tempfile.TemporaryDirectory() as out, Store(Path(out) / "results.sqlite") as store:
        store.begin(1, "", "", "")
        results = run(work, 1)
        store.add(next(results))
        own, began = 0.0, time.perf_counter()
        for result in results:
            own += result.seconds
            store.add(result)
        return (time.perf_counter() - began - own) / (len(work) - 1) * 1e3


def throughput(folder: Path, jobs: int, seeds: int) -> tuple[float, float, float]:
    """Runs a second from the first result to the last, seconds before the first, median seconds of a run."""
    work = list(cells(load(config(folder, LONG, seeds))))
    began = time.perf_counter()
    ends, own = [], []
    with tempfile.TemporaryDirectory() as out, Store(Path(out) / "results.sqlite") as store:
        store.begin(jobs, "", "", "")
        for result in run(work, jobs):
            store.add(result)
            ends.append(time.perf_counter())
            own.append(result.seconds)
    return (len(ends) - 1) / (ends[-1] - ends[0]), ends[0] - began, statistics.median(own)


def main() -> None:
    """Print both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [overhead(folder) for _ in range(ROUNDS)]
        print(f"overhead {statistics.median(found):.2f} ms a run; rounds: {[round(x, 2) for x in found]}")
        ratios = []
        for _ in range(ROUNDS):
            one, _, own = throughput(folder, 1, 100)
            two, starting, own_of_two = throughput(folder, 2, 200)
            ratios.append(two / one)
            print(
                f"1 job {one:.1f} runs a second ({own * 1e3:.0f} ms each), 2 jobs {two:.1f} "
                f"({own_of_two * 1e3:.0f} ms each, {starting:.1f} s to the first): {two / one:.2f} times"
            )
        print(f"2 jobs {statistics.median(ratios):.2f} times")


if __name__ == "__main__":
    main()
