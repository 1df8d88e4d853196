"""What a training loop does between two steps of an escape is neither lost nor fought."""

import copy
from dataclasses import replace

import pytest
import torch
from hybrid_tasks import EAGER, REJECTS, plain_closure, regression
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from hybridopt.conditions import Steps
from hybridopt.optim import Escape, Hybrid

SGD = torch.optim.SGD
LONGER = replace(EAGER, length=16)


def same(a, b):
    return all(map(torch.equal, a, b))


def steps_to_escape(optimizer, closure):
    steps = 0
    while not optimizer.escaping:
        optimizer.step(closure)
        steps += 1
    return steps


def test_a_frozen_network_that_another_optimizer_trains_stays_as_that_left_it():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
    whole = nn.ModuleDict({"generator": nn.Linear(2, 2), "critic": critic})
    generator, ones, zeros = whole["generator"], torch.ones(16, 1), torch.zeros(16, 1)
    other = SGD(generator.parameters(), lr=1e-2)
    optimizer = Hybrid(critic.parameters(), base=SGD, lr=1e-2, escape=EAGER)
    for _ in range(40):
        real, z = torch.randn(16, 2) + 3, torch.randn(16, 2)

        def closure(real=real, z=z):
            optimizer.zero_grad()
            loss = binary_cross_entropy_with_logits(critic(real), ones)
            loss = loss + binary_cross_entropy_with_logits(critic(generator(z).detach()), zeros)
            loss.backward()
            return loss

        generator.requires_grad_(False)
        before = copy.deepcopy(list(generator.parameters()))
        optimizer.step(closure)
        assert same(before, generator.parameters())
        generator.requires_grad_(True)
        other.zero_grad()
        binary_cross_entropy_with_logits(critic(generator(z)), ones).backward()
        other.step()
        other.zero_grad()
    assert any(attempt.accepted for attempt in optimizer.history)


def test_a_buffer_that_the_loop_writes_to_keeps_what_it_wrote():
    model, optimizer, closure = regression(
        lambda model: Hybrid(model.parameters(), base=SGD, lr=1e-3, escape=EAGER)
    )
    model.register_buffer("seen", torch.zeros(()))
    for step in range(40):
        optimizer.step(closure)
        model.seen += 1
        assert model.seen == step + 1
    assert any(attempt.accepted for attempt in optimizer.history)


def test_a_buffer_that_a_child_writes_the_same_value_to_is_its_own():
    model = nn.Linear(1, 1, bias=False)
    model.register_buffer("peak", torch.zeros(()))
    nn.init.constant_(model.weight, 1.0)
    escape = Escape(when=Steps(1), every=1, redraw=(), spread=(0.5,), products=0, length=16, seed=3)
    optimizer, seen = Hybrid(model.parameters(), base=SGD, lr=0.1, escape=escape), []

    def closure():
        optimizer.zero_grad()
        model.peak.copy_(torch.maximum(model.peak, model.weight.detach().max()))
        seen.append((model.weight.item(), model.peak.item()))
        loss = 5 - model.weight.sum()
        loss.backward()
        return loss

    while not optimizer.escaping:
        optimizer.step(closure)
    begun = len(seen)
    for _ in range(3):
        optimizer.step(closure)
    child, parent = seen[begun::2], seen[begun + 1 :: 2]
    assert all(weight < peak == 1.0 for weight, peak in child)  # as when it began
    assert all(weight == peak > 1.0 for weight, peak in parent)


@pytest.mark.parametrize("kind", ["plain", "nan", "sparse"])
def test_a_batch_that_the_loop_puts_into_a_buffer_is_the_same_for_all(kind):
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    model.register_buffer("batch", torch.zeros(3, 2))
    optimizer, seen = Hybrid(model.parameters(), base=SGD, lr=0.01, escape=EAGER), []

    def closure():
        rows = model.batch.to_dense().nan_to_num(0.0)
        seen.append(rows[0, 0].item())
        optimizer.zero_grad()
        loss = (model(rows) - 1).square().mean()
        loss.backward()
        return loss

    for step in range(12):
        rows = torch.full((3, 2), float(step + 1))
        if kind == "nan":
            rows[2, 1] = torch.nan
        model.batch = rows.to_sparse() if kind == "sparse" else rows
        seen.clear()
        optimizer.step(closure)
        assert set(seen) == {step + 1.0}
    assert optimizer.history


def test_a_buffer_that_a_model_makes_in_inference_mode_is_no_hindrance():
    model, optimizer, closure = regression(lambda model: Hybrid(model.parameters(), escape=EAGER))
    model.register_buffer("cache", torch.zeros(3, 1))

    def caching():
        with torch.inference_mode():
            model.cache = model(torch.ones(3, 4))
        return closure()

    for _ in range(12):
        optimizer.step(caching)
    assert optimizer.history


def test_a_run_resumed_after_weights_were_set_in_an_escape_equals_the_unbroken_one():
    def train(model, optimizer, closure, steps):
        for _ in range(steps):
            optimizer.step(closure)
            with torch.no_grad():
                model[0].weight.clamp_(-0.1, 0.1)

    def make():
        return regression(lambda model: Hybrid(model.parameters(), base=SGD, lr=1e-2, escape=LONGER))

    whole, rest = make(), make()
    train(*whole, steps_to_escape(*make()[1:]))
    assert whole[1].escaping
    saved = copy.deepcopy((whole[0].state_dict(), whole[1].state_dict()))
    train(*whole, 3)
    rest[0].load_state_dict(saved[0])
    rest[1].load_state_dict(saved[1])
    train(*rest, 3)
    assert whole[1].history == rest[1].history
    assert same(whole[0].parameters(), rest[0].parameters())


