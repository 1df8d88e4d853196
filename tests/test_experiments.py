"""The experiments that are shipped: they run, and what their comments claim is so."""

import dataclasses
import functools
import statistics
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hybridopt.cli import app
from hybridopt.runs import subject
from hybridopt.runs.cell import cells, run_cell
from hybridopt.runs.config import load
from hybridopt.runs.runner import default_jobs, run
from hybridopt.runs.verdict import judge

FOLDER = Path(__file__).parent.parent / "experiments"
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Modules beside a config are found, in this process and in workers."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))


@pytest.mark.parametrize("name", FILES)
def test_every_run_of_the_first_seed_goes_well_at_a_tiny_budget(name):
    experiment = load(FOLDER / f"{name}.yaml")
    for cell in cells(experiment):
        if cell.seed == experiment.seeds[0]:
            found = run_cell(dataclasses.replace(cell, budget=min(cell.budget, 30)))
            assert found.error is None, found.error
            assert 0 < found.cost <= 30


@pytest.mark.parametrize("name", FILES)
def test_every_experiment_says_how_to_run_it_and_what_to_expect(name):
    text = (FOLDER / f"{name}.yaml").read_text()
    assert f"hybridopt run experiments/{name}.yaml" in text
    assert "Claims, and what to expect" in text


