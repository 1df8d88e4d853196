"""JSON schema of experiment files, for editors: names of everything registered, and their options.

It says less than `load` checks: what stands at import paths, and whether values make sense, only loading
finds out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from hybridopt import registry
from hybridopt.problems import PROBLEMS, TASKS
from hybridopt.runs import signature
from hybridopt.runs.build import CONDITIONS
from hybridopt.runs.config import Experiment

Schema = dict[str, Any]
_SIMPLE = {int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null"}
_IMPORT: Schema = {"type": "string", "pattern": "^[^:]+:[^:]+$", "description": "package.module:object"}
_IMPORTED: Schema = {"type": "object", "properties": {"import": _IMPORT}, "required": ["import"]}


def schema() -> Schema:
    """Schema by draft 2020-12 of what `hybridopt run` takes.

    Examples
    --------
    >>> sorted(schema()["properties"])
    ['comparisons', 'seeds', 'title', 'tolerance']
    """
    whole: Schema = Experiment.model_json_schema()
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    count: Schema = {"type": "integer", "minimum": 1, "description": "n, for the seeds 0 to n - 1"}
    whole["properties"]["seeds"] = {"anyOf": [count, whole["properties"]["seeds"]]}
    comparison = whole["$defs"]["Comparison"]["properties"]
    comparison["problems"]["items"] = {"$ref": "#/$defs/problem"}
    comparison["optimizers"]["additionalProperties"] = {"$ref": "#/$defs/solver"}
    engines = {name: registry.load(target) for name, target in registry.OPTIMIZERS.items()}
    whole["$defs"] |= {
        "problem": _one_of(
            {**PROBLEMS, **TASKS}, {"instance": {"type": "integer"}, "label": {"type": "string"}}
        ),
        "optimizer": _one_of(engines),
        "condition": _one_of(CONDITIONS),
        "solver": {"anyOf": [{"$ref": "#/$defs/optimizer"}, *_trainers()]},
    }
    return whole


def _one_of(factories: Mapping[str, Callable[..., Any]], further: Schema | None = None) -> Schema:
    """A mapping with a name and the options of what it names, or with an import path."""
    named = [_called(name, factory, further or {}) for name, factory in factories.items()]
    return {"anyOf": [*named, _IMPORTED]}


def _called(name: str, factory: Callable[..., Any], further: Schema) -> Schema:
    """A mapping that stands for a call of a factory."""
    typed = signature.types_of(factory)
    taken = inspect.signature(factory).parameters
    parameters = {
        option: parameter
        for option, parameter in taken.items()
        if option != "seed" and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    }
    needed = [option for option, parameter in parameters.items() if parameter.default is parameter.empty]
    options = {option: _of(option, typed.get(option)) for option in parameters}
    return {
        "type": "object",
        "description": (factory.__doc__ or "").partition("\n")[0],
        "properties": {"name": {"const": name}, **options, **further},
        "required": ["name", *needed],
        "additionalProperties": any(p.kind is p.VAR_KEYWORD for p in taken.values()),
    }


def _of(option: str, annotation: Any) -> Schema:
    """Schema of an option: what its annotation says in simple types, else anything."""
    if option in ("switch", "when", "conditions"):
        return _some("condition")
    if option in ("phases", "inner"):
        return _some("optimizer")
    parts = signature.parts_of(annotation)
    if not all(part in _SIMPLE for part in parts):
        return {}
    return {"type": [_SIMPLE[part] for part in parts]}


def _some(what: str) -> Schema:
    one = {"$ref": f"#/$defs/{what}"}
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _trainers() -> list[Schema]:
    """What trains networks: {torch: ...}, {hybrid: ...}, {from_engine: ...}."""
    classes = sorted(n for n, c in vars(torch.optim).items() if isinstance(c, type) and n != "Optimizer")
    base: Schema = {"anyOf": [{"enum": classes}, _IMPORT]}
    inner = {"$ref": "#/$defs/optimizer"}
    return [
        {"type": "object", "properties": {"torch": base}, "required": ["torch"]},
        {"type": "object", "properties": {"hybrid": base}, "required": ["hybrid"]},
        {"type": "object", "properties": {"from_engine": inner}, "required": ["from_engine"]},
    ]
