"""Thinned curves."""

import itertools
import math

from hybridopt.runs.curve import RATIO, Curve


def recorded(points):
    curve = Curve()
    for cost, value in points:
        curve.record(cost, value)
    return curve.points


def test_every_point_of_a_thinned_curve_is_one_that_was_recorded():
    points = [(cost, 1 / cost) for cost in range(1, 100_000, 7)]
    thinned = recorded(points)
    assert set(thinned) <= set(points)
    assert len(thinned) < 250
    assert thinned[-1] == points[-1]


def test_costs_of_kept_points_are_at_most_a_twentieth_apart():
    thinned = recorded([(cost, 1.0) for cost in range(1, 10_000)])
    late = [cost for cost, _ in thinned if cost > 100]
    assert all(after <= before * RATIO**2 for before, after in itertools.pairwise(late))


def test_few_points_are_all_kept():
    points = [(1, 5.0), (2, 4.0), (4, 1.0)]
    assert recorded(points) == points


def test_values_that_are_not_finite_are_left_out():
    assert recorded([(1, math.inf), (2, 3.0), (5, math.nan)]) == [(2, 3.0)]
