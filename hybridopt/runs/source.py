"""A YAML file that remembers in which line each key stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong in a config.

    Attributes
    ----------
    key : tuple of str and int
        Where, from the top of the file: ("comparisons", 0, "budget").
    message : str
        What was got, what is expected, what to do.
    """

    key: Key
    message: str


class ConfigError(ValueError):
    """A config that can't be run: every mistake with file, line and key."""


@dataclass(frozen=True)
class Source:
    """What a YAML file says, and where.

    Attributes
    ----------
    path : Path
    data : object
        Of dicts, lists, strings, numbers, booleans, None.
    lines : dict of key to int
        Line of every key and list item, from 1.
    settings : dict of key to str
        What was set on the command line, as it was written there.
    """

    path: Path
    data: Any
    lines: dict[Key, int] = field(default_factory=dict)
    settings: dict[Key, str] = field(default_factory=dict)

    def line(self, key: Key) -> int:
        """Line of a key, or of the innermost thing around it that stands in the file."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)

    def error(self, mistakes: Sequence[Mistake]) -> ConfigError:
        """An exception that lists the mistakes in the order of their lines."""
        placed = sorted(
            mistakes, key=lambda mistake: (self.line(mistake.key), spell(mistake.key), mistake.message)
        )
        return ConfigError("\n".join(f"{self._where(m.key)}, {spell(m.key)}: {m.message}" for m in placed))

    def _where(self, key: Key) -> str:
        """File and line of a key, or the setting that it comes from."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.settings:
                return f"--set {self.settings[key[:length]]}"
        return f"{self.path}, line {self.line(key)}"


def read(path: Path) -> Source:
    """Read a YAML file by PyYAML's safe loader.

    Raises
    ------
    ConfigError
        If there is no such file, or it is not YAML, or a key stands there twice, or a part contains itself.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file in UTF-8 ({error.reason})") from error
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror}); expected a YAML file") from error
    lines: dict[Key, int] = {}
    try:
        return Source(path, _construct(text, lines), lines)
    except _TwiceError as twice:
        raise Source(path, None, lines).error([Mistake(twice.key, twice.message)]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: {_invalid(error)}") from error


def parse(text: str) -> Any:
    """What a YAML text says.

    Raises
    ------
    ConfigError
        If it is not YAML, or a key stands there twice.
    """
    try:
        return _construct(text, {})
    except _TwiceError as twice:
        raise ConfigError(twice.message) from None
    except yaml.YAMLError as error:
        raise ConfigError(_invalid(error)) from error


def _invalid(error: yaml.YAMLError) -> str:
    """What PyYAML says, in one line."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"not valid YAML: {error}"
    return f"not valid YAML: {' '.join(part for part in (error.context, error.problem) if part)}"


def spell(key: Key) -> str:
    """A key as people write it: comparisons[0].budget."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".") or "top level"


class _Loader(yaml.SafeLoader):
    """The safe loader, but 1e-6 is a number (YAML 1.1 wants 1.0e-6 and reads text otherwise)."""


_FLOAT = re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789"))


class _TwiceError(Exception):
    def __init__(self, key: Key, message: str) -> None:
        super().__init__(message)
        self.key, self.message = key, message


def _construct(text: str, lines: dict[Key, int]) -> Any:
    """What the text says; notes the lines."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _walk(node, (), lines, ())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _walk(node: yaml.Node, key: Key, lines: dict[Key, int], around: tuple[yaml.Node, ...]) -> None:
    """Note the line of everything below a node; refuse keys that stand twice, and parts inside themselves."""
    lines.setdefault(key, node.start_mark.line + 1)
    if node in around:
        raise _TwiceError(key, "this part contains itself by an alias (*name); write it out")
    if isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            _walk(item, (*key, place), lines, (*around, node))
    elif isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            _walk_entry(name, value, (*key, str(name.value)), lines, (*around, node))


def _walk_entry(
    name: yaml.Node, value: yaml.Node, key: Key, lines: dict[Key, int], around: tuple[yaml.Node, ...]
) -> None:
    line = name.start_mark.line + 1
    if key in lines:
        before = f"the key {key[-1]!r} stands here in line {lines[key]}"
        raise _TwiceError(key, f"{before} and again in line {line}; keep one of them")
    lines[key] = line
    _walk(value, key, lines, around)
