"""Optimizers that are wrong in one way each, and right ones of the same make."""

import functools
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from hybridopt import GeneticAlgorithm, GradientNoise, TorchGradient
from hybridopt.core import Query, State, Traits, project


class Wrapped:
    """A right optimizer; wrong ones override a verb."""

    def __init__(self, inner):
        self.inner = inner

    @property
    def traits(self):
        return self.inner.traits

    def init(self, x, lower, upper, *, seed):
        return self.inner.init(x, lower, upper, seed=seed)

    def ask(self, state):
        return self.inner.ask(state)

    def tell(self, state, evaluation):
        return self.inner.tell(state, evaluation)


class WrongGradient(Wrapped):
    """Sees `change(grad)` for the gradient."""

    def __init__(self, inner, change):
        super().__init__(inner)
        self.change = change

    def tell(self, state, evaluation):
        return self.inner.tell(state, evaluation._replace(grad=self.change(evaluation.grad)))


class StopsEarly(Wrapped):
    def tell(self, state, evaluation):
        if state.step < 20:
            return self.inner.tell(state, evaluation)
        return replace(state, step=state.step + 1)


class SinglePrecision(Wrapped):
    def ask(self, state):
        query = self.inner.ask(state)
        return query._replace(x=query.x.float().double())


class KeepsOffBounds(Wrapped):
    def init(self, x, lower, upper, *, seed):
        return self.inner.init(x, lower + 1e-3, upper - 1e-3, seed=seed)


class SelectsWorst(Wrapped):
    def tell(self, state, evaluation):
        return self.inner.tell(state, evaluation._replace(value=-evaluation.value))


class NoiseStays(GradientNoise):
    """Noise of the first step's size for ever."""

    def tell(self, state, evaluation):
        first = replace(state, step=0, seed=state.seed + state.step)
        return replace(super().tell(first, evaluation), seed=state.seed)


@dataclass(frozen=True)
class OwnState(State):
    first: Any = 0.0
    second: Any = 0.0


@dataclass(frozen=True)
class OwnAdam:
    """Adam from its paper; right as it stands."""

    lr: float = 0.1
    eps: float = 0.1
    bias_corrected: bool = True
    projected: bool = True
    traits: Traits = field(default=Traits(order=1), init=False)

    def init(self, x, lower, upper, *, seed):
        return OwnState(x, torch.full_like(x[:, 0], torch.inf), lower, upper, seed, 0)

    def ask(self, state):
        return Query(state.x, 1, state.step)

    def tell(self, state, evaluation):
        step, grad = state.step + 1, evaluation.grad
        first = 0.9 * state.first + 0.1 * grad
        second = 0.999 * state.second + 0.001 * grad**2
        m, v = first, second
        if self.bias_corrected:
            m, v = first / (1 - 0.9**step), second / (1 - 0.999**step)
        x = evaluation.x - self.lr * m / (v.sqrt() + self.eps)
        if self.projected:
            x = project(x, state.lower, state.upper)
        return replace(state, x=x, value=evaluation.value, step=step, first=first, second=second)


@dataclass(frozen=True)
class OwnMomentum:
    """Descent with momentum 0.5; right where the velocity decays once a step."""

    decays: int = 1
    traits: Traits = field(default=Traits(order=1), init=False)

    def init(self, x, lower, upper, *, seed):
        return OwnState(x, torch.full_like(x[:, 0], torch.inf), lower, upper, seed, 0)

    ask = OwnAdam.ask

    def tell(self, state, evaluation):
        velocity = 0.5**self.decays * state.first + evaluation.grad
        x = project(evaluation.x - 0.5 * velocity, state.lower, state.upper)
        return replace(state, x=x, value=evaluation.value, step=state.step + 1, first=velocity)


def sgd(**options):
    return TorchGradient(torch.optim.SGD, **{"lr": 1.0, **options})


def scaled(grad):
    """Half of the first component."""
    return torch.cat([grad[:, :1] / 2, grad[:, 1:]], dim=1)


def stuck(grad):
    return torch.cat([torch.zeros_like(grad[:, :1]), grad[:, 1:]], dim=1)


def of_another_row(grad):
    return grad.roll(1, dims=0)


SGD = functools.partial(torch.optim.SGD, lr=1.0)
MOMENTUM = functools.partial(torch.optim.SGD, lr=0.5, momentum=0.5)
ADAM = functools.partial(torch.optim.Adam, lr=0.1, eps=0.1)

# name: (optimizer, torch's method that it claims to be, who catches it)
WRONG = {
    "sign": (WrongGradient(sgd(), torch.neg), None, ["ridge", "logistic"]),
    "stuck coordinate": (WrongGradient(sgd(), stuck), None, ["ridge", "procrustes"]),
    "scaled coordinate": (WrongGradient(sgd(), scaled), None, ["duplicated_column"]),
    "gradient of another row": (WrongGradient(sgd(), of_another_row), SGD, ["torch_path"]),
    "no bias correction": (OwnAdam(bias_corrected=False), ADAM, ["torch_path"]),
    "momentum decays twice": (OwnMomentum(decays=2), MOMENTUM, ["torch_path"]),
    "weight decay": (sgd(weight_decay=1e-4), None, ["least_squares", "convex_quadratic"]),
    "ignores bounds": (OwnAdam(projected=False), None, ["nonnegative"]),
    "keeps off bounds": (KeepsOffBounds(sgd()), None, ["nonnegative"]),
    "stops early": (StopsEarly(sgd()), None, ["least_squares", "low_rank"]),
    "single precision": (SinglePrecision(sgd()), None, ["least_squares"]),
    "noise that stays": (NoiseStays(sgd(lr=0.5), gamma=1.0), None, ["least_squares"]),
    "never mutates": (GeneticAlgorithm(20, mutpb=0.0), None, ["low_rank", "nonnegative"]),
    "selects the worst": (SelectsWorst(GeneticAlgorithm(20)), None, ["low_rank", "ridge"]),
}
FIRST_ORDER = ["ridge", "duplicated_column", "least_squares", "nonnegative", "torch_path"]

# name: (optimizer, torch's method that it is, a baseline for everything that the wrong ones are caught by)
RIGHT = {
    "descent": (Wrapped(sgd()), SGD, FIRST_ORDER),
    "adam": (OwnAdam(), ADAM, FIRST_ORDER),
    "momentum": (OwnMomentum(), MOMENTUM, FIRST_ORDER),
    "noise": (GradientNoise(sgd(lr=0.5), gamma=1.0), None, ["least_squares"]),
    "genetic": (Wrapped(GeneticAlgorithm(20)), None, ["low_rank", "nonnegative", "ridge"]),
}
