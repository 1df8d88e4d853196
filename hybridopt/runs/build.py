"""From the mappings of a config to optimizers and conditions.

A mapping stands for one at any depth; `{import: path}` without options also for any object. What trains a
network is said by one of the keys `torch`, `hybrid` and `from_engine`.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch

from hybridopt.conditions import (
    AllOf,
    AnyOf,
    Budget,
    Condition,
    LowDiversity,
    NegativeCurvature,
    Plateau,
    SmallGradient,
    Stalled,
    Steps,
    Target,
    is_condition,
)
from hybridopt.registry import OPTIMIZERS, load, lookup, nearest
from hybridopt.rng import global_generators
from hybridopt.runs.source import Key
from hybridopt.runs.spec import BuildError, Spec, call, check_call, found, guard, imported, options_of, text

Parameters = Iterable[torch.nn.Parameter]
Trainer = Callable[[Parameters], torch.optim.Optimizer]

_OF_CONDITIONS = ("switch", "when", "conditions")  # options that take conditions
TRAINERS = ("torch", "hybrid", "from_engine")


def any_of(conditions: Sequence[Condition]) -> AnyOf:
    """True when any of the conditions is."""
    return AnyOf(*conditions)


def all_of(conditions: Sequence[Condition]) -> AllOf:
    """True when all of the conditions are."""
    return AllOf(*conditions)


CONDITIONS: dict[str, Callable[..., Condition]] = {
    "budget": Budget,
    "steps": Steps,
    "target": Target,
    "stalled": Stalled,
    "plateau": Plateau,
    "negative_curvature": NegativeCurvature,
    "small_gradient": SmallGradient,
    "low_diversity": LowDiversity,
    "any_of": any_of,
    "all_of": all_of,
}


def kind(spec: Spec, key: Key) -> Literal["engine", "trainer"]:
    """Whether an optimizer's mapping stands for an engine optimizer or for what trains a network."""
    known = ("name", "import", *TRAINERS)
    said = [word for word in known if word in spec]
    if len(said) != 1:
        got = ", ".join(map(repr, spec)) or "nothing"
        hint = "" if said else nearest(str(next(iter(spec), "")), known)
        expected = f"expected exactly one of the keys {', '.join(map(repr, known))}"
        raise BuildError(key, f"{expected}, got {got}{hint}")
    return "trainer" if said[0] in TRAINERS else "engine"


def engine(spec: Spec, key: Key = ()) -> Any:
    """Engine optimizer of a mapping {name: ..., options}."""
    built = _component(spec, key)
    if not hasattr(built, "ask"):
        word = "name" if "name" in spec else "import"
        what = "a condition" if is_condition(built) else repr(built)
        raise BuildError((*key, word), f"{spec[word]!r} is no optimizer but {what}")
    return built


def trainer(spec: Spec, key: Key = ()) -> Trainer:
    """What makes a torch optimizer of parameters: {torch: Adam}, {hybrid: Adam} or {from_engine: {...}}.

    It is tried on a network of six numbers, so that wrong options are known at once.
    """
    options = {word: _value(value, (*key, word)) for word, value in spec.items() if word not in TRAINERS}
    make_trainer = _trainer(spec, key, options)
    call(_try, {"make_trainer": make_trainer, "steps": "from_engine" not in spec}, key, options)
    return make_trainer


def _try(make_trainer: Trainer, steps: bool) -> None:
    """Make a trainer for a tiny network, and have it take a step: some refuse dense gradients, or biases."""
    with global_generators(0):
        network = torch.nn.Linear(2, 2)
        optimizer = make_trainer(network.parameters())

        def closure() -> torch.Tensor:
            network.zero_grad()
            loss: torch.Tensor = network(torch.ones(3, 2)).square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        if steps:
            optimizer.step(closure)  # type: ignore[arg-type]


def _trainer(spec: Spec, key: Key, options: Spec) -> Trainer:
    from hybridopt.optim import FromEngine, Hybrid

    if "torch" in spec:
        base = _torch_class(spec, key, "torch")
        check_call(base.__name__, functools.partial(base, []), options, key)
        return lambda parameters: base(parameters, **options)
    if "hybrid" in spec:
        base = _torch_class(spec, key, "hybrid")
        of_base = {option: value for option, value in options.items() if option != "escape"}
        if isinstance(spec.get("escape"), dict):
            options["escape"] = _escape(spec["escape"], (*key, "escape"))
        check_call(base.__name__, functools.partial(base, []), of_base, key)
        return lambda parameters: Hybrid(parameters, base=base, **options)
    inner = engine(spec["from_engine"], (*key, "from_engine"))
    check_call("from_engine", functools.partial(FromEngine, [], inner), options, key)
    options.setdefault("sampled", True)  # a minibatch a step
    return lambda parameters: FromEngine(parameters, inner, **options)


def _escape(spec: Spec, key: Key) -> Any:
    """Escape of a mapping of its options, `when` being a condition's."""
    from hybridopt.optim import Escape

    options = {option: _value(value, (*key, option)) for option, value in spec.items()}
    check_call("escape", Escape, options, key)
    return call(Escape, options, key, options, _as_mapping)


def _torch_class(spec: Spec, key: Key, word: str) -> type[torch.optim.Optimizer]:
    name = text(spec, key, word, "torch optimizer")
    if ":" in name:
        base: type[torch.optim.Optimizer] = imported(spec, key, word)
        return base
    known = {n: c for n, c in vars(torch.optim).items() if isinstance(c, type) and n != "Optimizer"}
    base = guard((*key, word), lookup, name, known, "torch optimizer")
    return base  # noqa: RET504 - typed


def _component(spec: Any, key: Key) -> Any:
    """Optimizer or condition of a mapping with a name or an import path."""
    what = "condition" if _stands_for_condition(key) else "optimizer"
    table: dict[str, Any] = CONDITIONS if what == "condition" else OPTIMIZERS
    misplaced = isinstance(spec, dict) and spec.get("name") in {**CONDITIONS, **OPTIMIZERS}
    # one that stands in a wrong place is refused there, with more words
    factory = found(spec, key, {**CONDITIONS, **OPTIMIZERS} if misplaced else table, what)
    if isinstance(factory, str):
        factory = load(factory)
    options = {option: _value(value, (*key, option)) for option, value in options_of(spec).items()}
    check_call(repr(spec.get("name", spec.get("import"))), factory, options, key)
    return call(factory, options, key, options, _as_mapping)


def _stands_for_condition(key: Key) -> bool:
    """Whether what stands at a key is a condition, by the option it is a value of."""
    words = [part for part in key if isinstance(part, str)]
    return bool(words) and words[-1] in _OF_CONDITIONS


def _value(value: Any, key: Key) -> Any:
    """A value of an option, with the mappings in it built."""
    if isinstance(value, list):
        return [_value(item, (*key, place)) for place, item in enumerate(value)]
    if isinstance(value, dict) and "name" in value:
        return _component(value, key)
    if isinstance(value, dict) and "import" in value:
        target = imported(value, key)
        plain = set(value) == {"import"} and not (isinstance(target, type) and hasattr(target, "ask"))
        return target if plain else _component(value, key)
    return value


def _as_mapping(value: Any) -> str:
    """Hint where a text stands for an optimizer or a condition."""
    texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    known = {**CONDITIONS, **OPTIMIZERS}
    near = [name for text in texts for name in difflib.get_close_matches(text, known, n=1)]
    return f"; in a config it is a mapping: {{name: {near[0]}}}" if near else ""
