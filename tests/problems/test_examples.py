"""The small examples: autograd against the derivative by hand, minima against numbers by hand."""

import math

import pytest
import torch

from hybridopt import problems

EXAMPLES = ["square", "plane", "product", "line_fit", "bernoulli_likelihood", "categorical_likelihood"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", EXAMPLES)
def test_autograd_is_the_closed_form(name, seed):
    p = problems.make(name, seed=seed)
    g = torch.Generator().manual_seed(seed)
    share = torch.rand(50, p.dim, generator=g, dtype=torch.float64)
    x = (p.lower + share * (p.upper - p.lower)).requires_grad_()
    (found,) = torch.autograd.grad(p.fun(x).sum(), x)
    torch.testing.assert_close(found, p.grad(x.detach()), rtol=1e-14, atol=1e-14)


def test_derivatives_at_a_point_are_those_by_hand():
    for name, x, value, grad in (
        ("square", [3.0], 9.0, [6.0]),
        ("plane", [1.0, 2.0], 20.0, [4.0, 8.0]),
        ("product", [-2.0, 5.0, -4.0], -12.0, [-4.0, -4.0, 3.0]),
        ("line_fit", [1.0], 2.2, [-8.8]),
    ):
        p = problems.make(name)
        point = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        assert p.fun(point).item() == pytest.approx(value, rel=1e-15)
        torch.testing.assert_close(
            torch.autograd.grad(p.fun(point), point)[0], torch.tensor(grad, dtype=torch.float64)
        )


def test_the_line_fit_has_the_mean_squared_error_0_44():
    p = problems.make("line_fit")
    x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)
    y = torch.tensor([1.0, 2.0, 4.0, 5.0, 8.0], dtype=torch.float64)
    slope = torch.linalg.lstsq(x[:, None], y[:, None]).solution.item()
    assert slope == pytest.approx(1.4, rel=1e-14)
    assert torch.nn.functional.mse_loss(slope * x, y).item() == pytest.approx(0.44, rel=1e-14)
    assert p.value == 0.44
    assert p.x.item() == 1.4


def test_the_bernoulli_likelihood_is_that_of_the_shares():
    p = problems.make("bernoulli_likelihood")
    by_hand = -(math.log(1 / 4) + 3 * math.log(3 / 4) + 3 * math.log(3 / 5) + 2 * math.log(2 / 5)) / 9
    assert p.value == pytest.approx(by_hand, rel=1e-15)
    w, b = p.x[0].tolist()
    assert 1 / (1 + math.exp(-b)) == pytest.approx(1 / 4)
    assert 1 / (1 + math.exp(-w - b)) == pytest.approx(3 / 5)


def test_the_categorical_likelihood_is_the_entropy_of_the_shares_and_flat_along_a_line():
    p = problems.make("categorical_likelihood")
    by_hand = -(math.log(1 / 8) + 2 * math.log(1 / 4) + 5 * math.log(5 / 8)) / 8
    assert p.value == pytest.approx(by_hand, rel=1e-15)
    torch.testing.assert_close(p.fun(p.x + 0.3), p.fun(p.x))
    assert p.fun(torch.zeros(3)).item() == pytest.approx(math.log(3))


def test_the_likelihoods_are_those_of_torch():
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

    w = torch.tensor([0.7, -0.2], dtype=torch.float64)
    heads = torch.tensor([1, 0, 0, 0, 1, 1, 0, 1, 0], dtype=torch.float64)
    logit = torch.cat([w[1].expand(4), (w[0] + w[1]).expand(5)])
    expected = binary_cross_entropy_with_logits(logit, heads)
    torch.testing.assert_close(problems.make("bernoulli_likelihood").fun(w), expected)
    z = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    expected = cross_entropy(z.expand(8, 3), torch.tensor([0, 1, 1, 2, 2, 2, 2, 2]))
    torch.testing.assert_close(problems.make("categorical_likelihood").fun(z), expected)


@pytest.mark.parametrize("saddle", range(2))
def test_the_hessian_of_the_product_is_the_same_everywhere(saddle):
    p = problems.make("product")
    found = torch.linalg.eigvalsh(torch.autograd.functional.hessian(p.fun, p.saddles[saddle]))
    torch.testing.assert_close(found, torch.tensor([-math.sqrt(2), 0, math.sqrt(2)], dtype=torch.float64))


@pytest.mark.parametrize(("name", "dim"), [("square", 2), ("plane", 3), ("product", 2), ("line_fit", 2)])
def test_another_dimension_is_refused(name, dim):
    with pytest.raises(ValueError, match=f"got dim={dim}; leave dim away"):
        problems.make(name, dim=dim)
