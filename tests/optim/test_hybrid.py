import copy
import io
import logging
import math
import pickle
import random

import numpy as np
import pytest
import torch
from hybrid_tasks import (
    BASES,
    EAGER,
    REJECTS,
    Task,
    everything,
    plain,
    quadratic,
    rejecting,
    run,
    same,
    seed_everything,
    until_due,
)
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim.optimizer import register_optimizer_step_post_hook

from hybridopt.conditions import Stalled
from hybridopt.optim import Escape, Hybrid


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_every_base_of_torch_is_tested():
    classes = {n for n in dir(torch.optim) if isinstance(getattr(torch.optim, n), type)}
    assert {n for n in classes if issubclass(getattr(torch.optim, n), torch.optim.Optimizer)} == {
        *BASES,
        "Optimizer",
    }


@pytest.mark.parametrize("name", BASES)
def test_rejected_escapes_leave_everything_bit_for_bit(name):
    base_task, base = run(name, plain, 40, closures=True)
    task, optimizer = run(name, rejecting, 40, closures=True)
    assert same(everything(task.model, optimizer), everything(base_task.model, base))
    assert optimizer.history
    assert not any(attempt.accepted for attempt in optimizer.history)
    race = optimizer._escape.memory.race
    spent = sum(attempt.cost for attempt in optimizer.history) + (race.cost if race else 0)
    assert task.calls == base_task.calls + spent


@pytest.mark.parametrize("name", [name for name in BASES if name != "LBFGS"])
def test_without_a_closure_it_is_the_base_bit_for_bit(name):
    base_task, base = run(name, plain, 20, closures=False)
    task, optimizer = run(name, rejecting, 20, closures=False)
    assert same(everything(task.model, optimizer), everything(base_task.model, base))
    assert optimizer.history == ()


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=60),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 7),
    ],
)
def test_schedulers_that_cycle_lr_and_momentum_see_the_base(scheduler):
    finals = []
    for make in (plain, rejecting):
        task = Task("SGD")
        optimizer = make(task, torch.optim.SGD, BASES["SGD"])
        schedule = scheduler(optimizer)
        seed_everything()
        for step in range(40):
            optimizer.step(task.closure(optimizer, step))
            schedule.step()
        finals.append([everything(task.model, optimizer), optimizer.param_groups[0]["momentum"]])
    assert same(*finals)


def test_with_no_buffers_named_as_such_only_they_feel_a_rejected_escape():
    base_task, _ = run("SGD", plain, 4, closures=True)
    task = Task("SGD")
    optimizer = Hybrid(
        task.model.parameters(), base=torch.optim.SGD, escape=REJECTS, buffers=(), **BASES["SGD"]
    )
    seed_everything()
    for step in range(4):
        optimizer.step(task.closure(optimizer, step))
    assert optimizer.escaping
    assert all(map(torch.equal, task.model.parameters(), base_task.model.parameters()))
    assert not all(map(torch.equal, task.model.buffers(), base_task.model.buffers()))


def test_it_is_an_instance_of_its_base_and_of_hybrid():
    optimizer = Hybrid(nn.Linear(2, 1).parameters(), base=torch.optim.RAdam, lr=0.1)
    assert isinstance(optimizer, torch.optim.RAdam)
    assert isinstance(optimizer, Hybrid)
    assert type(optimizer) is type(Hybrid(nn.Linear(2, 1).parameters(), base=torch.optim.RAdam))
    assert "lr: 0.1" in repr(optimizer)


def test_its_class_makes_more_of_the_same_base_alone():
    params = [nn.Parameter(torch.ones(2))]
    kind = type(Hybrid(params, base=torch.optim.SGD, lr=0.1))
    assert type(kind(params, lr=0.2)) is kind
    with pytest.raises(TypeError, match=r"base SGD, got base=Adam; call Hybrid\(params, base=Adam\)"):
        kind(params, base=torch.optim.Adam)


def test_an_objective_is_asked_within_inference_mode_too():
    model = nn.Linear(3, 1)

    def loss():
        return model(torch.ones(1, 3)).square().sum()

    optimizer = Hybrid(model.parameters(), base=torch.optim.SGD, lr=0.1, escape=EAGER, objective=loss)
    for _ in range(20):
        optimizer.zero_grad()
        loss().backward()
        with torch.inference_mode():
            optimizer.step()
    assert optimizer.history


def test_it_steps_on_fake_tensors_by_which_memory_is_estimated():
    with FakeTensorMode():
        model = nn.Linear(3, 1)
        optimizer = Hybrid(model.parameters(), base=torch.optim.Adam, lr=0.1)
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        assert len(optimizer.state) == 2


