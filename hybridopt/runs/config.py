"""What an experiment file says: problems, optimizers, seeds and budget.

In a comparison each optimizer runs on each problem with each seed, all at the same budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hybridopt.registry import nearest
from hybridopt.runs import build, subject
from hybridopt.runs.setting import apply
from hybridopt.runs.signature import expectation
from hybridopt.runs.source import Key, Mistake, Source, read
from hybridopt.runs.spec import BuildError, Spec


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Comparison(_Strict):
    """Optimizers on problems at one budget.

    Attributes
    ----------
    title : str
    budget : int
        Units of the ledger each run may spend: a value costs 1, a gradient 1 more. For a network a loss
        of a minibatch costs 1, its gradient 1 more.
    problems : list of dict
        `name`, `dim` where the function takes one, options, and `instance` for one shift and rotation (or
        split of the data) for all seeds; by default each seed has its own.
    optimizers : dict of str to dict
        By label. For functions `{name: adam, lr: 0.1}`; for networks `{torch: Adam, lr: 0.001}`,
        `{hybrid: Adam, lr: 0.001}` or `{from_engine: {name: genetic}, radius: 0.1}`.
    """

    title: str = ""
    budget: Annotated[int, Field(gt=0)]
    problems: Annotated[list[dict[str, Any]], Field(min_length=1)]
    optimizers: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]


class Experiment(_Strict):
    """One experiment file.

    Attributes
    ----------
    title : str
    seeds : list of int
        In the file also a number n, for the seeds 0 to n - 1.
    tolerance : float
        A function counts as solved when its value is at most this much above the known minimum.
    comparisons : list of Comparison
    """

    title: str
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    tolerance: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-6
    comparisons: Annotated[list[Comparison], Field(min_length=1)]

    @field_validator("seeds", mode="before")
    @classmethod
    def _count(cls, seeds: Any) -> Any:
        if not isinstance(seeds, int) or isinstance(seeds, bool):
            return seeds
        if seeds < 1:
            raise ValueError("at least 1 seed")
        return list(range(seeds))

    @field_validator("seeds")
    @classmethod
    def _once(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("every seed once")
        return seeds


def load(path: Path, settings: Sequence[str] = ()) -> Experiment:
    """Read an experiment file and check all of it: nothing is found wrong later that could be found now.

    Parameters
    ----------
    path : Path
    settings : sequence of str
        `key=value`, put over what the file says; see `hybridopt.runs.setting`.

    Raises
    ------
    ConfigError
        Every mistake with file, line, key, what was got, what is expected and the nearest valid name.
    """
    source = apply(read(path), settings)
    experiment = validate(source)
    mistakes = [
        mistake
        for place, comparison in enumerate(experiment.comparisons)
        for mistake in _mistakes(comparison, ("comparisons", place))
    ]
    if mistakes:
        raise source.error(mistakes)
    return experiment


def validate(source: Source) -> Experiment:
    """Experiment of a file whose keys and types are right; names and options are not looked at.

    Raises
    ------
    ConfigError
    """
    if not isinstance(source.data, dict):
        expected = f"expected the keys {', '.join(Experiment.model_fields)}"
        raise source.error([Mistake((), f"{expected}, got {source.data!r}")])
    try:
        return Experiment.model_validate(source.data)
    except ValidationError as error:
        raise source.error([_mistake(line) for line in error.errors()]) from None


def dump(experiment: Experiment) -> str:
    """Text of a config file that says the same with nothing left open."""
    text: str = yaml.safe_dump(experiment.model_dump(), sort_keys=False, allow_unicode=True, width=110)
    return text


def _mistake(line: Any) -> Mistake:
    """One of pydantic's errors in our words."""
    key, got = line["loc"], line["input"]
    fields = (Experiment if len(key) < 3 else Comparison).model_fields
    if line["type"] == "missing":
        return Mistake(key, f"missing; expected {_purpose(str(key[-1]))}")
    if line["type"] == "extra_forbidden":
        name = str(key[-1])
        return Mistake(key, f"unknown key {name!r}{nearest(name, fields)}; known are: {', '.join(fields)}")
    if line["type"] == "value_error":
        return Mistake(key, f"got {got!r}, expected {line['ctx']['error']}")
    if line["type"] == "too_short" or key == ("seeds",):
        return Mistake(key, f"got {got!r}, expected {_purpose(str(key[-1]))}")
    return Mistake(key, f"got {got!r}, expected {expectation(line['msg'])}")


def _purpose(name: str) -> str:
    return {
        "title": "a line that says what is compared",
        "seeds": "a number of seeds, or a list of them",
        "budget": "the units each run may spend",
        "problems": "a list of problems, e.g. [{name: rastrigin, dim: 10}]",
        "optimizers": "optimizers by label, e.g. {gradient: {name: adam, lr: 0.1}}",
        "comparisons": "a list of comparisons",
    }[name]


def _mistakes(comparison: Comparison, key: Key) -> list[Mistake]:
    """What is wrong beyond keys and types: names, options, and what doesn't go together."""
    mistakes, sound = [], []
    for place, spec in enumerate(comparison.problems):
        try:
            subject.check_problem(spec, (*key, "problems", place))
            sound.append(spec)
        except BuildError as error:
            mistakes.append(error.mistake)
    for label, spec in comparison.optimizers.items():
        try:
            _check_optimizer(sound, label, spec, (*key, "optimizers", label))
        except BuildError as error:
            mistakes.append(error.mistake)
    return mistakes or _twice(comparison, key)


def _check_optimizer(problems: Sequence[Spec], label: str, spec: Spec, key: Key) -> None:
    """An optimizer by itself, then beside the problems."""
    kind = build.kind(spec, key)
    (build.engine if kind == "engine" else build.trainer)(spec, key)
    others = [subject.label_of(p) for p in problems if subject.is_task(p) == (kind == "engine")]
    if not others:
        return
    if kind == "engine":
        raise BuildError(
            key,
            f"{label!r} minimizes functions, but {others[0]!r} is a learning task; expected one of the "
            f"keys {', '.join(map(repr, build.TRAINERS))}, or another comparison for it",
        )
    raise BuildError(
        key,
        f"{label!r} trains networks, but {others[0]!r} is a function; expected {{name: ...}}, or "
        "another comparison for it",
    )


def _twice(comparison: Comparison, key: Key) -> list[Mistake]:
    labels = [subject.label_of(spec) for spec in comparison.problems]
    return [
        Mistake((*key, "problems", place), f"{label!r} stands in this list twice; keep one of them")
        for place, label in enumerate(labels)
        if label in labels[:place]
    ]
