"""Mappings of a config that stand for objects: what is called for them, which key is wrong if that fails.

A mapping with a `name` stands for what is registered by that name, one with `import` for the object at an
import path "package.module:object"; the other keys are its options.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from typing import Any

from hybridopt.problems.catalogue import OptionError, check_options
from hybridopt.registry import load, lookup
from hybridopt.runs.signature import check_types
from hybridopt.runs.source import Key, Mistake

Spec = dict[str, Any]


class BuildError(ValueError):
    """A mapping that can't be built."""

    def __init__(self, key: Key, message: str) -> None:
        super().__init__(message)
        self.mistake = Mistake(key, message)


def found(spec: Any, key: Key, table: dict[str, Any], what: str) -> Any:
    """What a mapping's `name` or `import` stands for: an entry of the table, or what is at the path."""
    if not isinstance(spec, dict) or ("name" in spec) == ("import" in spec):
        raise BuildError(key, f"expected a mapping with the 'name' (or 'import') of the {what}, got {spec!r}")
    if "import" in spec:
        return imported(spec, key)
    name = text(spec, key, "name", what)
    if ":" in name:
        raise BuildError(
            (*key, "name"), f"an import path stands under the key 'import': {{import: {name!r}}}"
        )
    return guard((*key, "name"), lookup, name, table, what)


def imported(spec: Spec, key: Key, word: str = "import") -> Any:
    """The object at the import path of a mapping."""
    path = text(spec, key, word, "object")
    try:
        return load(path)
    except ValueError as error:
        raise BuildError((*key, word), str(error)) from error
    except Exception as error:  # of the module's own code
        raise BuildError((*key, word), f"importing {path!r} raised {_spelt(error)}") from error


def options_of(spec: Spec, *without: str) -> Spec:
    """The keys of a mapping that are options of what it stands for."""
    return {option: value for option, value in spec.items() if option not in ("name", "import", *without)}


def text(spec: Spec, key: Key, word: str, what: str) -> str:
    """A name in a mapping."""
    if word not in spec:
        raise BuildError(key, f"expected a mapping with the {word!r} of the {what}, got {spec!r}")
    if not isinstance(spec[word], str):
        raise BuildError((*key, word), f"expected the name of the {what}, got {spec[word]!r}")
    return str(spec[word])


def check_call(what: str, factory: Callable[..., Any], options: Spec, key: Key) -> None:
    """Hold options against the signature of a factory: names, then simple types."""
    try:
        check_options(what, factory, options)
    except OptionError as error:
        raise BuildError(key if error.key is None else (*key, error.key), str(error)) from error
    for option, expected in check_types(factory, options):
        raise BuildError((*key, option), f"got {options[option]!r}, expected {expected}")


def call(
    factory: Callable[..., Any], arguments: Spec, key: Key, options: Spec, hint: Callable[[Any], str] = str
) -> Any:
    """Call a factory; where it refuses, point at the option that its message is about.

    `hint` makes a remark of the value of that option.
    """
    try:
        return factory(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        message = str(error)
        blamed = _blamed(message, options)
        if blamed is None:
            raise BuildError(key, message) from error
        remark = "" if hint is str else hint(options[blamed])
        raise BuildError((*key, blamed), message + remark) from error
    except Exception as error:  # of a user's own code
        raise BuildError(key, f"{factory!r} raised {_spelt(error)}") from error


def guard(key: Key, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function, and give its complaint a place in the config."""
    try:
        return function(*arguments)
    except (TypeError, ValueError) as error:
        raise BuildError(key, str(error)) from error


def _spelt(error: Exception) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def _blamed(message: str, options: Spec) -> str | None:
    """The option that a message names first, else the one whose value it ends with."""
    spots = {option: re.search(rf"(?<!\w){re.escape(option)}(?!\w)", message) for option in options}
    named = {option: match.start() for option, match in spots.items() if match}
    if named:
        return min(named, key=lambda option: named[option])
    ends = [
        option
        for option, value in options.items()
        if any(message.endswith(f" {number}") for number in (value if isinstance(value, list) else [value]))
    ]
    return ends[0] if len(ends) == 1 else None
