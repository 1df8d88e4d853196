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


@pytest.mark.parametrize("how", ["load", "clip"])
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
            else:
                param.data.clamp_(-0.01, 0.01)
        optimizer.step(closure)
        runs.append(list(model.parameters()))
        assert not optimizer.escaping
    assert same(*runs)
    assert "weights were changed" in caplog.text


def test_weights_that_are_swapped_and_swapped_back_do_not():
    model, optimizer, closure = regression(lambda model: Hybrid(model.parameters(), base=SGD, escape=LONGER))
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
