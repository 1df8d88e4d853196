"""What may end a run, and its seed, checked once."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

from hybridopt import checkpoint as checkpoints
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
        """Whether there is any besides a budget."""
        return self.target is not None or self.tol is not None or math.isfinite(self.max_time)


def parse_limits(
    max_evals: int | None, target: float | None, max_time: float | None, tol: float | None
) -> Limits:
    """Limits, checked.

    Raises
    ------
    ValueError
        If one is out of its range.
    """
    if max_time is not None and not max_time > 0:
        raise ValueError(f"max_time must be a positive number of seconds, got {max_time!r}")
    if tol is not None and not tol >= 0:
        raise ValueError(f"tol must be at least 0, got {tol!r}")
    if target is not None and math.isnan(target):
        raise ValueError("target must be a number, got nan")
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
    saved: int = checkpoints.load(checkpoint).seed
    if seed not in (None, saved):
        raise checkpoints.CheckpointError(
            f"checkpoint {os.fspath(checkpoint)!r} has seed {saved}, got seed={seed}; "
            "give the same seed, none, or another checkpoint path"
        )
    return saved


def _whole(name: str, number: Any, least: int) -> int:
    if isinstance(number, bool) or number != int(number) or number < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {number!r}")
    return int(number)
