"""When and how to escape, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hybridopt.check import check_not_negative, check_number, check_positive, check_whole
from hybridopt.conditions import Condition, Plateau, Trace, is_condition


@dataclass(frozen=True)
class Escape:
    """When `Hybrid` tries to escape, and how.

    Parameters
    ----------
    when : Condition
        Asked at each look, on a trace of mean losses since the start or the last accepted escape. By default
        a `Plateau`.
    every : int, optional
        Steps that each of these is the mean of, and from one look to the next. By default means of 5, and a
        look at every second one; with `objective=`, which is evaluated once for each look, 30.
    redraw : tuple of float
        One child a number: this share of its hidden units, at least one, is drawn anew with what they read
        and what is read from them (`hybridopt.optim.redraw`); 1 for all weights. Every second child,
        beginning with the second, has rather those drawn anew that hardly learn, by the base's second moments
        if it has any. In models without hidden units all weights of each are.
    spread : tuple of float
        One child a number: its Gaussian noise as a share of each tensor's size
        (`hybridopt.optim.mutation.scale`). Every second one is drawn out where the second moments are small.
    products : int
        Hessian-vector products (differences of gradients, one closure each) with which Lanczos' method looks
        for negative curvature when a race begins. If it is found one more child starts along its direction. 0
        for none; none either for more than a million weights, whose Krylov basis would need too much memory.
    length : int
        `step` calls of a race. Each failure since the last success in which no child came to rest doubles it,
        up to `longest` times that.
    longest : int
    margin : float
        How much better than its parent a child must be, as a share of the parent's `|loss|`, and `z`:
    z : float
        by how many standard errors of the paired differences over the last calls. More are asked for where
        few differences are known or many children were tried, so that it means as much as for a single one
        if they are independent of one another.
    share : float
        Closures that escapes without success may cost, the first apart, as a share of the steps taken by
        then; `math.inf` for no limit.
    rugged_share : float
        The same after an escape that was accepted, or in which a child came to rest at a higher loss: then
        there are other minima, and a training that has stalled has little to lose.
    device : torch.device or str, optional
        Where children are kept while it isn't their turn; by default where the parameters are.
    seed : int, optional
        Of the children; by default `torch.initial_seed()` when the optimizer is made.

    Raises
    ------
    TypeError, ValueError
        If an option has a value that can't be meant.

    Examples
    --------
    >>> from hybridopt.conditions import Stalled
    >>> Escape(when=Stalled(5, rtol=0.01), redraw=(0.1, 1.0), spread=(), length=16, products=0).price(0)
    25
    """

    when: Condition = Plateau()  # noqa: RUF009 - frozen
    every: int | None = None
    redraw: tuple[float, ...] = (0.1, 0.1, 0.3, 1.0)
    spread: tuple[float, ...] = (1.0,)
    products: int = 12
    length: int = 64
    longest: int = 16
    margin: float = 1e-2
    z: float = 3.0
    share: float = 0.05
    rugged_share: float = 1.0
    device: Any = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not is_condition(self.when):
            raise TypeError(f"Escape.when must be a condition such as Plateau(20), got {self.when!r}")
        if self.every is not None:
            check_whole("Escape.every", self.every, 1)
        for name, highest, wanted in _SHARES:
            object.__setattr__(self, name, _shares(name, getattr(self, name), highest, wanted))
        if not self.redraw and not self.spread and not self.products:
            raise ValueError("Escape has no children: redraw and spread are empty, and products is 0")
        check_whole("Escape.products", self.products, 0)
        if not self.products and Trace.for_conditions(self.when).reads_curvature:
            raise ValueError("Escape.when reads curvature, so Escape.products must be at least 2, got 0")
        if self.products == 1:
            raise ValueError("Escape.products must be 0 or at least 2, got 1; one product shows no spectrum")
        check_whole("Escape.length", self.length, 4)
        check_whole("Escape.longest", self.longest, 1)
        check_not_negative("Escape.margin", self.margin)
        check_not_negative("Escape.z", self.z)
        check_positive("Escape.share", self.share)
        check_positive("Escape.rugged_share", self.rugged_share)
        if self.device is not None:
            object.__setattr__(self, "device", _device(self.device))
        if self.seed is not None:
            check_whole("Escape.seed", self.seed, 0)

    def calls(self, failures: int) -> int:
        """`step` calls of a race after so many failures for want of time."""
        return self.length * min(1 << min(failures, 60), self.longest)

    def price(self, failures: int) -> int:
        """Closures that a race may take: those for gradients, then those of children, who get fewer twice."""
        calls = self.calls(failures)
        children = len(self.redraw) + len(self.spread) + bool(self.products)
        quarter, few = calls // 4, halved(children) + 1
        rounds = children * quarter + few * quarter + halved(few) * (calls - 2 * quarter)
        return 1 + self.products + rounds


@dataclass(frozen=True)
class Attempt:
    """One escape that was tried.

    Attributes
    ----------
    step : int
        Steps taken before it.
    calls : int
        `step` calls it went on for.
    cost : int
        Closures (or objectives) it ran besides the parent's own.
    gain : float
        Mean loss of the parent minus that of the best child over the last calls, on the same data.
    accepted : bool
        Whether that child replaced its parent.
    child : str
        What kind of child that was: "redraw 0.1", "fresh", "noise 1", "curvature", "leap"; ""
        if there was none.
    settled : int
        Children that went down and came to rest at a higher loss than their parent's: other minima, or
        plateaus.
    """

    step: int
    calls: int
    cost: int
    gain: float
    accepted: bool
    child: str = ""
    settled: int = 0


def halved(children: int) -> int:
    """Children that stay when half of them drop out."""
    return (children + 1) // 2


_SHARES = (
    ("redraw", 1.0, "positive and at most 1"),
    ("spread", sys.float_info.max, "positive and finite"),
)


def _shares(name: str, shares: object, highest: float, wanted: str) -> tuple[float, ...]:
    if not isinstance(shares, Sequence) or isinstance(shares, str):
        raise TypeError(f"Escape.{name} must hold one number a child, such as (0.1, 0.3), got {shares!r}")
    for place, share in enumerate(shares):
        check_number(f"Escape.{name}[{place}]", share, lambda share: 0 < share <= highest, wanted)
    return tuple(shares)


def _device(device: Any) -> str:
    """Name of a device; a name can be saved."""
    try:
        found = torch.device(device)
        if found.type != "meta":
            torch.empty(0, device=found)  # there may be none such
            return str(found)
        error: Exception | None = None
    except (RuntimeError, TypeError, AssertionError) as raised:
        error = raised
    raise ValueError(
        f"Escape.device must be a device of this machine such as 'cpu', got {device!r}"
    ) from error
