"""Save and load the whole of a run; `torch.load(weights_only=True)` reads the file.

The file holds plain dicts: every dataclass becomes its import path, its version and its fields. It is
written to a temporary file beside it, synced and renamed, so that an old checkpoint is whole until the
new one is.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hybridopt._version import __version__
from hybridopt.registry import load as load_path

FORMAT = 1
_TYPE = "__dataclass__"


class CheckpointError(ValueError):
    """A checkpoint that can't be read, or that belongs to another run."""


def save(path: str | os.PathLike[str], record: Any, *, run: str = "") -> None:
    """Write a record (`Progress`, a `State`, plain containers of them) atomically.

    Parameters
    ----------
    path : path-like
        Replaced if it exists.
    record : object
        Frozen dataclasses, tensors, numbers, strings, None, tuples, lists and dicts.
    run : str
        What the record belongs to (see `describe`); `load` compares it.
    """
    path = Path(path)
    content = {"format": FORMAT, "hybridopt": __version__, "run": run, "record": encode(record)}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def load(path: str | os.PathLike[str], *, run: str | None = None) -> Any:
    """Record of a checkpoint; `run` is compared with what `save` was given, if it is given.

    Raises
    ------
    FileNotFoundError
        If there is none.
    CheckpointError
        If the file is no checkpoint of this format, or belongs to another run.
    """
    try:
        content = torch.load(path, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise CheckpointError(f"{os.fspath(path)!r} is not a readable checkpoint: {error!r}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or "record" not in content:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(
            f"{os.fspath(path)!r} has checkpoint format {found!r}, expected {FORMAT}; "
            "write it anew with this version of hybridopt"
        )
    if run is not None and content["run"] != run:
        raise CheckpointError(
            f"checkpoint {os.fspath(path)!r} belongs to another run: got {content['run']!r}, expected "
            f"{run!r}; give the same arguments again, or another checkpoint path"
        )
    return decode(content["record"])


def describe(*parts: object) -> str:
    """Words for what a run is: the same in a later process for the same run, others for another.

    Tensors are told by a hash, functions by their names, other objects by their fields.
    """
    return "; ".join(map(_words, parts))


def _words(part: Any) -> str:
    if isinstance(part, Tensor):
        numbers = part.detach().cpu().double().numpy().tobytes()
        return f"tensor{tuple(part.shape)} {part.dtype} {hashlib.blake2b(numbers, digest_size=8).hexdigest()}"
    if isinstance(part, functools.partial):
        return f"{_words(part.func)}{_words((part.args, part.keywords))}"
    if isinstance(part, dict):
        return "{" + ", ".join(f"{key}: {_words(value)}" for key, value in sorted(part.items())) + "}"
    if isinstance(part, tuple | list):
        return "(" + ", ".join(map(_words, part)) + ")"
    if callable(part) and hasattr(part, "__qualname__"):
        return f"{part.__module__}.{part.__qualname__}"
    silent: Any = object.__repr__
    if hasattr(part, "__dict__") and (dataclasses.is_dataclass(part) or type(part).__repr__ is silent):
        return f"{type(part).__qualname__}{_words(vars(part))}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(part))


def encode(record: Any) -> Any:
    """Record as plain containers; the inverse is `decode`.

    Raises
    ------
    TypeError
        If something in it is of another type than a state may hold.
    """
    if record is None or isinstance(record, bool | int | float | str):
        return record
    if isinstance(record, Tensor):
        return record.detach().clone()  # a view would take its whole storage along
    if type(record) in (tuple, list):
        return type(record)(encode(part) for part in record)
    if type(record) is dict:
        return {key: encode(part) for key, part in record.items()}
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        fields = {f.name: encode(getattr(record, f.name)) for f in dataclasses.fields(record)}
        kind = type(record)
        version = getattr(kind, "version", 1)
        return {_TYPE: f"{kind.__module__}:{kind.__qualname__}", "version": version, "fields": fields}
    raise TypeError(
        f"a state may hold tensors, numbers, strings, None, tuples, lists, dicts and frozen dataclasses of "
        f"these, got {type(record).__module__}.{type(record).__qualname__}"
    )


def decode(plain: Any) -> Any:
    """Record that `encode` made these containers of.

    Raises
    ------
    CheckpointError
        If a dataclass is gone or has another version.
    """
    if type(plain) in (tuple, list):
        return type(plain)(decode(part) for part in plain)
    if type(plain) is not dict:
        return plain
    if _TYPE not in plain:
        return {key: decode(part) for key, part in plain.items()}
    try:
        kind = load_path(plain[_TYPE])
    except ValueError as error:
        raise CheckpointError(f"the checkpoint needs {plain[_TYPE]!r}: {error}") from error
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise CheckpointError(f"the checkpoint needs {plain[_TYPE]!r}, which is no dataclass")
    version = getattr(kind, "version", 1)
    if plain["version"] != version:
        raise CheckpointError(f"{plain[_TYPE]!r} has version {plain['version']} there, here {version}")
    return kind(**{name: decode(part) for name, part in plain["fields"].items()})


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
