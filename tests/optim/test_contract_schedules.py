"""Everything in torch.optim.lr_scheduler and swa_utils drives `Hybrid` as it drives the base."""

import copy

import pytest
import torch
from contract_tasks import Loop, assert_twins, base, hybrid, small
from hybrid_tasks import Task
from torch.optim import lr_scheduler as schedules
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

SCHEDULES = {
    "ChainedScheduler": lambda o: schedules.ChainedScheduler(
        [schedules.ConstantLR(o, 0.1, 3), schedules.ExponentialLR(o, 0.9)], optimizer=o
    ),
    "ConstantLR": lambda o: schedules.ConstantLR(o, 0.5, 4),
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, 10),
    "CosineAnnealingWarmRestarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, 3, 2),
    "CyclicLR": lambda o: schedules.CyclicLR(o, 0.001, 0.1, 3, mode="exp_range", gamma=0.9),
    "ExponentialLR": lambda o: schedules.ExponentialLR(o, 0.9),
    "LambdaLR": lambda o: schedules.LambdaLR(o, [lambda n: 1 / (n + 1), lambda n: 0.9**n]),
    "LinearLR": lambda o: schedules.LinearLR(o, total_iters=5),
    "MultiStepLR": lambda o: schedules.MultiStepLR(o, [2, 5]),
    "MultiplicativeLR": lambda o: schedules.MultiplicativeLR(o, lambda n: 0.95),
    "OneCycleLR": lambda o: schedules.OneCycleLR(o, 0.1, total_steps=500),
    "PolynomialLR": lambda o: schedules.PolynomialLR(o, 8, 2.0),
    "ReduceLROnPlateau": lambda o: schedules.ReduceLROnPlateau(o, patience=1, cooldown=1),
    "SequentialLR": lambda o: schedules.SequentialLR(
        o, [schedules.LinearLR(o, total_iters=3), schedules.CosineAnnealingLR(o, 9)], milestones=[3]
    ),
    "StepLR": lambda o: schedules.StepLR(o, 3, 0.5),
}


def test_every_scheduler_of_torch_is_tested():
    assert {*SCHEDULES, "LRScheduler"} == set(schedules.__all__)


def scheduled(make, name, schedule, options):
    """A loop over two groups, of weights and of vectors, with a schedule."""
    task = Task(name)
    params = list(task.model.parameters())
    matrices = {"params": [p for p in params if p.ndim > 1], "weight_decay": 0.1}
    vectors = {"params": [p for p in params if p.ndim < 2]}
    optimizer = make(name, [matrices, vectors], buffers=task.model.buffers(), **options)
    scheduler = schedule(optimizer)

    def step(number):
        loss = optimizer.step(task.closure(optimizer, number)).detach()
        plateau = isinstance(scheduler, schedules.ReduceLROnPlateau)
        scheduler.step(*([loss] if plateau else []))
        return loss, scheduler.get_last_lr()

    return Loop(task.model, optimizer, step)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.01, "momentum": 0.9}),
        ("AdamW", {"lr": 0.01}),
        ("Adam", {"lr": torch.tensor(0.01), "fused": True}),
    ],
)
@pytest.mark.parametrize("kind", SCHEDULES)
def test_schedules_drive_rates_momenta_and_weights_as_those_of_the_base(kind, name, options):
    assert_twins(lambda make: scheduled(make, name, SCHEDULES[kind], options), 15)


@pytest.mark.parametrize("kind", ["OneCycleLR", "SequentialLR", "ReduceLROnPlateau", "CyclicLR"])
def test_a_schedule_resumes_with_its_optimizer(kind):
    def start():
        optimizer, closure, weight = small("SGD", hybrid, {"lr": 0.1})
        return optimizer, closure, weight, SCHEDULES[kind](optimizer)

    def go_on(steps, optimizer, closure, _, scheduler):
        for _ in range(steps):
            loss = optimizer.step(closure)
            scheduler.step(*([loss.detach()] if kind == "ReduceLROnPlateau" else []))

    run = start()
    go_on(6, *run)
    again = start()
    with torch.no_grad():
        again[2].copy_(run[2])
    saved = copy.deepcopy([run[0].state_dict(), run[3].state_dict()])
    again[0].load_state_dict(saved[0])
    again[3].load_state_dict(saved[1])
    go_on(12, *run)
    go_on(12, *again)
    assert torch.equal(run[2], again[2])
    assert run[0].param_groups[0]["lr"] == again[0].param_groups[0]["lr"]


@pytest.mark.parametrize("make", [base, hybrid])
def test_a_schedule_that_steps_first_is_warned_of_as_with_the_base(make):
    optimizer, closure, _ = small("SGD", make)
    scheduler = schedules.StepLR(optimizer, 3)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()
    optimizer.step(closure)


def averaged(make, average, late):
    """A loop with an average of the weights, and from step 3 on the schedule that goes with it."""
    task = Task("SGD")
    optimizer = make("SGD", task.model.parameters(), buffers=task.model.buffers(), lr=0.05, momentum=0.9)
    model = average(task.model)
    scheduler = SWALR(optimizer, swa_lr=0.01, anneal_epochs=4)

    def step(number):
        loss = optimizer.step(task.closure(optimizer, number)).detach()
        if number >= late:
            model.update_parameters(task.model)
            scheduler.step()
        if number == late + 3:
            update_bn(task.x.split(16), model)
        return loss

    return Loop(task.model, optimizer, step, {"average": model})


@pytest.mark.parametrize(
    "average",
    [
        AveragedModel,
        lambda model: AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True),
    ],
)
def test_averages_of_weights_follow_the_base(average):
    assert_twins(lambda make: averaged(make, average, late=3), 12)
