"""Settings of the command line, `--set key=value`, put into what a config file says."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from hybridopt.registry import nearest
from hybridopt.runs.source import ConfigError, Key, Source, parse, spell

_PART = re.compile(r"""\[(\d+)\]|(?:^|\.)"([^"]*)"|(?:^|\.)([^.\[\]"=]+)""")


def apply(source: Source, settings: Sequence[str]) -> Source:
    """Source with settings put in, the later ones over the earlier ones.

    Parameters
    ----------
    source : Source
    settings : sequence of str
        `key=value`: the key as messages spell it, `comparisons[0].budget` (also `comparisons.0.budget`; a
        part with dots, equals signs or brackets in double quotes); the value as YAML.

    Raises
    ------
    ConfigError
        If a setting has another form, or leads to a place that is not there.

    Examples
    --------
    >>> from pathlib import Path
    >>> source = Source(Path("x.yaml"), {"seeds": 5, "comparisons": [{"budget": 100}]})
    >>> apply(source, ["seeds=[1, 2]", "comparisons[0].budget=50"]).data
    {'seeds': [1, 2], 'comparisons': [{'budget': 50}]}
    """
    data, written = copy.deepcopy(source.data), dict(source.settings)
    for setting in settings:
        key, value = _parse(setting)
        try:
            key = _put(data, key, value)
        except LookupError as error:
            raise ConfigError(f"--set {setting}: {error.args[0]}") from None
        written[key] = setting
    return Source(source.path, data, source.lines, written)


def _parse(setting: str) -> tuple[Key, Any]:
    """Key and value of a setting."""
    key: list[str | int] = []
    place = 0
    while match := _PART.match(setting, place):
        number, quoted, plain = match.groups()
        key.append(int(number) if number is not None else quoted if quoted is not None else plain.strip())
        place = match.end()
    if not key or setting[place : place + 1] != "=":
        raise ConfigError(
            f"--set {setting}: expected key=value such as seeds=3, comparisons[0].budget=500 or "
            'comparisons[0].optimizers."my label".lr=0.1'
        )
    try:
        return tuple(key), parse(setting[place + 1 :])
    except ConfigError as error:
        raise ConfigError(f"--set {setting}: the value is {error}") from None


def _put(data: Any, key: Key, value: Any) -> Key:
    """Put a value at its place; returns the key, with numbers for places in lists."""
    true_key: Key = ()
    for part in key[:-1]:
        part = _existing(data, part, true_key)
        true_key = (*true_key, part)
        data = data[part]
    last = key[-1]
    if isinstance(data, dict):
        data[str(last)] = value  # a new one is judged with the rest of the config
        return (*true_key, str(last))
    last = _existing(data, last, true_key)
    data[last] = value
    return (*true_key, last)


def _existing(data: Any, part: str | int, key: Key) -> str | int:
    """The part by which something stands in a list or a mapping."""
    if isinstance(data, list):
        if isinstance(part, str) and part.isdecimal():
            part = int(part)
        if not isinstance(part, int) or part >= len(data):
            count = f"a list of {len(data)}, counted from 0"
            raise LookupError(f"{spell(key)} is {count}; got the place {part!r}")
        return part
    if not isinstance(data, dict):
        raise LookupError(f"{spell(key)} is {data!r}, nothing with parts; got the part {part!r}")
    if str(part) not in data:
        known = ", ".join(map(str, data))
        raise LookupError(
            f"{spell(key)} has no {part!r}{nearest(str(part), map(str, data))}; it has: {known}"
        )
    return str(part)
