"""Losses on data as functions of a flat vector: reference solvers, and the counted steps of descent."""

import math

import pytest
import torch

import hybridopt
from hybridopt import problems
from hybridopt.autodiff import flatten
from hybridopt.evaluate import Evaluator
from hybridopt.objectives.function import TorchObjective
from hybridopt.problems.network import NetworkLoss


def steps_of_descent(p, digits):
    """Steps of 1/lambda_max from 0 until the distance to the minimiser has fallen by 10^-digits."""
    largest = torch.linalg.eigvalsh(torch.autograd.functional.hessian(p.fun, p.x[0]))[-1]
    optimizer = hybridopt.TorchGradient(torch.optim.SGD, lr=float(1 / largest))
    upper = torch.full((p.dim,), torch.inf, dtype=torch.float64)
    evaluate = Evaluator(TorchObjective(p.fun, (), True, None), -upper, upper)
    state = optimizer.init(torch.zeros(1, p.dim, dtype=torch.float64), -upper, upper, seed=0)
    for step in range(10_000):
        query = optimizer.ask(state)
        if (query.x[0] - p.x[0]).norm() <= 10.0**-digits * p.x[0].norm():
            return step
        state = optimizer.tell(state, evaluate(query))
    raise AssertionError("never there")


def test_gradient_descent_on_diabetes_takes_the_predicted_number_of_steps():
    p = problems.make("diabetes")
    spectrum = torch.linalg.eigvalsh(torch.autograd.functional.hessian(p.fun, p.x[0]))
    predicted = math.log(1e6) / -math.log1p(-float(spectrum[0] / spectrum[-1]))
    assert predicted == pytest.approx(6487.5, abs=0.1)
    steps = steps_of_descent(p, 6)
    assert steps == pytest.approx(6371, abs=2)
    assert 0.97 * predicted <= steps <= predicted


def test_minimum_of_diabetes_is_scikit_learns():
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression

    x, y = load_diabetes(return_X_y=True)
    share = LinearRegression().fit(x, y).score(x, y)  # of the variance, whatever the units
    p = problems.make("diabetes")
    assert p.value == pytest.approx((1 - share) / 2, rel=1e-12)


@pytest.mark.parametrize("penalty", [1.0, 10.0])
def test_minimum_of_breast_cancer_is_scikit_learns(penalty):
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x, y = load_breast_cancer(return_X_y=True)
    model = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000)
    model.fit(StandardScaler().fit_transform(x), y)
    p = problems.make("breast_cancer", penalty=penalty)
    found = torch.as_tensor([*model.coef_[0], *model.intercept_])
    assert p.fun(found).item() == pytest.approx(p.value, abs=1e-11)
    torch.testing.assert_close(p.x[0], found, rtol=0, atol=1e-4)


def test_minimum_of_breast_cancer_has_the_stated_precision():
    p = problems.make("breast_cancer")
    x = p.x[0].clone().requires_grad_()
    (grad,) = torch.autograd.grad(p.fun(x), x)
    lowest = torch.linalg.eigvalsh(torch.autograd.functional.hessian(p.fun, p.x[0]))[0]
    assert grad.norm() <= 1e-10
    assert grad.norm() ** 2 / (2 * lowest) < 1e-16  # how far the value is above the minimum
    assert grad.norm() / lowest < 1e-7  # how far the point is from the minimiser


@pytest.mark.parametrize(("penalty", "message"), [(0.0, "must be above 0"), (1e-6, "outside of the box")])
def test_a_penalty_without_a_minimum_in_the_box_is_refused(penalty, message):
    with pytest.raises(ValueError, match=message):
        problems.make("breast_cancer", penalty=penalty)


def test_a_network_as_a_function_is_the_network():
    p = problems.make("digits_network", seed=1)
    task = problems.make_task("digits_mlp", seed=1)
    model = task.model(0)
    w = flatten(model.parameters())
    expected = task.loss_fn(model(task.train_x), task.train_y)
    expected.backward()
    risk = task.risk()
    value, grad, _ = risk.answer(hybridopt.core.Query(torch.stack([w, w]), order=1), 0)
    torch.testing.assert_close(value, expected.detach().expand(2))
    torch.testing.assert_close(grad[1], flatten(p.grad for p in model.parameters()))
    assert p.dim == w.numel() == 2410
    assert float(p.fun(p.start)) == pytest.approx(math.log(10), abs=0.2)  # first weights know nothing


def test_minimize_trains_a_network_in_minibatches():
    task = problems.make_task("digits_linear", seed=0)
    result = hybridopt.minimize(
        task.risk(batch_size=64),
        flatten(task.model(0).parameters()),
        method=torch.optim.Adam,
        options={"lr": 0.01},
        max_evals=1000,
        seed=0,
    )
    assert result.fun < 0.3


def test_a_network_starts_by_seed_in_the_box():
    for name in ("diabetes_network", "breast_cancer_network", "digits_network", "digits"):
        p = problems.make(name, seed=0)
        assert ((p.start > p.lower) & (p.start < p.upper)).all()
        assert p.start.dtype == torch.float64


def test_a_network_with_buffers_is_refused():
    def network():
        return torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))

    with pytest.raises(ValueError, match=r"no buffers, got '1.running_mean'; use LayerNorm"):
        NetworkLoss(network, torch.nn.functional.mse_loss)
