"""Rows to begin with."""

import math

import torch

from hybridopt.start import fill, widths


def tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def test_widths_are_those_of_the_box_and_of_the_point_where_it_is_free():
    lower, upper = tensor(-1, -math.inf, 2, 0), tensor(3, math.inf, 2, math.inf)
    assert widths(tensor(0, -7, 2, 0.5), lower, upper).tolist() == [4, 7, 0, 1]


def test_first_rows_are_kept_and_the_best_taken_where_there_are_more():
    x = torch.rand(5, 2, dtype=torch.float64)
    assert torch.equal(fill(x, 3, tensor(0, 0), tensor(1, 1), 0), x[:3])
    assert torch.equal(fill(x, 9, tensor(0, 0), tensor(1, 1), 0)[:5], x)


def test_new_rows_are_uniform_in_finite_bounds():
    x = fill(tensor(1, 1)[None], 20_001, tensor(-1, 2), tensor(3, 2), 0)[1:]
    assert (x[:, 1] == 2).all()
    quantiles = torch.quantile(x[:, 0], tensor(0.25, 0.5, 0.75))
    assert torch.allclose(quantiles, tensor(0, 1, 2), atol=0.05)


def test_new_rows_scatter_normally_around_the_first_where_free_and_stop_at_the_bound():
    x = fill(tensor(5, 0.5)[None], 20_001, tensor(-math.inf, 0), tensor(math.inf, math.inf), 0)[1:]
    assert abs(float(x[:, 0].mean()) - 5) < 0.15
    assert abs(float(x[:, 0].std()) - 5) < 0.15
    assert (x[:, 1] >= 0).all()
    assert (x[:, 1] == 0).any()


def test_rows_repeat_with_the_seed():
    rows = [fill(tensor(0, 0)[None], 9, tensor(-1, -1), tensor(2, 2), seed) for seed in (1, 1, 2)]
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
