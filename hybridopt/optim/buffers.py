"""What else a model writes to when it runs: BatchNorm's statistics and their like.

An optimizer knows parameters only. The modules that hold them are found among the objects that live in this
process; a buffer is then a place in a module, so one that is replaced rather than changed is put back too.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_SYNCS = "require_forward_param_sync"  # DistributedDataParallel: the next forward broadcasts buffers
_REDUCES = "require_backward_grad_sync"  # and expects a backward pass, whose gradients it reduces
Values = dict[int, Tensor | None]  # by the indices of places
Mark = tuple[Tensor | None, int]  # a buffer and its version
Place = tuple[dict[str, Tensor | None], str]  # a table, and a name in it
logger = logging.getLogger(__name__)


class Saved(NamedTuple):
    """What stood there: objects and copies of them, and whether wrappers are about to broadcast buffers."""

    buffers: list[tuple[Tensor | None, Tensor | None]]
    syncs: list[bool]


class Buffers:
    """The buffers of a model.

    Parameters
    ----------
    named : iterable of Tensor, optional
        `model.buffers()`. None: those of all living modules that hold one of the parameters, or hold
        modules that do.
    """

    def __init__(self, named: Iterable[Tensor] | None) -> None:
        self._places: list[Place] | None = None
        if named is not None:
            self._places = [({"": buffer}, "") for buffer in _tensors(named)]
        self._found = named is None
        self._wrappers: list[nn.Module] = []
        self._params: list[Tensor] | None = None
        self._known: list[weakref.ref[nn.Module]] = []
        self._sought: tuple[int, ...] = ()  # parameters that the holders are of
        self._looks = 0

    def found(self, params: Sequence[Tensor]) -> Buffers:
        """The same, after a look for the modules of the parameters, unless it knows them."""
        if self._params is None:
            holders = self._living(params)
            self._wrappers = [module for module in holders if _SYNCS in vars(module)]
            self._params = list({id(p): p for module in holders for p in _parameters(module)}.values())
            if self._found:
                self._places = _places(holders) + _written(holders, params)
        return self

    def _living(self, params: Sequence[Tensor]) -> list[nn.Module]:
        """Modules that hold the parameters, sought at the 1st, 2nd, 4th, 8th ... look: it takes a while."""
        self._looks += 1
        known = [holder() for holder in self._known]
        living = [module for module in known if module is not None]
        seldom = self._looks & (self._looks - 1) == 0
        sought = tuple(map(id, params))
        if seldom or sought != self._sought or len(living) < len(known):
            living = _holders(params)
            self._known, self._sought = list(map(weakref.ref, living)), sought
        return living

    def strangers(self, params: Sequence[Tensor]) -> list[Tensor]:
        """Parameters of the modules that aren't among these, whose gradients a closure makes all the same."""
        mine = {id(param) for param in params}
        return [param for param in self._params or () if id(param) not in mine]

    def forget(self) -> None:
        """Look for the modules anew when next asked."""
        self._params = None

    def __len__(self) -> int:
        return len(self._places or ())

    def marks(self) -> list[Mark]:
        """By which `written` tells what was written to since."""
        return [(there, _version(there)) for there in (place[name] for place, name in self._places or ())]

    def written(self, marks: Sequence[Mark], saved: Saved, own: Collection[int], device: Any) -> Values:
        """Copies, on a device of choice, of buffers in `own`, and of those written to since `marks`.

        Also of those that are no longer as saved: BatchNorm's kernels count no versions.
        """
        found: Values = {}
        for index, (place, name) in enumerate(self._places or ()):
            there, (before, version), (_, copy) = place[name], marks[index], saved.buffers[index]
            touched = there is not before or _version(there) != version
            if index in own or touched or _equal(there, copy) is False:
                found[index] = _copy(there, device)
        return found

    def save(self) -> Saved:
        """Everything that `restore` needs."""
        return Saved(
            [(place[name], _copy(place[name], None)) for place, name in self._places or ()],
            [vars(wrapper)[_SYNCS] for wrapper in self._wrappers],
        )

    def restore(self, saved: Saved) -> None:
        """Put back what was saved: the same objects with the same contents."""
        for (place, name), (buffer, copy) in zip(self._places or (), saved.buffers, strict=True):
            if place[name] is not buffer:
                place[name] = buffer
            if buffer is not None and copy is not None:
                _write(buffer, copy)
        for wrapper, syncs in zip(self._wrappers, saved.syncs, strict=True):
            vars(wrapper)[_SYNCS] = syncs

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Let wrappers expect no backward pass: one that doesn't follow would spoil the next."""
        before = [vars(wrapper).get(_REDUCES) for wrapper in self._wrappers]
        try:
            for wrapper in self._wrappers:
                vars(wrapper)[_REDUCES] = False
            yield
        finally:
            for wrapper, reduces in zip(self._wrappers, before, strict=True):
                vars(wrapper)[_REDUCES] = reduces

    def write(self, values: Values) -> None:
        """Put copies there, into the same objects where they fit."""
        places = self._places or ()
        for index, value in values.items():
            place, name = places[index]
            there = place[name]
            if there is None or value is None or there.shape != value.shape or there.is_inference():
                place[name] = None if value is None else value.clone()
            else:
                _write(there, value)

    def __getstate__(self) -> dict[str, Any]:
        # modules that were found are found again by whoever has the copy
        places = self._places or ()
        return {"named": None if self._found else [place[name] for place, name in places]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["named"])  # type: ignore[misc]


