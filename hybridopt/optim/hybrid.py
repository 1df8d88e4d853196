"""A drop-in for any torch optimizer that tries to get out where its base gets stuck.

`Hybrid` makes, once per base, a class that inherits from both itself and the base, so that `isinstance`,
state_dict, hooks, schedulers and fused kernels are the base's own; all that decides about escapes lives in
one object it owns (`plain.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch import Tensor
from torch.optim import Optimizer

from hybridopt.optim.escape import Attempt, Escape
from hybridopt.optim.plain import PlainEscape
from hybridopt.optim.snapshot import Closure

_ESCAPE = Escape()
_SAVED_AS = "hybrid"


class Hybrid(Optimizer):
    """`base`, bit for bit, that tries an escape when the loss of its closures stalls.

    While no escape has been accepted, weights, gradients, base state and random numbers are exactly those of
    `base` alone. After an accepted one the base goes on from the new weights with a state as if just made
    (Adagrad keeps its sums), the learning rate being where its schedule has it. An escape needs a closure;
    without one this is `base`, and says so once by a warning of the logger "hybridopt.optim.plain".

    Parameters
    ----------
    params : iterable
        As for `base`. A group with `evolve=False` is trained, never mutated; so are frozen, unused and empty
        parameters and those with sparse gradients.
    base : type
        A subclass of `torch.optim.Optimizer`.
    escape : Escape or None
        When and how; None for the base alone.
    buffers : iterable of Tensor
        `model.buffers()`, if the model has BatchNorm in training mode or anything else that changes when it
        is run. An optimizer knows parameters only, so what isn't named here is not put back when an escape
        was tried; buffers that are replaced rather than changed in place can't be.
    **base_options
        As for `base`: `lr`, `fused`, ...

    Raises
    ------
    TypeError
        If `base` is no optimizer class, has no such option, a parameter is complex, or `buffers` holds
        something else than tensors.
    ValueError
        If an option has a bad value, or some groups maximise and others minimise.
    RuntimeError
        In a distributed job of several processes, whose losses would decide differently.

    Notes
    -----
    The closure must be a function of weights, buffers and the global generators: one that fetches its own
    next minibatch would lose some to the children. During an escape memory holds one more copy of the
    mutated parameters, of `buffers` and of the gradients. If the closure raises, everything is as before
    the step (as far as it is with `base`).

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(3, 1)
    >>> x, y = torch.randn(20, 3), torch.randn(20, 1)
    >>> optimizer = Hybrid(model.parameters(), base=torch.optim.AdamW, lr=1e-3)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (model(x) - y).square().mean()
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)
    >>> isinstance(optimizer, torch.optim.AdamW), optimizer.history
    (True, ())
    """

    _base_step: Callable[..., Any]  # what `base` does in a step, hooks apart

    def __new__(cls, params: Any = None, base: type[Optimizer] = torch.optim.AdamW, **_: Any) -> Self:
        """Make an object of the class that inherits from `base` too."""
        made: Self = object.__new__(cls if hasattr(cls, "_base") else _combine((cls, base)))
        return made

    def __init__(
        self,
        params: Any,
        base: type[Optimizer] = torch.optim.AdamW,
        *,
        escape: Escape | None = _ESCAPE,
        buffers: Iterable[Tensor] = (),
        **base_options: Any,
    ) -> None:
        self._escape = None if escape is None else _own(escape, buffers)
        super().__init__(params, **base_options)
        if self._escape is not None:
            self._escape.keeps_state = bool(self.state)

    @property
    def history(self) -> tuple[Attempt, ...]:
        """Escapes tried so far."""
        return () if self._escape is None else self._escape.history

    def step(self, closure: Closure | None = None) -> Any:
        """Take one step of the base, after an escape where one is due.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients, and returns the loss, a tensor or a number.

        Returns
        -------
        The closure's loss, as the base returns it.
        """
        escape = self._escape
        if closure is None:
            if escape is not None:
                escape.say_once("step() was called without a closure; call step(closure)")
            return self._base_step()
        if escape is None:
            return self._base_step(closure)
        undo = escape.attempt(self, closure) if escape.due else None
        try:
            loss = self._base_step(closure)
        except BaseException:
            if undo is not None:
                undo()
            raise
        escape.observe(loss)
        return loss

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        if self._escape is None:
            return
        try:
            self._escape.check(self)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def state_dict(self) -> dict[str, Any]:
        """State of the base, and under "hybrid" what the escape knows; the base can load it too."""
        state = super().state_dict()
        if self._escape is not None:
            state[_SAVED_AS] = self._escape.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state_dict of this class, or one of the base alone."""
        super().load_state_dict(state_dict)
        if self._escape is not None:
            self._escape.check(self)
            self._escape.load_state_dict(state_dict.get(_SAVED_AS))

    def __getstate__(self) -> dict[str, Any]:
        # torch keeps defaults, state and param_groups alone, which also loses what LBFGS needs. Hooks, and
        # methods that schedulers patch in, stay behind as with torch.
        return {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_optimizer_") and not callable(value)
        }

    def __reduce__(self) -> tuple[Any, ...]:
        kind = type(self)
        return _blank, (kind._hybrid, kind._base), self.__getstate__()  # type: ignore[attr-defined]


