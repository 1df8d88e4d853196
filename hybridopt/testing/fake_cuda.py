"""A CUDA device without a GPU, so that mixed devices show on any machine.

torch's `FakeTensorMode` keeps shapes, dtypes and devices and computes nothing. What it can't do without CUDA
is done here: indexing, generators, and reading numbers: floats read as 0.5, integers as 1, a mask is true
everywhere but `any` of it is false, so that guards let through. A second time the contrary is read now and
then, to see other branches too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from hybridopt.core import Evaluation, Optimizer, Query
from hybridopt.testing.compare import snapshot
from hybridopt.testing.law import Case, LawError, law, require
from hybridopt.testing.space import require_alike, require_step_alike
from hybridopt.testing.walk import GIVEN, fresh, walk

DEVICE = torch.device("cuda:0")
STEPS = 7  # fake tensors are slow
_MIXED = ("same device", "two devices", "two different devices")  # in torch's words


@law()
def devices_are_not_mixed(optimizer: Optimizer[Any], case: Case) -> None:
    """On a (fake) CUDA device nothing is made on the CPU but scalars."""
    for contrary in (False, True):
        try:
            with fake_cuda(contrary):
                _walk(fresh(optimizer), case)
        except LawError:
            raise
        except Exception as error:
            if any(words in str(error) for words in _MIXED):
                raise LawError(
                    f"on {DEVICE} (fake): got {type(error).__name__}: {error}; expected every new tensor on "
                    "the device of what it meets: pass device=x.device, or use torch.full_like and the like"
                ) from error
            if not contrary:  # else it may well be a guard of the optimizer's own
                error.add_note("on a fake device, which computes nothing: numbers read as 0.5, 1 or True")
                raise


@contextlib.contextmanager
def fake_cuda(contrary: bool = False) -> Iterator[None]:
    """Make tensors on a CUDA device that need not exist, inside the block. Autograd does not work there."""
    from torch._subclasses import FakeTensorMode  # takes a while to import

    generators = mock.patch.object(torch, "Generator", _Generator)
    with generators, torch.no_grad(), FakeTensorMode(), _WithoutDevice(contrary):
        yield


def _walk(optimizer: Optimizer[Any], case: Case) -> None:
    lower = torch.zeros(case.dim, dtype=case.dtype, device=DEVICE)
    x = torch.ones(GIVEN, case.dim, dtype=case.dtype, device=DEVICE)
    state = optimizer.init(x, lower, lower + 2, seed=case.seed)
    require_alike(snapshot(state, "state"), lower, case)
    for step in walk(optimizer, state, _evaluate, min(case.steps, STEPS)):
        require_step_alike(step, lower, case)


class _Generator(torch.Generator):
    """A CPU generator that says it is on another device, where nothing is computed."""

    _device: torch.device

    def __new__(cls, device: torch.device | str = "cpu") -> _Generator:
        made = super().__new__(cls)
        made._device = torch.device(device)
        return made

    def __init__(self, device: torch.device | str = "cpu") -> None:
        pass

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self._device


class _WithoutDevice(TorchFunctionMode):
    """What needs a real device, in terms of what does not."""

    def __init__(self, contrary: bool) -> None:
        super().__init__()
        self.contrary = contrary
        self.read = 0  # truth values so far

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = _INSTEAD.get(func, func)(*args, **kwargs)
        if func is Tensor.__bool__ and self.contrary:
            self.read += 1
            return result ^ (self.read % 2 == 1)  # every second one, so that loops end
        if isinstance(result, Tensor):
            _check_generator(kwargs.get("generator"), result)
            if func in _ANY:
                result.is_any = True  # type: ignore[attr-defined]
        return result


def _check_generator(generator: torch.Generator | None, drawn: Tensor) -> None:
    require(
        generator is None or generator.device.type == drawn.device.type,
        f"drew a tensor on {drawn.device} from a generator on {generator and generator.device}; expected one "
        "on the same device: hybridopt.rng.generator(..., device=x.device)",
    )


def _evaluate(query: Query) -> Evaluation:
    """Sum of squares in closed form: autograd's engine needs a real device."""
    x = query.x
    require(x.device == DEVICE, f"query.x is on {x.device}, expected {DEVICE}, as x in init")
    grad = 2 * x if query.order else None
    hvp = 2 * query.direction if query.direction is not None else None
    return Evaluation(x, x.square().sum(1), grad, hvp)


def _number(tensor: Tensor) -> float | int | bool:
    if tensor.numel() != 1:
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)} can't be read as one number")
    if tensor.dtype == torch.bool:
        return not getattr(tensor, "is_any", False)
    return 0.5 if tensor.is_floating_point() else 1


def _list(tensor: Tensor) -> Any:
    if tensor.ndim == 0:
        return _number(tensor)
    return [_list(part) for part in tensor.unbind()]


