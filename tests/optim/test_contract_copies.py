"""Hooks of saving and loading, deep copies and pickles, as torch's own optimizer tests demand them."""

import copy
import functools
import pickle

import pytest
import torch
from contract_options import BASES, KINDS, label
from contract_tasks import base, hybrid, small, step_together, tried_anything
from hybrid_tasks import same


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def add_entry(optimizer):
    optimizer.state["entry"] = 1


def take_entry(optimizer, state):
    state["entry"] = state["state"].pop("entry", 0)
    return state


def replace_lr(lr, optimizer, state):
    state = copy.deepcopy(state)
    state["param_groups"][0]["lr"] = lr
    return state


@pytest.mark.parametrize("name", BASES)
def test_hooks_of_saving_see_and_change_the_state(name):
    optimizer, _, _ = small(name, hybrid, steps=3)
    optimizer.register_state_dict_pre_hook(add_entry)
    assert optimizer.state_dict()["state"]["entry"] == 1
    handle = optimizer.register_state_dict_post_hook(take_entry)
    assert optimizer.state_dict()["entry"] == 1
    handle.remove()
    assert "entry" not in optimizer.state_dict()


@pytest.mark.parametrize("name", BASES)
def test_hooks_of_loading_fire_in_order(name):
    fired = []
    optimizer, _, _ = small(name, hybrid, steps=3)
    state = optimizer.state_dict()
    optimizer.register_load_state_dict_pre_hook(functools.partial(replace_lr, 0.002))
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.002
    optimizer.register_load_state_dict_pre_hook(functools.partial(replace_lr, 0.003), prepend=True)
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.002
    optimizer.register_load_state_dict_post_hook(lambda o: fired.append(o.param_groups[0]["lr"]))
    optimizer.load_state_dict(state)
    assert fired == [0.002]


def test_a_hook_that_unwraps_a_checkpoint_reaches_what_hybrid_knows_too():
    optimizer, closure, _ = small("SGD", hybrid)
    step_together("SGD", (optimizer, closure))
    assert optimizer.history
    other, _, _ = small("SGD", hybrid)
    other.register_load_state_dict_pre_hook(lambda _, checkpoint: checkpoint["optimizer"])
    other.load_state_dict({"optimizer": optimizer.state_dict()})
    assert other.history == optimizer.history


def test_a_hook_that_wraps_or_filters_sees_all_that_is_saved():
    optimizer, _, _ = small("SGD", hybrid, steps=20)
    optimizer.register_state_dict_post_hook(lambda _, state: {"optimizer": state})
    assert set(optimizer.state_dict()) == {"optimizer"}
    assert "hybrid" in optimizer.state_dict()["optimizer"]


def duplicate(way, *things):
    return copy.deepcopy(things) if way == "deepcopy" else pickle.loads(pickle.dumps(things))


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
@pytest.mark.parametrize(("name", "flag"), KINDS, ids=label)
def test_copies_keep_public_attributes_and_go_on_like_the_original(name, flag, way):
    optimizer, _, weight = small(name, hybrid, flag, steps=7)
    other, copied = duplicate(way, optimizer, weight)
    assert {k for k in vars(other) if k[0] != "_"} == {k for k in vars(optimizer) if k[0] != "_"}
    assert type(other) is type(optimizer)
    assert same(other.state_dict(), optimizer.state_dict())

    def closure(optimizer, weight):
        optimizer.zero_grad()
        loss = (weight - 1).square().sum()
        loss.backward()
        if name == "SparseAdam":
            weight.grad = weight.grad.to_sparse()
        return loss

    step_together(
        name,
        (optimizer, functools.partial(closure, optimizer, weight)),
        (other, functools.partial(closure, other, copied)),
    )
    assert torch.equal(weight, copied)
    assert other.history == optimizer.history
    assert tried_anything(name, other)


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_copies_treat_hooks_and_schedules_as_copies_of_the_base_do(way):
    counts = []
    for make in (base, hybrid):
        optimizer, closure, _ = small("SGD", make)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5)
        optimizer.register_step_pre_hook(add_step_entry)
        optimizer.register_step_post_hook(add_step_entry)
        optimizer.register_state_dict_pre_hook(add_entry)
        optimizer.step(closure)
        schedule.step()
        (other,) = duplicate(way, optimizer)
        hooks = {name: len(found) for name, found in vars(other).items() if name.endswith("_hooks")}
        counts.append([hooks, "step" in vars(other), other.param_groups[0]["initial_lr"]])
        other.step(lambda: 1.0)
    assert counts[0] == counts[1]


def add_step_entry(optimizer, args, kwargs):
    optimizer.state["entry"] = {}


def test_a_deep_copy_of_optimizer_and_schedule_together_goes_on():
    optimizer, closure, _ = small("SGD", hybrid, {"lr": 0.1})
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    optimizer.step(closure)
    schedule.step()
    other, other_schedule = copy.deepcopy((optimizer, schedule))
    assert other_schedule.optimizer is other
    other_schedule.step()
    assert other.param_groups[0]["lr"] == pytest.approx(0.01)
    assert optimizer.param_groups[0]["lr"] == 0.1
