"""Checks of options, most of them numbers: what was got, what is expected, said alike everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number of at least `least`.

    Raises
    ------
    TypeError
        If it is no whole number: 2.5, "ten", True.
    ValueError
        If it is too small.

    Examples
    --------
    >>> check_whole("population_size", 2.5, least=1)
    Traceback (most recent call last):
    TypeError: population_size must be a whole number of at least 1, got 2.5
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")


def check_number(name: str, value: Any, valid: Callable[[Any], bool], expected: str) -> None:
    """Refuse what is no number, NaN, and what is not `valid`; `expected` says in words what is.

    Raises
    ------
    TypeError
        If it is no real number: "fast", True, a list.
    ValueError
        If it is NaN or not valid.

    Examples
    --------
    >>> check_number("share", -1, lambda share: share >= 0, "at least 0")
    Traceback (most recent call last):
    ValueError: share must be at least 0, got -1
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, {expected}, got {value!r}")
    if math.isnan(value) or not valid(value):
        raise ValueError(f"{name} must be {expected}, got {value!r}")


def check_positive(name: str, value: Any) -> None:
    """Refuse what is no number above 0."""
    check_number(name, value, lambda number: number > 0, "positive")


def check_not_negative(name: str, value: Any) -> None:
    """Refuse what is no number of at least 0."""
    check_number(name, value, lambda number: number >= 0, "at least 0")


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False: "no", 1, None."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false, got {value!r}")
