"""Spectra of the Hessian at the known saddles, in closed form; minima of the problems with saddles."""

import pytest
import torch

from hybridopt import problems

SEEDS = range(5)


def spectrum(problem, x):
    return torch.linalg.eigvalsh(torch.autograd.functional.hessian(problem.fun, x))


def close(found, expected):
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64).sort().values, rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_strict_saddle_has_one_negative_eigenvalue(seed):
    p = problems.make("strict_saddle", dim=4, seed=seed)
    close(spectrum(p, p.start), [-2.0, 2.0, 2.0, 2.0])


@pytest.mark.parametrize("seed", SEEDS)
def test_monkey_saddle_is_degenerate_and_the_minimum_is_on_the_boundary(seed):
    p = problems.make("monkey_saddle", seed=seed)
    close(spectrum(p, p.start), [0.0, 0.0])
    assert ((p.x[0] == p.lower) | (p.x[0] == p.upper)).any()
    edge = torch.linspace(-2, 2, 20001, dtype=torch.float64)
    fixed = torch.full_like(edge, 2.0)
    sides = [torch.stack(pair, 1) for s in (-1, 1) for pair in ((edge, s * fixed), (s * fixed, edge))]
    lowest = p.fun(torch.cat(sides)).min().item()
    assert p.value <= lowest <= p.value + 1e-6 * abs(p.value)


def test_the_minimum_of_the_monkey_saddle_is_sometimes_at_a_corner_and_sometimes_not():
    at_corner = [bool((problems.make("monkey_saddle", seed=seed).x.abs() == 2).all()) for seed in range(40)]
    assert 0 < sum(at_corner) < 40


@pytest.mark.parametrize("seed", SEEDS)
def test_hessian_of_the_rayleigh_quotient_at_an_eigenvector_is_the_spectrum_moved(seed):
    p = problems.make("rayleigh_quotient", dim=6, seed=seed)
    eigenvalues = p.fun.raw.spectrum
    assert len(p.saddles) == 4
    for k, saddle in enumerate(p.saddles, start=1):
        close(spectrum(p, saddle), (2 * (eigenvalues - eigenvalues[k])).tolist())
        assert p.fun(saddle).item() == pytest.approx(float(eigenvalues[k]), abs=1e-14)
    for x in p.x:
        close(spectrum(p, x), (2 * (eigenvalues - eigenvalues[0])).tolist())


def test_the_rayleigh_quotient_is_that_of_a_matrix():
    p = problems.make("rayleigh_quotient", dim=5, seed=3)
    turned = p.fun.rotation
    matrix = turned.T @ torch.diag(p.fun.raw.spectrum) @ turned
    centre = p.fun.at(torch.zeros(5, dtype=torch.float64))
    w = torch.tensor([0.3, -1.0, 2.0, 0.7, 0.1], dtype=torch.float64)
    assert p.fun(centre + w).item() == pytest.approx(float(w @ matrix @ w / (w @ w)), abs=1e-13)
    assert float(torch.linalg.eigvalsh(matrix)[0]) == pytest.approx(p.value, abs=1e-13)


@pytest.mark.parametrize("seed", SEEDS)
def test_low_rank_factorisation_has_the_predicted_curvature_at_every_saddle(seed):
    p = problems.make("low_rank_factorisation", seed=seed)
    s = [2.0, 1.25, 0.5]
    close(spectrum(p, p.start), [sign * 2 * sigma for sigma in s for sign in (-1, 1)] * 2 + [0.0, 0.0])
    # a slot is free: -2 sigma_2; one pair replaced by the last: 2 (sigma_3 - sigma_i)
    lowest = torch.stack([spectrum(p, saddle)[0] for saddle in p.saddles])
    expected = torch.tensor([-4.0, -2.5, -3.0, -1.5], dtype=torch.float64)
    torch.testing.assert_close(lowest, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("rows", "columns", "rank"), [(4, 3, 2), (5, 5, 1), (3, 6, 3)])
def test_low_rank_minimum_is_that_of_eckart_and_young(rows, columns, rank):
    p = problems.make("low_rank_factorisation", rows=rows, columns=columns, rank=rank, seed=1)
    raw = p.fun.raw
    matrix = (raw.left * raw.singular) @ raw.right.T
    left_out = torch.linalg.svdvals(matrix)[rank:]
    assert p.value == pytest.approx(float(left_out.square().sum()), abs=1e-13)
    assert p.fun(p.x)[0].item() == pytest.approx(p.value, abs=1e-13)
    assert ((p.x > p.lower) & (p.x < p.upper)).all()
    assert spectrum(p, p.x[0])[0] > -1e-11
    assert len({tuple(saddle.tolist()) for saddle in p.saddles}) == len(p.saddles)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_saddles_of_the_deep_linear_network_are_degenerate_but_for_the_last_two(seed):
    p = problems.make("deep_linear_network", seed=seed)
    close(spectrum(p, p.start), [0.0] * 16)
    _, leading, *replaced = (spectrum(p, saddle)[0] for saddle in p.saddles)
    assert abs(leading) < 1e-11
    assert len(replaced) == 2
    assert max(replaced) < -0.1
    assert spectrum(p, p.x[0])[0] > -1e-11


@pytest.mark.parametrize(("inputs", "hidden", "outputs"), [(3, 2, 3), (4, 1, 2), (2, 2, 5)])
def test_the_minimum_of_the_deep_linear_network_is_that_of_rank_constrained_regression(
    inputs, hidden, outputs
):
    sizes = {"inputs": inputs, "hidden": hidden, "outputs": outputs}
    p = problems.make("deep_linear_network", **sizes, seed=2)
    a, b = p.fun.raw.inputs, p.fun.raw.targets
    solution = torch.linalg.lstsq(a, b).solution
    residual = (a @ solution - b).square().sum(1).mean()
    left_out = torch.linalg.svdvals(solution)[hidden:].square().sum()  # the inputs are white
    assert p.value == pytest.approx(float(residual + left_out), abs=1e-12)
    assert p.fun(p.x)[0].item() == pytest.approx(p.value, abs=1e-12)


@pytest.mark.parametrize("dim", [1, 4, 20])
def test_phase_retrieval_has_two_minima_and_a_maximum_between(dim):
    p = problems.make("phase_retrieval", dim=dim, seed=1)
    between = p.x.mean(0)
    torch.testing.assert_close(between, p.fun.shift)
    top = p.fun.shift.clone().requires_grad_()
    assert (torch.autograd.grad(p.fun(top), top)[0] == 0).all()
    assert spectrum(p, p.fun.shift)[-1] < 0
    assert spectrum(p, p.x[0])[0] > 0
    assert float((p.x[0] - p.x[1]).norm()) == pytest.approx(2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("low_rank_factorisation", {"rank": 4}, r"must be in 1 \.\. min\(rows, columns\) = 3, got 4"),
        ("deep_linear_network", {"hidden": 0}, r"must be in 1 \.\. min\(inputs, outputs\) = 3, got 0"),
        ("rayleigh_quotient", {"dim": 2}, "needs dim of at least 3, got 2"),
        ("monkey_saddle", {"dim": 3}, "two dimensions, got dim=3"),
    ],
)
def test_sizes_that_do_not_exist_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        problems.make(name, **options)
