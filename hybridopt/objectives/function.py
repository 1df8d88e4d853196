"""How each kind of function wants to be called: torch or numpy, one point or a batch, with or without `jac`.

`resolve` finds out by one call at the start. Nothing but `evaluate.py` calls what it returns.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hybridopt.autodiff import derivatives
from hybridopt.core import Query
from hybridopt.evaluate import Answer, Objective, answer
from hybridopt.rng import global_generators, global_generators_fingerprint, hash_seed

_FUNCTORCH = ("vmap", "functorch", "torch.func", "BatchedTensor", "doesn't have storage")
Function = Callable[..., Any]
Jac = Function | bool | None


class TorchObjective:
    """A torch function: `(dim,) -> ()` batched by `torch.func.vmap`, or `(n, dim) -> (n,)`.

    A function that vmap can't take (only functorch's own errors count) is called row by row.

    Parameters
    ----------
    fun : callable
    args : tuple
        Passed on to `fun` after x.
    vectorized : bool
    jac : callable, optional
        Gradient `(dim,) -> (dim,)`, or `(n, dim) -> (n, dim)`; autograd's by default.
    """

    sampled = False

    def __init__(self, fun: Function, args: tuple[Any, ...], vectorized: bool, jac: Function | None) -> None:
        self.fun = fun
        self.args = args
        self.vectorized = vectorized
        self.jac = jac
        self.draws: bool | None = False
        self.row_by_row = False
        self.order = 2 if jac is None else 1
        self.eps = 0.0  # rounding of the values, which may be of another dtype than x

    def answer(self, query: Query, seed: int) -> Answer:
        """Value, gradient and Hessian-vector product as far as asked for."""
        if self.jac is None or query.order != 1:
            return derivatives(self.values, query.x, query.order, query.direction)
        with torch.no_grad():
            value, grad = self.values(query.x), self._batched(self.jac, query.x)
        if grad.shape != query.x.shape:
            raise ValueError(_shape_message("jac", grad.shape, query.x.shape, self.vectorized))
        return value, grad.to(query.x.dtype), None

    def checked(self, value: Any, x: Tensor) -> Tensor:
        """What `fun` returned for the rows x, or an error that says what is wrong with it."""
        if not isinstance(value, Tensor):
            raise TypeError(f"fun must return a tensor, got {type(value).__name__}; return e.g. (x**2).sum()")
        if value.shape == (x.shape[0], 1) and not self.vectorized:
            value = value.squeeze(1)
        if value.shape != x.shape[:1]:
            raise ValueError(_shape_message("fun", value.shape, x.shape[:1], self.vectorized))
        if value.is_complex() or value.device != x.device:
            raise TypeError(
                f"fun must return real values on {x.device}, got {value.dtype} on {value.device}; "
                "move the data that fun uses to the device of x0"
            )
        self.eps = torch.finfo(value.dtype).eps if value.is_floating_point() else 0.0
        rows: Tensor = value.to(x.dtype)
        return rows

    def values(self, x: Tensor, *further: Any) -> Tensor:
        """Values of rows x, (n,); `further` arguments come before `args`."""
        return self.checked(self._batched(self.fun, x, *further), x)

    def _batched(self, fun: Function, x: Tensor, *further: Any) -> Any:
        args = (*further, *self.args)
        if self.vectorized:
            return fun(x, *args)
        if x.shape[0] == 1 or self.row_by_row:
            return _stack([fun(row, *args) for row in x])
        before = torch.get_rng_state()
        try:
            randomness = "different" if self.draws else "error"
            return torch.func.vmap(lambda row: fun(row, *args), randomness=randomness)(x)
        except (RuntimeError, ValueError) as error:
            if not _is_functorch(error):
                raise
            torch.set_rng_state(before)  # what the attempt drew is not drawn
            if "randomness" in str(error) and not self.draws:
                self.draws = True
            else:
                self.row_by_row = True
        return self._batched(fun, x, *further)


class NumpyObjective:
    """A numpy function, differentiable only by a `jac` of the user's.

    Parameters
    ----------
    fun : callable
        `(dim,) -> float`, or `(n, dim) -> (n,)`; with `jac=True` a pair of value and gradient.
    args : tuple
    vectorized : bool
    jac : callable, True or None
        Gradient `(dim,) -> (dim,)`, or `(n, dim) -> (n, dim)`.
    """

    sampled = False

    def __init__(self, fun: Function, args: tuple[Any, ...], vectorized: bool, jac: Jac) -> None:
        self.fun = fun
        self.args = args
        self.vectorized = vectorized
        self.jac = jac or None
        self.order = 0 if self.jac is None else 1
        self.draws: bool | None = False
        self.eps = float(np.finfo(float).eps)
        self.why_not_torch = ""

    def answer(self, query: Query, seed: int) -> Answer:
        """Value, and gradient by `jac`."""
        x = query.x.detach().numpy()
        if query.order == 0:
            value = self._rows(self.fun, x)
            return self._tensor("fun", value[0] if self.jac is True else value, query.x[:, 0]), None, None
        if self.jac is None or query.order > 1:
            raise TypeError(
                "fun is a numpy function, which torch can't differentiate; a gradient was asked for: pass "
                "jac=, write fun with torch operations, or choose a gradient-free method such as 'genetic'"
                + self.why_not_torch
            )
        if self.jac is True:
            value, grad = self._rows(self.fun, x)
        else:
            value, grad = self._rows(self.fun, x), self._rows(self.jac, x)
        return self._tensor("fun", value, query.x[:, 0]), self._tensor("jac", grad, query.x), None

    def _rows(self, fun: Function, x: np.ndarray) -> Any:
        if self.vectorized:
            return fun(x.copy(), *self.args)
        results = [fun(row.copy(), *self.args) for row in x]
        if self.jac is True and fun is self.fun:
            if not all(isinstance(result, tuple | list) and len(result) == 2 for result in results):
                got = shortly(results[0])
                raise TypeError(f"with jac=True fun must return (value, gradient), got {got}")
            return tuple(zip(*results, strict=True))
        return results

    def _tensor(self, name: str, result: Any, like: Tensor) -> Tensor:
        """What the user's function returned, in the shape and dtype of `like`."""
        try:
            array = np.asarray(result, dtype=float)
        except (TypeError, ValueError) as error:
            hint = "" if self.jac is not None else "; if fun returns value and gradient, pass jac=True"
            raise TypeError(f"{name} must return numbers, got {shortly(result)}{hint}") from error
        if result is None or (isinstance(result, list) and any(one is None for one in result)):
            raise TypeError(f"{name} returned None, expected a number; is a return missing?")
        if array.shape == (*like.shape, 1) and not self.vectorized:
            array = array[..., 0]
        if array.shape != like.shape:
            raise ValueError(_shape_message(name, array.shape, like.shape, self.vectorized))
        return torch.as_tensor(array, dtype=like.dtype)