@functools.cache
def _combine(kinds: tuple[type[Any], type[Any]]) -> type[Any]:
    """Class that is both a `Hybrid` and the base; pickles go by the two it is made of."""
    hybrid, base = kinds
    if not (isinstance(base, type) and issubclass(base, Optimizer)):
        raise TypeError(
            f"base must be a torch optimizer class, got {base!r}; pass e.g. base=torch.optim.SGD, "
            "and its options by keyword: Hybrid(params, base=torch.optim.SGD, lr=0.1)"
        )
    if base is Optimizer or issubclass(base, Hybrid):
        raise TypeError(f"base must be an optimizer that can step by itself, got {base.__name__}")
    members = {
        "_hybrid": hybrid,
        "_base": base,
        "_base_step": _without_hooks(base.step),
        "__doc__": hybrid.__doc__,
        "__module__": hybrid.__module__,
    }
    return type(f"{hybrid.__name__}{base.__name__}", (hybrid, base), members)


def _without_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """The step below the wrapper that torch puts round the first object's, which would fire hooks twice."""
    while getattr(step, "hooked", False):
        step = step.__wrapped__  # type: ignore[attr-defined]
    return step


def _blank(hybrid: type[Any], base: type[Any]) -> Any:
    return object.__new__(_combine((hybrid, base)))


def _tensors(buffers: Any) -> list[Tensor]:
    """Buffers as a list, or a clear error."""
    listed = list(buffers) if isinstance(buffers, Iterable) and not isinstance(buffers, Tensor) else None
    if listed is None or not all(isinstance(buffer, Tensor) for buffer in listed):
        got = f"an iterable of {_kinds(listed)}" if listed else repr(buffers)
        raise TypeError(f"buffers must be an iterable of tensors such as model.buffers(), got {got}")
    return listed


def _kinds(things: Iterable[object]) -> str:
    return ", ".join(sorted({type(thing).__name__ for thing in things}))


def _own(escape: Escape, buffers: Iterable[Tensor]) -> PlainEscape:
    if not isinstance(escape, Escape):
        raise TypeError(f"escape must be Escape(...) or None, got {escape!r}")
    buffers = _tensors(buffers)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        processes = torch.distributed.get_world_size()
        if processes > 1:
            raise RuntimeError(
                f"Hybrid can't yet escape in a job of {processes} processes: each would decide by its own "
                "loss and the weights would part; pass escape=None for the base alone"
            )
    # read, never drawn from: torch.manual_seed alone repeats a run, and the base's numbers stay the same
    seed = torch.initial_seed() if escape.seed is None else escape.seed
    return PlainEscape(escape, seed, buffers)
