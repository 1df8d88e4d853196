"""Every class and input of torch's own optimizer tests: `Hybrid` answers each as the base does."""

import os
import subprocess
import sys

import pytest
import torch
from contract_options import BASES, CASES, OPTIONS, label, takes
from contract_tasks import assert_twins, base, hybrid, task_loop
from torch import nn

from hybridopt.optim import Hybrid

LISTING = """
import warnings
warnings.simplefilter("ignore")
from torch.testing._internal.common_optimizers import optim_db
for info in optim_db:
    for made in info.optim_inputs_func("cpu"):
        print(info.optim_cls.__name__, sorted(made.kwargs.items()), sep="\\t")
"""


@pytest.mark.slow
def test_the_options_hold_all_that_torch_itself_tests():
    # in a process of its own: the import sets flags of torch for good, and needs torch's test requirements
    pytest.importorskip("expecttest")
    paths = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": paths}
    listed = subprocess.run(
        [sys.executable, "-c", LISTING], env=environment, check=True, capture_output=True, text=True
    )
    ours = {f"{name}\t{sorted(options.items())}" for name in BASES for options in OPTIONS[name]}
    assert set(listed.stdout.splitlines()) <= ours
    assert listed.stdout


def test_every_optimizer_of_torch_has_options():
    classes = {name for name, kind in vars(torch.optim).items() if isinstance(kind, type)}
    found = {name for name in classes if issubclass(getattr(torch.optim, name), torch.optim.Optimizer)}
    assert found - {"Optimizer"} == set(BASES)


def refused(name, params, options):
    """The base's error when it is made, or None."""
    try:
        base(name, params, **options)
    except Exception as error:
        return error
    return None


ACCEPTED = [case for case in CASES if refused(case[0], [nn.Parameter(torch.ones(1, 1))], case[1]) is None]
WITHOUT_CLOSURE = [case for case in ACCEPTED if case[0] != "LBFGS"]


@pytest.mark.parametrize(("name", "options"), ACCEPTED, ids=label)
def test_closures_give_the_base_bit_for_bit(name, options):
    tried = name != "SparseAdam"  # sparse gradients are never mutated
    assert_twins(lambda make: task_loop(name, make, options), tried=tried)


@pytest.mark.parametrize(("name", "options"), WITHOUT_CLOSURE, ids=label)
def test_no_closure_gives_the_base_bit_for_bit(name, options):
    assert_twins(lambda make: task_loop(name, make, options, closures=False), 4, tried=False)


def one(**options):
    """A parameter of two dimensions, as Muon wants them, and options for all."""
    return [nn.Parameter(torch.ones(1, 1))], options


def twice():
    param = nn.Parameter(torch.ones(1, 1))
    return [{"params": param}, {"params": param}], {}


def half_named():
    return [("weight", nn.Parameter(torch.ones(1, 1))), nn.Parameter(torch.ones(1, 1))], {}


def half_named_groups():
    named = [("weight", nn.Parameter(torch.ones(1, 1)))]
    return [{"params": [nn.Parameter(torch.ones(1, 1))], "lr": 0.01}, {"params": named}], {}


EVERYWHERE = [
    lambda: (nn.Parameter(torch.ones(1, 1)), {}),
    lambda: ([], {}),
    lambda: ([None], {}),
    lambda: ([{"params": set(one()[0])}], {}),
    lambda: ([nn.Parameter(torch.ones(1, 1)) * 2], {}),
    lambda: one(lr=-1.0),
    lambda: one(lr=torch.tensor([0.001, 0.001])),
    lambda: one(rate=0.1),
    twice,
    half_named,
    half_named_groups,
]
BETAS = [lambda: one(lr=0.01, betas=(1.0, 0.0)), lambda: one(lr=0.01, weight_decay=-1)]
TENSORS = [
    lambda: one(lr=torch.tensor(0.001), foreach=True),
    lambda: one(lr=0.01, betas=(0.9, torch.tensor(0.99))),
    lambda: one(lr=0.01, betas=(torch.tensor(0.9), 0.99)),
    lambda: one(lr=0.01, betas=(torch.tensor(0.9), torch.tensor(0.99)), foreach=True),
    lambda: one(foreach=True, fused=True),
    lambda: one(fused=True, differentiable=True),
    lambda: one(eps=-1.0),
]
ERRORS = {
    "ASGD": [lambda: one(lr=0.01, weight_decay=-0.5)],
    "Adadelta": [lambda: one(lr=0.01, rho=1.1)],
    "Adafactor": [lambda: one(eps=(-1e-30, 1e-3)), lambda: one(d=0.0), lambda: one(beta2_decay=0.8)],
    "Adagrad": [lambda: one(lr=0.01, lr_decay=-0.5), lambda: one(foreach=True, fused=True)],
    "Adam": BETAS + TENSORS,
    "AdamW": BETAS + TENSORS,
    "Adamax": [lambda: one(lr=0.01, betas=(0.0, 1.0))],
    "LBFGS": [lambda: ([{"params": one()[0]}, {"params": one()[0]}], {})],
    "Muon": [lambda: ([nn.Parameter(torch.ones(2, 3, 4))], {}), lambda: one(adjust_lr_fn="arbitrary")],
    "NAdam": [*BETAS, lambda: one(lr=0.01, momentum_decay=-0.2)],
    "RAdam": BETAS,
    "RMSprop": [lambda: one(lr=0.01, momentum=-1.0)],
    "Rprop": [lambda: one(lr=0.01, etas=(1.0, 0.5))],
    "SGD": [lambda: one(momentum=-0.5), lambda: one(nesterov=True), lambda: one(fused=True, foreach=True)],
    "SparseAdam": [*BETAS, lambda: ([torch.zeros(3, layout=torch.sparse_coo)], {})],
}


