"""The function `hybridopt.verify`."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import torch

from hybridopt.baselines import BASELINES, Baseline
from hybridopt.core import Optimizer
from hybridopt.registry import OPTIMIZERS, lookup
from hybridopt.verify.check import TORCH_PATH, Piece, check
from hybridopt.verify.report import Report, Row
from hybridopt.verify.standard import Reference

CHECKS = (*BASELINES, TORCH_PATH)


def verify(
    optimizers: Any = None,
    baselines: str | Baseline | Sequence[str | Baseline] | None = None,
    *,
    reference: Reference | None = None,
    seed: int = 0,
    jobs: int = 1,
) -> Report:
    """Hold optimizers against scipy's closed forms, and against torch.optim where that has the same method.

    Parameters
    ----------
    optimizers : optional
        An optimizer of your own, a registered name, a sequence of these or a mapping from labels to them; all
        registered ones by default. An optimizer of your own runs as it is, on problems whose largest
        curvature is about 1 and whose solution is 1 to 4 away from the start. Tolerance and budget depend on
        its traits: one without chance that takes gradients has 20,000 units to come within 1e-6 of the
        solution; with chance 3,000 units, without gradients 8,000, to come within 1e-3 of the value.
    baselines : optional
        Names (`hybridopt.baselines.BASELINES`, "torch_path"), baselines, or one of them; all by default.
    reference : callable, list of Parameter -> torch.optim.Optimizer, optional
        What your optimizers should equal step by step, e.g. `functools.partial(torch.optim.Adam, lr=0.1)`.
        The registered ones know theirs.
    seed : int
        Another seed gives other data and other runs.
    jobs : int
        Processes; what runs in them has to be picklable. Code of a script has to stand behind
        `if __name__ == "__main__":` then.

    Returns
    -------
    Report
        `passed`, `failures`, `rows`; printed, it is a table.

    Raises
    ------
    ValueError
        For an unknown name (the nearest is suggested).
    TypeError
        For what is no optimizer or no baseline.

    Examples
    --------
    >>> import torch, hybridopt
    >>> from hybridopt.verify import verify
    >>> descent = hybridopt.TorchGradient(torch.optim.SGD, lr=1.0)
    >>> report = verify(descent, ["ridge", "nonnegative"])
    >>> report.passed, [row.verdict for row in report.rows]
    (True, ['passed', 'passed'])

    A rate above 2 / (largest curvature) diverges:

    >>> wrong = hybridopt.TorchGradient(torch.optim.SGD, lr=2.5)
    >>> verify({"too fast": wrong}, "ridge").passed
    False
    """
    work = pieces(optimizers, baselines, reference=reference, seed=seed)
    return in_order(results(work, jobs), work)


def pieces(
    optimizers: Any = None, baselines: Any = None, *, reference: Reference | None = None, seed: int = 0
) -> list[Piece]:
    """Every pair of an optimizer and a baseline; parameters and exceptions as of `verify`."""
    labelled = _labelled(optimizers)
    chosen = _chosen(baselines)
    return [
        Piece(label, optimizer, baseline, seed, reference)
        for label, optimizer in labelled.items()
        for baseline in chosen
    ]


def results(work: Sequence[Piece], jobs: int) -> Generator[Row, None, None]:
    """Yield rows as they are finished; closing the iterator ends the processes."""
    jobs = min(jobs, len(work))
    if jobs > 1:
        from hybridopt.runs.pool import Pool

        with Pool(check, _died, jobs=jobs) as pool:
            yield from pool.results(work)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker, and quicker for so few numbers
    try:
        for piece in work:
            yield check(piece)
    finally:
        torch.set_num_threads(threads)


def in_order(rows: Iterable[Row], work: Sequence[Piece]) -> Report:
    """Report of the rows in the order of their pieces."""
    place = {(piece.label, piece.name): number for number, piece in enumerate(work)}
    ordered = sorted(rows, key=lambda row: place[row.optimizer, row.baseline])
    return Report(tuple(ordered), work[0].seed if work else 0)


def _died(piece: Piece, reason: str) -> Row:
    return Row(piece.label, piece.name, "-", "failed", message=reason)


def _labelled(optimizers: Any) -> dict[str, str | Optimizer[Any]]:
    """Label -> optimizer, for whatever the user gave."""
    if optimizers is None:
        return {name: name for name in OPTIMIZERS}
    if isinstance(optimizers, Mapping):
        return {str(label): _checked(optimizer) for label, optimizer in optimizers.items()}
    many = list(optimizers) if isinstance(optimizers, Sequence) and not isinstance(optimizers, str) else None
    labelled: dict[str, str | Optimizer[Any]] = {}
    for optimizer in [optimizers] if many is None else many:
        label = optimizer if isinstance(optimizer, str) else type(optimizer).__name__
        if label in labelled:
            raise ValueError(f"two optimizers are called {label!r}; pass a dict from labels to optimizers")
        labelled[label] = _checked(optimizer)
    return labelled


def _checked(optimizer: Any) -> str | Optimizer[Any]:
    """The same, if it is an optimizer or the name of one."""
    if isinstance(optimizer, str):
        lookup(optimizer, OPTIMIZERS, "optimizer")
        return optimizer
    verbs = ("init", "ask", "tell", "traits")
    if isinstance(optimizer, type) or not all(hasattr(optimizer, verb) for verb in verbs):
        raise TypeError(
            f"an optimizer has init, ask, tell and traits, got {optimizer!r}; pass an object such as "
            "hybridopt.TorchGradient(torch.optim.SGD, lr=1.0), or a registered name"
        )
    made: Optimizer[Any] = optimizer
    return made


def _chosen(baselines: Any) -> list[str | Baseline]:
    """Baselines, for whatever the user gave."""
    if baselines is None:
        return list(CHECKS)
    chosen: list[str | Baseline] = []
    for baseline in [baselines] if isinstance(baselines, str | Baseline) else baselines:
        if not isinstance(baseline, str | Baseline):
            raise TypeError(f"a baseline is a name or a hybridopt.baselines.Baseline, got {baseline!r}")
        if isinstance(baseline, str):
            lookup(baseline, dict.fromkeys(CHECKS), "baseline")
        if baseline not in chosen:
            chosen.append(baseline)
    return chosen
