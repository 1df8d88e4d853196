"""Names of problems and tasks: one decorator line registers one, `make` and `make_task` build it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from hybridopt.problems.problem import Problem
from hybridopt.problems.task import Task
from hybridopt.registry import load, lookup, nearest

PROBLEMS: dict[str, Callable[..., Problem]] = {}
TASKS: dict[str, Callable[..., Task]] = {}

P = TypeVar("P", bound=Callable[..., Problem])
T = TypeVar("T", bound=Callable[..., Task])


def problem(name: str) -> Callable[[P], P]:
    """Register a factory of problems: `@problem("name")` above a function of (dim, seed) and own options.

    Parameters
    ----------
    name : str
        By which configs and `make` find it.

    Raises
    ------
    ValueError
        If the name is taken by another one.

    Examples
    --------
    >>> import torch
    >>> from hybridopt import problems
    >>> @problems.problem("quartic")
    ... def quartic(dim, seed):
    ...     lower, upper = problems.box(dim, -2.0, 3.0)
    ...     return problems.Problem("quartic", dim, lambda x: (x - 1).pow(4).sum(-1), lower, upper, value=0.0)
    >>> problems.make("quartic", dim=4).fun(torch.ones(4))
    tensor(0.)
    """

    def register(factory: P) -> P:
        _enter(name, factory)
        PROBLEMS[name] = factory
        return factory

    return register


def task(name: str) -> Callable[[T], T]:
    """Register a factory of learning tasks: `@task("name")` above a function of seed and own options."""

    def register(factory: T) -> T:
        _enter(name, factory)
        TASKS[name] = factory
        return factory

    return register


def make(name: str, *, dim: int | None = None, seed: int = 0, **options: Any) -> Problem:
    """Problem of a registered name, or of an import path "module:factory".

    Parameters
    ----------
    name : str
    dim : int, optional
        Needed where the function exists in any dimension.
    seed : int
        Which instance: shift and rotation.
    **options
        Of the factory; one that it does not take is an error.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If there is no such name (the nearest are suggested), option, or dimension.
    """
    given = options if dim is None else {"dim": dim, **options}
    factory = problem_factory(name)
    check_options(f"problem {name!r}", factory, given)
    return factory(**given, seed=seed)


def make_task(name: str, *, seed: int = 0, **options: Any) -> Task:
    """Learning task of a registered name; `seed` splits its data.

    Raises
    ------
    ValueError
        If there is no such name (the nearest are suggested) or option.
    ModuleNotFoundError
        If the data need a package that is not installed.
    """
    factory: Callable[..., Task] = lookup(name, TASKS, "task")
    check_options(f"task {name!r}", factory, options)
    return factory(**options, seed=seed)


def problem_factory(name: str) -> Callable[..., Problem]:
    """What makes problems of this name, or the object at an import path "module:factory"."""
    factory: Callable[..., Problem] = load(name) if ":" in name else lookup(name, PROBLEMS, "problem")
    return factory


class OptionError(ValueError):
    """An option that is missing or unknown.

    Attributes
    ----------
    key : str or None
        The unknown one.
    """

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


def check_options(what: str, factory: Callable[..., Any], options: dict[str, Any]) -> None:
    """Hold options (`seed` is always given apart from them) against the signature of a factory.

    Raises
    ------
    OptionError
        Names the option, and the nearest one that exists.
    """
    parameters = inspect.signature(factory).parameters
    known = [key for key, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    known = [key for key in known if key != "seed"]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in options:
            if key not in known:
                takes, hint = ", ".join(known) or "none", nearest(key, known)
                raise OptionError(f"{what} has no option {key!r}{hint}; it takes: {takes}", key)
    for key in known:
        if parameters[key].default is inspect.Parameter.empty and key not in options:
            raise OptionError(f"{what} needs the option {key!r}, got {', '.join(options) or 'no options'}")


def _enter(name: str, factory: Callable[..., Any]) -> None:
    """A module that is loaded again may register again; another factory may not take a name."""
    taken = PROBLEMS.get(name) or TASKS.get(name)
    if taken is not None and (taken.__module__, taken.__qualname__) != (
        factory.__module__,
        factory.__qualname__,
    ):
        raise ValueError(
            f"problem name {name!r} is taken by {taken.__module__}.{taken.__qualname__}; choose another one"
        )
