"""Training loops of every kind: accumulation, clipping, hooks on gradients, several optimizers."""

import pytest
import torch
from contract_tasks import Loop, assert_twins, base, hybrid, network, plain_closure, started
from torch import nn


def test_micro_batches_within_the_closure_train_as_with_the_base():
    def build(make):
        model, optimizer, x, y = started(make)

        def closure():
            optimizer.zero_grad()
            total = 0.0
            for rows, targets in zip(x.split(16), y.split(16), strict=True):
                loss = (model(rows) - targets).square().mean() / 4
                loss.backward()
                total += loss.detach()
            return total

        return Loop(model, optimizer, lambda number: optimizer.step(closure))

    assert_twins(build)


@pytest.mark.parametrize("to_none", [True, False])
def test_gradients_accumulated_before_the_closure_train_as_with_the_base(to_none):
    """Zeroed at the first micro-batch of each four only; the fourth one is the closure's."""

    def build(make):
        model, optimizer, x, y = started(make)

        def step(number):
            def closure(part):
                rows = slice(16 * part, 16 * part + 16)
                if part == 0:
                    optimizer.zero_grad(set_to_none=to_none)
                loss = (model(x[rows]) - y[rows]).square().mean() / 4
                loss.backward()
                return loss

            for part in range(3):
                closure(part)
            return optimizer.step(lambda: closure(3)).detach()

        return Loop(model, optimizer, step)

    assert_twins(build)


def clip_norm(params):
    return torch.nn.utils.clip_grad_norm_(params, 0.1)


def clip_value(params):
    return torch.nn.utils.clip_grad_value_(params, 0.01)


def add_noise(params):
    for param in params:
        param.grad.add_(torch.randn_like(param), alpha=0.01)


@pytest.mark.parametrize("change", [clip_norm, clip_value, add_noise])
def test_gradients_changed_within_the_closure_train_as_with_the_base(change):
    def build(make):
        model, optimizer, x, y = started(make)
        gradients = plain_closure(model, optimizer, x, y)

        def closure():
            loss = gradients()
            change(list(model.parameters()))
            return loss

        return Loop(model, optimizer, lambda number: optimizer.step(closure).detach())

    assert_twins(build)


def test_gradients_may_stay_the_same_tensors_zeroed_in_place():
    """As in a flat buffer: the closure never lets go of them."""

    def build(make):
        model, optimizer, x, y = started(make, "SGD")
        flat = torch.zeros(sum(param.numel() for param in model.parameters()))
        views = flat.split([param.numel() for param in model.parameters()])
        for param, view in zip(model.parameters(), views, strict=True):
            param.grad = view.view_as(param)

        def closure():
            for param in model.parameters():
                param.grad.zero_()
            loss = (model(x) - y).square().mean()
            loss.backward()
            return loss

        def step(number):
            loss = optimizer.step(closure).detach()
            return loss, flat.clone()

        return Loop(model, optimizer, step)

    assert_twins(build)


def test_optimizers_that_step_within_the_backward_pass_train_as_the_base():
    def final(make):
        model, x, y = network()
        mine = {param: make("AdamW", [param], lr=0.01) for param in model.parameters()}

        def hook(param):
            mine[param].step()
            mine[param].zero_grad()

        for param in model.parameters():
            param.register_post_accumulate_grad_hook(hook)
        torch.manual_seed(5)
        for _ in range(10):
            (model(x) - y).square().mean().backward()
        assert all(param.grad is None for param in model.parameters())
        return torch.cat([param.detach().ravel() for param in model.parameters()])

    assert torch.equal(final(base), final(hybrid))


def double(param):
    param.grad.mul_(2.0)


def test_hooks_on_gradients_train_as_with_the_base():
    def build(make):
        model, optimizer, x, y = started(make)
        for param in model.parameters():
            param.register_hook(lambda grad: grad.clamp(-0.01, 0.01))
            param.register_post_accumulate_grad_hook(double)
        closure = plain_closure(model, optimizer, x, y)
        return Loop(model, optimizer, lambda number: optimizer.step(closure).detach())

    assert_twins(build)


def test_two_optimizers_of_one_model_take_turns_as_with_the_base():
    def build(make):
        model, x, y = network()
        parts = [model[0].parameters(), [*model[1].parameters(), *model[4].parameters()]]
        one, other = (make("Adam", part, buffers=model.buffers(), lr=0.01) for part in parts)

        def closure():
            model.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            return loss

        def step(number):
            return one.step(closure).detach(), other.step(closure).detach()

        return Loop(model, one, step)

    assert_twins(build, 15)


def test_an_adversarial_pair_of_models_trains_as_with_the_base():
    def build(make):
        torch.manual_seed(3)
        maker, judge = nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
        optimizer = make("Adam", judge.parameters(), lr=0.01)
        making = make("Adam", maker.parameters(), lr=0.01)
        real = torch.randn(16, 3)

        def judged():
            optimizer.zero_grad()
            fake = maker(torch.randn(16, 2)).detach()
            loss = nn.functional.softplus(-judge(real)).mean() + nn.functional.softplus(judge(fake)).mean()
            loss.backward()
            return loss

        def made():
            making.zero_grad()
            loss = nn.functional.softplus(-judge(maker(torch.randn(16, 2)))).mean()
            loss.backward()  # also into the judge, which zeroes it
            return loss

        model = nn.ModuleList([maker, judge])
        return Loop(model, optimizer, lambda n: (optimizer.step(judged).detach(), making.step(made).detach()))

    assert_twins(build, 15)
