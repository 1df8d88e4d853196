"""state_dict, copies and pickles: what torch's own optimizer tests demand of them, and what `Hybrid` adds."""

import copy
import io

import pytest
import torch
from contract_options import BASES, KINDS, label
from contract_tasks import base, hybrid, small, step_together, tried_anything
from hybrid_tasks import same
from torch import nn

NEW_FLAGS = ("foreach", "differentiable", "maximize", "capturable", "fused", "decoupled_weight_decay")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def without_names(state):
    groups = [{k: v for k, v in g.items() if k != "param_names"} for g in state["param_groups"]]
    return {**state, "param_groups": groups}


@pytest.mark.parametrize("named", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("name", "flag"), KINDS, ids=label)
def test_a_loaded_run_goes_on_like_the_saved_one(name, flag, named):
    first, closure, weight = small(name, hybrid, flag, steps=7, named=named[0])
    second, again, copied = small(name, hybrid, flag, named=named[1])
    with torch.no_grad():
        copied.copy_(weight)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    step_together(name, (first, closure), (second, again))
    assert torch.equal(weight, copied)
    assert same(without_names(first.state_dict()), without_names(second.state_dict()))
    assert first.history == second.history
    assert tried_anything(name, first)
    if any(named):
        assert second.param_groups[0]["param_names"] == ["weight"]
    second.param_groups.extend(second.param_groups)  # the same parameters are written alike
    last = without_names(second.state_dict())["param_groups"][-1]
    assert last == without_names(first.state_dict())["param_groups"][-1]


@pytest.mark.parametrize("name", BASES)
def test_runs_move_between_base_and_hybrid_in_both_directions(name):
    uninterrupted, closure, expected = small(name, base, steps=12)
    kinds = [base, hybrid, base]
    optimizer, closure, weight = small(name, kinds[0], steps=4)
    for kind in kinds[1:]:
        following, closure, moved = small(name, kind)
        with torch.no_grad():
            moved.copy_(weight)
        following.load_state_dict(optimizer.state_dict())
        for _ in range(4):
            following.step(closure)
        optimizer, weight = following, moved
    assert torch.equal(weight, expected)
    mine = {key: optimizer.state_dict()[key] for key in ("state", "param_groups")}
    assert same(mine, uninterrupted.state_dict())


@pytest.mark.parametrize(("name", "flag"), KINDS, ids=label)
def test_saved_and_read_back_as_plain_data_it_is_the_same(name, flag):
    optimizer, _, _ = small(name, hybrid, flag, steps=10, named=True)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    for safely in (True, False):
        file.seek(0)
        assert same(torch.load(file, weights_only=safely), optimizer.state_dict())


@pytest.mark.parametrize("name", BASES)
def test_a_state_dict_refers_to_the_tensors_of_the_optimizer_and_loading_leaves_it_as_it_was(name):
    optimizer, _, weight = small(name, hybrid, steps=3)
    state = optimizer.state_dict()
    mine = optimizer.state[weight]
    assert mine
    assert all(state["state"][0][key] is value for key, value in mine.items())
    before = copy.deepcopy(state)
    other, _, _ = small(name, hybrid)
    other.load_state_dict(state)
    assert same(state, before)
    frozen = copy.deepcopy(state)
    third, again, _ = small(name, hybrid)
    third.load_state_dict(frozen)
    step_together(name, (third, again))  # not felt through a deep copy
    assert same(optimizer.state_dict(), before)


@pytest.mark.parametrize(("name", "flag"), KINDS, ids=label)
def test_states_from_before_an_option_existed_load_as_with_the_base(name, flag):
    finals = []
    for make in (base, hybrid):
        optimizer, closure, weight = small(name, make, flag, steps=3)
        old = copy.deepcopy(optimizer.state_dict())
        for group in old["param_groups"]:
            for new in NEW_FLAGS:
                if (name, new) != ("Adafactor", "maximize"):  # it had that from its first day
                    group.pop(new, None)
        optimizer.load_state_dict(old)
        for _ in range(3):
            optimizer.step(closure)
        finals.append([weight.detach(), without_params(optimizer)])
    assert same(*finals)


def without_params(optimizer):
    return [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]


@pytest.mark.parametrize("name", BASES)
def test_counters_that_were_saved_as_numbers_load_as_with_the_base(name):
    finals = []
    for make in (base, hybrid):
        optimizer, closure, weight = small(name, make, steps=3)
        state = copy.deepcopy(optimizer.state_dict())
        for own in state["state"].values():
            if torch.is_tensor(own.get("step")):
                own["step"] = own["step"].item()
        optimizer.load_state_dict(state)
        optimizer.step(closure)
        finals.append([weight.detach(), dict(optimizer.state[weight])])
    assert same(*finals)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", BASES)
def test_states_are_cast_to_the_parameters_as_with_the_base(name, dtype):
    states = []
    for make in (base, hybrid):
        saved, _, _ = small(name, make, steps=3)
        other, _, weight = small(name, make, dtype=dtype)
        other.load_state_dict(saved.state_dict())
        states.append(dict(other.state[weight]))
    assert same(*states)


def test_states_that_do_not_fit_are_refused_as_by_the_base_and_change_nothing():
    optimizer, _, _ = small("Adam", hybrid, steps=20)
    before = copy.deepcopy(optimizer.state_dict())
    more = torch.optim.Adam([nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))])
    groups = torch.optim.Adam([{"params": nn.Parameter(torch.ones(1))} for _ in range(2)])
    for wrong, message in [
        (more, "doesn't match the size"),
        (groups, "different number of parameter groups"),
    ]:
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(wrong.state_dict())
        assert same(optimizer.state_dict(), before)
