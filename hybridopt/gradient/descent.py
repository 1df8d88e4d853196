"""torch.optim's elementwise methods on n rows: one (population, dim) leaf is n independent optimizers.

Steps are projected onto the box. A row whose value or gradient is not finite goes back half of its last
step (its moments see a gradient of zero); one that never was finite is scattered anew.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hybridopt.check import check_whole
from hybridopt.core import Evaluation, Query, State, Traits, project
from hybridopt.gradient.schedule import Replay
from hybridopt.rng import generator
from hybridopt.start import fill, widths

ELEMENTWISE = (
    "SGD",
    "ASGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
)
REFUSED = {
    "Adafactor": "its second moments are sums over rows and columns, so rows would not be independent",
    "Muon": "it orthogonalises the whole matrix, so rows would not be independent",
    "SparseAdam": "it takes sparse gradients only",
    "LBFGS": "it owns its own loop of evaluations",
}


@dataclass(frozen=True)
class TorchGradientState(State):
    """State of `TorchGradient`.

    Attributes
    ----------
    pending : Tensor, shape (population, dim)
        The points to be asked for next; `x` holds the last ones that had a finite value and gradient.
    buffers : dict
        torch's state of the leaf: moments of shape (population, dim), and counts.
    """

    pending: Tensor
    buffers: dict[str, Any]


@dataclass(frozen=True, init=False)
class TorchGradient:
    """Gradient descent on n rows by one of torch.optim's elementwise methods.

    Parameters
    ----------
    base : type of torch.optim.Optimizer
        SGD (with momentum, Nesterov), ASGD, Adadelta, Adagrad, Adam, AdamW, Adamax, NAdam, RAdam, RMSprop
        or Rprop.
    population_size : int, optional
        How many rows descend; by default as many as `init` is given. Rows that are filled up are drawn by
        the seed; the descent of given rows is the same with every seed, which is what `traits.stochastic`
        tells.
    schedule : callable or Replay, optional
        Learning rate by step: a callable int -> float, or a torch scheduler replayed into a table.
    **options
        As torch's class takes them (`lr`, `momentum`, `betas`, ...); torch's defaults.

    Raises
    ------
    TypeError
        If `base` is no elementwise torch optimizer, or does not take an option, or one is of a wrong type.
    ValueError
        If an option is out of its range.

    Examples
    --------
    >>> import torch, hybridopt
    >>> result = hybridopt.minimize(
    ...     lambda x: ((x - 1) ** 2).sum(), x0=[0.0, 3.0],
    ...     method=hybridopt.TorchGradient(torch.optim.SGD, lr=0.1))
    >>> bool(result.success), result.x.round(3).tolist()
    (True, [1.0, 1.0])

    References
    ----------
    S. Ruder, "An overview of gradient descent optimization algorithms", arXiv:1609.04747, 2016.
    """

    base: type[torch.optim.Optimizer]
    population_size: int | None
    schedule: Callable[[int], float] | Replay | None
    options: Mapping[str, Any]

    def __init__(
        self,
        base: type[torch.optim.Optimizer],
        *,
        population_size: int | None = None,
        schedule: Callable[[int], float] | Replay | None = None,
        **options: Any,
    ) -> None:
        _check_base(base)
        _check_options(base, options)
        if population_size is not None:
            check_whole("population_size", population_size, 1)
        _check_schedule(schedule, base, options)
        object.__setattr__(self, "base", base)
        object.__setattr__(self, "population_size", population_size)
        object.__setattr__(self, "schedule", schedule)
        object.__setattr__(self, "options", dict(options))

    def __hash__(self) -> int:
        return hash(
            (self.base, self.population_size, *sorted(self.options))
        )  # values may be lists or tensors

    @property
    def traits(self) -> Traits:
        """Local; deterministic on given rows; shifts with the problem unless a decay pulls to 0."""
        known = inspect.signature(self.base).parameters
        names = known.keys() & {"weight_decay", "lambd"}
        decays = any(self.options.get(name, known[name].default) for name in names)
        return Traits(order=1, shift_equivariant=not decays)

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> TorchGradientState:
        x = project(fill(x, self.population_size or x.shape[0], lower, upper, seed), lower, upper)
        value = torch.full_like(x[:, 0], torch.inf)
        return TorchGradientState(x, value, lower, upper, seed, 0, pending=x, buffers={})

    def ask(self, state: TorchGradientState) -> Query:
        return Query(state.pending, order=1, sample=state.step)

    def tell(self, state: TorchGradientState, evaluation: Evaluation) -> TorchGradientState:
        assert evaluation.grad is not None
        x, value, grad = evaluation.x, evaluation.value, evaluation.grad
        bad = torch.isnan(grad).any(1)
        some_bad = bool(bad.any())
        if some_bad:
            x = torch.where(bad[:, None], state.x, x)
            value = torch.where(bad, state.value, value)
            grad = torch.where(bad[:, None], 0.0, grad)
        pending, buffers = self._step(evaluation.x, grad, state)
        if some_bad:
            pending = torch.where(bad[:, None], _retreat(state, evaluation.x), pending)
        return TorchGradientState(
            x,
            value,
            state.lower,
            state.upper,
            state.seed,
            state.step + 1,
            pending=project(pending, state.lower, state.upper),
            buffers=buffers,
        )

    def _step(self, x: Tensor, grad: Tensor, state: TorchGradientState) -> tuple[Tensor, dict[str, Any]]:
        """One step of torch's own code on a fresh leaf that carries the state's buffers."""
        leaf = torch.nn.Parameter(x.clone())
        leaf.grad = grad
        optimizer = self.base([leaf], **{**self.options, **self._scheduled(state.step)})
        if state.buffers:
            optimizer.state[leaf] = {name: _copy(buffer) for name, buffer in state.buffers.items()}
        optimizer.step()
        return leaf.detach(), dict(optimizer.state[leaf])

    def _scheduled(self, step: int) -> dict[str, Any]:
        if isinstance(self.schedule, Replay):
            return self.schedule.options_at(step, self.base, self.options)
        return {} if self.schedule is None else {"lr": self.schedule(step)}


def _retreat(state: TorchGradientState, x: Tensor) -> Tensor:
    """Half of the way back to the last finite point, or a fresh scatter where there was none."""
    g = generator(state.seed, "retreat", state.step, device=x.device)
    noise = torch.randn(x.shape, generator=g, dtype=x.dtype, device=x.device)
    scattered = state.x + noise * widths(state.x[0], state.lower, state.upper)
    return torch.where(torch.isinf(state.value)[:, None], scattered, (state.x + x) / 2)


def _copy(buffer: Any) -> Any:
    return buffer.clone() if isinstance(buffer, Tensor) else buffer


def _check_base(base: Any) -> None:
    name = getattr(base, "__name__", repr(base))
    if not (isinstance(base, type) and issubclass(base, torch.optim.Optimizer)):
        raise TypeError(f"base must be a class of torch.optim, got {base!r}; e.g. torch.optim.Adam")
    if name in REFUSED:
        raise TypeError(f"torch.optim.{name} can't run on rows: {REFUSED[name]}; use one of {ELEMENTWISE}")
    if name not in ELEMENTWISE:
        raise TypeError(f"TorchGradient knows the elementwise methods {ELEMENTWISE}, got {base!r}")


def check_inner(inner: object) -> None:
    """Check what a method wraps that changes gradients or points of another one."""
    if not isinstance(inner, TorchGradient):
        raise TypeError(
            f"inner must be a TorchGradient, got {inner!r}; e.g. TorchGradient(torch.optim.SGD, lr=0.01)"
        )


def _check_schedule(schedule: Any, base: type[torch.optim.Optimizer], options: Mapping[str, Any]) -> None:
    if isinstance(schedule, Replay):
        try:
            schedule.options_at(0, base, options)
        except Exception as error:
            raise ValueError(f"schedule {schedule!r} does not go with {base.__name__}: {error}") from error
    elif schedule is not None and (isinstance(schedule, type) or not callable(schedule)):
        raise TypeError(
            f"schedule must be a callable int -> float or a Replay of a scheduler, got {schedule!r}; "
            "e.g. schedule=lambda step: 0.1 / (1 + step), or Replay(StepLR, step_size=30)"
        )


def _check_options(base: type[torch.optim.Optimizer], options: Mapping[str, Any]) -> None:
    """Let torch itself check names and ranges, on a leaf of one number; texts it would compare."""
    for name, value in options.items():
        if isinstance(value, str):
            default = getattr(inspect.signature(base).parameters.get(name), "default", 0.0)
            expected = "true or false" if default is None or isinstance(default, bool) else "a number"
            raise TypeError(f"{name} must be {expected}, got {value!r}")
    if options.get("maximize") or options.get("differentiable") or options.get("capturable"):
        raise ValueError(
            "maximize, differentiable, capturable: not supported; to maximize, negate the function"
        )
    try:
        base([torch.nn.Parameter(torch.zeros(1))], **options)
    except TypeError as error:
        known = [name for name in inspect.signature(base).parameters if name != "params"]
        raise TypeError(f"torch.optim.{base.__name__}: {error}; it takes {known}") from error


sgd = functools.partial(TorchGradient, torch.optim.SGD)
asgd = functools.partial(TorchGradient, torch.optim.ASGD)
adadelta = functools.partial(TorchGradient, torch.optim.Adadelta)
adagrad = functools.partial(TorchGradient, torch.optim.Adagrad)
adam = functools.partial(TorchGradient, torch.optim.Adam)
adamw = functools.partial(TorchGradient, torch.optim.AdamW)
adamax = functools.partial(TorchGradient, torch.optim.Adamax)
nadam = functools.partial(TorchGradient, torch.optim.NAdam)
radam = functools.partial(TorchGradient, torch.optim.RAdam)
rmsprop = functools.partial(TorchGradient, torch.optim.RMSprop)
rprop = functools.partial(TorchGradient, torch.optim.Rprop)
