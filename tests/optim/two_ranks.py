"""Two processes with gloo between them that run what they are sent, started once for many tests."""

import datetime
import multiprocessing
import traceback

import torch
from torch import distributed

SECONDS = 60


class TwoRanks:
    """Runs a function `work(rank, *args, **kwargs)` on both ranks at once.

    `work` must be at the top of a module, and its result plain: lists and numbers, no tensors.
    """

    def __init__(self, folder):
        self._folder = folder
        self._starts = 0
        self._pipes, self._processes = [], []

    def run(self, work, *args, **kwargs):
        """Results of rank 0 and rank 1."""
        if not self._pipes:
            self._start()
        for pipe in self._pipes:
            pipe.send((work, args, kwargs))
        answers = [pipe.recv() if pipe.poll(2 * SECONDS) else (None, "no answer") for pipe in self._pipes]
        errors = [f"rank {rank}: {error}" for rank, (_, error) in enumerate(answers) if error is not None]
        if errors:
            self.end()  # they may be out of step; others start for the next test
        assert not errors, "\n".join(errors)
        return [result for result, _ in answers]

    def end(self):
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()
        self._pipes, self._processes = [], []

    def _start(self):
        context = multiprocessing.get_context("spawn")
        self._starts += 1
        for rank in range(2):
            here, there = context.Pipe()
            store = f"{self._folder}/store_{self._starts}"
            process = context.Process(target=_serve, args=(rank, store, there), daemon=True)
            process.start()
            there.close()  # so that its end is seen here
            self._pipes.append(here)
            self._processes.append(process)


def _serve(rank, store, pipe):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=SECONDS),
    )
    while True:
        try:
            work, args, kwargs = pipe.recv()
        except EOFError:
            break
        try:
            pipe.send((work(rank, *args, **kwargs), None))
        except Exception:
            pipe.send((None, traceback.format_exc()))
    distributed.destroy_process_group()
