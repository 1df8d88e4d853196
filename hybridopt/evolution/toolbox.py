"""Toolboxes: the default one of whole-population operators, and those of DEAP's own operators, run by DEAP.

`deap` is imported when it is needed only; `deap.tools` not before a user's own operators run.
"""

from __future__ import annotations

import array
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hybridopt.evolution.operators import cxBlend, mutGaussian, selTournament
from hybridopt.evolution.parameters import Genes, check_genes
from hybridopt.rng import global_generators

Individual = Literal["list", "array", "numpy"] | Callable[[list[float]], Any]

ROLES = {"select": 2, "mate": 1, "mutate": 1}  # and how many arguments come by position


def default_toolbox(*, alpha: float = 0.5, sigma: Genes = 0.1, indpb: float = 0.1, tournsize: int = 3) -> Any:
    """Toolbox of tournament selection, blend crossover and Gaussian mutation for whole populations.

    Parameters
    ----------
    alpha : float, at least 0
        How far beyond its parents a child may lie, in units of their distance, as in `deap.tools.cxBlend`.
    sigma : float, or one a gene, shape (dim,); at least 0
        Standard deviation of a mutation, in the coordinates' own units.
    indpb : float in [0, 1]
        Probability that a gene mutates.
    tournsize : int, at least 1
        Rows in a tournament.

    Returns
    -------
    deap.base.Toolbox
        With `select`, `mate` and `mutate`; register others over them as you like.

    Examples
    --------
    >>> from hybridopt.evolution import default_toolbox, operators
    >>> toolbox = default_toolbox(sigma=0.3)
    >>> toolbox.register("mate", operators.cxTwoPoint)
    """
    from deap import base

    toolbox = base.Toolbox()
    toolbox.register("select", selTournament, tournsize=tournsize)
    toolbox.register("mate", cxBlend, alpha=alpha)
    toolbox.register("mutate", mutGaussian, mu=0.0, sigma=sigma, indpb=indpb)
    return toolbox


def check_toolbox(toolbox: Any) -> None:
    """Check that a toolbox has its three operators, all of one kind, and that their parameters make sense.

    Raises
    ------
    TypeError
        If an operator is missing, kinds are mixed, or a parameter is missing or unknown.
    ValueError
        If a parameter has an impossible value.
    """
    missing = [role for role in ROLES if not callable(getattr(toolbox, role, None))]
    if missing:
        raise TypeError(
            f"the toolbox has no {' and no '.join(missing)}; expected {', '.join(ROLES)}: "
            f"toolbox.register({missing[0]!r}, function, ...)"
        )
    kinds = {role: is_batched(getattr(toolbox, role)) for role in ROLES}
    if len(set(kinds.values())) > 1:
        whole = ", ".join(role for role, whole in kinds.items() if whole)
        single = ", ".join(role for role, whole in kinds.items() if not whole)
        raise TypeError(
            f"the toolbox mixes operators for whole populations ({whole}) and for single individuals "
            f"({single}); take all three from hybridopt.evolution.operators or all three from deap.tools, "
            "and mark your own for whole populations by hybridopt.evolution.batched"
        )
    if kinds["select"]:
        for role in ROLES:
            _check_parameters(role, getattr(toolbox, role))


def is_batched(operator: Any) -> bool:
    """Whether an operator takes whole populations; looks through functools.partial."""
    while operator is not None:
        if getattr(operator, "batched", False):
            return True
        operator = getattr(operator, "func", None)
    return False


