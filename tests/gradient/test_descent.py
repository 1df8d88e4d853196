"""TorchGradient against torch.optim itself, and against counted steps on known functions."""

import pytest
import torch

from hybridopt import TorchGradient
from hybridopt.core import Evaluation
from hybridopt.evaluate import Evaluator
from hybridopt.gradient.descent import ELEMENTWISE, REFUSED
from hybridopt.objectives.function import TorchObjective


def free(dim, dtype=torch.float64):
    upper = torch.full((dim,), torch.inf, dtype=dtype)
    return -upper, upper


def bumpy(x):
    return (x @ torch.ones(x.shape[-1], 3, dtype=x.dtype) - 1).square().sum(-1) + torch.cos(3 * x).sum(-1)


def value_and_grad(fun, x):
    x = x.detach().clone().requires_grad_()
    value = fun(x)
    return value.detach(), torch.autograd.grad(value.sum(), x)[0]


OPTIONS = [(name, {}) for name in ELEMENTWISE] + [
    ("SGD", {"lr": 0.01, "momentum": 0.9}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_rows_equal_separate_torch_optimizers_exactly(name, options, dtype):
    base = getattr(torch.optim, name)
    x = torch.randn(13, 10, dtype=dtype, generator=torch.Generator().manual_seed(0)) + 1
    optimizer = TorchGradient(base, **options)
    state = optimizer.init(x, *free(10, dtype), seed=0)
    leaves = [torch.nn.Parameter(row.clone()) for row in x]
    peers = [base([leaf], **options) for leaf in leaves]
    for _ in range(200):
        query = optimizer.ask(state)
        value, grad = value_and_grad(bumpy, query.x)
        for leaf, peer, row in zip(leaves, peers, grad, strict=True):
            leaf.grad = row.clone()
            peer.step()
        state = optimizer.tell(state, Evaluation(query.x, value, grad))
        difference = (optimizer.ask(state).x - torch.stack([leaf.detach() for leaf in leaves])).abs().max()
        assert difference == 0.0


def saddle(x):
    return x[..., 0] ** 2 - x[..., 1] ** 2


def beale(x):
    a, b = x[..., 0], x[..., 1]
    return (1.5 - a + a * b) ** 2 + (2.25 - a + a * b**2) ** 2 + (2.625 - a + a * b**3) ** 2


def steps_until(optimizer, fun, start, there):
    lower, upper = free(2)
    evaluate = Evaluator(TorchObjective(fun, (), True, None), lower, upper)
    state = optimizer.init(torch.tensor([start], dtype=torch.float64), lower, upper, seed=0)
    for step in range(10_000):
        query = optimizer.ask(state)
        if there(query.x[0]):
            return step
        state = optimizer.tell(state, evaluate(query))
    raise AssertionError("never there")


CASES = {  # name: (base, options, steps until |y| > 1, steps until within 1e-2 of Beale's minimum)
    "descent": (torch.optim.SGD, {"lr": 0.01}, 698, 1196),
    "momentum": (torch.optim.SGD, {"lr": 0.01, "momentum": 0.9}, 140, 110),
    "nesterov": (torch.optim.SGD, {"lr": 0.01, "momentum": 0.9, "nesterov": True}, 132, 147),
    "adadelta": (torch.optim.Adadelta, {"lr": 1.0, "rho": 0.9, "eps": 1e-6}, 37, 451),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.001, "alpha": 0.9}, 951, 2036),
    "adam": (torch.optim.Adam, {"lr": 0.001}, 626, 7127),
    "adamax": (torch.optim.Adamax, {"lr": 0.002}, 539, 3810),
}


@pytest.mark.parametrize("name", CASES)
def test_saddle_is_left_after_the_known_number_of_steps(name):
    base, options, expected, _ = CASES[name]
    steps = steps_until(TorchGradient(base, **options), saddle, (1.0, 1e-6), lambda x: x[1].abs() > 1)
    assert steps == expected