def _array(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
    if tensor.device.type != "cpu":
        raise TypeError(f"can't convert a tensor on {tensor.device} to numpy; call .cpu() first")
    return np.array(_list(tensor), dtype=str(tensor.dtype).removeprefix("torch."))


def _to(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return tensor.to(*map(_indexed, args), **{name: _indexed(value) for name, value in kwargs.items()})


def _indexed(argument: Any) -> Any:
    """The device with an index, where "cuda" is meant: what is current can't be asked."""
    return DEVICE if str(argument) == "cuda" else argument


def _new(like: Tensor, data: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    return torch.tensor(data, dtype=dtype or like.dtype, device=device or like.device)


def _where(condition: Tensor, *either: Any) -> Any:
    return torch.where(condition, *either) if either else _nonzero(condition, as_tuple=True)


def _get(x: Tensor, key: Any) -> Tensor:
    view, indices = _split(x, key)
    chosen: Tensor = torch.ops.aten.index(view, indices) if indices else view
    return chosen


def _set(x: Tensor, key: Any, value: Any) -> None:
    view, indices = _split(x, key)
    value = value if isinstance(value, Tensor) else torch.tensor(value, dtype=x.dtype)
    if indices:
        torch.ops.aten.index_put_(view, indices, value)
    else:
        torch.ops.aten.copy_(view, value)


def _nonzero(x: Tensor, *, as_tuple: bool = False) -> Any:
    places = torch.meshgrid(*[torch.arange(size, device=x.device) for size in x.shape], indexing="ij")
    flat = tuple(place.reshape(-1) for place in places)
    return flat if as_tuple else torch.stack(flat, 1)


def _split(x: Tensor, key: Any) -> tuple[Tensor, list[Tensor | None]]:
    """Basic indexing done, and the tensors that are left to index with; none where there are none."""
    keys = list(key) if isinstance(key, tuple) else [key]
    indices: list[Tensor | None] = []
    for place, part in enumerate(keys):
        dim = len(indices)
        if part is None:
            x = x.unsqueeze(dim)
            indices.append(None)
        elif part is Ellipsis:
            indices += [None] * (x.ndim - dim - sum(map(_dims, keys[place + 1 :])))
        elif isinstance(part, slice):
            x = torch.ops.aten.slice(x, dim, part.start, part.stop, part.step or 1)
            indices.append(None)
        elif isinstance(part, int) and not isinstance(part, bool):
            x = x.select(dim, part)
        else:
            x, index = _advanced(x, dim, part)
            indices.append(index)
    return x, indices if any(index is not None for index in indices) else []


def _advanced(x: Tensor, dim: int, part: Any) -> tuple[Tensor, Tensor]:
    index = part if isinstance(part, Tensor) else torch.tensor(part, device=x.device)
    if index.dtype != torch.bool:
        return x, index
    if index.device.type != "cpu" and index.device != x.device:
        raise ValueError(f"a mask on {index.device} is not on the same device, {x.device}, as the tensor")
    x = x.flatten(dim, dim + index.ndim - 1)
    return x, torch.arange(x.shape[dim], device=x.device)


def _dims(part: Any) -> int:
    """How many dimensions a part of a key takes."""
    if part is None:
        return 0
    return part.ndim if isinstance(part, Tensor) and part.dtype == torch.bool else 1


_ANY = {torch.any, Tensor.any}
_INSTEAD: dict[Any, Callable[..., Any]] = {
    Tensor.__getitem__: _get,
    Tensor.__setitem__: _set,
    Tensor.__invert__: torch.bitwise_not,
    Tensor.contiguous: torch.clone,
    Tensor.copy_: torch.ops.aten.copy_,
    Tensor.nonzero: _nonzero,
    torch.nonzero: _nonzero,
    Tensor.masked_select: lambda x, mask: _get(x, mask),
    torch.masked_select: lambda x, mask: _get(x, mask),
    Tensor.item: _number,
    Tensor.__bool__: lambda x: bool(_number(x)),
    Tensor.__float__: lambda x: float(_number(x)),
    Tensor.__int__: lambda x: int(_number(x)),
    Tensor.__index__: lambda x: int(_number(x)),
    Tensor.tolist: _list,
    Tensor.numpy: _array,
    Tensor.__array__: _array,
    Tensor.__format__: lambda x, form: format(_list(x), form),
    Tensor.to: _to,
    Tensor.cuda: lambda x: x.to(DEVICE),
    Tensor.new_tensor: _new,
    Tensor.requires_grad_: lambda x, requires_grad=True: x,
    torch.where: _where,
    torch.equal: lambda a, b: True,
    Tensor.equal: lambda a, b: True,
    torch.allclose: lambda a, b, *args, **kwargs: True,
    Tensor.allclose: lambda a, b, *args, **kwargs: True,
}
