"""Convergence curves of one problem: medians and quartiles over seeds, all on one grid of costs.

The points of a run are thinned and stand at costs of its own. Between two of them its value is the last one
so far: a curve is a step function, and what it is at a cost where another run has a point is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hybridopt.runs.cell import Run
from hybridopt.runs.report.quartiles import Array, quartiles

POINTS = 400  # of a grid; a screen shows no more
GAP, VALUE, LOSS = "gap above the minimum", "best value", "training loss"


@dataclass(frozen=True)
class Line:
    """One optimizer: median and quartiles over the seeds that finished.

    Attributes
    ----------
    label : str
    seeds : int
    cost : array, shape (points,)
        From where the median is finite to where the last seed ended.
    low, median, high : array, shape (points,)
        `high` may begin with inf.
    """

    label: str
    seeds: int
    cost: Array
    low: Array
    median: Array
    high: Array


@dataclass(frozen=True)
class Chart:
    """All optimizers on one problem.

    Attributes
    ----------
    problem : str
    measure : {GAP, VALUE, LOSS}
    lines : tuple of Line
    missing : tuple of str
        Optimizers without a line: none of their runs finished with a finite value.
    """

    problem: str
    measure: str
    lines: tuple[Line, ...]
    missing: tuple[str, ...]


def chart(problem: str, by_label: Mapping[str, Sequence[Run]]) -> Chart:
    """Curves of the runs on one problem; those that failed are left out.

    Parameters
    ----------
    problem : str
    by_label : dict of str to sequence of Run
        By optimizer, in the order of the page.
    """
    finished = {label: [run for run in runs if run.error is None] for label, runs in by_label.items()}
    measure = _measure([run for runs in finished.values() for run in runs])
    curves = {label: [_points(run, measure) for run in runs] for label, runs in finished.items()}
    grid = common_grid(list(curves.values()))
    found = [_line(label, of_label, grid) for label, of_label in curves.items() if any(map(len, of_label))]
    lines = tuple(line for line in found if len(line.cost))
    shown = {line.label for line in lines}
    return Chart(problem, measure, lines, tuple(label for label in by_label if label not in shown))


def common_grid(curves: Sequence[Sequence[Array]]) -> Array:
    """Costs at which any run has a point; of many, some in even ratios and the end of each group.

    Parameters
    ----------
    curves : sequence of sequences of arrays of shape (points, 2)
        By group.

    Returns
    -------
    array, shape (costs,)
    """
    costs = [np.concatenate([curve[:, 0] for curve in group] or [np.empty(0)]) for group in curves]
    grid = np.unique(np.concatenate([*costs, np.empty(0)]))
    if len(grid) <= POINTS:
        return grid
    places = np.searchsorted(grid, np.geomspace(grid[0], grid[-1], POINTS), side="right") - 1
    ends = [group.max() for group in costs if len(group)]
    return np.unique(np.concatenate([grid[np.maximum(places, 0)], ends]))


def last_so_far(curve: Array, grid: Array) -> Array:
    """Value of a run at each cost: that of its last point up to there, inf before the first one.

    Parameters
    ----------
    curve : array, shape (points, 2)
        Cost and value; costs rise.
    grid : array, shape (costs,)

    Returns
    -------
    array, shape (costs,)

    Examples
    --------
    >>> last_so_far(np.array([[2.0, 5.0], [4.0, 3.0]]), np.array([1.0, 2.0, 3.0, 4.0, 9.0])).tolist()
    [inf, 5.0, 5.0, 3.0, 3.0]
    """
    places = np.searchsorted(curve[:, 0], grid, side="right")
    values: Array = np.concatenate([[np.inf], curve[:, 1]])[places]
    return values


def _measure(runs: Sequence[Run]) -> str:
    if any("train_loss" in run.metrics for run in runs):
        return LOSS
    return GAP if all("gap" in run.metrics for run in runs) else VALUE


def _points(run: Run, measure: str) -> Array:
    """Cost and what is drawn; (points, 2)."""
    points = np.array(run.curve, dtype=np.float64).reshape(-1, 2)
    points[:, 0] = np.maximum(points[:, 0], 1.0)  # on a logarithmic axis
    if measure == GAP:  # the run itself says where the minimum lies
        minimum = run.metrics["value"] - run.metrics["gap"]
        points[:, 1] = np.maximum(points[:, 1] - minimum, 0.0)
    return points


def _line(label: str, curves: Sequence[Array], grid: Array) -> Line:
    low, median, high = quartiles([last_so_far(curve, grid) for curve in curves])
    end = max(curve[-1, 0] for curve in curves if len(curve))
    shown = np.isfinite(median) & (grid <= end)
    return Line(label, len(curves), grid[shown], low[shown], median[shown], high[shown])
