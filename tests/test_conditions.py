"""Conditions see a short trace and nothing else."""

import math

import pytest
import torch

from hybridopt.conditions import (
    AllOf,
    AnyOf,
    Budget,
    LowDiversity,
    NegativeCurvature,
    Plateau,
    SmallGradient,
    Stalled,
    Steps,
    Target,
    Trace,
)
from hybridopt.core import Evaluation, State


def state(dim=2, lower=-math.inf, upper=math.inf):
    full = torch.full((dim,), 1.0, dtype=torch.float64)
    x = torch.zeros(1, dim, dtype=torch.float64)
    return State(x, x[:, 0], lower * full, upper * full, seed=0, step=0)


def evaluation(value, x=((0.0, 0.0),), grad=None):
    tensors = [None if t is None else torch.tensor(t, dtype=torch.float64) for t in (x, value, grad)]
    return Evaluation(*tensors)


def traced(values, trace=None, **options):
    trace = trace or Trace()
    for value in values:
        trace = trace.record(state(), evaluation([value], **options))
    return trace


def test_trace_keeps_the_best_the_cost_and_no_more_than_its_window():
    trace = traced([3, 1, 2], Trace(window=2))
    assert trace.best == (1, 1)
    assert trace.cost == (2, 3)
    assert trace.steps == 3


def test_gradient_norm_is_that_of_the_projected_gradient_of_the_worst_row():
    x, grad = [[0.0, 0.5], [1.0, 0.5]], [[2.0, 0.0], [-3.0, 0.125]]
    trace = Trace().record(state(lower=0, upper=1), evaluation([0.0, 1.0], x, grad))
    assert trace.grad_norm == (0.125,)  # the first components push against the bounds


def test_gradient_that_is_not_finite_is_never_small():
    trace = traced([0.0], grad=[[math.nan, math.nan]])
    assert not SmallGradient(1e9)(trace)
    assert not SmallGradient(1e9)(traced([0.0]))


def test_diversity_is_measured_only_where_a_condition_reads_it():
    rows = evaluation([0.0, 0.0], [[0.0, 0.0], [2.0, 2.0]])
    box = state(lower=0, upper=10)
    assert Trace.for_conditions(Steps(3)).record(box, rows).diversity == ()
    assert Trace.for_conditions(LowDiversity()).record(box, rows).diversity[0] == pytest.approx(0.1)
    assert Trace.for_conditions(AnyOf(Steps(3), LowDiversity())).reads_diversity


def test_one_row_has_no_diversity_to_lose():
    assert not LowDiversity(1.0)(traced([0.0]))


@pytest.mark.parametrize(
    ("condition", "no", "yes"),
    [
        (Budget(3), [1, 1], [1, 1, 1]),
        (Steps(2), [1], [1, 1]),
        (Target(0.5), [2, 1], [2, 0.5]),
        (Stalled(2), [3, 2, 1], [3, 2, 2, 2]),
        (Stalled(2, rtol=0.1), [10, 9.5, 8.9], [10, 9.5, 9.1]),
        (Stalled(2), [math.inf, math.inf, 1], [math.inf] * 3),
        (AllOf(Steps(2), Target(1)), [1], [1, 1]),
        (AnyOf(Steps(2), Target(0)), [1], [1, 1]),
    ],
)
def test_condition_fires_when_it_should_and_not_before(condition, no, yes):
    assert not condition(traced(no))
    assert condition(traced(yes))


def test_empty_trace_fires_nothing():
    conditions = (Budget(1), Steps(1), Target(0), Stalled(1), SmallGradient(), LowDiversity())
    assert not any(condition(Trace()) for condition in conditions)


def test_window_is_as_long_as_the_longest_memory():
    assert Trace.for_conditions(AnyOf(Stalled(500), Steps(3)), Stalled(7)).window == 501
    assert Trace.for_conditions(lambda trace: False).window == 128
    assert Trace(window=2).widened(Stalled(9)).window == 10


@pytest.mark.parametrize("condition", [Budget, Steps, Stalled])
def test_counts_must_be_whole_and_at_least_one(condition):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        condition(0)
    for wrong in (2.5, "ten", True, None):
        with pytest.raises(TypeError, match="must be a whole number of at least 1"):
            condition(wrong)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Target(math.nan), ValueError, "Target.value must be not NaN, got nan"),
        (lambda: Target("low"), TypeError, "Target.value must be a number"),
        (lambda: SmallGradient(-1), ValueError, "SmallGradient.tol must be at least 0, got -1"),
        (lambda: LowDiversity(-1), ValueError, "LowDiversity.share must be at least 0, got -1"),
        (lambda: Stalled(rtol="a"), TypeError, "Stalled.rtol must be a number, at least 0, got 'a'"),
        (lambda: Stalled(atol=math.nan), ValueError, "Stalled.atol"),
    ],
)
def test_numbers_of_conditions_are_checked_when_they_are_made(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_class_is_no_condition():
    with pytest.raises(TypeError, match="takes one or more conditions"):
        AnyOf(Stalled)


def test_combining_nothing_or_numbers_is_an_error():
    with pytest.raises(TypeError, match="takes one or more conditions"):
        AnyOf()
    with pytest.raises(TypeError, match="takes one or more conditions"):
        AllOf(Steps(1), 3)


def test_conditions_compare_and_print_by_their_content():
    assert AnyOf(Steps(1), Target(2.0)) == AnyOf(Steps(1), Target(2.0))
    assert repr(AllOf(Steps(1))) == "AllOf(Steps(count=1))"
    assert len({AnyOf(Steps(1)), AnyOf(Steps(1)), AllOf(Steps(1))}) == 2


def values(numbers, condition):
    """Tells until the condition is true, or None."""
    trace = Trace.for_conditions(condition)
    for tell, number in enumerate(numbers, 1):
        trace = trace.longer(float(number), 1)
        if condition(trace):
            return tell
    return None


def test_a_plateau_without_noise_is_seen_at_once_and_with_noise_later():
    g = torch.Generator().manual_seed(0)
    assert values([1.0] * 20, Plateau()) == 8
    seen = [values((1 + 0.01 * torch.randn(300, generator=g)).tolist(), Plateau()) for _ in range(20)]
    assert all(tell is not None and tell > 8 for tell in seen)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1, 0.3])
def test_a_loss_that_falls_is_hardly_ever_a_plateau(noise):
    g = torch.Generator().manual_seed(1)
    steps = torch.arange(256)
    runs = [(0.98**steps * (1 + noise * torch.randn(256, generator=g))).tolist() for _ in range(50)]
    assert sum(values(run, Plateau()) is not None for run in runs) <= 2


def test_a_fall_that_slows_down_to_nothing_is_a_plateau_before_it_ends():
    steps = torch.arange(256)
    slowing = (1 + torch.exp(-steps / 20)).tolist()
    assert values(slowing, Plateau()) < values(slowing, Plateau(ahead=0.0))
    assert values((steps + 1.0).pow(-0.5).tolist(), Plateau(steps=64)) is None


def test_values_that_are_not_finite_make_a_plateau_as_long_as_they_last():
    assert values([1.0] + [math.inf] * 8, Plateau()) == 8
    assert values([math.inf, 8, 7, 6, 5, 4, 3, 2], Plateau()) is None


def test_curvature_is_unknown_unless_measured():
    assert not NegativeCurvature()(Trace())
    trace = Trace.for_conditions(NegativeCurvature()).longer(1.0, 1)
    assert not NegativeCurvature()(trace)
    assert NegativeCurvature()(trace.with_curvature(-0.5))
    assert not NegativeCurvature()(trace.with_curvature(-1e-3))
