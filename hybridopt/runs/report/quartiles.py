"""What stands for several seeds: the median, and the quartiles beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def quartiles(values: ArrayLike) -> Array:
    """Lower quartile, median and upper quartile over the first axis.

    Parameters
    ----------
    values : array, shape (runs, ...)
        inf where a run has nothing to show; no NaN.

    Returns
    -------
    array, shape (3, ...)
        As `numpy.quantile` gives them, inf where they fall among the infinite.

    Examples
    --------
    >>> quartiles([4.0, 1.0, 2.0, 3.0, float("inf")]).tolist()
    [2.0, 3.0, 4.0]
    >>> quartiles([1.0, float("inf"), float("inf")]).tolist()
    [inf, inf, inf]
    """
    found = _quantiles(values, method="linear")
    if np.isnan(found).any():  # between inf and inf
        found = np.where(np.isnan(found), _quantiles(values, method="higher"), found)
    return found


def _quantiles(values: ArrayLike, *, method: Any) -> Array:
    with np.errstate(invalid="ignore"):
        quantiles: Array = np.quantile(
            np.asarray(values, dtype=np.float64), (0.25, 0.5, 0.75), 0, method=method
        )
    return quantiles
