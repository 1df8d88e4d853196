"""`hybridopt.certify`: the certificate of a point of a function."""

from __future__ import annotations

from typing import Any

from hybridopt.evaluate import Evaluator
from hybridopt.landscape.certificate import PRODUCTS, Certificate, inspect
from hybridopt.landscape.products import HessianProducts
from hybridopt.objectives.function import resolve
from hybridopt.objectives.space import parse_start_and_bounds


def certify(
    fun: Any,
    x: Any,
    args: tuple[Any, ...] = (),
    *,
    bounds: Any = None,
    jac: Any = None,
    vectorized: bool = False,
    grad_tol: float | None = None,
    curvature_tol: float | None = None,
    max_products: int = PRODUCTS,
    seed: int = 0,
) -> Certificate:
    """Tell a minimum from a saddle.

    Parameters
    ----------
    fun : callable
        As in `hybridopt.minimize`; a numpy function needs `jac`, whose differences then make the products.
    x : array-like or Tensor, shape (dim,)
        The point.
    args, bounds, jac, vectorized
        As in `hybridopt.minimize`. On the boundary the conditions are those of the box: a coordinate that
        the gradient pushes against its bound is not free to move.
    grad_tol : float, optional
        The point is stationary if no component of the projected gradient is larger; by default 1e-5 times the
        largest absolute eigenvalue times `max(1, |x|)`: the gradient that moving x by 1e-5 of itself makes.
    curvature_tol : float, optional
        Eigenvalues of at most this share of the largest absolute one count as zero. By default the root of
        the precision, 1.5e-8 in float64; 1e-4 with `jac` and beyond 256 free coordinates (Lanczos).
    max_products : int
        About how many Hessian-vector products Lanczos may take; up to 256 free coordinates there are exactly
        as many as coordinates.
    seed : int
        Of the first Lanczos vector.

    Returns
    -------
    Certificate
        Prints with its verdict, eigenvalues, tolerances and cost.

    Raises
    ------
    ValueError, TypeError
        For arguments that can't be meant, or a function without derivatives.

    Examples
    --------
    >>> import hybridopt
    >>> hybridopt.certify(lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4, [0.0, 0.0]).verdict
    'strict saddle'
    >>> hybridopt.certify(lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4, [0.0, 2**0.5]).verdict
    'minimum'
    """
    point, lower, upper = parse_start_and_bounds(x, bounds, seed)
    if len(point) != 1:
        raise ValueError(
            f"x must be one point of shape (dim,), got {len(point)} rows; certify them one by one"
        )
    objective, _ = resolve(fun, args if isinstance(args, tuple) else (args,), jac, vectorized, point, seed)
    if objective.order < 1:
        raise TypeError("a certificate needs gradients, but fun is a numpy function; pass jac=")
    evaluate = Evaluator(objective, lower, upper, seed=seed)
    products = HessianProducts(evaluate, point[0])
    return inspect(products, grad_tol=grad_tol, curvature_tol=curvature_tol, max_products=max_products)