def test_hooks_fire_once_a_step_also_when_the_base_was_used_before():
    plain(Task("SGD"), torch.optim.SGD, BASES["SGD"])  # torch wraps SGD.step now
    task = Task("SGD")
    optimizer = rejecting(task, torch.optim.SGD, BASES["SGD"])
    fired = []
    optimizer.register_step_pre_hook(lambda *_: fired.append("pre"))
    optimizer.register_step_post_hook(lambda *_: fired.append("post"))
    handle = register_optimizer_step_post_hook(lambda *_: fired.append("global"))
    for step in range(5):
        optimizer.step(task.closure(optimizer, step))
    handle.remove()
    assert optimizer.history
    assert fired == ["pre", "post", "global"] * 5


@pytest.mark.parametrize("way", ["state_dict", "deepcopy", "pickle"])
@pytest.mark.parametrize(
    ("name", "every"), [("AdamW", 1), ("AdamW", 3), ("SGD", 1), ("Adagrad", 1), ("LBFGS", 1)]
)
def test_run_resumed_in_the_middle_of_an_escape_equals_uninterrupted_run(name, every, way):
    limits = {"margin": 0.0, "z": 0.0, "length": 6, "longest": 2, "share": math.inf}
    escape = Escape(when=Stalled(1, rtol=0.5), every=every, **limits)

    def steps(task, optimizer, span, states=None):
        if states is not None:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
            torch.set_rng_state(states[2])
        for step in span:
            optimizer.step(task.closure(optimizer, step))

    def start():
        task = Task(name)
        kind = getattr(torch.optim, name)
        return task, Hybrid(task.model.parameters(), base=kind, escape=escape, **BASES[name])

    task, optimizer = start()
    seed_everything()
    steps(task, optimizer, range(20))
    while not optimizer.escaping:
        steps(task, optimizer, range(1))
    steps(task, optimizer, range(1))  # in the middle
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    if way == "state_dict":
        file = io.BytesIO()
        torch.save({"optimizer": optimizer.state_dict(), "model": task.model.state_dict()}, file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        torch.manual_seed(99)
        again_task, again = start()
        again_task.model.load_state_dict(saved["model"])
        again.load_state_dict(saved["optimizer"])
    elif way == "deepcopy":
        again_task, again = copy.deepcopy((task, optimizer))
    else:
        again_task, again = pickle.loads(pickle.dumps((task, optimizer)))
    steps(task, optimizer, range(20, 80), states)
    steps(again_task, again, range(20, 80), states)
    assert same(everything(task.model, optimizer), everything(again_task.model, again))
    assert optimizer.history == again.history
    assert any(attempt.accepted for attempt in optimizer.history if attempt.step >= 20) or every > 1


def test_state_dicts_of_base_and_hybrid_load_into_each_other():
    _, base = run("AdamW", plain, 10, closures=True)
    _, optimizer = run("AdamW", rejecting, 10, closures=True)
    optimizer.load_state_dict(base.state_dict())
    base.load_state_dict(optimizer.state_dict())
    assert same(base.state_dict()["state"], optimizer.state_dict()["state"])
    assert optimizer.history == ()  # the base's checkpoint knows of none: it begins anew


def test_a_state_saved_with_another_condition_loads():
    x = nn.Parameter(torch.ones(2))
    saved = Hybrid([x], base=torch.optim.SGD, lr=0.0, escape=Escape(when=Stalled(2), every=1))
    for _ in range(30):
        saved.step(quadratic(x, saved))
    loaded = Hybrid([x], base=torch.optim.SGD, lr=0.0, escape=Escape(when=Stalled(20), every=1))
    loaded.load_state_dict(saved.state_dict())
    for _ in range(30):
        loaded.step(quadratic(x, loaded))


def test_escape_none_is_the_base_down_to_its_state_dict():
    optimizer = Hybrid([nn.Parameter(torch.ones(2))], base=torch.optim.SGD, lr=0.1, escape=None)
    optimizer.step(quadratic(optimizer.param_groups[0]["params"][0], optimizer))
    assert set(optimizer.state_dict()) == {"state", "param_groups"}
    assert optimizer.history == ()


class BoomError(Exception):
    pass


@pytest.mark.parametrize("failing", [1, 4, 8, 9, 10])  # gradient, product, first child, second child, parent
def test_when_the_closure_raises_all_is_as_before_the_step(failing):
    task = Task("Adam", dropout=False)
    optimizer = Hybrid(task.model.parameters(), base=torch.optim.Adam, lr=0.1, escape=REJECTS)
    until_due(optimizer, task.closure(optimizer, 0))
    before = copy.deepcopy([*everything(task.model, optimizer), optimizer.state_dict()])
    good, calls = task.closure(optimizer, 1), 0

    def closure():
        nonlocal calls
        calls += 1
        if calls == failing:
            raise BoomError
        return good()

    with pytest.raises(BoomError):
        optimizer.step(closure)
    assert calls == failing
    assert same([*everything(task.model, optimizer), optimizer.state_dict()], before)
    optimizer.step(good)
    assert optimizer.escaping


@pytest.mark.parametrize("failing", [1, 2, 3])  # first child, second child, parent
def test_when_the_closure_raises_in_the_middle_of_an_escape_all_is_as_before_the_step(failing):
    task = Task("Adam", dropout=False)
    optimizer = Hybrid(task.model.parameters(), base=torch.optim.Adam, lr=0.1, escape=REJECTS)
    until_due(optimizer, task.closure(optimizer, 0))
    optimizer.step(task.closure(optimizer, 0))
    before = copy.deepcopy([*everything(task.model, optimizer), optimizer.state_dict()])
    good, calls = task.closure(optimizer, 1), 0

    def closure():
        nonlocal calls
        calls += 1
        loss = good()
        if calls == failing:
            raise BoomError
        return loss

    with pytest.raises(BoomError):
        optimizer.step(closure)
    assert same([*everything(task.model, optimizer), optimizer.state_dict()], before)


def test_it_says_once_that_it_needs_a_closure(caplog):
    x = nn.Parameter(torch.ones(2))
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.1)
    x.grad = torch.ones(2)
    with caplog.at_level(logging.WARNING, logger="hybridopt"):
        optimizer.step()
        optimizer.step(None)
        optimizer.step(lambda: None)
        optimizer.step(lambda: (1.0, "more"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "without a closure" in caplog.text


def test_the_closure_runs_with_gradients_on_and_may_return_a_number():
    x = nn.Parameter(torch.zeros(3))
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.0, escape=EAGER)

    def closure():
        assert torch.is_grad_enabled()
        return quadratic(x, optimizer)().item()

    with torch.no_grad():
        losses = [optimizer.step(closure) for _ in range(20)]
    assert all(isinstance(loss, float) for loss in losses)
    assert losses[-1] < losses[0]


def test_complex_parameters_are_refused_for_escapes_and_trained_by_the_base():
    x = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    with pytest.raises(TypeError, match=r"real parameters.*complex64.*escape=None"):
        Hybrid([x], base=torch.optim.SGD, lr=0.1)
    optimizer = Hybrid([x], base=torch.optim.SGD, lr=0.1, escape=None)
    x.grad = torch.ones_like(x)
    optimizer.step()
    assert torch.equal(x, torch.full((2,), 0.9, dtype=torch.complex64))


def test_a_refused_group_is_not_added():
    optimizer = Hybrid([nn.Parameter(torch.ones(2))], base=torch.optim.SGD, lr=0.1)
    with pytest.raises(TypeError, match="complex64 in group 1"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2, dtype=torch.complex64))]})
    with pytest.raises(ValueError, match="maximise"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], "maximize": True})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"base": torch.nn.Linear}, TypeError, "must be a torch optimizer class"),
        ({"base": torch.optim.Optimizer}, TypeError, "step by itself"),
        ({"base": Hybrid}, TypeError, "step by itself"),
        ({"base": type(Hybrid([nn.Parameter(torch.ones(1))], base=torch.optim.SGD))}, TypeError, "base=SGD"),
        ({"base": torch.optim.SGD([nn.Parameter(torch.ones(1))])}, TypeError, "an object of SGD"),
        ({"objective": lambda a: a}, TypeError, r"which takes \(a\)"),
        ({"escape": True}, TypeError, r"Escape\(\.\.\.\) or None"),
        ({"buffers": torch.ones(2)}, TypeError, "model.buffers"),
        ({"buffers": nn.BatchNorm1d(2).named_buffers()}, TypeError, "model.buffers.*an iterable of tuple"),
        ({"buffers": nn.BatchNorm1d(2)}, TypeError, "model.buffers"),
        ({"buffers": nn.Sequential(nn.BatchNorm1d(2))}, TypeError, "an iterable of BatchNorm1d"),
        ({"buffers": 3}, TypeError, "model.buffers.*got 3"),
        ({"lrr": 0.1}, TypeError, "lrr"),
        ({"lr": -1.0}, ValueError, "learning rate"),
    ],
)
def test_bad_arguments_are_clear_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        Hybrid([nn.Parameter(torch.ones(2))], **arguments)


def test_options_by_position_and_groups_that_are_half_evolved_are_clear_errors():
    weights = [nn.Parameter(torch.ones(2))]
    with pytest.raises(TypeError, match="options of SGD go by keyword"):
        Hybrid(weights, torch.optim.SGD, 0.1)
    with pytest.raises(TypeError, match="evolve must be True or False, got 'no' in group 0"):
        Hybrid([{"params": weights, "evolve": "no"}])


def test_several_processes_are_refused_until_their_losses_are_reduced(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(RuntimeError, match="2 processes"):
        Hybrid([nn.Parameter(torch.ones(2))], lr=0.1)
    Hybrid([nn.Parameter(torch.ones(2))], lr=0.1, escape=None)
