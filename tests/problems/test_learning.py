"""Learning tasks: the split, the network, the minibatches, and what is measured."""

import builtins

import pytest
import torch

from hybridopt import problems
from hybridopt.problems import data

TASKS = ["digits_linear", "digits_mlp"]


@pytest.fixture(params=TASKS)
def task(request):
    return problems.make_task(request.param, seed=3)


def test_every_sample_is_either_for_training_or_for_testing(task):
    assert task.train_x.shape[0] + task.test_x.shape[0] == 1797
    assert task.train_x.shape[1:] == task.test_x.shape[1:] == (64,)


def test_each_class_has_a_quarter_of_its_samples_in_the_test_set(task):
    test, train = (torch.bincount(y, minlength=10) for y in (task.test_y, task.train_y))
    share = test / (test + train)
    assert ((share - 0.25).abs() < 0.005).all()


def test_training_inputs_are_standardised_and_constant_pixels_are_zero(task):
    spread = task.train_x.std(0, correction=0)
    constant = spread == 0
    assert constant.any()
    assert task.train_x.mean(0).abs().max() < 1e-5
    assert (spread[~constant] - 1).abs().max() < 1e-4
    assert task.train_x[:, constant].abs().max() == 0


def test_another_seed_gives_another_split():
    first, again, other = (problems.make_task("digits_linear", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.test_x, again.test_x)
    assert not torch.equal(first.test_y, other.test_y)


def test_model_is_made_by_seed_and_leaves_the_global_generator_alone(task):
    before = torch.get_rng_state()
    first, again, other = (torch.nn.utils.parameters_to_vector(task.model(s).parameters()) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("diabetes_linear", 11),
        ("diabetes_mlp", 97),
        ("breast_cancer_linear", 62),
        ("breast_cancer_mlp", 266),
        ("digits_linear", 650),
        ("digits_mlp", 2410),
    ],
)
def test_networks_have_the_stated_number_of_parameters(name, count):
    model = problems.make_task(name).model(0)
    assert sum(p.numel() for p in model.parameters()) == count


def test_an_epoch_covers_the_training_data_once_in_an_order_by_seed_and_epoch(task):
    batches = list(task.epoch(0, 0))
    assert [len(y) for _, y in batches[:-1]] == [64] * (len(batches) - 1)
    x = torch.cat([x for x, _ in batches])
    assert torch.equal(x.sum(1).sort().values, task.train_x.sum(1).sort().values)
    assert torch.equal(x, torch.cat([x for x, _ in task.epoch(0, 0)]))
    assert not torch.equal(x, torch.cat([x for x, _ in task.epoch(0, 1)]))
    assert not torch.equal(x, torch.cat([x for x, _ in task.epoch(1, 0)]))


def test_batches_go_on_after_an_epoch(task):
    several = [y for _, y in zip(range(30), task.batches(0), strict=False)]
    assert len(several) == 30


def test_metrics_agree_with_a_count_by_hand_and_leave_the_mode(task):
    model = task.model(0).train()
    metrics = task.metrics(model)
    right = sum(int(model(x[None]).argmax() == y) for x, y in zip(task.test_x, task.test_y, strict=True))
    assert metrics["test_accuracy"] == pytest.approx(right / len(task.test_y))
    assert model.training


@pytest.mark.parametrize("name", sorted(problems.TASKS.keys() - {"network"}))  # it needs a network
def test_every_task_has_data_of_the_same_kind_for_training_and_testing(name):
    task = problems.make_task(name, seed=1)
    assert task.train_x.dtype == task.test_x.dtype == torch.float32
    assert task.train_x.mean(0).abs().max() < 1e-5
    assert 0.2 < len(task.test_y) / (len(task.test_y) + len(task.train_y)) < 0.3
    output = task.model(0)(task.test_x)
    assert torch.isfinite(task.loss_fn(output, task.test_y))
    assert task.train_y.shape[1:] == task.test_y.shape[1:]


def trained(name, steps):
    task = problems.make_task(name, seed=0)
    model = task.model(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for (x, y), _ in zip(task.batches(0), range(steps), strict=False):
        optimizer.zero_grad()
        task.loss_fn(model(x), y).backward()
        optimizer.step()
    return task.metrics(model)


@pytest.mark.parametrize("name", ["breast_cancer_linear", "breast_cancer_mlp"])
def test_breast_cancer_is_learnt(name):
    assert trained(name, 200)["test_accuracy"] > 0.95


@pytest.mark.parametrize("name", ["diabetes_linear", "diabetes_mlp"])
def test_diabetes_is_learnt_and_has_no_accuracy(name):
    metrics = trained(name, 300)
    assert metrics["test_loss"] < 0.65  # the mean of the targets alone gives about 1
    assert set(metrics) == {"train_loss", "test_loss"}


def test_linear_model_learns_digits():
    assert trained("digits_linear", 200)["test_accuracy"] > 0.93


def test_without_scikit_learn_the_error_says_how_to_install_it(monkeypatch):
    real = builtins.__import__

    def fake(name, *rest, **named):
        if name.startswith("sklearn"):
            raise ModuleNotFoundError("No module named 'sklearn'")
        return real(name, *rest, **named)

    data.digits.cache_clear()
    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "torch-hybridopt\[data\]"'):
        problems.make_task("digits_mlp")


def test_a_bad_batch_size_is_refused():
    with pytest.raises(ValueError, match="batch_size of task 'digits_mlp' must be at least 1, got 0"):
        problems.make_task("digits_mlp", batch_size=0)
