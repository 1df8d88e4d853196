"""Problems that scipy solves in closed form: the oracle of `hybridopt.verify`."""

from __future__ import annotations

from collections.abc import Callable

from hybridopt.baselines.baseline import Baseline
from hybridopt.baselines.likelihood import logistic
from hybridopt.baselines.linear import convex_quadratic, duplicated_column, least_squares, nonnegative, ridge
from hybridopt.baselines.matrices import low_rank, procrustes, smallest_eigenvalue
from hybridopt.registry import lookup

BASELINES: dict[str, Callable[[int], Baseline]] = {
    factory.__name__: factory
    for factory in (
        least_squares,
        duplicated_column,
        ridge,
        convex_quadratic,
        nonnegative,
        smallest_eigenvalue,
        low_rank,
        procrustes,
        logistic,
    )
}


def make(name: str, *, seed: int = 0) -> Baseline:
    """Baseline of a name; another seed gives other data.

    Raises
    ------
    ValueError
        If there is none of that name (the nearest ones are suggested).

    Examples
    --------
    >>> from hybridopt import baselines
    >>> baselines.make("nonnegative").bounded
    True
    """
    factory: Callable[[int], Baseline] = lookup(name, BASELINES, "baseline")
    return factory(seed)


__all__ = ["BASELINES", "Baseline", "make"]
