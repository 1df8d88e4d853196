"""What may end a run, and its seed, checked once."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

from hybridopt import checkpoint as checkpoints
from hybridopt.loop import Progress
from hybridopt.rng import entropy_seed


@dataclass(frozen=True)
class Limits:
    """What may end a run, as the user gave it."""

    max_evals: int | None
    target: float | None
    max_time: float
    tol: float | None

    @property
    def any(self) -> bool:
        """Whether there is one besides a budget that is sure to end a run or was asked for as its end."""
        return self.target is not None or math.isfinite(self.max_time)


def parse_limits(
    max_evals: int | None, target: float | None, max_time: float | None, tol: float | None
) -> Limits:
    """Limits, checked.

    Raises
    ------
    ValueError
        If one is out of its range.
    """
    if max_time is not None and not _number("max_time", max_time) > 0:
        raise ValueError(f"max_time must be a positive number of seconds, got {max_time!r}")
    if tol is not None and not _number("tol", tol) >= 0:
        raise ValueError(f"tol must be at least 0, got {tol!r}")
    if target is not None:
        _number("target", target)
    budget = None if max_evals is None else _whole("max_evals", max_evals, 1)
    return Limits(budget, target, math.inf if max_time is None else max_time, tol)


def parse_seed(seed: int | None, checkpoint: str | os.PathLike[str] | None) -> int:
    """The seed that is given, that of the checkpoint there is, or a fresh one.

    Raises
    ------
    ValueError
        If it is no whole number from 0, or another than the checkpoint's.
    """
    if seed is not None:
        seed = _whole("seed", seed, 0)
    if checkpoint is None or not os.path.exists(checkpoint):
        return entropy_seed() if seed is None else seed
    progress = checkpoints.load(checkpoint)
    if not isinstance(progress, Progress):
        raise checkpoints.CheckpointError(f"{os.fspath(checkpoint)!r} is no checkpoint of minimize")
    saved: int = progress.seed
    if seed not in (None, saved):
        raise checkpoints.CheckpointError(
            f"checkpoint {os.fspath(checkpoint)!r} has seed {saved}, got seed={seed}; "
            "give the same seed, none, or another checkpoint path"
        )
    return saved


def _number(name: str, number: Any) -> float:
    """A number, or a clear error."""
    try:
        value = float(number)
    except (TypeError, ValueError):
        value = math.nan
    if math.isnan(value):
        raise ValueError(f"{name} must be a number, got {number!r}")
    return value


def _whole(name: str, number: Any, least: int) -> int:
    """A whole number of at least `least`, or a clear error."""
    try:
        whole = int(number)
    except (TypeError, ValueError, OverflowError):
        whole = least - 1
    if isinstance(number, bool | str) or whole < least or whole != number:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {number!r}")
    return whole
