"""The function `hybridopt.minimize`: what it takes and what it promises."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from torch import Tensor

from hybridopt import checkpoint as checkpoints
from hybridopt.evaluate import Evaluator
from hybridopt.minimize.limits import parse_limits, parse_seed
from hybridopt.minimize.methods import choose
from hybridopt.minimize.run import Run
from hybridopt.objectives.function import resolve, shortly
from hybridopt.objectives.space import parse_start_and_bounds

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult


def minimize(
    fun: Any,
    x0: Any = None,
    args: tuple[Any, ...] = (),
    *,
    bounds: Any = None,
    method: Any = "auto",
    options: Mapping[str, Any] | None = None,
    constraints: Any = (),
    jac: Callable[..., Any] | bool | None = None,
    vectorized: bool = False,
    max_evals: int | None = None,
    target: float | None = None,
    max_time: float | None = None,
    tol: float | None = None,
    seed: int | None = None,
    callback: Callable[..., Any] | None = None,
    progress: bool = False,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    check_grad: bool = True,
) -> OptimizeResult:
    """Minimise a function of `dim` real variables, within bounds if there are any.

    Parameters
    ----------
    fun : callable or EmpiricalRisk
        A torch function `(dim,) -> ()`, batched by `torch.func.vmap` where that can be done; or
        `(n, dim) -> (n,)` with `vectorized=True`; or a numpy function of these shapes, which is what a
        function counts as that fails on a tensor that requires grad or returns no tensor for one. Where it
        draws from a global generator, equal sample numbers get equal draws, and the generator is put back.
    x0 : array-like or Tensor, shape (dim,) or (n, dim), optional
        Where to start. By default drawn uniformly from the bounds, for "auto" their middle, which is the
        nearest on average to a minimum that may lie anywhere. Computation is in float64 unless x0 or
        the bounds are floating tensors.
    args : tuple
        Passed on to `fun` (and `jac`) after x.
    bounds : optional
        Pairs (lower, upper), an array or tensor of shape (dim, 2), `scipy.optimize.Bounds`, or one pair for
        all coordinates; None or inf where free.
    method : str, optimizer, or class of torch.optim
        A registered name (`hybridopt list optimizers`), an optimizer such as `GeneticAlgorithm()`, or
        e.g. `torch.optim.Adam`. "auto": in a finite box the `Portfolio`; elsewhere, for a differentiable
        function, `BFGS` (above 100 variables `LBFGS`), else the portfolio's gradient-free form.
    options : mapping, optional
        Options of a method that is given by name or class.
    constraints : optional
        None but bounds are known yet: others raise NotImplementedError, which says what to use meanwhile.
    jac : callable or bool, optional
        Gradient of a numpy function, of the shapes of x; True if `fun` returns value and gradient.
    vectorized : bool
    max_evals : int, optional
        Budget in units: a value 1, a gradient 1 more a point; never exceeded. Without any limit (max_evals,
        max_time, target) it is 1000 * dim for global methods; local ones run until `tol`, at most 100,000
        units or 1000 * dim, whichever is more.
    target : float, optional
        Stop at a value of at most this.
    max_time : float, optional
        Stop after so many seconds.
    tol : float, optional
        Converged when no component of the projected gradient of any row is larger; for local methods without
        chance 1e-6 by default (float64; 1e-3 for lower precision). Others look at it only where it is given;
        methods without gradients and minibatches have no use for it.
    seed : int, optional
        Repeats a run; drawn by default, and told in the result.
    callback : callable, optional
        `callback(intermediate_result=OptimizeResult)` or `callback(x)` after every step; StopIteration ends.
    progress : bool
        Show a progress bar.
    executor : concurrent.futures.Executor, optional
        Evaluates every batch in slices, one a worker; for a process pool `fun` must be picklable.
    checkpoint : path, optional
        The run is saved there every ten seconds and at its end. If the file exists, the run goes on from it.
    check_grad : bool
        Hold the first gradient against differences of values (1 unit if all is well; 2 more on a bound or in
        lower precision than float64).

    Returns
    -------
    scipy.optimize.OptimizeResult
        `x` (a tensor if x0 was one), `fun`, `jac` (None where no gradient was taken at x), `nfev` and `njev`
        (points), `nit`, `success`, `status`, `message`, `seed`, `ledger`, `stationarity`, `phases`. Success
        means converged, target reached or exhausted; status: 0 converged, 1 target, 2 budget, 3 time,
        4 callback, 5 interrupted by Ctrl-C, 6 stalled, 8 gradient small but uncertified, 9 at a saddle,
        10 exhausted ("multistart": the same minima keep coming back).

        `phases` says what each phase of a schedule, or arm of a portfolio, did: its `cost` in units and its
        `gain`, how far it lowered the best value. Methods that search locally from many starts also return
        `minima`, the distinct local minima, best first: `x` (count, dim), `fun` (count,), and `visits`, how
        often a search ended in each.

        Where the gradient is small the point is certified (`hybridopt.certify`; up to 256 free variables that
        takes as many Hessian-vector products, 3 units each, beyond that about 200; for a `jac` 4 units each).
        A saddle is left, and the run goes on, while there is budget; without the budget for a certificate
        there is no success. `stationarity` is the certificate, None where there was none.

    Raises
    ------
    ValueError, TypeError
        For arguments that can't be meant, with what was expected.
    NotImplementedError
        For constraints beyond bounds.
    GradientMismatchError
        If the gradient is not that of the function.
    Exception
        What `fun` raises, unchanged; if it happened after the first call, with the best so far (status 7) as
        its attribute `best_so_far`.

    Examples
    --------
    >>> import torch, hybridopt
    >>> def rastrigin(x):
    ...     return (x**2 - 10 * torch.cos(2 * torch.pi * x) + 10).sum()
    >>> result = hybridopt.minimize(rastrigin, bounds=[(-5.12, 4)] * 3, max_evals=6000, seed=0)
    >>> round(result.fun, 6)
    0.0
    """
    if constraints is not None and not (isinstance(constraints, Sequence) and len(constraints) == 0):
        raise NotImplementedError(
            "constraints beyond bounds are not implemented, got constraints="
            f"{shortly(constraints)}; add a penalty to fun, substitute variables that can't violate them, or "
            "refine the result with scipy.optimize.minimize(method='SLSQP', constraints=...)"
        )
    limits = parse_limits(max_evals, target, max_time, tol)
    seed = parse_seed(seed, checkpoint)
    central = isinstance(method, str) and method == "auto"
    x, lower, upper = parse_start_and_bounds(x0, bounds, seed, central=central)
    objective, value = resolve(
        fun, args if isinstance(args, tuple) else (args,), jac, vectorized, x[:1], seed
    )
    optimizer = choose(method, dict(options or {}), objective.order > 0, lower, upper)
    evaluate = Evaluator(objective, lower, upper, seed=seed, executor=executor)
    run = Run(optimizer, evaluate, limits, check_grad=check_grad)
    run.watch(callback, progress, as_tensor=isinstance(x0, Tensor))
    known = None if objective.draws else f"fun(x0) = {float(value[0]):.17g}"
    words = checkpoints.describe(optimizer, lower, upper, None if x0 is None else x, known)
    run.start(x, value, checkpoint, words)
    return run.to_the_end()
