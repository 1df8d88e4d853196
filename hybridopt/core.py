"""The contract: three pure functions on a frozen state.

`ask` says which points an optimizer wants and which derivatives there; the loop evaluates them in one
batch; `tell` takes the numbers in. Gradient descent, a genetic algorithm and any mix of them are all
`Optimizer`s, and a scheduler of optimizers is one too. The laws that every optimizer passes are in
`hybridopt.testing`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor


class Query(NamedTuple):
    """What an optimizer wants to know.

    Attributes
    ----------
    x : Tensor, shape (population, dim)
        The points, inside the bounds.
    order : int
        0: value; 1: and gradient; 2: and Hessian-vector product along `direction`.
    sample : int
        Which minibatch or random draw: equal numbers mean equal draws. -1 means all data.
    direction : Tensor of shape (population, dim), optional
        For order 2.
    """

    x: Tensor
    order: int = 0
    sample: int = 0
    direction: Tensor | None = None

    @property
    def cost(self) -> int:
        """Units of the ledger: a value 1, a gradient 1 more, a Hessian-vector product 1 more a point."""
        return self.x.shape[0] * (1 + self.order)


class Evaluation(NamedTuple):
    """The answer to a `Query`.

    Attributes
    ----------
    x : Tensor, shape (population, dim)
        The points as evaluated.
    value : Tensor, shape (population,)
        NaN and -inf are turned into +inf.
    grad : Tensor of shape (population, dim), optional
        Rows are NaN where the value or the gradient is not finite.
    hvp : Tensor of shape (population, dim), optional
        Hessian-vector products.
    """

    x: Tensor
    value: Tensor
    grad: Tensor | None = None
    hvp: Tensor | None = None

    @property
    def cost(self) -> int:
        """What the ledger books for it."""
        return self.x.shape[0] * (1 + (self.grad is not None) + (self.hvp is not None))


@dataclass(frozen=True)
class State:
    """What an optimizer knows; never changed, only replaced.

    A subclass adds fields: tensors, numbers, strings, None, tuples, dicts and other frozen dataclasses of
    these, nothing else, so that a checkpoint can hold every state.

    Attributes
    ----------
    x : Tensor, shape (population, dim)
        Where the search stands; `value[i]` is the value of `x[i]`.
    value : Tensor, shape (population,)
        +inf where not evaluated yet.
    lower, upper : Tensor, shape (dim,)
        The box; -inf and +inf where free.
    seed : int
        Seed of everything this state will draw.
    step : int
        Number of tells so far.
    """

    x: Tensor
    value: Tensor
    lower: Tensor
    upper: Tensor
    seed: int
    step: int

    @property
    def phase(self) -> str:
        """Where in a schedule this state stands, as the ledger books it; empty where there is none."""
        return ""

    @property
    def exhausted(self) -> bool:
        """Whether the optimizer has reason to believe that going on finds nothing more."""
        return False


@dataclass(frozen=True)
class Traits:
    """What callers may know of an optimizer before it runs.

    Attributes
    ----------
    order : int
        The highest order of derivatives it asks for.
    stochastic : bool
        Whether another seed gives another run.
    scope : {"local", "global"}
        Local methods run until their tolerance, global ones until their budget.
    shift_equivariant : bool
        Whether shifting the problem, start and bounds shifts the run.
    """

    order: int = 0
    stochastic: bool = False
    scope: Literal["local", "global"] = "local"
    shift_equivariant: bool = False


S = TypeVar("S", bound=State)


class Optimizer(Protocol[S]):
    """Anything with `init`, `ask`, `tell` and `traits`. Hyper-parameters are fixed at construction."""

    @property
    def traits(self) -> Traits:
        """What callers may know before it runs."""

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> S:
        """Begin at rows `x` of shape (n, dim), best first; fills up or cuts to the rows it needs."""

    def ask(self, state: S) -> Query:
        """Say which points are wanted next. Pure: asked twice, answers the same."""

    def tell(self, state: S, evaluation: Evaluation) -> S:
        """Take the numbers in. Pure: the old state stays usable."""


Evaluate = Callable[[Query], Evaluation]


def best_rows(state: State) -> Tensor:
    """Rows of `state.x`, best first; shape (population, dim). Rows of equal value keep their order."""
    return state.x[torch.argsort(state.value, stable=True)]


def project(x: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Nearest point of the box, for every row of `x`; shape (population, dim)."""
    return x.clamp(lower, upper)