@pytest.mark.parametrize("how", ["load", "clip", "flip", "prune"])
def test_weights_that_the_loop_sets_end_an_escape(how, caplog):
    runs, steps = [], 0
    for escape in (LONGER, None):
        model, optimizer, closure = regression(
            lambda model, escape=escape: Hybrid(model.parameters(), base=SGD, lr=1e-3, escape=escape)
        )
        torch.manual_seed(1)
        new = [torch.randn_like(param) for param in model.parameters()]
        steps = steps or steps_to_escape(optimizer, closure)
        for _ in range(steps if escape is None else 0):
            optimizer.step(closure)
        for param, value in zip(model.parameters(), new, strict=True):
            if how == "load":
                param.data.copy_(value)
            elif how == "flip":
                param.data.neg_()
            elif how == "clip":
                param.data.clamp_(-0.01, 0.01)
            else:
                param.data[0] = 1e-7
        optimizer.step(closure)
        runs.append(list(model.parameters()))
        assert not optimizer.escaping
    assert same(*runs)
    assert "weights were changed" in caplog.text


def test_weights_that_are_swapped_and_swapped_back_do_not():
    empty = nn.Parameter(torch.zeros(0, 2))
    model, optimizer, closure = regression(
        lambda model: Hybrid([*model.parameters(), empty], base=SGD, escape=LONGER)
    )
    steps_to_escape(optimizer, closure)
    kept = copy.deepcopy(model.state_dict())
    model.load_state_dict({name: torch.zeros_like(value) for name, value in kept.items()})
    model.load_state_dict(kept)
    optimizer.step(closure)
    assert optimizer.escaping


def test_a_graph_through_weights_that_a_step_leaves_alone_outlives_an_escape():
    torch.manual_seed(0)
    x = torch.randn(8, 4)
    used, spare = nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    params = [*used.parameters(), *spare.parameters()]
    optimizer = Hybrid(params, base=SGD, lr=0.01, escape=EAGER)
    for _ in range(30):
        later = spare(x.clone().requires_grad_()).sum()
        optimizer.step(plain_closure(used, optimizer, x, x))
        later.backward()
        optimizer.zero_grad()
    assert any(attempt.accepted for attempt in optimizer.history)


@pytest.mark.parametrize("named", [True, False], ids=["named", "found"])
def test_a_graph_through_batchnorm_outlives_a_look_and_an_escape(named):
    torch.manual_seed(0)
    ones, zeros, box = torch.ones(16, 1), torch.zeros(16, 1), {}
    generator = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    whole = nn.ModuleDict({"generator": generator, "critic": nn.Linear(2, 1)})
    critic, loss_fn = whole["critic"], binary_cross_entropy_with_logits

    def objective():
        return loss_fn(critic(box["real"]), ones) + loss_fn(critic(generator(box["z"]).detach()), zeros)

    options = {"buffers": generator.buffers()} if named else {}
    optimizer = Hybrid(critic.parameters(), objective=objective, escape=REJECTS, **options)
    for _ in range(12):
        box.update(real=torch.randn(16, 2) + 3, z=torch.randn(16, 2))
        fake = generator(box["z"])
        optimizer.zero_grad()
        (loss_fn(critic(box["real"]), ones) + loss_fn(critic(fake.detach()), zeros)).backward()
        optimizer.step()
        loss_fn(critic(fake), ones).backward()
    assert optimizer.history


def test_children_do_not_go_by_the_default_device():
    escape = Escape(when=Steps(1), every=1, products=0, length=4)
    _, optimizer, closure = regression(lambda model: Hybrid(model.parameters(), escape=escape))
    with torch.device("meta"):
        for _ in range(8):
            optimizer.step(closure)
    assert optimizer.history


def test_lbfgs_is_as_before_a_step_of_an_escape_whose_closure_raises_half_way():
    calls = []
    model, optimizer, closure = regression(
        lambda model: Hybrid(model.parameters(), base=torch.optim.LBFGS, max_iter=5, escape=REJECTS)
    )

    def counted():
        calls.append(1)
        if len(calls) == last:
            raise KeyError("disk")
        return closure()

    last = None
    steps_to_escape(optimizer, counted)
    kept = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    begun = len(calls)
    optimizer.step(counted)
    last = len(calls) + len(calls) - begun  # the parent's last one
    model.load_state_dict(kept[0])
    optimizer.load_state_dict(copy.deepcopy(kept[1]))
    with pytest.raises(KeyError):
        optimizer.step(counted)
    after = optimizer.state_dict()["state"][0]
    assert (after["n_iter"], after["func_evals"]) == tuple(
        kept[1]["state"][0][name] for name in ("n_iter", "func_evals")
    )
    assert same(after["old_dirs"], kept[1]["state"][0]["old_dirs"])
    assert same(model.state_dict().values(), kept[0].values())


def test_a_hook_after_loading_sees_what_was_loaded():
    model, optimizer, closure = regression(lambda model: Hybrid(model.parameters(), escape=REJECTS))
    for _ in range(10):
        optimizer.step(closure)
    other, seen = Hybrid(model.parameters(), escape=REJECTS), []
    other.register_load_state_dict_post_hook(lambda loaded: seen.append((loaded.history, loaded.escaping)))
    other.load_state_dict(optimizer.state_dict())
    assert seen == [(optimizer.history, optimizer.escaping)]


def test_what_an_escape_needs_may_be_unset_where_there_is_none():
    optimizer = Hybrid(nn.Linear(2, 1).parameters(), escape=None)
    optimizer.objective = None
    optimizer.process_group = None
    with pytest.raises(ValueError, match="escape=None"):
        optimizer.objective = lambda: 0.0
