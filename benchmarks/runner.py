"""What the runner adds to a run, and what a second process brings.

    OMP_NUM_THREADS=1 python benchmarks/runner.py

Overhead: wall time of `hybridopt run` for many short runs, in this process and with a database, less what the
runs themselves take; by differences of two sizes, so that starting up does not count. Two jobs: wall time of
runs of some 50 ms with one and with two processes, in turns, from the first run to the last; starting up
apart (it is printed).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hybridopt.runs.cell import cells, run_cell
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


def command(path: Path, jobs: int) -> float:
    """Seconds that the command takes."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["run", str(path), "--out", f"{folder}/out", "--jobs", str(jobs)]
        program = "from hybridopt.cli import main; main()"
        subprocess.run([sys.executable, "-c", program, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def overhead(folder: Path) -> float:
    """Milliseconds a run that are not the run's own."""
    few, many = 50, 550
    seconds = {seeds: command(config(folder, SHORT, seeds), 1) for seeds in (few, many)}
    work = list(cells(load(config(folder, SHORT, many))))
    began = time.perf_counter()
    for cell in work[few:]:
        run_cell(cell)
    alone = time.perf_counter() - began
    return (seconds[many] - seconds[few] - alone) / (many - few) * 1e3


def throughput(folder: Path, jobs: int, seeds: int) -> tuple[float, float, float]:
    """Runs a second from the first result to the last, seconds before the first, median seconds of a run."""
    work = list(cells(load(config(folder, LONG, seeds))))
    began = time.perf_counter()
    ends, own = [], []
    with tempfile.TemporaryDirectory() as out, Store(Path(out) / "results.sqlite") as store:
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
