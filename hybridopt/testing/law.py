"""What a law is: a function that raises a `LawError`, and when it applies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from hybridopt.core import Optimizer, Traits


class LawError(AssertionError):
    """An optimizer breaks a law; the message says what is wrong, got and expected."""


@dataclass(frozen=True)
class Case:
    """What a law is checked with.

    Attributes
    ----------
    dtype : torch.dtype
        A floating one.
    device : str
        Where the problem lies; a real device. (`devices_are_not_mixed` takes a fake one of its own.)
    dim : int, >= 2
    steps : int
        How many tells a run has.
    seed : int
        Seed of the start rows and of the runs.
    """

    dtype: torch.dtype = torch.float64
    device: str = "cpu"
    dim: int = 3
    steps: int = 12
    seed: int = 20

    def __post_init__(self) -> None:
        if not self.dtype.is_floating_point:
            raise ValueError(f"dtype must be a floating one, got {self.dtype}; e.g. torch.float64")
        if self.dim < 2:
            raise ValueError(f"dim must be at least 2, got {self.dim}")


Check = Callable[[Optimizer[Any], Case], None]
Applies = Callable[[Traits, Case], bool]


@dataclass(frozen=True)
class Law:
    """A law, called with an optimizer and a case.

    Attributes
    ----------
    check : callable
        Raises a `LawError` if the optimizer breaks the law.
    applies : callable
        (traits, case) -> whether it can be checked at all.
    """

    check: Check
    applies: Applies

    @property
    def name(self) -> str:
        """The law in words, joined by underscores."""
        return self.check.__name__

    def __call__(self, optimizer: Optimizer[Any], case: Case) -> None:
        """Check it.

        Raises
        ------
        LawError
            If the optimizer breaks the law, or raises something of its own, which is the cause then.
        TypeError
            If it is no optimizer at all.
        """
        require_optimizer(optimizer)
        where = f"the law {self.name!r} with {case}"
        try:
            self.check(optimizer, case)
        except LawError as error:
            raise LawError(f"{optimizer!r} breaks {where}: {error}") from error.__cause__
        except Exception as error:
            said = "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
            raise LawError(f"{optimizer!r} raises under {where}: {said}") from error


LAWS: dict[str, Law] = {}
"""Every law by its name."""


def law(applies: Applies = lambda traits, case: True) -> Callable[[Check], Check]:
    """Enter a function into `LAWS`."""

    def enter(check: Check) -> Check:
        LAWS[check.__name__] = Law(check, applies)
        return check

    return enter


def require_optimizer(optimizer: object) -> None:
    """Raise a `TypeError` for what can't be checked: a class, or an object without the four verbs."""
    if isinstance(optimizer, type):
        name = optimizer.__name__
        raise TypeError(f"expected an optimizer, got the class {name}; pass an instance of it: {name}(...)")
    missing = [verb for verb in ("init", "ask", "tell", "traits") if not hasattr(optimizer, verb)]
    if missing:
        raise TypeError(f"expected an optimizer, got {optimizer!r}, which has no {', '.join(missing)}")


def require(holds: bool, message: str) -> None:
    """Raise a `LawError` with the message where something does not hold."""
    if not holds:
        raise LawError(message)


def require_same(difference: str | None, what: str) -> None:
    """Raise a `LawError` where `compare.difference` found one; `what` says what it means."""
    if difference is not None:
        raise LawError(f"{what}: {difference}")