def offspring_by_deap(
    toolbox: Any,
    x: Tensor,
    value: Tensor,
    count: int,
    *,
    cxpb: float,
    mutpb: float,
    individual: Individual,
    seed: int,
) -> Tensor:
    """`count` children as `deap.algorithms.eaSimple` makes them; shape (count, dim).

    The global generators that DEAP's operators draw from are seeded for the call and put back after it.
    """
    from deap.algorithms import varAnd

    make = individual if callable(individual) else _individual_class(individual)
    population = [make(row) for row in x.tolist()]
    for one, fitness in zip(population, value.tolist(), strict=True):
        one.fitness.values = (fitness,)
    with global_generators(seed):
        parents = toolbox.select(population, count)
        try:
            children = varAnd(parents, toolbox, cxpb, mutpb)
        except (AttributeError, TypeError, ValueError) as error:
            _note_what_deap_expects(error)
            raise
    return _rows(children, x, count)


def _note_what_deap_expects(error: Exception) -> None:
    """Explain what was raised by DEAP's own lines, which unpack what operators return."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None and trace.tb_frame.f_code.co_name == "varAnd":
        error.add_note(
            "DEAP's mutate returns a tuple (individual,) and its mate two individuals, of the kind they were "
            "given; look at what the toolbox's mutate and mate return"
        )


def check_individual(individual: Individual) -> None:
    """Check what individuals are to be made by.

    Raises
    ------
    ValueError
        If a name is unknown, or a class of the user's does not minimize.
    """
    if not callable(individual):
        if individual not in _KINDS:
            raise ValueError(
                f"individual must be one of {', '.join(map(repr, _KINDS))}, or a class that makes "
                f"individuals of a list of floats; got {individual!r}"
            )
        return
    weights = getattr(getattr(individual([0.0]), "fitness", None), "weights", None)
    if weights is None or len(weights) != 1 or not weights[0] < 0:
        raise ValueError(
            f"individual={individual!r} must make individuals whose fitness has one negative weight, as "
            f"hybridopt minimizes; got weights {weights!r}: "
            "creator.create('FitnessMin', base.Fitness, weights=(-1.0,))"
        )


_KINDS: dict[str, type] = {"list": list, "array": array.array, "numpy": np.ndarray}


@functools.cache
def _individual_class(name: str) -> Any:
    """Class as `deap.creator.create` would make it, without a global name in there."""
    from deap import base, creator

    fitness = type("FitnessMin", (base.Fitness,), {"weights": (-1.0,)})
    attributes: dict[str, Any] = {"fitness": fitness} | ({"typecode": "d"} if name == "array" else {})
    kind = _KINDS[name]
    return creator.MetaCreator("Individual", creator.class_replacers.get(kind, kind), attributes)


def _rows(children: Iterable[Any], x: Tensor, count: int) -> Tensor:
    try:
        rows = np.array([list(child) for child in children], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the toolbox made children that are not rows of numbers: {error}") from error
    if rows.shape != (count, x.shape[1]):
        raise ValueError(
            f"the toolbox made children of shape {rows.shape}, expected (count, dim) = "
            f"{(count, x.shape[1])}; its operators must keep the number of individuals and of genes"
        )
    if np.isnan(rows).any():
        raise ValueError("the toolbox made children with NaN genes; look at its mate and mutate")
    return torch.as_tensor(rows, dtype=x.dtype, device=x.device)


def _check_parameters(role: str, operator: Any) -> None:
    call: dict[str, Any] = {"generator": None} if role == "select" else {"chosen": None, "generator": None}
    try:
        inspect.signature(operator).bind(*[None] * ROLES[role], **call)
    except (TypeError, ValueError) as error:  # ValueError where the partial itself can't be called
        raise TypeError(
            f"toolbox.{role}: {error.__cause__ or error}; register an operator with all its parameters, "
            f"by name: toolbox.register({role!r}, function, name=value, ...)"
        ) from error
    parameters = getattr(operator, "keywords", {})
    for name, value in parameters.items():
        check_genes(name, value)
    if {"low", "up"} <= parameters.keys():
        low, up = (torch.as_tensor(parameters[name]).double().cpu() for name in ("low", "up"))
        if not bool((low <= up).all()):
            raise ValueError(f"toolbox.{role}: low must not be above up, got low={low} and up={up}")
