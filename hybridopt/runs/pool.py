"""Worker processes that take a piece of work at a time; one that dies is replaced and costs no other."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

import torch

Work = TypeVar("Work")
Result = TypeVar("Result")


class Pool(Generic[Work, Result]):
    """As many processes as `jobs`, each with one torch thread.

    Parameters
    ----------
    work : callable, Work -> Result
        At the top level of a module. An exception of it ends its process.
    died : callable, (Work, str) -> Result
        Result of a piece at which two processes died, with the reason.
    jobs : int

    Examples
    --------
    >>> with Pool(abs, lambda piece, reason: 0, jobs=2) as pool:
    ...     sorted(pool.results([-1, 2, -3]))
    [1, 2, 3]
    """

    def __init__(
        self, work: Callable[[Work], Result], died: Callable[[Work, str], Result], *, jobs: int
    ) -> None:
        self._work = work
        self._died = died
        self._jobs = jobs
        self._context = _context()
        self._workers: dict[Connection, BaseProcess] = {}

    def __enter__(self) -> Pool[Work, Result]:
        return self

    def __exit__(self, *failure: object) -> None:
        """End the processes, in the middle of their work if need be."""
        for channel, process in self._workers.items():
            process.terminate()
            channel.close()
        for process in self._workers.values():
            process.join()
        self._workers.clear()

    def results(self, pieces: Iterable[Work]) -> Iterator[Result]:
        """Yield results as they come."""
        waiting = iter(pieces)
        running: dict[Connection, Work] = {}
        again: list[Work] = []  # pieces whose first process died: it may have been the machine, not the piece
        for piece in _first(waiting, self._jobs):
            self._hand_out(piece, running)
        while running:
            for channel in wait(list(running)):
                assert isinstance(channel, Connection)
                piece = running.pop(channel)
                try:
                    result: Result = channel.recv()
                except (EOFError, OSError):
                    reason = self._bury(channel)
                    if not any(piece is other for other in again):
                        again.append(piece)
                        self._hand_out(piece, running)
                        continue
                    result = self._died(piece, reason)
                for following in _first(waiting, 1):
                    self._hand_out(following, running)
                yield result

    def _hand_out(self, piece: Work, running: dict[Connection, Work]) -> None:
        """Give a piece to a worker that has none, or to a new one."""
        free = [channel for channel in self._workers if channel not in running]
        channel = free[0] if free else self._hire()
        running[channel] = piece
        with contextlib.suppress(OSError):  # it died meanwhile: `results` will see
            channel.send(piece)

    def _hire(self) -> Connection:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._work), daemon=True)
        with _without_interrupts():
            process.start()
        theirs.close()
        self._workers[ours] = process
        return ours

    def _bury(self, channel: Connection) -> str:
        process = self._workers.pop(channel)
        channel.close()
        process.join()
        return f"its process died with exit code {process.exitcode} (out of memory?)"


def _first(pieces: Iterator[Work], count: int) -> Iterator[Work]:
    for _, piece in zip(range(count), pieces, strict=False):
        yield piece


def _serve(channel: Connection, work: Callable[[Work], Result]) -> None:
    """What a worker does until the other end is closed, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where there is no mask to inherit
    threading.Thread(target=_follow_parent, daemon=True).start()
    torch.set_num_threads(1)
    while True:
        try:
            piece = channel.recv()
        except EOFError:
            return
        channel.send(work(piece))


def _follow_parent() -> None:
    """End with the process that gives the work, even in the middle of a piece: nobody wants it any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _context() -> SpawnContext | ForkServerContext:
    """Processes that begin clean; where there is a fork server, it imports torch once for all of them."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hybridopt.runs.cell"])
    return context


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Children that start in this block never see Ctrl-C, which a terminal sends to all processes."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # started in the block, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
