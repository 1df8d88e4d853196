"""What a base keeps besides the parameters: its state, options that it changes itself, attributes of its own.

torch's optimizers keep state by parameter and little else. Others keep counters and averages in their groups,
under keys of `state` that are no parameters, or as attributes; a child needs its own of all of these.
"""

from __future__ import annotations

import copy
import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from hybridopt.checkpoint import encode

Options = dict[str, Any]
_SCALING = ("grad_scale", "found_inf")  # a GradScaler's, on fused optimizers, for the parent's gradients
_OUTER = ("_escape", "state", "param_groups", "defaults", *_SCALING)  # no attributes of the base's own


@dataclass(frozen=True)
class Inner:
    """What a child's base keeps; what is missing is as its parent has it, but for the state.

    Attributes
    ----------
    state : dict
        Of parameters, by their places in all groups.
    others : dict
        State under other keys.
    groups : tuple of dict
        Options of each group that the base has changed in a step of the child.
    attributes : dict
        Attributes that it has changed so.
    """

    state: dict[int, Any] = field(default_factory=dict)
    others: Options = field(default_factory=dict)
    groups: tuple[Options, ...] = ()
    attributes: Options = field(default_factory=dict)


def storable(inner: Inner) -> Inner:
    """The same without what no checkpoint can hold, such as generators: a resumed child has its parent's."""
    groups = tuple({name: value for name, value in own.items() if _plain(value)} for own in inner.groups)
    attributes = {name: value for name, value in inner.attributes.items() if _plain(value)}
    return replace(inner, groups=groups, attributes=attributes)


def _plain(value: Any) -> bool:
    try:
        encode(value)
    except TypeError:
        return False
    return True


class Inside:
    """The inside of an optimizer at the beginning of a step, which others may take for a while.

    Parameters
    ----------
    optimizer : Optimizer
    params : sequence of Tensor
        All of its parameters.
    device : str or None
        Where children's tensors are kept.
    """

    def __init__(self, optimizer: Optimizer, params: Sequence[Tensor], device: str | None) -> None:
        self.optimizer = optimizer
        self.params = params
        self.device = device
        self._known: dict[int, Any] = {id(thing): thing for thing in (optimizer, *params)}
        self._state = optimizer.state
        self._groups = _options(optimizer)
        self._attributes = _attributes(optimizer)
        self._scaling = {name: vars(optimizer)[name] for name in _SCALING if name in vars(optimizer)}
        self._shown = (self._groups, self._attributes)
        self._kept: Inner | None = None

    def copy(self) -> Inner:
        """All of the parent's state, for a child that inherits it."""
        return self._state_of(self.optimizer.state, self._duplicate)

    def enter(self, inner: Inner) -> None:
        """Let the optimizer be a child's; its parent's objects are not touched."""
        groups = tuple({**mine, **its} for mine, its in zip(self._groups, self._own(inner), strict=True))
        attributes = {**self._attributes, **inner.attributes}
        self._shown = self._duplicate(groups, None), self._duplicate(attributes, None)
        for name in self._scaling:
            vars(self.optimizer).pop(name, None)
        self._put(inner, self._duplicate(groups, None), self._duplicate(attributes, None))

    def leave(self, inner: Inner) -> Inner:
        """What the child leaves with; nobody else holds it, so it is only moved."""
        groups, attributes = self._shown
        state = self._state_of(self.optimizer.state, self._moved)
        return Inner(
            state.state,
            state.others,
            tuple(map(_changed, _options(self.optimizer), groups, self._own(inner))),
            _changed(_attributes(self.optimizer), attributes, inner.attributes),
        )

    def become(self, inner: Inner) -> None:
        """Let the child's be the optimizer's for good."""
        self._put(inner, self._own(inner), inner.attributes)
        state, self.optimizer.state = self.optimizer.state, self._state  # the object that others may hold
        self._state.clear()
        self._state.update(state)

    def keep(self) -> None:
        """Have a copy of the state for `restore`, of a base that changes it between two closures."""
        if isinstance(self.optimizer, torch.optim.LBFGS):
            self._kept = self.copy()

    def restore(self) -> None:
        """Put back the parent's own objects."""
        self.optimizer.state = self._state
        if self._kept is not None:
            self.become(self._kept)
        for group, options in zip(self.optimizer.param_groups, self._groups, strict=True):
            for name in group.keys() - options.keys() - {"params"}:
                del group[name]
            group.update(options)
        for name in _attributes(self.optimizer).keys() - self._attributes.keys():
            delattr(self.optimizer, name)
        vars(self.optimizer).update(self._attributes | self._scaling)

    def _own(self, inner: Inner) -> tuple[Options, ...]:
        """Options of each group that are the child's own; a newborn has none."""
        return inner.groups or tuple({} for _ in self._groups)

    def _put(self, inner: Inner, groups: Sequence[Options], attributes: Options) -> None:
        state: Any = defaultdict(dict)
        for place, kept in inner.state.items():
            param = self.params[place]
            if not isinstance(kept, dict):
                state[param] = self._duplicate(kept, param.device)
                continue
            there = self._state.get(param, {})
            state[param] = {
                name: self._duplicate(value, _home(there.get(name), param)) for name, value in kept.items()
            }
        state.update(self._duplicate(inner.others, None))
        self.optimizer.state = state
        for group, options in zip(self.optimizer.param_groups, groups, strict=True):
            group.update(options)
        vars(self.optimizer).update(attributes)

    def _state_of(self, state: Any, take: Callable[[Any, Any], Any]) -> Inner:
        """State by places, and what stands under other keys."""
        places = {param: place for place, param in enumerate(self.params)}
        by_place = {places[key]: take(kept, self.device) for key, kept in state.items() if _in(key, places)}
        others = {key: take(kept, self.device) for key, kept in state.items() if not _in(key, places)}
        return Inner(by_place, others)

    def _duplicate(self, value: Any, device: Any) -> Any:
        """A deep copy; of tensors on a device, of parameters none."""
        return _mapped(value, lambda tensor: tensor.detach().to(device=device, copy=True), self._known)

    def _moved(self, value: Any, device: Any) -> Any:
        return _mapped(value, lambda tensor: tensor.detach().to(device=device), self._known)


