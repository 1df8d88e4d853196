"""From the mappings of a config to objects, with a `BuildError` that knows which key is wrong.

A mapping with a `name` stands for an optimizer or a condition, at any depth, its other keys for the options;
a mapping with `import` for the object at an import path. What trains a network is said by one of the keys
`torch`, `hybrid` and `from_engine`.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch

from hybridopt.conditions import (
    AllOf,
    AnyOf,
    Budget,
    Condition,
    LowDiversity,
    SmallGradient,
    Stalled,
    Steps,
    Target,
)
from hybridopt.problems import PROBLEMS, TASKS, Problem, Task, make, make_task
from hybridopt.problems.catalogue import OptionError, check_options, problem_factory
from hybridopt.registry import OPTIMIZERS, load, lookup, nearest
from hybridopt.rng import global_generators
from hybridopt.runs.signature import check_types
from hybridopt.runs.source import Key, Mistake

Spec = dict[str, Any]
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
    "small_gradient": SmallGradient,
    "low_diversity": LowDiversity,
    "any_of": any_of,
    "all_of": all_of,
}


class BuildError(ValueError):
    """A mapping that can't be built."""

    def __init__(self, key: Key, message: str) -> None:
        super().__init__(message)
        self.mistake = Mistake(key, message)


def is_task(spec: Spec) -> bool:
    """Whether a problem's mapping names a learning task."""
    return spec.get("name") in TASKS


def problem_label(spec: Spec) -> str:
    """Name for tables: rastrigin-10, or with further options `digits_mlp batch_size=32`."""
    dim = f"-{spec['dim']}" if "dim" in spec else ""
    further = [f" {key}={value}" for key, value in spec.items() if key not in ("name", "dim")]
    return f"{spec['name']}{dim}{''.join(further)}"


def check_problem(spec: Spec, key: Key) -> None:
    """Find mistakes in a problem's mapping; a task's data are not loaded for that."""
    name = _name(spec, key, "name", "problem")
    table = {**PROBLEMS, **TASKS}
    factory = _guard((*key, "name"), problem_factory if ":" in name else _in(table, "problem"), name)
    options = {option: value for option, value in spec.items() if option not in ("name", "instance")}
    _check_call(f"problem {name!r}", factory, options, key)
    instance = spec.get("instance", 0)
    if not isinstance(instance, int) or isinstance(instance, bool):
        raise BuildError((*key, "instance"), f"got {instance!r}, expected an integer")
    if not is_task(spec):
        _guard(key, problem, spec, 0)
    elif spec.get("batch_size", 1) < 1:
        raise BuildError((*key, "batch_size"), f"got {spec['batch_size']}, expected at least 1")


def problem(spec: Spec, seed: int) -> Problem:
    """Problem of a mapping; `instance` says which shift and rotation, else the run's seed does."""
    options = {"instance": seed, **spec}
    return make(options.pop("name"), seed=options.pop("instance"), **options)


def task(spec: Spec, seed: int) -> Task:
    """Learning task of a mapping; `instance` says which split, else the run's seed does."""
    options = {"instance": seed, **spec}
    return make_task(options.pop("name"), seed=options.pop("instance"), **options)


def kind(spec: Spec, key: Key) -> Literal["engine", "trainer"]:
    """Whether an optimizer's mapping stands for an engine optimizer or for what trains a network."""
    known = ("name", *TRAINERS)
    said = [word for word in known if word in spec]
    if len(said) != 1:
        got = ", ".join(map(repr, spec)) or "nothing"
        hint = "" if said else nearest(str(next(iter(spec), "")), known)
        expected = f"expected exactly one of the keys {', '.join(map(repr, known))}"
        raise BuildError(key, f"{expected}, got {got}{hint}")
    return "engine" if said == ["name"] else "trainer"


def engine(spec: Spec, key: Key = ()) -> Any:
    """Engine optimizer of a mapping {name: ..., options}."""
    built = _component(spec, key)
    if not hasattr(built, "ask"):
        raise BuildError((*key, "name"), f"{spec['name']!r} is no optimizer but a condition")
    return built


def trainer(spec: Spec, key: Key = ()) -> Trainer:
    """What makes a torch optimizer of parameters: {torch: Adam}, {hybrid: Adam} or {from_engine: {...}}.

    It is tried on a network of six numbers, so that wrong options are known at once.
    """
    options = {word: _value(value, (*key, word)) for word, value in spec.items() if word not in TRAINERS}
    make_trainer = _trainer(spec, key, options)
    _call(_try, {"make_trainer": make_trainer, "steps": "from_engine" not in spec}, key, options)
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
        _check_call(base.__name__, functools.partial(base, []), options, key)
        return lambda parameters: base(parameters, **options)
    if "hybrid" in spec:
        base = _torch_class(spec, key, "hybrid")
        of_base = {option: value for option, value in options.items() if option != "escape"}
        if isinstance(spec.get("escape"), dict):
            options["escape"] = _escape(spec["escape"], (*key, "escape"))
        _check_call(base.__name__, functools.partial(base, []), of_base, key)
        return lambda parameters: Hybrid(parameters, base=base, **options)
    inner = engine(spec["from_engine"], (*key, "from_engine"))
    _check_call("from_engine", functools.partial(FromEngine, [], inner), options, key)
    options.setdefault("sampled", True)  # a minibatch a step
    return lambda parameters: FromEngine(parameters, inner, **options)


