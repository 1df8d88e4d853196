"""The one place that calls the objective."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from hybridopt import TorchGradient
from hybridopt.conditions import Trace
from hybridopt.core import Query
from hybridopt.evaluate import Evaluator
from hybridopt.loop import begin, iterate
from hybridopt.objectives.function import TorchObjective


def evaluator(fun, dim=2, **options):
    upper = torch.full((dim,), 4.0, dtype=torch.float64)
    return Evaluator(TorchObjective(fun, (), True, None), -upper, upper, **options)


X = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.0, 0.0]], dtype=torch.float64)


def cubic(x):
    return x[:, 0] ** 3 + x[:, 0] * x[:, 1] ** 2


def test_values_gradients_and_hessian_vector_products_are_those_of_calculus():
    direction = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    answer = evaluator(cubic)(Query(X, 2, 0, direction))
    a, b = X.T
    assert torch.allclose(answer.value, a**3 + a * b**2)
    assert torch.allclose(answer.grad, torch.stack([3 * a**2 + b**2, 2 * a * b], 1))
    p, q = direction.T
    assert torch.allclose(answer.hvp, torch.stack([6 * a * p + 2 * b * q, 2 * b * p + 2 * a * q], 1))


def test_hessian_of_a_linear_function_is_zero():
    answer = evaluator(lambda x: x.sum(1))(Query(X, 2, 0, X))
    assert not answer.hvp.any()


def test_one_query_is_one_call():
    calls = []
    evaluator(lambda x: (calls.append(len(x)), cubic(x))[1])(Query(X, 1))
    assert calls == [3]


def test_what_is_not_finite_becomes_infinity_and_nan():
    def fun(x):
        table = torch.tensor([math.nan, -math.inf, 1.0], dtype=torch.float64)
        return table + torch.sqrt((x**2).sum(1))

    answer = evaluator(fun)(Query(X, 1))
    assert answer.value.tolist() == [math.inf, math.inf, 1.0]
    assert torch.isnan(answer.grad).all()  # the last by sqrt at 0


def test_points_outside_are_the_optimizers_error():
    with pytest.raises(ValueError, match="asked for points outside the bounds"):
        evaluator(cubic)(Query(X + 3))
    with pytest.raises(ValueError, match="asked for points outside the bounds"):
        evaluator(cubic)(Query(X * math.nan))


def test_slices_of_an_executor_make_the_whole():
    direction = torch.ones_like(X)
    with ThreadPoolExecutor(2) as executor:
        shared = evaluator(cubic, executor=executor)(Query(X, 2, 0, direction))
    alone = evaluator(cubic)(Query(X, 2, 0, direction))
    assert all(torch.equal(a, b) for a, b in zip(shared, alone, strict=True))


def test_ledger_books_units_by_order_and_counts_what_is_not_finite():
    optimizer = TorchGradient(torch.optim.SGD, lr=0.1)
    evaluate = evaluator(lambda x: torch.where(x[:, 0] > 2, torch.nan, cubic(x)))
    state = optimizer.init(X, evaluate.lower, evaluate.upper, seed=0)
    first = next(iterate(optimizer, evaluate, begin(state, Trace())))
    assert (first.ledger.values, first.ledger.grads, first.ledger.nonfinite) == (3, 3, 1)
    assert first.ledger.cost == 6
    assert first.best_value == 0.0
    assert first.best_x.tolist() == [0.0, 0.0]
