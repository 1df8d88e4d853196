"""What a run works on: the problems of a config, functions and learning tasks.

    {name: rastrigin, dim: 10}                                       a registered one
    {import: "mypkg.losses:my_loss", dim: 12, bounds: [-5, 5]}       a function of one point
    {import: "mypkg.problems:valley", dim: 3}                        a factory: it takes a seed
    {name: network, model: {import: "mypkg.models:Net"}, data: {import: "mypkg.data:load"}}

Any may have an `instance`, which fixes the seed of shift, rotation or split, and a `label`.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
from collections.abc import Mapping
from typing import Any

from hybridopt.objectives.space import parse_start_and_bounds
from hybridopt.problems import PROBLEMS, TASKS, Problem, Task
from hybridopt.problems.idx import read_folder
from hybridopt.problems.own import SETS, named_loss
from hybridopt.registry import load, nearest
from hybridopt.runs.source import Key
from hybridopt.runs.spec import BuildError, Spec, call, check_call, found, guard, imported, options_of

_PARTS = ("model", "data", "loss")  # options of the task `network` that may be import paths


def label_of(spec: Spec) -> str:
    """Name for tables: the label, or rastrigin-10, or with further options `digits_mlp batch_size=32`."""
    if "label" in spec:
        return str(spec["label"])
    name = spec.get("name") or str(spec.get("import")).rpartition(":")[2]
    dim = f"-{spec['dim']}" if "dim" in spec else ""
    further = [
        f" {key}={_short(value)}" for key, value in spec.items() if key not in ("name", "import", "dim")
    ]
    return f"{name}{dim}{''.join(further)}"


def is_task(spec: Spec) -> bool:
    """Whether a problem's mapping stands for a learning task."""
    if "import" in spec:
        return load(spec["import"]) in TASKS.values()
    return spec.get("name") in TASKS


def check_problem(spec: Spec, key: Key) -> None:
    """Find mistakes in a problem's mapping; a task's data are not loaded for that."""
    factory = found(spec, key, {**PROBLEMS, **TASKS}, "problem")
    instance = spec.get("instance", 0)
    if not isinstance(instance, int) or isinstance(instance, bool):
        raise BuildError((*key, "instance"), f"got {instance!r}, expected an integer")
    if not isinstance(spec.get("label", ""), str):
        raise BuildError((*key, "label"), f"got {spec['label']!r}, expected a text")
    if not _is_factory(factory):
        _function(factory, spec, key)
        return
    options = _options(spec, key)
    check_call(f"problem {spec.get('name', spec.get('import'))!r}", factory, options, key)
    if factory in TASKS.values():
        _check_task(options, key)
        return
    made = call(factory, {**options, "seed": 0}, key, options)
    if not isinstance(made, Problem):
        path = spec.get("import")
        raise BuildError(key, f"{path!r} must return a hybridopt.problems.Problem, got {made!r}")


def problem(spec: Spec, seed: int) -> Problem:
    """Problem of a mapping; `instance` says which shift and rotation, else the run's seed does."""
    factory = found(spec, (), PROBLEMS, "problem")
    if not _is_factory(factory):
        return _function(factory, spec, ())
    made: Problem = factory(**_options(spec), seed=spec.get("instance", seed))
    return made


def task(spec: Spec, seed: int) -> Task:
    """Learning task of a mapping; `instance` says which split, else the run's seed does."""
    factory = found(spec, (), TASKS, "task")
    made: Task = factory(**_options(spec), seed=spec.get("instance", seed))
    return made


def _options(spec: Spec, key: Key = ()) -> Spec:
    """Options of a factory; those of the task `network` may be mappings with import paths."""
    options = options_of(spec, "instance", "label")
    for part in _PARTS if spec.get("name") == "network" else ():
        value = options.get(part)
        if isinstance(value, dict):
            options[part] = _part(part, value, (*key, part))
        elif isinstance(value, str) and ":" in value:
            remedy = f"an import path stands under the key 'import': {{import: {value!r}}}"
            raise BuildError((*key, part), remedy)
    return options


def _is_factory(target: Any) -> bool:
    """Whether it makes problems: then it takes a seed. Else it is a function of a point itself."""
    try:
        return "seed" in inspect.signature(target).parameters
    except (TypeError, ValueError):
        return False


