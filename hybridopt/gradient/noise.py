"""Annealed gradient noise: every gradient gets a normal error that dies out with the steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hybridopt.check import check_positive
from hybridopt.core import Evaluation, Query, State, Traits
from hybridopt.gradient.descent import TorchGradient, TorchGradientState, check_inner, sgd
from hybridopt.rng import child_seed, generator


@dataclass(frozen=True)
class GradientNoiseState(State):
    """State of `GradientNoise`: that of the method it feeds."""

    inner: TorchGradientState


@dataclass(frozen=True)
class GradientNoise:
    """A gradient method that is told grad + N(0, eta / (1 + step)**gamma).

    Parameters
    ----------
    inner : TorchGradient
        The method; plain descent with lr 0.01 by default.
    eta : float, > 0
        Variance of each component at the first step; the paper tries 0.01, 0.3 and 1.
    gamma : float, > 0
        How fast it dies out.

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
    ...     lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4, x0=[1.0, 0.0],
    ...     method=hybridopt.GradientNoise(), max_evals=4000, seed=0)
    >>> round(result.fun, 2)
    -1.0

    References
    ----------
    A. Neelakantan et al., "Adding gradient noise improves learning for very deep networks",
    arXiv:1511.06807, 2015, eq. (1).
    """

    inner: TorchGradient = field(default_factory=lambda: sgd(lr=0.01))
    eta: float = 0.3
    gamma: float = 0.55

    def __post_init__(self) -> None:
        check_inner(self.inner)
        check_positive("eta", self.eta)
        check_positive("gamma", self.gamma)

    @property
    def traits(self) -> Traits:
        """Those of the inner method, with chance."""
        return replace(self.inner.traits, stochastic=True)

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> GradientNoiseState:
        return _wrap(self.inner.init(x, lower, upper, seed=child_seed(seed, "inner")), seed)

    def ask(self, state: GradientNoiseState) -> Query:
        return self.inner.ask(state.inner)

    def tell(self, state: GradientNoiseState, evaluation: Evaluation) -> GradientNoiseState:
        grad = evaluation.grad
        assert grad is not None
        g = generator(state.seed, "noise", state.step, device=grad.device)
        noise = torch.randn(grad.shape, generator=g, dtype=grad.dtype, device=grad.device)
        deviation = (self.eta / (1 + state.step) ** self.gamma) ** 0.5  # (eq. 1)
        noisy = evaluation._replace(grad=grad + deviation * noise)
        return _wrap(self.inner.tell(state.inner, noisy), state.seed)


def _wrap(inner: TorchGradientState, seed: int) -> GradientNoiseState:
    return GradientNoiseState(inner.x, inner.value, inner.lower, inner.upper, seed, inner.step, inner)