def _holders(params: Sequence[Tensor]) -> list[nn.Module]:
    """Living modules that hold a parameter, and those that hold these; the whole first, which lasts."""
    mine = {id(param): place for place, param in enumerate(params)}
    things = gc.get_objects()
    kinds = {kind for kind in set(map(type, things)) if issubclass(kind, nn.Module)}
    living = [thing for thing in things if type(thing) in kinds]
    holders = [module for module in living if "_modules" in vars(module) and _holds(module, mine)]
    if not holders and gc.get_freeze_count():
        logger.warning("gc.freeze() hides modules from Hybrid; if the model has buffers, pass them: buffers=")

    def order(module: nn.Module) -> tuple[int, int]:
        # by parameters where sizes tie: the collector's own order differs in the process that resumes
        return -sum(1 for _ in _modules(module)), min(_held(module, mine))

    return sorted(holders, key=order)


def _places(holders: Sequence[nn.Module]) -> list[Place]:
    """Places of all their buffers."""
    places: list[Place] = []
    for table in _tables(holders, "_buffers"):
        if isinstance(table, dict):
            places += [(table, name) for name in table]
        else:  # a scripted module's, whose places can't be filled anew
            places += [({"": buffer}, "") for _, buffer in table.items()]
    return places


def _written(holders: Sequence[nn.Module], params: Sequence[Tensor]) -> list[Place]:
    """Places of their frozen parameters, which a momentum encoder writes to; none if they are many."""
    frozen = [
        (table, name, param)
        for table in _tables(holders, "_parameters")
        if isinstance(table, dict)
        for name, param in table.items()
        if param is not None and not param.requires_grad and param.grad is None
    ]
    size = sum(param.numel() for _, _, param in frozen)
    trained = sum(param.numel() for param in params if param.requires_grad)
    return [(table, name) for table, name, _ in frozen] if size <= trained else []


def _tables(holders: Sequence[nn.Module], kind: str) -> list[Any]:
    """Tables of this kind of the modules and of all in them, each once."""
    inner = {id(module): module for holder in holders for module in _modules(holder)}
    return [getattr(module, kind) for module in inner.values()]


def _parameters(module: nn.Module) -> Iterator[Tensor]:
    """All of them, also where the module has something else of that name."""
    return nn.Module.parameters(module)


def _modules(module: nn.Module) -> Iterator[nn.Module]:
    return nn.Module.modules(module)


def _holds(module: nn.Module, places: Mapping[int, int]) -> bool:
    return next(_held(module, places), None) is not None


def _held(module: nn.Module, places: Mapping[int, int]) -> Iterator[int]:
    """Places of the parameters that it holds."""
    return (places[id(param)] for param in _parameters(module) if id(param) in places)


def _copy(buffer: Tensor | None, device: Any) -> Tensor | None:
    return None if buffer is None else buffer.detach().to(device=device, copy=True)


def _version(buffer: Tensor | None) -> int:
    return 0 if buffer is None or buffer.is_inference() else buffer._version


def _equal(buffer: Tensor | None, copy: Tensor | None) -> bool | None:
    """Whether a buffer's contents are those of a copy, NaN for NaN; None if that can't be told."""
    if buffer is None or copy is None:
        return buffer is copy
    if buffer.layout != torch.strided or buffer.is_meta:
        return None
    if buffer.shape != copy.shape:
        return False
    copy = copy.to(buffer)
    if torch.equal(buffer, copy):
        return True
    if not buffer.is_floating_point() or buffer.element_size() == 1:  # eight bits know no comparison
        return False
    return bool(((buffer == copy) | (buffer.isnan() & copy.isnan())).all())


def _write(buffer: Tensor, value: Tensor) -> None:
    if _equal(buffer, value):  # a constant may be expanded, and then must not be written to
        return
    with torch.no_grad():
        if buffer.shape != value.shape:  # resized in place
            buffer.resize_(value.shape)
        buffer.copy_(value)


def _tensors(buffers: Any) -> list[Tensor]:
    """Buffers as a list, or a clear error."""
    listed = list(buffers) if isinstance(buffers, Iterable) and not isinstance(buffers, Tensor) else None
    if listed is None or not all(isinstance(buffer, Tensor) for buffer in listed):
        got = f"an iterable of {_kinds(listed)}" if listed else repr(buffers)
        raise TypeError(f"buffers must be an iterable of tensors such as model.buffers(), got {got}")
    return listed


def _kinds(things: Iterable[object]) -> str:
    return ", ".join(sorted({type(thing).__name__ for thing in things}))