def resolve(
    fun: Any, args: tuple[Any, ...], jac: Jac, vectorized: bool, x: Tensor, seed: int
) -> tuple[Objective, Tensor]:
    """Find out what kind of function this is by calling it at the row `x` of shape (1, dim).

    A function is numpy's if it fails on a tensor that requires grad, or returns no tensor for it. One that
    moves a global generator is marked so that equal samples get equal draws; the generators are put back.

    Returns
    -------
    objective : Objective
    value : Tensor, shape (1,)
        At `x`, so that the call is not lost.

    Raises
    ------
    Exception
        What `fun` itself raises, unchanged.
    """
    if hasattr(fun, "answer") and not isinstance(fun, type):
        if args or jac or vectorized:
            raise TypeError(f"args, jac and vectorized are not used by {type(fun).__name__}; leave them out")
        return fun, answer(fun, Query(x, sample=-1), seed)[0]
    if not callable(fun):
        raise TypeError(f"fun must be callable, got {fun!r}")
    if isinstance(jac, str) or not (jac is None or isinstance(jac, bool) or callable(jac)):
        raise TypeError(f"jac must be a callable, True or None, got {jac!r}; a torch function needs none")
    with global_generators(hash_seed(seed, "draw", 0)):
        before = global_generators_fingerprint()
        objective, value = _call_once(fun, args, jac or None, vectorized, x)
        objective.draws = global_generators_fingerprint() != before
    return objective, value


def _call_once(
    fun: Function, args: tuple[Any, ...], jac: Jac, vectorized: bool, x: Tensor
) -> tuple[Objective, Tensor]:
    """Try `fun` as torch's, then as numpy's."""
    failure: Exception | None = None
    if not isinstance(jac, bool):
        as_torch = TorchObjective(fun, args, vectorized, jac)
        sample = x.detach().clone().requires_grad_()
        sample = sample if vectorized else sample[0]
        result = None
        try:
            with warnings.catch_warnings(action="ignore"):  # numpy has much to say about tensors
                result = fun(sample, *args)
        except Exception as error:
            failure = error
        if isinstance(result, Tensor) and _is_torchs(jac, sample.detach(), args):
            if jac is None and not result.requires_grad:
                as_torch.order = 0
            return as_torch, as_torch.checked(result.detach() if vectorized else result.detach()[None], x)
    if x.device.type != "cpu":
        raise TypeError(f"fun is no torch function, but x0 is on {x.device}; pass a numpy x0") from failure
    as_numpy = NumpyObjective(fun, args, vectorized, jac)
    if failure is not None:
        as_numpy.why_not_torch = f" (as a torch function it failed with {failure!r})"
    try:
        return as_numpy, as_numpy.answer(Query(x), 0)[0]
    except Exception:
        if failure is not None and "numpy" not in str(failure):
            raise failure from None  # it fails either way, and meant to be torch's
        raise


def _is_torchs(jac: Function | None, sample: Tensor, args: tuple[Any, ...]) -> bool:
    """Whether a `jac` that is given takes and returns tensors."""
    if jac is None:
        return True
    try:
        with warnings.catch_warnings(action="ignore"):
            return isinstance(jac(sample, *args), Tensor)
    except Exception:
        return False


def shortly(result: Any) -> str:
    """Its repr, cut where it is long."""
    text = repr(result)
    return text if len(text) < 60 else text[:57] + "..."


def _is_functorch(error: Exception) -> bool:
    return any(word in str(error) for word in _FUNCTORCH)


def _stack(results: list[Any]) -> Any:
    """Rows of results; one that is no tensor is left for `checked` to refuse."""
    wrong = [result for result in results if not isinstance(result, Tensor)]
    return wrong[0] if wrong else torch.stack(results)


def _shape_message(name: str, got: Any, expected: Any, vectorized: bool) -> str:
    if vectorized:
        return f"{name} returned shape {tuple(got)} for a batch of rows, expected {tuple(expected)}"
    return (
        f"{name} returned shape {tuple(got)[1:]} for one point, expected {tuple(expected)[1:]}; if it takes "
        "rows (n, dim) at once, pass vectorized=True"
    )
