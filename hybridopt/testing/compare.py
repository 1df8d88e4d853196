"""Records leaf by leaf, bit by bit: what a state was, and where another one differs from it."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import Tensor

Snapshot = dict[str, Any]


def snapshot(record: Any, name: str) -> Snapshot:
    """Every leaf of a record (dataclasses, tuples, lists, dicts) by its path, copied."""
    if isinstance(record, Tensor):
        return {name: record.detach().clone()}
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        parts = {f".{field.name}": getattr(record, field.name) for field in dataclasses.fields(record)}
    elif isinstance(record, tuple) and hasattr(record, "_fields"):
        parts = {f".{field}": getattr(record, field) for field in record._fields}
    elif isinstance(record, tuple | list):
        parts = {f"[{place}]": part for place, part in enumerate(record)}
    elif isinstance(record, dict):
        parts = {f"[{key!r}]": part for key, part in record.items()}
    else:
        return {name: copy.deepcopy(record)}
    leaves: Snapshot = {}
    for place, part in parts.items():
        leaves |= snapshot(part, name + place)
    return leaves


def difference(got: Snapshot, expected: Snapshot) -> str | None:
    """Words for the first leaf that is not bitwise the same; None where there is none."""
    for path in expected:
        if path not in got:
            return f"{path} is missing"
        if not _same(got[path], expected[path]):
            return f"{path}: got {_words(got[path])}, expected {_words(expected[path])}"
    more = [path for path in got if path not in expected]
    return f"{more[0]} was not there" if more else None


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if not isinstance(a, Tensor):
        return repr(a) == repr(b)  # NaN equals itself, 0.0 is not -0.0
    alike = a.dtype == b.dtype and a.shape == b.shape and a.device == b.device
    return alike and torch.equal(_bits(a), _bits(b))


def _bits(tensor: Tensor) -> Tensor:
    plain = tensor.reshape(-1).clone(memory_format=torch.contiguous_format)  # one element may have any stride
    return plain.view(torch.uint8)


def _words(leaf: Any) -> str:
    if not isinstance(leaf, Tensor):
        return repr(leaf)
    shape, dtype = tuple(leaf.shape), str(leaf.dtype).removeprefix("torch.")
    return f"{leaf.tolist()} ({shape}, {dtype}, {leaf.device})"
