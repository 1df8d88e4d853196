"""Perturbed descent: a random step where the gradient is small, so that saddle points are left.

Descent alone may need exponential time to leave a strict saddle; with a ball of noise wherever the
gradient is small it needs polynomial time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hybridopt.check import check_positive, check_whole
from hybridopt.core import Evaluation, Query, State, Traits, project
from hybridopt.gradient.descent import TorchGradient, TorchGradientState, check_inner, sgd
from hybridopt.rng import child_seed, generator


@dataclass(frozen=True)
class PerturbedDescentState(State):
    """State of `PerturbedDescent`.

    Attributes
    ----------
    inner : TorchGradientState
    waiting : Tensor, shape (population,), int64
        Steps before a row may be perturbed again.
    """

    inner: TorchGradientState
    waiting: Tensor


@dataclass(frozen=True)
class PerturbedDescent:
    """A gradient method whose rows are moved uniformly within a ball where their gradient is small.

    Parameters
    ----------
    inner : TorchGradient
        The method; plain descent with lr 0.01 by default.
    threshold : float, > 0
        Perturb where the norm of the projected gradient is at most this.
    radius : float, > 0
        Radius of the ball, in the coordinates of x.
    every : int, >= 1
        At most once in so many steps a row, to give the descent time to leave.

    Raises
    ------
    TypeError
        If `inner` is no `TorchGradient`, or an option is no number.
    ValueError
        If an option is out of its range.

    Examples
    --------
    >>> import hybridopt
    >>> result = hybridopt.minimize(
    ...     lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4, x0=[0.0, 0.0],
    ...     method=hybridopt.PerturbedDescent(), max_evals=4000, seed=0)
    >>> round(result.fun, 3)
    -1.0

    References
    ----------
    C. Jin et al., "How to escape saddle points efficiently", ICML 2017, algorithm 2.
    S. Du et al., "Gradient descent can take exponential time to escape saddle points", NeurIPS 2017.
    """

    inner: TorchGradient = field(default_factory=lambda: sgd(lr=0.01))
    threshold: float = 1e-3
    radius: float = 1e-2
    every: int = 200

    def __post_init__(self) -> None:
        check_inner(self.inner)
        check_positive("threshold", self.threshold)
        check_positive("radius", self.radius)
        check_whole("every", self.every, 1)

    @property
    def traits(self) -> Traits:
        """Those of the inner method, with chance."""
        return replace(self.inner.traits, stochastic=True)

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> PerturbedDescentState:
        inner = self.inner.init(x, lower, upper, seed=child_seed(seed, "inner"))
        waiting = torch.zeros(inner.x.shape[0], dtype=torch.int64, device=x.device)
        return _wrap(inner, seed, waiting)

    def ask(self, state: PerturbedDescentState) -> Query:
        return self.inner.ask(state.inner)

    def tell(self, state: PerturbedDescentState, evaluation: Evaluation) -> PerturbedDescentState:
        x, grad = evaluation.x, evaluation.grad
        assert grad is not None
        inner = self.inner.tell(state.inner, evaluation)
        steepness = (x - project(x - grad, state.lower, state.upper)).norm(dim=1)  # NaN is never small
        perturbed = (steepness <= self.threshold) & (state.waiting <= 0)
        moved = project(inner.pending + self._ball(state, x), state.lower, state.upper)
        inner = replace(inner, pending=torch.where(perturbed[:, None], moved, inner.pending))
        return _wrap(inner, state.seed, torch.where(perturbed, self.every, state.waiting) - 1)

    def _ball(self, state: PerturbedDescentState, x: Tensor) -> Tensor:
        """Points uniform in the ball of the radius; shape (population, dim)."""
        g = generator(state.seed, "ball", state.step, device=x.device)
        normal = torch.randn(x.shape, generator=g, dtype=x.dtype, device=x.device)
        uniform = torch.rand(x.shape[0], 1, generator=g, dtype=x.dtype, device=x.device)
        length = self.radius * uniform.pow(1 / x.shape[1])
        ball: Tensor = length * normal / normal.norm(dim=1, keepdim=True)
        return ball


def _wrap(inner: TorchGradientState, seed: int, waiting: Tensor) -> PerturbedDescentState:
    return PerturbedDescentState(
        inner.x, inner.value, inner.lower, inner.upper, seed, inner.step, inner, waiting
    )