def test_the_command_finds_the_module_beside_the_config(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(FOLDER)])
    budgets = [f"comparisons[{place}].budget=6" for place in range(3)]
    settings = [part for setting in ["seeds=1", *budgets] for part in ("--set", setting)]
    arguments = [
        "run",
        str(FOLDER / "variants.yaml"),
        "--out",
        str(tmp_path / "out"),
        "--jobs",
        "1",
        *settings,
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output


class Results:
    """Runs of a whole experiment."""

    def __init__(self, name):
        self.experiment = load(FOLDER / f"{name}.yaml")
        self.runs = list(run(list(cells(self.experiment)), default_jobs()))
        assert [found.error for found in self.runs if found.error] == []

    def of(self, comparison, label, problem=None):
        return [
            found
            for found in self.runs
            if (found.cell.comparison, found.cell.label) == (comparison, label)
            and problem in (None, subject.label_of(found.cell.problem))
        ]

    def median(self, comparison, label, metric="gap", problem=None):
        return statistics.median(found.metrics[metric] for found in self.of(comparison, label, problem))

    def units(self, comparison, label, problem=None):
        return statistics.median(found.cost for found in self.of(comparison, label, problem))

    def solved(self, comparison, label, problem=None):
        return sum(bool(found.solved) for found in self.of(comparison, label, problem))

    def leaders(self, comparison, problem):
        """By the same test as the verdicts; a gap within the tolerance is as good as another."""
        tolerance = self.experiment.tolerance
        labels = self.experiment.comparisons[comparison].optimizers
        return judge(
            {
                label: [max(f.metrics["gap"], tolerance) for f in self.of(comparison, label, problem)]
                for label in labels
            }
        ).leaders


@functools.cache
def results(name):
    """Of a shipped experiment; run once."""
    return Results(name)


RATES = ["rate 0.1", "rate 0.01", "rate 0.001", "rate 0.0001"]
MOMENTUM = "rate 0.1, momentum 0.9"


@pytest.mark.slow
def test_workshop_rates_ten_times_lower_are_further_from_the_closed_form():
    of = results("workshop")
    gaps = [of.median(0, label) for label in RATES]
    for gap, expected in zip(gaps, [1e-4, 7e-3, 5e-1, 7.0], strict=True):
        assert expected / 2 < gap < expected * 2
    assert [of.solved(0, label) for label in RATES] == [0, 0, 0, 0]
    assert of.solved(0, MOMENTUM) == 5
    assert of.median(0, MOMENTUM) < 1e-9
    assert of.units(0, MOMENTUM) < 2100


@pytest.mark.slow
def test_workshop_likelihood_falls_in_the_same_order():
    of = results("workshop")
    gaps = [of.median(1, label) for label in [MOMENTUM, *RATES]]
    for gap, expected in zip(gaps, [3e-4, 0.7, 2.6, 26, 39], strict=True):
        assert expected / 2 < gap < expected * 2


@pytest.mark.slow
def test_workshop_at_equal_epochs_smaller_batches_win():
    of = results("workshop")
    batch, mini, single = (
        [of.median(comparison, label, "test_accuracy") for label in RATES] for comparison in (2, 3, 4)
    )
    assert max(batch) == pytest.approx(0.78, abs=0.03)
    assert max(mini) == pytest.approx(0.95, abs=0.01)
    assert max(single) == single[1] == pytest.approx(0.964, abs=0.01)
    assert single[3] > 0.8
    assert max(mini[3], batch[3]) < 0.15


@pytest.mark.slow
def test_workshop_at_equal_steps_batches_differ_by_noise_alone():
    of = results("workshop")
    whole, mini, single = (
        [of.median(5, label, "test_accuracy", f"digits_linear batch_size={size}") for label in RATES]
        for size in (1347, 32, 1)
    )
    assert mini == pytest.approx(whole, abs=0.01)
    assert single[1:] == pytest.approx(whole[1:], abs=0.02)
    assert single[0] < whole[0] - 0.03


@pytest.mark.slow
def test_variants_on_beale_rprop_solves_most():
    of = results("variants")
    labels = of.experiment.comparisons[0].optimizers
    solved = {label: of.solved(0, label) for label in labels}
    assert solved["rprop"] >= 6
    assert max(number for label, number in solved.items() if label != "rprop") <= 4
    assert {"rprop", "nadam", "adam"} <= set(of.leaders(0, "beale"))
    assert not {"sgd", "momentum", "nesterov", "asgd", "adadelta", "radam"} & set(of.leaders(0, "beale"))
    assert of.median(0, "adam") < 0.1 < 0.5 < of.median(0, "sgd")


AXIS, TURNED = "ridge along an axis", "ridge turned"


@pytest.mark.slow
@pytest.mark.parametrize("ridge", [AXIS, TURNED])
def test_variants_at_one_rate_descent_stays_at_the_saddle_and_momentum_leaves(ridge):
    of = results("variants")
    for label in ("sgd", "asgd"):
        assert of.median(1, label, problem=ridge) == pytest.approx(1, abs=0.02)
    for label in ("momentum", "nesterov"):
        assert of.median(1, label, problem=ridge) < 3e-6
    assert of.median(1, "rmsprop", problem=ridge) < 0.01
    for label in ("adam", "adamw", "adamax", "nadam"):
        assert 0.05 < of.median(1, label, problem=ridge) < 0.4
    for label in ("adagrad", "adadelta", "radam"):
        assert of.median(1, label, problem=ridge) > 1.5


@pytest.mark.slow
def test_variants_with_rates_of_their_own_all_leave_the_saddle():
    of = results("variants")
    for ridge in (AXIS, TURNED):
        for label in of.experiment.comparisons[2].optimizers:
            assert of.median(2, label, problem=ridge) < 1e-5, label
    units = {
        label: [of.units(2, label, ridge) for ridge in (AXIS, TURNED)]
        for label in ("sgd", "adagrad", "rmsprop")
    }
    assert units["sgd"][0] == pytest.approx(units["sgd"][1], abs=4)
    assert units["adagrad"][0] < units["sgd"][0] / 3
    assert units["adagrad"][0] < units["adagrad"][1] / 2
    assert units["rmsprop"][0] < units["rmsprop"][1]


MULTIMODAL = {
    "rastrigin-5": 0,
    "ackley-5": 0,
    "levy-5": 0,
    "styblinski_tang-5": 0,
    "griewank-5": 1,
    "schwefel-5": 1,
}
NULLS = ["gradient", "multi-start", "perturb and restart", "evolution", "random search"]
ALL_DESCEND, BEST_DESCEND = "hybrid, all descend", "hybrid, best descend"


def solved_by_function(of, label):
    return {name: of.solved(place, label, name) for name, place in MULTIMODAL.items()}


@pytest.mark.slow
def test_alternate_hybrids_solve_most_runs_over_all_functions():
    of = results("alternate")
    solved = {
        label: sum(solved_by_function(of, label).values()) for label in [*NULLS, ALL_DESCEND, BEST_DESCEND]
    }
    assert solved[BEST_DESCEND] >= max(solved[label] for label in NULLS) + 8, solved
    assert solved[ALL_DESCEND] >= max(solved[label] for label in NULLS), solved
    assert solved["gradient"] <= 4, solved
    assert solved["multi-start"] <= 13, solved
    assert solved["random search"] == 0, solved
    assert min(solved_by_function(of, BEST_DESCEND).values()) >= 1


@pytest.mark.slow
def test_alternate_hybrids_beat_every_null_hypothesis_on_two_functions_only():
    of = results("alternate")
    leaders = {name: of.leaders(place, name) for name, place in MULTIMODAL.items()}
    assert [name for name, best in leaders.items() if not set(best) & set(NULLS)] == [
        "griewank-5",
        "schwefel-5",
    ]
    assert set(leaders["griewank-5"]) == {ALL_DESCEND, BEST_DESCEND}
    assert leaders["schwefel-5"] == (BEST_DESCEND,)


@pytest.mark.slow
def test_alternate_simpler_methods_do_as_well_elsewhere():
    of = results("alternate")
    assert of.leaders(0, "rastrigin-5") == ("perturb and restart",)
    assert of.solved(0, "perturb and restart", "rastrigin-5") == 10
    assert set(of.leaders(0, "ackley-5")) == {"evolution", BEST_DESCEND}
    assert {"evolution", "perturb and restart"} < set(of.leaders(0, "levy-5"))
    assert {"multi-start", ALL_DESCEND} < set(of.leaders(0, "styblinski_tang-5"))
    perturbed = solved_by_function(of, "perturb and restart")
    assert [perturbed[name] for name in ("ackley-5", "griewank-5", "schwefel-5")] == [0, 0, 0]


@pytest.mark.slow
def test_alternate_at_saddles_hybrids_are_no_better_than_the_gradient():
    of = results("alternate")
    for name in ("strict_saddle-10", "rayleigh_quotient-10", "low_rank_factorisation"):
        assert "gradient" in of.leaders(2, name)
        assert of.solved(2, "gradient", name) == 10
        for label in ("multi-start", "evolution", "random search"):
            assert of.solved(2, label, name) == 0
    for name in ("strict_saddle-10", "rayleigh_quotient-10"):
        assert of.solved(2, "perturb and restart", name) == 10


@pytest.mark.slow
def test_no_run_costs_more_than_the_budget():
    for found in results("alternate").runs:
        assert found.cost <= found.cell.budget
