"""Distinct minima, and how often each came back."""

import itertools

import pytest
import torch

from hybridopt.hybrid.minima import add, duplicates, none_yet, united
from hybridopt.start import unit

F64 = {"dtype": torch.float64}


def ends(count, seed=0):
    """Ends of searches near to one of five minima, of values that say how near."""
    g = torch.Generator().manual_seed(seed)
    centre = torch.arange(5, **F64)[torch.randint(5, (count,), generator=g)]
    off = 1e-4 * torch.rand(count, generator=g, **F64)
    return (centre + off)[:, None].repeat(1, 2), centre + off


def test_ends_that_come_together_are_the_same_minima_as_ends_that_come_in_turn():
    width = torch.ones(2, **F64)
    (x, value), (later, heights) = ends(40), ends(40, seed=1)
    together = add(add(none_yet(x), x, value, width), later, heights, width)
    in_turn = none_yet(x)
    for one, height in zip(torch.cat([x, later]), torch.cat([value, heights]), strict=True):
        in_turn = add(in_turn, one[None], height[None], width)
    assert torch.equal(together.visits, in_turn.visits)
    assert torch.equal(together.value, in_turn.value)
    assert torch.equal(together.x, in_turn.x)
    assert int(together.visits.sum()) == 80


def test_no_ends_change_nothing():
    x, value = ends(3)
    minima = add(none_yet(x), x, value, torch.ones(2, **F64))
    assert add(minima, x[:0], value[:0], torch.ones(2, **F64)) is minima


def test_a_fixed_variable_does_not_tell_points_apart_and_does_not_divide_by_zero():
    lower, upper = torch.tensor([0.0, 2.0, -torch.inf]), torch.tensor([10.0, 2.0, 3.0])
    width = unit(torch.tensor([1.0, 2.0, -5.0]), lower, upper)
    assert width.tolist() == [10.0, 1.0, 5.0]
    x = torch.tensor([[1.0, 2.0, -5.0], [1.005, 2.0, -5.0], [1.5, 2.0, -5.0]])
    assert duplicates(x, width).tolist() == [False, True, False]


def test_a_union_takes_what_is_new_or_lower_and_counts_nothing_twice():
    width = torch.ones(2, **F64)
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], **F64)  # of one value
    one = add(none_yet(corners), corners[:2], torch.zeros(2, **F64), width)
    other = add(none_yet(corners), corners[1:], torch.tensor([-1e-9, 0.0, 0.0], **F64), width)
    both = united(one, other, width)
    assert sorted(both.x.tolist()) == sorted(corners.tolist())
    assert float(both.value[0]) == -1e-9
    again = united(both, other, width)
    assert torch.equal(again.visits, both.visits)
    assert torch.equal(again.x, both.x)
    assert united(none_yet(corners), other, width) is other


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_a_union_of_many_minima_of_one_value_loses_none(dtype, offset):
    corners = torch.tensor(list(itertools.product([-1.0, 0.0, 1.0], repeat=4)), dtype=dtype)
    width, value = torch.ones(4, dtype=dtype), torch.full((len(corners),), offset, dtype=dtype)
    one = add(none_yet(corners), corners[:40], value[:40], width)
    other = add(none_yet(corners), corners[40:], value[40:], width)
    assert len(united(one, other, width).x) == len(corners)