def _options(optimizer: Optimizer) -> tuple[Options, ...]:
    return tuple(
        {name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups
    )


def _attributes(optimizer: Optimizer) -> Options:
    return {
        name: value
        for name, value in vars(optimizer).items()
        if name not in _OUTER and not name.startswith("_optimizer_") and not callable(value)
    }


def _changed(now: Options, before: Options, own: Options) -> Options:
    """Those that are the child's own, or have just become so."""
    return {
        name: value
        for name, value in now.items()
        if name in own or name not in before or not _same(value, before[name])
    }


def _same(a: Any, b: Any, compared: frozenset[tuple[int, int]] = frozenset()) -> bool:
    """Whether two things are equal; objects that don't say what that means are if their attributes are."""
    if a is b or (id(a), id(b)) in compared:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, torch.Generator):
        return torch.equal(a.get_state(), b.get_state())
    compared |= {(id(a), id(b))}
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[name], b[name], compared) for name in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b, itertools.repeat(compared)))
    if getattr(type(a), "__eq__", None) is object.__eq__:
        return _same(getattr(a, "__dict__", None), getattr(b, "__dict__", None), compared)
    try:
        return bool(np.all(a == b))
    except (RuntimeError, ValueError, TypeError):
        return False


def _home(parents: Any, param: Tensor) -> torch.device:
    return parents.device if isinstance(parents, Tensor) else param.device


def _in(key: Any, places: dict[Tensor, int]) -> bool:
    return isinstance(key, Tensor) and key in places


def _mapped(value: Any, change: Callable[[Tensor], Tensor], known: dict[int, Any]) -> Any:
    """The same containers with other tensors; what is known stays, other things are deeply copied."""
    if id(value) in known:
        return value
    if isinstance(value, Tensor):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)(_mapped(part, change, known) for part in value)
    if type(value) is dict:
        return {name: _mapped(part, change, known) for name, part in value.items()}
    if isinstance(value, torch.Generator):
        return value.clone_state()
    try:
        return copy.deepcopy(value, dict(known))
    except (TypeError, copy.Error, RuntimeError):  # such as a lock or an open file: shared by all
        return value