@pytest.mark.parametrize("name", CASES)
def test_minimum_of_beale_is_reached_after_the_known_number_of_steps(name):
    base, options, _, expected = CASES[name]
    minimum = torch.tensor([3.0, 0.5], dtype=torch.float64)
    optimizer = TorchGradient(base, **options)
    assert steps_until(optimizer, beale, (1.0, 1.0), lambda x: (x - minimum).norm() <= 1e-2) == expected


@pytest.mark.parametrize("name", REFUSED)
def test_methods_that_mix_rows_are_refused_with_the_reason(name):
    with pytest.raises(TypeError, match=f"torch.optim.{name} can't run on rows: "):
        TorchGradient(getattr(torch.optim, name))


@pytest.mark.parametrize(
    ("base", "options", "message"),
    [
        (torch.optim.Adam, {"learning_rate": 0.1}, "it takes .*'lr'"),
        (torch.optim.Adam, {"schedule": 3}, "schedule must be a callable"),
        (torch.optim.Adam, {"schedule": torch.optim.lr_scheduler.StepLR}, "schedule must be .* got <class"),
        (torch.optim.Adam, {"population_size": 2.5}, "population_size must be a whole number"),
        (torch.optim.Adam, {"lr": "fast"}, "lr must be a number, got 'fast'"),
        (torch.optim.SGD, {"nesterov": "on"}, "nesterov must be true or false, got 'on'"),
        (torch.nn.Linear, {}, "base must be a class of torch.optim"),
        ("adam", {}, "base must be a class of torch.optim"),
    ],
)
def test_wrong_arguments_are_type_errors_that_say_what_to_do(base, options, message):
    with pytest.raises(TypeError, match=message):
        TorchGradient(base, **options)


@pytest.mark.parametrize("options", [{"lr": -1.0}, {"maximize": True}, {"population_size": 0}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=r"learning rate|maximize|population_size"):
        TorchGradient(torch.optim.Adam, **options)


def test_steps_are_projected_onto_the_box():
    lower, upper = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    optimizer = TorchGradient(torch.optim.SGD, lr=10.0)
    state = optimizer.init(torch.full((1, 2), 0.5, dtype=torch.float64), lower, upper, seed=0)
    grad = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    state = optimizer.tell(state, Evaluation(state.x, torch.zeros(1, dtype=torch.float64), grad))
    assert optimizer.ask(state).x.tolist() == [[0.0, 1.0]]


def test_row_without_a_finite_gradient_goes_half_way_back():
    optimizer = TorchGradient(torch.optim.SGD, lr=1.0)
    start = torch.tensor([[4.0]], dtype=torch.float64)
    state = optimizer.init(start, *free(1), seed=0)
    one = torch.ones(1, dtype=torch.float64)
    state = optimizer.tell(state, Evaluation(start, one, 8 * one[None]))  # to -4
    asked = optimizer.ask(state).x
    state = optimizer.tell(state, Evaluation(asked, one * torch.inf, one[None] * torch.nan))
    assert optimizer.ask(state).x.item() == 0.0
    assert state.x.item() == 4.0
    assert state.value.item() == 1.0


def test_equal_methods_have_equal_hashes():
    def method():
        return TorchGradient(torch.optim.Adam, lr=0.1, betas=[0.8, 0.9])

    assert method() == method()
    assert len({method(), method(), TorchGradient(torch.optim.SGD)}) == 2


def test_seeds_decide_about_rows_that_are_filled_up_alone():
    box = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    x = torch.full((1, 2), 0.5, dtype=torch.float64)
    three = TorchGradient(torch.optim.ASGD, population_size=3)
    first, second = (three.init(x, *box, seed=seed) for seed in (0, 1))
    assert not three.traits.stochastic
    assert torch.equal(first.x[0], second.x[0])
    assert not torch.equal(first.x, second.x)
    given = first.x
    assert torch.equal(three.init(given, *box, seed=0).x, three.init(given, *box, seed=1).x)
