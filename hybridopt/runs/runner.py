"""Runs cells, in this process or in several; results come as they are finished."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence

import torch

from hybridopt.runs.cell import Cell, Run, run_cell
from hybridopt.runs.pool import Pool


def default_jobs() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(work: Sequence[Cell], jobs: int) -> Generator[Run, None, None]:
    """Yield what comes of the cells, in the order in which they finish.

    Closing the iterator, or an exception such as Ctrl-C, ends the processes and loses what was under way.

    Parameters
    ----------
    work : sequence of Cell
    jobs : int
        Processes; with 1 the runs take place in this one.
    """
    jobs = min(jobs, len(work))
    if jobs <= 1:
        yield from _one_by_one(work)
        return
    with Pool(run_cell, _died, jobs=jobs) as pool:
        yield from pool.results(work)


def _one_by_one(work: Sequence[Cell]) -> Iterator[Run]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker, so that --jobs changes no result
    try:
        for cell in work:
            yield run_cell(cell)
    finally:
        torch.set_num_threads(threads)


def _died(cell: Cell, reason: str) -> Run:
    return Run(cell, message=reason, error=reason)
