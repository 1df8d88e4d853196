"""Hooks, closures, groups and gradients round a step: as torch's own optimizer tests demand them."""

import random

import numpy as np
import pytest
import torch
from contract_options import BASES, KINDS, label
from contract_tasks import Loop, assert_twins, base, hybrid, plain_closure, small, step_together
from hybrid_tasks import EAGER
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from hybridopt.optim import Hybrid


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", BASES)
def test_hooks_fire_once_a_step_in_order_and_only_while_registered(name):
    optimizer, closure, _ = small(name, hybrid)
    other, other_closure, _ = small("SGD", base)
    fired = []
    handles = [
        register_optimizer_step_pre_hook(lambda *_: fired.append(0)),
        register_optimizer_step_post_hook(lambda *_: fired.append(5)),
        optimizer.register_step_pre_hook(lambda *_: fired.append(1)),
        optimizer.register_step_post_hook(lambda *_: fired.append(2)),
        other.register_step_pre_hook(lambda *_: fired.append(3)),
        other.register_step_post_hook(lambda *_: fired.append(4)),
    ]
    try:
        step_together(name, (optimizer, closure), (other, other_closure))
    finally:
        for handle in handles:
            handle.remove()
    assert fired == [0, 1, 2, 5, 0, 3, 4, 5] * (len(fired) // 8)
    count = len(fired)
    optimizer.step(closure)
    assert len(fired) == count


def test_a_hook_may_exchange_the_closure():
    def final(make):
        optimizer, closure, weight = small("SGD", make)

        def exchange(self, args, kwargs):
            def larger():
                return 2 * closure()

            return (self, larger), {}

        optimizer.register_step_pre_hook(exchange)
        losses = [float(optimizer.step(lambda: 1 / 0).detach()) for _ in range(20)]
        return losses, weight.tolist()

    assert final(base) == final(hybrid)


@pytest.mark.parametrize("name", BASES)
def test_printing_options_and_groups_are_the_base_s(name):
    (alone, _, _), (optimizer, _, _) = small(name, base), small(name, hybrid)
    assert repr(optimizer).partition(" (")[2] == repr(alone).partition(" (")[2]
    assert name in repr(optimizer)
    assert optimizer.defaults == alone.defaults
    assert [list(group) for group in optimizer.param_groups] == [list(group) for group in alone.param_groups]
    assert type(optimizer.state) is type(alone.state)


RETURNS = {
    "tensor": lambda loss: loss,
    "detached": lambda loss: loss.detach(),
    "one element": lambda loss: loss.detach().reshape(1),
    "float": lambda loss: loss.item(),
    "numpy": lambda loss: np.float64(loss.item()),
    "numpy float32": lambda loss: np.float32(loss.item()),
    "float64": lambda loss: loss.double(),
    "bfloat16": lambda loss: loss.bfloat16(),
}


@pytest.mark.parametrize("kind", RETURNS)
@pytest.mark.parametrize("name", ["AdamW", "LBFGS"])
def test_what_the_closure_returns_is_returned(name, kind):
    """Value, type, dtype, shape and graph."""
    returned = []
    for make in (base, hybrid):
        optimizer, closure, _ = small(name, make)
        losses = [optimizer.step(lambda c=closure: RETURNS[kind](c())) for _ in range(15)]
        shapes = [(type(loss), getattr(loss, "dtype", 0), getattr(loss, "shape", 0)) for loss in losses]
        graphs = [getattr(loss, "requires_grad", False) for loss in losses]
        returned.append(
            [[getattr(loss, "item", lambda loss=loss: loss)() for loss in losses], shapes, graphs]
        )
    assert returned[0] == returned[1]


def test_a_number_of_any_kind_is_enough_for_an_escape():
    for kind in RETURNS.values():
        optimizer, closure, _ = small("SGD", hybrid)
        step_together("SGD", (optimizer, lambda c=closure, kind=kind: kind(c())))
        assert optimizer.history


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_the_caller_s_gradient_mode_neither_matters_nor_changes(mode):
    finals = []
    for make in (base, hybrid):
        optimizer, closure, weight = small("Adam", make)
        with mode():
            before = torch.is_grad_enabled()
            for _ in range(20):
                optimizer.step(closure=closure)
                assert torch.is_grad_enabled() == before
        finals.append(weight.detach())
    assert torch.equal(*finals)


def failing(closure, call, error):
    """A closure whose call of this number raises."""
    calls = 0

    def fail():
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        return closure()

    return fail


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_step_that_is_interrupted_leaves_the_base_s_run(call):
    """Whichever of its calls of the closure is: the step is as if it had not been."""
    optimizer, closure, weight = small("Adam", hybrid)
    interrupted = 0
    for _ in range(40):
        try:
            optimizer.step(failing(closure, call, KeyboardInterrupt))
        except KeyboardInterrupt:
            interrupted += 1
            optimizer.step(closure)
    assert interrupted
    _, _, expected = small("Adam", base, steps=40)
    assert torch.equal(weight, expected)


@pytest.mark.parametrize("error", [torch.linalg.LinAlgError, ValueError, OverflowError])
def test_a_closure_that_raises_at_other_weights_than_the_parent_s_costs_children_alone(error, caplog):
    optimizer, closure, weight = small("Adam", hybrid)
    for _ in range(40):
        here = weight.detach().clone()

        def narrow(here=here):
            if not torch.equal(weight, here):
                raise error
            return closure()

        optimizer.step(narrow)
    assert optimizer.history
    assert f"raised {error.__name__}" in caplog.text
    _, _, expected = small("Adam", base, steps=40)
    assert torch.equal(weight, expected)


def test_a_closure_that_raises_at_the_parent_s_weights_raises_and_the_step_is_as_if_it_had_not_been():
    optimizer, closure, weight = small("Adam", hybrid)
    for _ in range(20):
        optimizer.step(closure)
        before = weight.detach().clone()
        with pytest.raises(OverflowError):
            optimizer.step(raising)
        assert torch.equal(weight, before)
    _, _, expected = small("Adam", base, steps=20)
    assert torch.equal(weight, expected)


def raising():
    raise OverflowError


@pytest.mark.parametrize("to_none", [True, False])
def test_gradients_are_zeroed_as_by_the_base(to_none):
    optimizer, closure, weight = small("Adam", hybrid)
    step_together("Adam", (optimizer, closure))
    grad = weight.grad
    optimizer.zero_grad(set_to_none=to_none)
    assert weight.grad is (None if to_none else grad)
    assert to_none or not weight.grad.any()


@pytest.mark.parametrize(("name", "flag"), KINDS, ids=label)
def test_a_step_without_gradients_changes_nothing(name, flag):
    params = [torch.randn(2, 3) for _ in range(2)]
    before = [param.clone() for param in params]
    optimizer = hybrid(name, params, **flag)
    for _ in range(15):
        optimizer.step(lambda: torch.tensor([1.0]))
    assert all(map(torch.equal, params, before))


@pytest.mark.parametrize(("name", "flag"), KINDS, ids=label)
def test_a_step_with_zero_gradients_does_what_the_base_does(name, flag):
    finals = []
    for make in (base, hybrid):
        torch.manual_seed(0)
        param = nn.Parameter(torch.randn(5, 1))
        optimizer = make(name, [param], **flag)

        def closure(param=param):
            zeros = torch.zeros(5, 1)
            param.grad = zeros.to_sparse() if name == "SparseAdam" else zeros
            return torch.tensor([1.0])

        for _ in range(15):
            optimizer.step(closure)
        finals.append(param.detach())
    assert torch.equal(*finals)


@pytest.mark.parametrize(
    "wrong", ["list", {"params": {1.0}}, {"params": [1.0]}, {"lr": 0.1}, "again", "named"]
)
def test_wrong_groups_are_refused_as_by_the_base(wrong):
    errors = []
    for make in (base, hybrid):
        optimizer, _, weight = small("SGD", make)
        named = {"params": [("late", nn.Parameter(torch.ones(1)))]}
        group = {"list": [weight], "again": {"params": [weight]}, "named": named}.get(str(wrong), wrong)
        with pytest.raises((TypeError, ValueError, KeyError)) as caught:
            optimizer.add_param_group(group)
        errors.append((caught.type, str(caught.value), len(optimizer.param_groups)))
    assert errors[0] == errors[1]


def test_groups_are_added_in_the_midst_of_a_run_as_with_the_base():
    def build(make):
        torch.manual_seed(2)
        body, head = nn.Linear(3, 4), nn.Linear(4, 2)
        model = nn.Sequential(body, head)
        x, y = torch.randn(8, 3), torch.randn(8, 2)
        optimizer = make("AdamW", head.named_parameters(), lr=0.01)
        closure = plain_closure(model, optimizer, x, y)

        def step(number):
            if number in (6, 9):
                late = {6: body.weight, 9: body.bias}[number]
                optimizer.add_param_group({"params": [(f"late{number}", late)], "lr": 0.1 * number})
            return optimizer.step(closure).detach()

        return Loop(model, optimizer, step)

    twin = assert_twins(build, 20)
    assert [group["lr"] for group in twin.optimizer.param_groups] == [0.01, pytest.approx(0.6), 0.9]


def test_making_and_running_it_draws_from_no_global_generator_and_the_seed_repeats_it():
    def final(others):
        random.seed(others)
        np.random.seed(others)  # noqa: NPY002
        torch.manual_seed(7)
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
        optimizer, closure, weight = small("SGD", accepting)
        torch.manual_seed(7)
        step_together("SGD", (optimizer, closure))
        now = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
        assert states[:2] == now[:2]
        assert torch.equal(states[2], now[2])
        return weight.tolist(), optimizer.history

    assert final(1) == final(2)


def accepting(name, params, **options):
    return Hybrid(params, base=getattr(torch.optim, name), escape=EAGER, **options)
