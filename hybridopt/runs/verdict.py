"""Which optimizer won on a problem: by median over seeds, and only where chance is no explanation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEVEL = 0.05
ENOUGH = 4  # with 3 runs of each the smallest p there can be is 0.1


@dataclass(frozen=True)
class Verdict:
    """Who did best on one problem.

    Attributes
    ----------
    leaders : tuple of str
        The optimizer with the lowest median, and all that can't be told from it.
    others : tuple of str
        The rest, by median.
    p : float
        Largest p-value between the best and those that are told from it where there is one leader, else
        between it and the other leaders; NaN where nothing was compared.
    runs : int
        Seeds of the optimizer that has fewest.
    """

    leaders: tuple[str, ...]
    others: tuple[str, ...]
    p: float
    runs: int


def judge(losses: Mapping[str, Sequence[float]]) -> Verdict:
    """Compare optimizers by a two-sided Mann-Whitney test of the best against each other one.

    Parameters
    ----------
    losses : dict of str to sequence of float
        A number for each seed, less is better, inf where the run failed.

    Returns
    -------
    Verdict

    Examples
    --------
    >>> judge({"a": [1.0, 1.1, 1.2, 1.3], "b": [2.0, 2.1, 2.2, 2.3]}).leaders
    ('a',)
    >>> judge({"a": [1.0, 1.1, 1.2, 1.3], "b": [1.0, 2.1, 1.2, 2.3]}).leaders
    ('a', 'b')
    """
    ranked = sorted(losses, key=lambda label: statistics.median(losses[label]))
    best = ranked[0]
    p = {label: p_value(losses[best], losses[label]) for label in ranked[1:]}
    ties = tuple(label for label in ranked[1:] if p[label] > LEVEL)
    others = tuple(label for label in ranked[1:] if label not in ties)
    largest = max((p[label] for label in ties or others), default=math.nan)
    return Verdict((best, *ties), others, largest, min(map(len, losses.values())))


def p_value(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p of the Mann-Whitney test; 1 where all numbers are equal or too few to tell anything."""
    if len({*a, *b}) == 1 or min(len(a), len(b)) < ENOUGH:
        return 1.0
    from scipy.stats import mannwhitneyu  # on use: it takes a second

    return float(mannwhitneyu(a, b, alternative="two-sided").pvalue)
