"""All laws at once, and as parameters for pytest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch

from hybridopt.core import Optimizer
from hybridopt.registry import lookup
from hybridopt.testing.law import LAWS, Case, Law, LawError, require_optimizer

DTYPES = (torch.float32, torch.float64)
_FIRST = "dtype_and_device_are_kept"


def check_optimizer(
    optimizer: Optimizer[Any],
    *,
    laws: str | Collection[str] | None = None,
    dtypes: Collection[torch.dtype] = DTYPES,
    device: str = "cpu",
    dim: int = 3,
) -> None:
    """Check an optimizer against all laws.

    Parameters
    ----------
    optimizer : Optimizer
        It is deep-copied for every run, so that nothing it keeps outside its states can hide.
    laws : str or collection of str, optional
        Names in `LAWS`; by default all.
    dtypes : collection of torch.dtype
    device : str
        A real device.
    dim : int, >= 2

    Raises
    ------
    LawError
        If any law is broken; it says which ones, and how. What the optimizer itself raises counts as broken,
        and the first such exception is the cause.
    TypeError
        If it is no optimizer but a class, say.

    Examples
    --------
    >>> import torch, hybridopt
    >>> from hybridopt.testing import check_optimizer
    >>> check_optimizer(hybridopt.TorchGradient(torch.optim.SGD, lr=0.01, momentum=0.9))
    """
    broken = []
    for law, case in _applying(optimizer, laws, dtypes, device, dim):
        try:
            law(optimizer, case)
        except LawError as error:
            broken.append(error)
    if broken:
        cause = next((error.__cause__ for error in broken if error.__cause__), None)
        raise LawError("\n".join(map(str, broken))) from cause


def parametrization(
    optimizers: Optimizer[Any] | Mapping[str, Optimizer[Any]],
    *,
    laws: str | Collection[str] | None = None,
    dtypes: Collection[torch.dtype] = DTYPES,
    device: str = "cpu",
    dim: int = 3,
) -> dict[str, Any]:
    """Keywords for `pytest.mark.parametrize`: one test for each optimizer, law and dtype.

    Parameters
    ----------
    optimizers : Optimizer, or mapping of str to Optimizer
        The names become part of the tests' ids.
    laws, dtypes, device, dim
        As in `check_optimizer`.

    Returns
    -------
    dict
        `argnames` ("check", a function without arguments), `argvalues` and `ids`.

    Examples
    --------
    >>> import pytest, torch, hybridopt
    >>> from hybridopt.testing import parametrization
    >>> @pytest.mark.parametrize(**parametrization(hybridopt.GeneticAlgorithm(population_size=8)))
    ... def test_genetic_algorithm_passes(check):
    ...     check()
    """
    named = optimizers if isinstance(optimizers, Mapping) else {type(optimizers).__name__: optimizers}
    values, ids = [], []
    for name, optimizer in named.items():
        for law, case in _applying(optimizer, laws, dtypes, device, dim):
            values.append(_bound(law, optimizer, case))
            ids.append(f"{name}-{law.name}-{str(case.dtype).removeprefix('torch.')}")
    return {"argnames": "check", "argvalues": values, "ids": ids}


def _applying(
    optimizer: Optimizer[Any],
    laws: str | Collection[str] | None,
    dtypes: Collection[torch.dtype],
    device: str,
    dim: int,
) -> Iterator[tuple[Law, Case]]:
    require_optimizer(optimizer)
    for name in _names(laws):
        law: Law = lookup(name, LAWS, "law")
        for dtype in dtypes:
            case = Case(dtype=dtype, device=device, dim=dim)
            if law.applies(optimizer.traits, case):
                yield law, case


def _names(laws: str | Collection[str] | None) -> Collection[str]:
    """Names of laws; by default all, first the one whose breach makes others fail in odd ways."""
    if isinstance(laws, str):
        return [laws]
    return sorted(LAWS, key=lambda name: name != _FIRST) if laws is None else laws


def _bound(law: Law, optimizer: Optimizer[Any], case: Case) -> Callable[[], None]:
    return lambda: law(optimizer, case)
