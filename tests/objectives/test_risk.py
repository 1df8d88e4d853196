"""Empirical risk: batch, stochastic and mini-batch descent are one setting."""

import numpy as np
import pytest
import torch

import hybridopt
from hybridopt import EmpiricalRisk, TorchGradient
from hybridopt.core import Query
from hybridopt.evaluate import Evaluator


def data(length=60):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(length, 3, generator=g, dtype=torch.float64)
    return x, x @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) + 0.1 * torch.randn(
        length, generator=g, dtype=torch.float64
    )


def squared(w, x, y):
    return ((x @ w - y) ** 2).mean()


def closed_form(x, y):
    return np.linalg.lstsq(x.numpy(), y.numpy(), rcond=None)[0]


def test_batch_descent_reaches_the_closed_form():
    x, y = data()
    risk = EmpiricalRisk(squared, (x, y))
    result = hybridopt.minimize(risk, x0=[0.0] * 3, method=TorchGradient(torch.optim.SGD, lr=0.1))
    assert result.success
    np.testing.assert_allclose(result.x, closed_form(x, y), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 20])
def test_smaller_batches_come_near_the_closed_form_with_a_falling_rate(batch_size):
    x, y = data()
    method = TorchGradient(torch.optim.SGD, schedule=lambda step: 0.1 / (1 + 0.02 * step))
    risk = EmpiricalRisk(squared, (x, y), batch_size)
    for seed in range(5):
        result = hybridopt.minimize(risk, x0=[0.0] * 3, method=method, max_evals=3000, seed=seed)
        np.testing.assert_allclose(result.x, closed_form(x, y), atol=0.05)


@pytest.mark.parametrize("batch_size", [1, 7, 20, 60, None])
def test_every_epoch_sees_every_example_once_in_another_order(batch_size):
    rows = torch.arange(60)
    risk = EmpiricalRisk(lambda w, x: w.sum(), (rows,), batch_size)
    epochs = []
    for epoch in range(2):
        samples = range(epoch * risk.batches, (epoch + 1) * risk.batches)
        epochs.append(torch.cat([risk.batch(sample, 5)[0] for sample in samples]))
    assert all(torch.equal(epoch.sort().values, rows) for epoch in epochs)
    assert torch.equal(*epochs) == (batch_size in (60, None))


def test_equal_samples_mean_equal_batches_whatever_came_between():
    risk = EmpiricalRisk(squared, data(), 7)
    first = risk.batch(3, 1)
    risk.batch(40, 1)
    risk.batch(3, 2)
    assert torch.equal(risk.batch(3, 1)[0], first[0])
    assert not torch.equal(risk.batch(3, 2)[0], first[0])


def test_reported_value_is_that_of_all_data():
    x, y = data()
    result = hybridopt.minimize(
        EmpiricalRisk(squared, (x, y), 5), x0=[0.0] * 3, method="sgd", options={"lr": 0.05}, max_evals=500,
        seed=0,
    )  # fmt: skip
    assert result.fun == pytest.approx(float(squared(torch.as_tensor(result.x), x, y)), rel=1e-12)
    assert result.ledger.phases["all data"] == 2
    assert result.ledger.cost == 500


def test_rows_share_the_batch():
    risk = EmpiricalRisk(squared, data(), 7)
    free = torch.full((3,), torch.inf, dtype=torch.float64)
    w = torch.ones(4, 3, dtype=torch.float64)
    value = Evaluator(risk, -free, free)(Query(w, 1, 3)).value
    assert (value == value[0]).all()


@pytest.mark.parametrize("size", [0, 61, -1, 2.5])
def test_batch_size_must_be_in_range(size):
    with pytest.raises(ValueError, match=r"batch_size must be a whole number in 1 .. 60"):
        EmpiricalRisk(squared, data(), size)


def test_data_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"same length, at least 1, got lengths \[2, 3\]"):
        EmpiricalRisk(squared, (torch.zeros(3), torch.zeros(2)))


def interrupting(error, after):
    calls = []

    def loss(w, x, y):
        calls.append(1)
        if len(calls) == after:
            raise error
        return squared(w, x, y)

    return loss


def test_interrupted_run_reports_the_value_on_all_data():
    x, y = data()
    risk = EmpiricalRisk(interrupting(KeyboardInterrupt, 20), (x, y), 2)
    result = hybridopt.minimize(risk, x0=[0.0] * 3, method="sgd", options={"lr": 0.01}, seed=0)
    assert result.status == 5
    assert result.fun == pytest.approx(float(squared(torch.as_tensor(result.x), x, y)), rel=1e-12)


@pytest.mark.parametrize("budget", [1, 2, 3, 5, 12, 40])
@pytest.mark.parametrize("method", ["genetic", "sgd"])
def test_small_budgets_are_kept_to(budget, method):
    risk = EmpiricalRisk(squared, data(), 5)
    assert hybridopt.minimize(risk, x0=[0.0] * 3, method=method, max_evals=budget).ledger.cost <= budget


def test_loss_with_dropout_repeats_with_its_seed_and_leaves_the_generator_alone():
    def dropped(w, x, y):
        return squared(w, torch.dropout(x, 0.5, train=True), y)

    before = torch.get_rng_state()
    for x0 in ([0.0] * 3, [[0.0] * 3, [1.0] * 3]):
        runs = [
            hybridopt.minimize(
                EmpiricalRisk(dropped, data(), 5), x0=x0, method="sgd", options={"lr": 0.01}, max_evals=200,
                seed=2,
            )
            for _ in range(2)
        ]  # fmt: skip
        np.testing.assert_array_equal(runs[0].x, runs[1].x)
    assert torch.equal(torch.get_rng_state(), before)


def test_wrong_data_and_losses_are_clear_errors():
    with pytest.raises(TypeError, match=r"write \(data,\)"):
        EmpiricalRisk(squared, torch.zeros(3, 2))
    with pytest.raises(TypeError, match="use torch.as_tensor"):
        EmpiricalRisk(squared, (np.zeros((3, 2)), np.zeros(3)))
    with pytest.raises(ValueError, match="for one point, expected"):
        hybridopt.minimize(EmpiricalRisk(lambda w, x, y: (x @ w - y) ** 2, data()), x0=[0.0] * 3)
    with pytest.raises(TypeError, match="args, jac and vectorized are not used"):
        hybridopt.minimize(EmpiricalRisk(squared, data()), x0=[0.0] * 3, vectorized=True)
