"""Records of rows: frozen dataclasses of tensors whose first dimension is one and the same set of rows."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

R = TypeVar("R")


def take(record: R, rows: Tensor) -> R:
    """The same record of these rows alone.

    Parameters
    ----------
    record : dataclass
        Of tensors (rows, ...), of such dataclasses, and of numbers, which stay.
    rows : Tensor, shape (count,), int64
    """
    made: dict[str, Any] = {}
    for field in fields(record):  # type: ignore[arg-type]
        part = getattr(record, field.name)
        if is_dataclass(part):
            part = take(part, rows)
        made[field.name] = part.index_select(0, rows) if isinstance(part, Tensor) else part
    return type(record)(**made)


def join(first: R, second: R) -> R:
    """One record of the rows of both, in turn."""
    made: dict[str, Any] = {}
    for field in fields(first):  # type: ignore[arg-type]
        a, b = getattr(first, field.name), getattr(second, field.name)
        if is_dataclass(a):
            a = join(a, b)
        made[field.name] = torch.cat([a, b]) if isinstance(a, Tensor) else a
    return type(first)(**made)


def choose(rows: Tensor, first: R, second: R) -> R:
    """Rows of the first record where the mask of shape (rows,) is true, else of the second."""
    made: dict[str, Any] = {}
    for field in fields(first):  # type: ignore[arg-type]
        a, b = getattr(first, field.name), getattr(second, field.name)
        made[field.name] = torch.where(rows.view(-1, *[1] * (a.ndim - 1)), a, b)
    return type(first)(**made)


def restored(made: R, before: R, rows: Tensor) -> R:
    """The first record, changed in place: these rows, (count,), as in the second. Cheap for few rows."""
    for field in fields(made):  # type: ignore[arg-type]
        a, b = getattr(made, field.name), getattr(before, field.name)
        a.index_copy_(0, rows, b.index_select(0, rows))
    return made
