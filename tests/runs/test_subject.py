"""Problems of a config: registered ones and a user's own."""

from pathlib import Path

import pytest
import torch

from hybridopt.problems import TASKS
from hybridopt.runs import build, subject
from hybridopt.runs.cell import Cell, run_cell
from hybridopt.runs.spec import BuildError


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def ran(problem, optimizer, budget=400):
    subject.check_problem(problem, ())
    return run_cell(Cell(0, problem, "it", optimizer, 1, budget, 1e-6))


DESCENT = {"name": "sgd", "lr": 0.2}
BOWL = {"import": "mine:bowl", "dim": 3, "bounds": [-2, 4], "value": 0}


@pytest.mark.parametrize(
    "problem",
    [
        BOWL,
        {"import": "mine:rows_of_bowls", "dim": 3, "bounds": [-2, 4], "value": 0.0, "vectorized": True},
        {
            "import": "mine:bowl",
            "bounds": [[-2, 4], [0.5, 0.5], [None, 3]],
            "start": [0, 0.5, 0],
            "value": 0.25,
        },
        {"import": "mine:bowl", "start": [3, 3], "value": 0},
        {"import": "mine:valley", "dim": 2},
        {"import": "mine:valley", "dim": 2, "width": 2.0, "instance": 2},
    ],
)
def test_a_function_of_ones_own_is_minimized(problem):
    result = ran(problem, DESCENT)
    assert result.error is None, result.error
    assert result.solved


def test_a_numpy_function_of_ones_own_is_searched_by_values():
    result = ran({**BOWL, "import": "mine:numpy_bowl"}, {"import": "mine:Evolution", "population_size": 10})
    assert result.error is None, result.error
    assert result.metrics["gap"] < 1


@pytest.mark.parametrize(
    "problem",
    [
        {
            "name": "network",
            "model": {"import": "mine:Net", "width": 4},
            "data": {"import": "mine:load", "samples": 60},
        },
        {
            "name": "network",
            "model": {"import": "mine:Net"},
            "data": {"import": "mine:load"},
            "loss": "cross_entropy",
        },
        {
            "name": "network",
            "model": {"import": "mine:Net"},
            "data": {"import": "mine:load"},
            "loss": {"import": "torch.nn.functional:cross_entropy"},
        },
        {"import": "mine:own_task", "batch_size": 4},
    ],
)
def test_a_network_of_ones_own_is_trained(problem, monkeypatch):
    import mine

    monkeypatch.setitem(TASKS, "mine_task", mine.own_task)  # what the decorator does
    assert subject.is_task(problem) or subject.check_problem(problem, ()) is None
    result = ran(problem, {"torch": "Adam", "lr": 0.05})
    assert result.error is None, result.error
    assert result.metrics["test_accuracy"] > 0.7
    assert result.curve[-1] == (result.cost, result.metrics["train_loss"])


def test_data_are_read_once_for_many_runs(monkeypatch):
    import mine

    calls = []
    monkeypatch.setattr(
        mine, "load", lambda samples=40, real=mine.load: calls.append(samples) or real(samples)
    )
    problem = {
        "name": "network",
        "model": {"import": "mine:Net"},
        "data": {"import": "mine:load", "samples": 44},
    }
    for _ in range(3):
        ran(problem, {"torch": "SGD", "lr": 0.1}, budget=4)
    assert calls == [44]


@pytest.mark.parametrize(
    ("problem", "label"),
    [
        ({"name": "rastrigin", "dim": 10}, "rastrigin-10"),
        ({"name": "digits_mlp", "batch_size": 32}, "digits_mlp batch_size=32"),
        (BOWL, "bowl-3 bounds=[-2, 4] value=0"),
        ({**BOWL, "label": "my bowl"}, "my bowl"),
        (
            {"name": "network", "model": {"import": "mine:Net", "width": 4}, "data": "digits"},
            "network model=Net data=digits",
        ),
    ],
)
def test_labels_are_short_and_tell_problems_apart(problem, label):
    assert subject.label_of(problem) == label


@pytest.mark.parametrize(
    ("change", "key", "part"),
    [
        ({"dim": 0}, "dim", "must be at least 1"),
        ({"dim": 2.5}, "dim", "expected integer"),
        ({"bounds": [[0, 1]] * 2}, "dim", "dim is 3, but start or bounds have 2"),
        ({"start": [9, 0, 0]}, "start", "must lie inside the bounds"),
        ({"value": float("nan")}, "value", "finite"),
        ({"bounds": [0, "one"]}, "bounds", "must be pairs"),
    ],
)
def test_wrong_options_of_a_function_are_blamed(change, key, part):
    with pytest.raises(BuildError, match=part) as caught:
        subject.check_problem({**BOWL, **change}, ())
    assert caught.value.mistake.key == (key,)


def test_what_a_factory_raises_is_told():
    with pytest.raises(BuildError, match="raised KeyError"):
        subject.check_problem({"import": "unreliable:keyless", "dim": 1}, ())


def test_an_optimizer_of_ones_own_may_be_a_phase():
    built = build.engine(
        {
            "name": "alternate",
            "phases": [{"import": "mine:Evolution", "population_size": 8}, {"name": "sgd", "lr": 0.1}],
        }
    )
    assert built.phases[0].population_size == 8
    assert torch.optim.SGD is built.phases[1].base
