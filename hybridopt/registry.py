"""Short names of optimizers, for configs, `minimize(method=...)` and the conformance tests.

A line is `name: "module:attribute"`; nothing is imported before it is used.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable
from typing import Any

OPTIMIZERS: dict[str, str] = {
    "sgd": "hybridopt.gradient.descent:sgd",
    "asgd": "hybridopt.gradient.descent:asgd",
    "adadelta": "hybridopt.gradient.descent:adadelta",
    "adagrad": "hybridopt.gradient.descent:adagrad",
    "adam": "hybridopt.gradient.descent:adam",
    "adamw": "hybridopt.gradient.descent:adamw",
    "adamax": "hybridopt.gradient.descent:adamax",
    "nadam": "hybridopt.gradient.descent:nadam",
    "radam": "hybridopt.gradient.descent:radam",
    "rmsprop": "hybridopt.gradient.descent:rmsprop",
    "rprop": "hybridopt.gradient.descent:rprop",
    "gradient_noise": "hybridopt.gradient.noise:GradientNoise",
    "perturbed": "hybridopt.gradient.perturbed:PerturbedDescent",
    "bfgs": "hybridopt.gradient.bfgs:BFGS",
    "lbfgs": "hybridopt.gradient.lbfgs:LBFGS",
    "genetic": "hybridopt.evolution.genetic:GeneticAlgorithm",
    "shade": "hybridopt.evolution.differential.shade:SHADE",
    "lshade": "hybridopt.evolution.differential.lshade:LSHADE",
    "cmaes": "hybridopt.evolution.cmaes.optimizer:CMAES",
    "ipop_cmaes": "hybridopt.evolution.cmaes.restarts:ipop_cmaes",
    "bipop_cmaes": "hybridopt.evolution.cmaes.restarts:bipop_cmaes",
    "multistart": "hybridopt.hybrid.multistart:MultiStart",
    "memetic": "hybridopt.hybrid.memetic:MemeticGenetic",
    "basin_hopping": "hybridopt.hybrid.basin_hopping:BasinHopping",
    "funnel": "hybridopt.hybrid.funnel:Funnel",
    "portfolio": "hybridopt.hybrid.portfolio:Portfolio",
    "random_search": "hybridopt.evolution.random_search:RandomSearch",
    "alternate": "hybridopt.hybrid.alternate:Alternate",
    "perturb_restart": "hybridopt.hybrid.perturb_restart:PerturbRestart",
}


def load(target: str) -> Any:
    """Object at "module:attribute".

    Raises
    ------
    ValueError
        If the path has another form, or leads nowhere.
    """
    module, attribute = _parts(target)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f"import path {target!r}: {error}; is the package installed?") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(
                f"import path {target!r}: module {module!r} has no {attribute!r}{nearest(part, dir(found))}"
            )
        found = getattr(found, part)
    return found


def make(name: str, **options: Any) -> Any:
    """Optimizer of a registered name, or of an import path "module:Class", with its options.

    Raises
    ------
    ValueError
        If no optimizer has that name (the nearest ones are suggested).
    TypeError
        If it does not take these options.
    """
    factory: Callable[..., Any] = load(name if ":" in name else lookup(name, OPTIMIZERS, "optimizer"))
    return factory(**options)


def register(name: str, target: str) -> None:
    """Give an optimizer of your own a short name; `target` is "module:Class".

    Raises
    ------
    ValueError
        If the path has another form, or the name is taken by another one.
    """
    _parts(target)
    if OPTIMIZERS.setdefault(name, target) != target:
        raise ValueError(f"optimizer name {name!r} is taken by {OPTIMIZERS[name]!r}; choose another one")


def _parts(target: str) -> tuple[str, str]:
    """Module and attribute of an import path."""
    module, _, attribute = target.partition(":") if isinstance(target, str) else ("", "", "")
    if not (module and attribute):
        raise ValueError(f"an import path has the form 'package.module:name', got {target!r}")
    return module, attribute


def lookup(name: str, table: dict[str, Any], kind: str) -> Any:
    """Entry of a table, or a ValueError that suggests the nearest names."""
    if name in table:
        return table[name]
    raise ValueError(f"unknown {kind} {name!r}{nearest(name, table)}; known are: {', '.join(sorted(table))}")


def nearest(name: str, known: Iterable[str]) -> str:
    """': did you mean ...?', or nothing where nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.5)
    return f": did you mean {' or '.join(map(repr, near))}?" if near else ""
