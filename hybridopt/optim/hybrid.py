"""A drop-in for any torch optimizer that tries to get out where its base gets stuck.

`Hybrid` makes, once per base, a class that inherits from both itself and the base, so that `isinstance`,
state_dict, hooks, schedulers and fused kernels are the base's own; all that decides about escapes lives in
one object it owns (`escaper.py`).
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch import Tensor
from torch.optim import Optimizer

from hybridopt.optim.buffers import Buffers
from hybridopt.optim.escape import Attempt, Escape
from hybridopt.optim.escaper import SAVED_AS, Escaper
from hybridopt.optim.ranks import Ranks
from hybridopt.optim.snapshot import Closure
from hybridopt.optim.watch import Memory

_ESCAPE = Escape()


class Hybrid(Optimizer):
    """`base`, bit for bit, that tries an escape when the loss stalls.

    An escape is a race beside the training. Some children start round the current weights; in each of the
    next `step` calls every child takes a step of `base` on the same closure (same minibatch, same random
    numbers) before the parent takes its ordinary one. Losers drop out; in the end a paired test decides
    whether the best child's weights, buffers and base state replace the parent's. While none was accepted,
    weights, gradients, buffers, base state and random numbers are exactly those of `base` alone: an escape
    costs time only.

    Parameters
    ----------
    params : iterable
        As for `base`. A group with `evolve=False` is trained, never mutated; so are frozen, unused and empty
        parameters and those with sparse gradients.
    base : type
        A subclass of `torch.optim.Optimizer`.
    objective : callable, optional
        Returns the loss, for loops that call `step()` without a closure: at each look and during escapes it
        is run instead. We call `backward` on what it returns, unless it did that itself.
    escape : Escape or None
        When and how; None for the base alone.
    buffers : iterable of Tensor, optional
        What else changes when the model is run, such as BatchNorm's statistics; each child has its own. By
        default the buffers of all living modules that hold parameters of this optimizer, looked up when an
        escape begins, and their frozen parameters, as of a momentum encoder, if not more than those trained.
    process_group : torch.distributed.ProcessGroup, optional
        The processes that train this model together; needed where there are several. Losses, decisions and
        exceptions are then the same in all.
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
        In a distributed job of several processes without `process_group`; in `step`, if an enabled GradScaler
        hands on a closure.

    Notes
    -----
    The closure must be a function of weights, buffers and the global generators: one that fetches its own
    next minibatch would lose some to the children. Where gradients are accumulated over several backward
    passes children see the closure's own part alone. If it raises, everything is as before the step (outside
    of escapes as the base leaves it, which matters for LBFGS); but what weights can cause (ArithmeticError,
    AssertionError, RuntimeError, ValueError) costs a child the race alone.

    Buffers and frozen weights that the loop writes to between steps, and the closure doesn't, are the same
    for all children. Weights that it sets between steps end an escape.

    Other models that the closure runs, such as a discriminator or a frozen network of many more weights than
    are trained, are not looked for: name in `buffers` what running them changes. Gradients that it gives them
    are also those of children; zero these before their own step.

    Memory: outside of escapes a few hundred numbers. During one, each living child takes parameters, base
    state and buffers once (on `Escape.device`), twice while a step is under way, as a closure may raise; and
    the parent's parameters, buffers and gradients are kept once more.

    A copy or pickle has no `objective`, and a pickle no `process_group`; both may be set as attributes.

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

    def __new__(
        cls, params: Any = None, base: type[Optimizer] = torch.optim.AdamW, *options: Any, **_: Any
    ) -> Self:
        """Make an object of the class that inherits from `base` too."""
        if not isinstance(base, type) or options:
            raise _no_class(base, *options)
        made_of = getattr(cls, "_base", base)
        if base not in (made_of, torch.optim.AdamW):
            hybrid = cls._hybrid.__name__  # type: ignore[attr-defined]
            raise TypeError(
                f"{cls.__name__} has the base {made_of.__name__}, got base={base.__name__}; "
                f"call {hybrid}(params, base={base.__name__})"
            )
        made: Self = object.__new__(cls if hasattr(cls, "_base") else _combine((cls, base)))
        return made

    def __init__(
        self,
        params: Any,
        base: type[Optimizer] = torch.optim.AdamW,
        *,
        objective: Closure | None = None,
        escape: Escape | None = _ESCAPE,
        buffers: Iterable[Tensor] | None = None,
        process_group: Any = None,
        **base_options: Any,
    ) -> None:
        self._escape: Escaper | None = None
        super().__init__(params, **base_options)  # its own errors first
        if escape is not None:
            self._escape = _own(escape, objective, buffers, process_group)
            self._escape.check(self)

    @property
    def history(self) -> tuple[Attempt, ...]:
        """Escapes tried so far."""
        return () if self._escape is None else self._escape.memory.history

    @property
    def escaping(self) -> bool:
        """Whether an escape is under way."""
        return self._escape is not None and self._escape.memory.race is not None

    @property
    def objective(self) -> Closure | None:
        """Loss for steps without a closure; may be set."""
        return None if self._escape is None else self._escape.objective

    @objective.setter
    def objective(self, objective: Closure | None) -> None:
        if self._escape is not None:
            self._escape.objective = _callable(objective)
        elif objective is not None:
            raise ValueError(
                "with escape=None there is no use for an objective; make Hybrid with escape=Escape()"
            )

    @property
    def process_group(self) -> Any:
        """The processes that train this model together; may be set, as after unpickling."""
        return None if self._escape is None else self._escape.ranks.group

    @process_group.setter
    def process_group(self, group: Any) -> None:
        if self._escape is not None:
            self._escape.ranks = Ranks(group)
        elif group is not None:
            raise ValueError("escape=None has no use for a process group; make Hybrid with escape=Escape()")

    def step(self, closure: Closure | None = None) -> Any:
        """Take one step of the base; during an escape the children take theirs before it.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients, and returns the loss, a tensor or a number.

        Returns
        -------
        The closure's loss, as the base returns it.
        """
        escape = self._escape
        if escape is None:
            return self._base_step() if closure is None else self._base_step(closure)
        return escape.step_alone(self) if closure is None else escape.step(self, closure)

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
        escape = self._escape
        if escape is None:
            return super().state_dict()

        added: list[bool] = []

        def add(optimizer: Optimizer, state: dict[str, Any]) -> None:
            state[SAVED_AS] = escape.state_dict()
            added.append(True)

        hook = self.register_state_dict_post_hook(add, prepend=True)  # before those of the user
        try:
            state = super().state_dict()
        finally:
            hook.remove()
        if not added:  # a base with a state_dict of its own, which knows no hooks
            state[SAVED_AS] = escape.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state_dict of this class, or one of the base alone."""
        escape = self._escape
        if escape is None:
            super().load_state_dict(state_dict)
            return
        seen: list[Memory | None] = []
        loaded: list[bool] = []

        def take(optimizer: Optimizer, state: dict[str, Any]) -> None:
            seen.append(escape.loadable(state))  # if it is refused, nothing was loaded yet

        def load(optimizer: Optimizer) -> None:
            escape.check(self)
            escape.load(seen[0] if seen else escape.loadable(state_dict))
            loaded.append(True)

        before = self.register_load_state_dict_pre_hook(take)  # after those of the user
        after = self.register_load_state_dict_post_hook(load, prepend=True)  # before those
        try:
            super().load_state_dict(state_dict)
        finally:
            before.remove()
            after.remove()
        if not loaded:  # a base with a load_state_dict of its own, which knows no hooks
            load(self)

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
    if not issubclass(base, Optimizer):
        raise _no_class(base)
    if issubclass(base, Hybrid):
        inner = getattr(base, "_base", Optimizer)
        got = f"{base.__name__}; pass base={_named(inner)}"
        raise TypeError(f"base must be an optimizer that can step by itself, got {got}")
    if base is Optimizer:
        raise TypeError(f"base must be an optimizer that can step by itself, got {_named(base)}")
    members = {
        "_hybrid": hybrid,
        "_base": base,
        "_base_step": _without_hooks(base.step),
        "__doc__": hybrid.__doc__,
        "__module__": hybrid.__module__,
    }
    return type(f"{hybrid.__name__}{base.__name__}", (hybrid, base), members)


def _no_class(base: object, *options: object) -> TypeError:
    if options and isinstance(base, type):
        return TypeError(
            f"options of {base.__name__} go by keyword, such as lr=0.1; got {options!r} by position"
        )
    got = f"an object of {type(base).__name__}" if isinstance(base, Optimizer) else repr(base)
    return TypeError(
        f"base must be a torch optimizer class, got {got}; pass e.g. base=torch.optim.SGD, "
        "and its options by keyword: Hybrid(params, base=torch.optim.SGD, lr=0.1)"
    )


def _named(kind: type[Any]) -> str:
    return "an optimizer class such as torch.optim.SGD" if kind is Optimizer else kind.__name__


def _without_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """The step below the wrapper that torch puts round the first object's, which would fire hooks twice."""
    while getattr(step, "hooked", False):
        step = step.__wrapped__  # type: ignore[attr-defined]
    return step


def _blank(hybrid: type[Any], base: type[Any]) -> Any:
    return object.__new__(_combine((hybrid, base)))


def _callable(objective: Any) -> Closure | None:
    if objective is None:
        return None
    told = f"objective must be a function without arguments that returns the loss, got {objective!r}"
    if not callable(objective):
        raise TypeError(told)
    with contextlib.suppress(ValueError):  # some that are not written in Python don't tell
        signature = inspect.signature(objective)
        try:
            signature.bind()
        except TypeError as error:
            raise TypeError(f"{told}, which takes {signature}; bind them: lambda: loss(...)") from error
    return objective  # type: ignore[no-any-return]


def _own(escape: Any, objective: Any, buffers: Any, process_group: Any) -> Escaper:
    if not isinstance(escape, Escape):
        raise TypeError(f"escape must be Escape(...) or None, got {escape!r}")
    ranks = Ranks(process_group)
    # read, never drawn from: torch.manual_seed alone repeats a run, and the base's numbers stay the same
    seed = torch.initial_seed() if escape.seed is None else escape.seed
    return Escaper(escape, seed, Buffers(buffers), ranks, _callable(objective))