def _function(fun: Any, spec: Spec, key: Key) -> Problem:
    """Problem of a function of one point."""
    path = spec.get("import")
    if not callable(fun):
        raise BuildError((*key, "import"), f"{path!r} must be a function of a point, got {fun!r}")
    options = options_of(spec, "instance", "label")
    check_call(f"the function {path!r}", _as_problem, {"fun": fun, **options}, key)
    made: Problem = call(_as_problem, {"fun": fun, **options}, key, options)
    return Problem(**{**vars(made), "name": label_of(spec)})


def _as_problem(
    fun: Any,
    *,
    dim: int | None = None,
    bounds: Any = None,
    start: Any = None,
    value: float | None = None,
    vectorized: bool = False,
) -> Problem:
    """Problem of a function; the options are those of a config."""
    if dim is not None and dim < 1:
        raise ValueError(f"dim must be at least 1, got {dim}")
    if value is not None and not math.isfinite(value):
        raise ValueError(f"value must be a finite number, the known minimum, got {value}")
    pair = isinstance(bounds, list) and len(bounds) == 2 and not isinstance(bounds[0], list)
    if pair and start is None:
        if dim is None:
            raise ValueError("bounds are one pair for all coordinates: give dim, or a start")
        bounds = [bounds] * dim
    if bounds is None and start is None:
        raise ValueError("give bounds (a box to search), a start, or both; got neither")
    try:
        x, lower, upper = parse_start_and_bounds(start, bounds, 0)
    except ValueError as error:
        raise ValueError(str(error).replace("x0", "start")) from error
    if dim is not None and len(lower) != dim:
        raise ValueError(f"dim is {dim}, but start or bounds have {len(lower)} coordinates")
    return Problem(
        "function",
        len(lower),
        fun,
        lower,
        upper,
        value,
        start=None if start is None else x[0],
        vectorized=vectorized,
    )


def _part(part: str, value: Spec, key: Key) -> Any:
    """What a mapping stands for as the model, data or loss of the task `network`."""
    if part == "data" and set(value) == {"idx"}:
        return functools.partial(_data, json.dumps(value, sort_keys=True))
    if "import" not in value:
        forms = "{import: 'package.module:name'}" + (" or {idx: folder}" if part == "data" else "")
        hint = nearest(str(next(iter(value), "")), ("import", "idx"))
        raise BuildError(key, f"expected {forms}, got {value!r}{hint}")
    target = imported(value, key)
    options = options_of(value)
    if part == "loss" and not options:
        return target
    if not callable(target):
        raise BuildError((*key, "import"), f"{value['import']!r} must be callable, got {target!r}")
    check_call(repr(value["import"]), target, options, key)
    if part == "data":
        return functools.partial(_data, json.dumps(value, sort_keys=True))
    return functools.partial(target, **options)


@functools.lru_cache(maxsize=4)
def _data(spec: str) -> Any:
    """Data of a mapping, read once a process for all runs on them."""
    value = json.loads(spec)
    return read_folder(value["idx"]) if "idx" in value else load(value["import"])(**options_of(value))


def _check_task(options: Mapping[str, Any], key: Key) -> None:
    """What can be seen without the data."""
    if options.get("batch_size", 1) < 1:
        raise BuildError((*key, "batch_size"), f"got {options['batch_size']}, expected at least 1")
    if not 0 < options.get("test_share", 0.5) < 1:
        raise BuildError((*key, "test_share"), f"got {options['test_share']}, expected above 0 and below 1")
    if isinstance(options.get("data"), str):
        name = options["data"]
        if name not in SETS:
            known = f"known are: {', '.join(SETS)}"
            raise BuildError((*key, "data"), f"unknown data set {name!r}{nearest(name, SETS)}; {known}")
    if "loss" in options and isinstance(options["loss"], str):
        guard((*key, "loss"), named_loss, options["loss"])


def _short(value: Any) -> Any:
    """A value of an option for a label: of a mapping only what is imported."""
    return str(value["import"]).rpartition(":")[2] if isinstance(value, dict) and "import" in value else value