def _escape(spec: Spec, key: Key) -> Any:
    """Escape of a mapping of its options, `when` being a condition's."""
    from hybridopt.optim import Escape

    options = {option: _value(value, (*key, option)) for option, value in spec.items()}
    _check_call("escape", Escape, options, key)
    return _call(Escape, options, key, options)


def _torch_class(spec: Spec, key: Key, word: str) -> type[torch.optim.Optimizer]:
    name = _name(spec, key, word, "torch optimizer")
    found = {n: c for n, c in vars(torch.optim).items() if isinstance(c, type) and n != "Optimizer"}
    look = load if ":" in name else _in(found, "torch optimizer")
    base: type[torch.optim.Optimizer] = _guard((*key, word), look, name)
    return base


def _component(spec: Any, key: Key) -> Any:
    """Optimizer or condition of a mapping with a name."""
    what = "condition" if _stands_for_condition(key) else "optimizer"
    name = _name(spec, key, "name", what)
    table: dict[str, Any] = CONDITIONS if what == "condition" else OPTIMIZERS
    both = {**CONDITIONS, **OPTIMIZERS}  # one that stands in a wrong place is refused there, with more words
    found = name if ":" in name else both.get(name) or _guard((*key, "name"), _in(table, what), name)
    factory: Any = _guard((*key, "name"), load, found) if isinstance(found, str) else found
    options = {option: _value(value, (*key, option)) for option, value in spec.items() if option != "name"}
    _check_call(repr(name), factory, options, key)
    return _call(factory, options, key, options)


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
    if isinstance(value, dict) and set(value) == {"import"}:
        return _guard((*key, "import"), load, _name(value, key, "import", "object"))
    return value


def _name(spec: Any, key: Key, word: str, what: str) -> str:
    if not isinstance(spec, dict) or word not in spec:
        raise BuildError(key, f"expected a mapping with the {word!r} of the {what}, got {spec!r}")
    if not isinstance(spec[word], str):
        raise BuildError((*key, word), f"expected the name of the {what}, got {spec[word]!r}")
    return str(spec[word])


def _in(table: dict[str, Any], what: str) -> Callable[[str], Any]:
    return lambda name: lookup(name, table, what)


def _check_call(what: str, factory: Callable[..., Any], options: Spec, key: Key) -> None:
    """Hold options against the signature of a factory: names, then simple types."""
    try:
        check_options(what, factory, options)
    except OptionError as error:
        raise BuildError(key if error.key is None else (*key, error.key), str(error)) from error
    for option, expected in check_types(factory, options):
        raise BuildError((*key, option), f"got {options[option]!r}, expected {expected}")


def _call(factory: Callable[..., Any], arguments: Spec, key: Key, options: Spec) -> Any:
    """Call a factory; where it refuses, point at the option that its message is about."""
    try:
        return factory(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        message = str(error)
        blamed = _blamed(message, options)
        hint = "" if blamed is None else _as_mapping(options[blamed])
        raise BuildError(key if blamed is None else (*key, blamed), message + hint) from error


def _blamed(message: str, options: Spec) -> str | None:
    """The option that a message names first, else the one whose value it ends with."""
    found = {option: re.search(rf"(?<!\w){re.escape(option)}(?!\w)", message) for option in options}
    named = {option: match.start() for option, match in found.items() if match}
    if named:
        return min(named, key=lambda option: named[option])
    ends = [
        option
        for option, value in options.items()
        if any(message.endswith(f" {number}") for number in (value if isinstance(value, list) else [value]))
    ]
    return ends[0] if len(ends) == 1 else None


def _as_mapping(value: Any) -> str:
    """Hint where a text stands for an optimizer or a condition."""
    texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    known = {**CONDITIONS, **OPTIMIZERS}
    near = [name for text in texts for name in difflib.get_close_matches(text, known, n=1)]
    return f"; in a config it is a mapping: {{name: {near[0]}}}" if near else ""


def _guard(key: Key, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function, and give its ValueError a place in the config."""
    try:
        return function(*arguments)
    except (TypeError, ValueError) as error:
        raise BuildError(key, str(error)) from error
