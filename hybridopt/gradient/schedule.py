"""Learning-rate schedules of torch, replayed into a table.

A torch scheduler is a mutable object that edits its optimizer's groups; the engine's states are frozen.
So the scheduler runs once on a leaf of one number, and what it sets at each step is written down.
"""

from __future__ import annotations

import inspect
import math
import threading
import warnings
from collections.abc import Mapping
from typing import Any

import torch

_BLOCK = 256
_LOCK = threading.Lock()


class Replay:
    """A torch scheduler as a table: what it sets (lr, momentum, betas) at each step.

    Parameters
    ----------
    scheduler : type of torch.optim.lr_scheduler.LRScheduler
        Any whose steps take no metric.
    **options
        As the scheduler takes them.

    Raises
    ------
    TypeError
        If the scheduler does not take an option or misses one; and for ReduceLROnPlateau, which reacts to
        values: switch on a condition instead (`Alternate(phases, switch=Stalled(...))`).

    Examples
    --------
    >>> import torch, hybridopt
    >>> from hybridopt.gradient import Replay
    >>> cosine = Replay(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=100)
    >>> optimizer = hybridopt.TorchGradient(torch.optim.SGD, lr=0.1, schedule=cosine)
    >>> round(cosine.options_at(50, torch.optim.SGD, {"lr": 0.1})["lr"], 3)
    0.05
    """

    def __init__(self, scheduler: type[torch.optim.lr_scheduler.LRScheduler], **options: Any) -> None:
        if scheduler is torch.optim.lr_scheduler.ReduceLROnPlateau:
            raise TypeError(
                "ReduceLROnPlateau can't be replayed: it reacts to values; use a condition instead, e.g. "
                "Alternate(phases=[...], switch=Stalled(steps=50))"
            )
        if not (isinstance(scheduler, type) and issubclass(scheduler, torch.optim.lr_scheduler.LRScheduler)):
            raise TypeError(
                f"scheduler must be a class of torch.optim.lr_scheduler, got {scheduler!r}; "
                "pass its options by keyword: Replay(StepLR, step_size=30)"
            )
        _check_options(scheduler, options)
        self.scheduler = scheduler
        self.options = options
        self._tables: dict[str, _Table] = {}

    def options_at(
        self, step: int, base: type[torch.optim.Optimizer], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the scheduler sets at a step (the first is 0) for an optimizer with these options."""
        key = f"{base.__name__}{sorted(options.items())}"
        with _LOCK:
            if key not in self._tables:
                self._tables[key] = _Table(self, base, options)
            return self._tables[key].row(step)

    def __call__(self, step: int) -> float:
        raise TypeError("a Replay is asked by options_at(step, base, options)")

    def __reduce__(self) -> Any:
        return _rebuild, (self.scheduler, self.options)

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"Replay({self.scheduler.__name__}{options})"


class _Table:
    """Rows so far, and the live scheduler that makes the next ones."""

    def __init__(self, replay: Replay, base: type[torch.optim.Optimizer], options: Mapping[str, Any]) -> None:
        self.optimizer = base([torch.nn.Parameter(torch.zeros(1))], **options)
        self.before = dict(self.optimizer.param_groups[0])
        self.scheduler = replay.scheduler(self.optimizer, **replay.options)
        self.rows = [self._read()]

    def _read(self) -> dict[str, Any]:
        """Options that the scheduler has changed, lr always."""
        group = self.optimizer.param_groups[0]
        return {
            name: float(group[name]) if name == "lr" else group[name]
            for name in self.before
            if name == "lr" or (name in ("momentum", "betas") and group[name] != self.before[name])
        }

    def row(self, step: int) -> dict[str, Any]:
        if step >= len(self.rows):
            self._extend(_BLOCK * (step // _BLOCK + 1))
        return self.rows[step]

    def _extend(self, length: int) -> None:
        """More rows; a schedule of fixed length (OneCycleLR) keeps its last one when it is over."""
        end = getattr(self.scheduler, "total_steps", math.inf)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*lr_scheduler.step.* before .*optimizer.step")
            while len(self.rows) < min(length, end):
                self.scheduler.step()
                self.rows.append(self._read())
        self.rows += [self.rows[-1]] * (length - len(self.rows))


def _check_options(scheduler: type[torch.optim.lr_scheduler.LRScheduler], options: dict[str, Any]) -> None:
    """Hold options against the signature; their values are tried where the optimizer is known."""
    signature = inspect.signature(scheduler)
    try:
        signature.bind(None, **options)
    except TypeError as error:
        known = [name for name in signature.parameters if name != "optimizer"]
        raise TypeError(f"{scheduler.__name__}: {error}; it takes {', '.join(known)}") from error


def _rebuild(scheduler: type[torch.optim.lr_scheduler.LRScheduler], options: dict[str, Any]) -> Replay:
    return Replay(scheduler, **options)
