"""Types of options, read from the annotations of what they are given to."""

from __future__ import annotations

import functools
import operator
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

_SIMPLE = (int, float, bool, str, type(None))


def check_types(factory: Callable[..., Any], options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (option, what is expected) where a value is not of its annotated type.

    Numbers, strings and booleans are held against the int, float, bool, str and None of an annotation, where
    there are any; all else is the business of the factory.
    """
    annotated = types_of(factory)
    for option, value in options.items():
        parts = parts_of(annotated.get(option))
        simple = [part for part in parts if part in _SIMPLE]
        if set(simple) <= {type(None)} or (len(simple) < len(parts) and not isinstance(value, _SIMPLE)):
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(functools.reduce(operator.or_, simple))
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError as error:
            yield option, " or ".join(expectation(line["msg"]) for line in error.errors())


def expectation(message: str) -> str:
    """What pydantic's message says is expected."""
    expected = message.removeprefix("Input should be ").removeprefix("a valid ")
    return f"a number {expected}" if expected.startswith(("greater", "less")) else expected


def parts_of(hint: Any) -> tuple[Any, ...]:
    """Members of a union, or the one type."""
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def types_of(factory: Callable[..., Any]) -> dict[str, Any]:
    """Types of the parameters of a function or class, by name."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    try:
        annotated: Any = vars(factory)["__init__"] if isinstance(factory, type) else factory
        return typing.get_type_hints(annotated)
    except (NameError, TypeError, KeyError):  # annotations that exist for type checkers alone
        return {}