@pytest.mark.parametrize("name", BASES)
def test_what_the_base_refuses_is_refused_alike(name):
    for number, wrong in enumerate(EVERYWHERE + ERRORS[name]):
        params, options = wrong()
        error = refused(name, params, options)
        if error is None:  # not every base checks all of its options
            assert number < len(EVERYWHERE)
            continue
        with pytest.raises(type(error)) as caught:
            hybrid(name, params, **options)
        alike = str(caught.value).replace("Hybrid", "")
        assert alike.partition("(")[0] == str(error).partition("(")[0]


@pytest.mark.parametrize("name", ["Adafactor", "Muon", "SparseAdam"])
def test_complex_parameters_that_the_base_refuses_are_refused(name):
    param = nn.Parameter(torch.ones(2, 3, dtype=torch.complex64))
    param.grad = torch.ones_like(param)
    with pytest.raises((TypeError, ValueError), match=r"real parameters|SparseAdam .* complex"):
        hybrid(name, [param])
    with pytest.raises((RuntimeError, ValueError), match="complex"):
        base(name, [param]).step()


def test_complex_parameters_are_trained_by_the_base_alone_with_escape_none():
    def final(make):
        torch.manual_seed(0)
        param = nn.Parameter(torch.randn(3, dtype=torch.complex64))
        optimizer = make([param])
        for _ in range(5):
            optimizer.step(lambda: (param - 1).abs().square().sum().backward())
        return param.detach()

    alone = final(lambda params: torch.optim.Adam(params, lr=0.1))
    wrapped = final(lambda params: Hybrid(params, base=torch.optim.Adam, lr=0.1, escape=None))
    assert torch.equal(alone, wrapped)


CAPTURABLE = [name for name in BASES if "capturable" in takes(name)]
DIFFERENTIABLE = [name for name in BASES if "differentiable" in takes(name)]


@pytest.mark.parametrize("closures", [True, False])
@pytest.mark.parametrize("name", CAPTURABLE)
def test_capturable_on_a_cpu_fails_in_the_step_as_with_the_base(name, closures):
    messages = []
    for make in (base, hybrid):
        param = nn.Parameter(torch.ones(2))
        optimizer = make(name, [param], capturable=True)
        param.grad = torch.ones(2)
        with pytest.raises(AssertionError, match="capturable=True") as caught:
            optimizer.step(*([lambda: 1.0] if closures else []))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("closures", [True, False])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_steps_can_be_differentiated_as_with_the_base(name, closures):
    def derivative(make):
        torch.manual_seed(0)
        start = torch.randn(4, dtype=torch.float64, requires_grad=True)
        grad = torch.randn(4, dtype=torch.float64, requires_grad=True)
        param = start.clone()
        optimizer = make(name, [param], differentiable=True)

        def closure():
            param.grad = grad
            return 1.0

        for _ in range(1 if name in ("Adamax", "Rprop") else 4):  # these can't do more themselves
            closure()
            optimizer.step(*([closure] if closures else []))
        return torch.autograd.grad(param.square().sum(), [start, grad])

    assert all(map(torch.equal, derivative(base), derivative(hybrid)))


@pytest.mark.parametrize("name", ["Adagrad", "Adam", "AdamW", "SGD"])
def test_fused_refuses_parameters_without_storage_and_takes_them_once_they_have_it(name):
    model = nn.Linear(2, 3, device="meta")
    optimizer = hybrid(name, model.parameters(), fused=True, lr=0.1)
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    with pytest.raises(RuntimeError, match="`fused=True` requires all the params to be floating point"):
        optimizer.step()
    optimizer.zero_grad()
    model.to_empty(device="cpu")
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    optimizer.step()
