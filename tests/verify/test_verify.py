"""The judge: which rows it makes, what it refuses, and that the registered optimizers pass."""

import json
import math
import re
from pathlib import Path
from unittest import mock

import pytest
import torch

import hybridopt
from hybridopt import TorchGradient, baselines
from hybridopt.registry import OPTIMIZERS
from hybridopt.verify import Report, Row, verify
from hybridopt.verify.door import CHECKS
from hybridopt.verify.standard import settings

SGD = TorchGradient(torch.optim.SGD, lr=1.0)
QUICK = ["duplicated_column", "nonnegative", "torch_path"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_registered_optimizer_passes_the_quick_baselines(name):
    report = verify(name, QUICK, seed=1)
    assert report.passed, str(report)
    assert len(report.rows) == 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_every_registered_optimizer_passes_every_baseline(seed):
    report = verify(seed=seed, jobs=2)
    assert report.passed, str(report)
    assert len(report.rows) == len(OPTIMIZERS) * len(CHECKS)


def test_settings_are_for_optimizers_that_are_registered():
    assert set(settings()) <= set(OPTIMIZERS)


def test_every_method_of_torch_is_held_against_torch():
    for name, target in OPTIMIZERS.items():
        if target.startswith("hybridopt.gradient.descent:"):
            assert [row.verdict for row in verify(name, "torch_path").rows] == ["passed"], name


def test_a_passed_row_says_error_tolerance_reason_and_cost():
    (row,) = verify(SGD, "ridge").rows
    assert (row.optimizer, row.baseline, row.oracle) == ("TorchGradient", "ridge", "scipy.linalg.cho_solve")
    assert (row.verdict, row.measure, row.message) == ("passed", "distance", "")
    assert row.error < row.tolerance == 1e-6
    assert "linear convergence" in row.reason
    assert 50 < row.cost < 1000


def test_a_failed_row_says_why():
    (row,) = verify({"inert": hybridopt.GeneticAlgorithm(mutpb=0.0, cxpb=0.0)}, "ridge").rows
    assert row.verdict == "failed"
    assert "value error 0." in row.message
    assert "expected at most 1e-03. The budget is spent." in row.message


def test_what_does_not_apply_is_listed_with_its_reason():
    (row,) = verify("genetic", "torch_path").rows
    assert (row.verdict, row.error) == ("not applicable", None)
    assert "no method of torch.optim" in row.reason


def test_an_exception_of_the_optimizer_is_a_failure():
    class Broken(hybridopt.GeneticAlgorithm):
        def tell(self, state, evaluation):
            raise ArithmeticError("out of luck")

    report = verify({"broken": Broken(10)}, ["ridge", "low_rank"])
    assert not report.passed
    assert [row.message for row in report.failures] == ["ArithmeticError: out of luck"] * 2
    assert "failed: broken on ridge: ArithmeticError: out of luck" in str(report)


def test_an_error_that_is_not_a_number_fails_and_is_valid_json():
    row = Row("x", "ridge", "scipy", "failed", error=math.nan)
    assert json.loads(json.dumps(Report((row,), 0).as_dict(), allow_nan=False))["rows"][0]["error"] is None


def test_processes_change_no_result():
    names = ["sgd", "genetic"]
    alone, together = (verify(names, ["ridge", "nonnegative"], jobs=jobs) for jobs in (1, 2))
    assert [(r.optimizer, r.baseline, r.error) for r in alone.rows] == [
        (r.optimizer, r.baseline, r.error) for r in together.rows
    ]


def test_another_seed_is_another_problem():
    first, second = (verify("sgd", "ridge", seed=seed).rows[0].error for seed in (0, 1))
    assert first != second


def test_a_baseline_of_ones_own_is_taken():
    ridge = baselines.make("ridge", seed=7)
    assert verify(SGD, ridge).passed


def test_labels_are_those_of_the_dict_or_the_types():
    assert [row.optimizer for row in verify({"mine": SGD, "theirs": "adam"}, "ridge").rows] == [
        "mine",
        "theirs",
    ]
    assert [row.optimizer for row in verify([SGD, "adam"], "ridge").rows] == ["TorchGradient", "adam"]


def test_a_reference_for_an_optimizer_that_asks_for_no_gradient_is_refused_in_its_row():
    (row,) = verify(hybridopt.GeneticAlgorithm(10), "torch_path", reference=torch.optim.SGD).rows
    assert row.verdict == "failed"
    assert "one gradient a row and step" in row.message


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        (("adm",), ValueError, "did you mean 'adam"),
        (("adam", "rigde"), ValueError, "did you mean 'ridge'"),
        ((torch.optim.SGD,), TypeError, "an optimizer has init, ask, tell and traits"),
        ((SGD, 3), TypeError, "iterable"),
        ((SGD, [3]), TypeError, "a baseline is a name"),
        (([SGD, SGD],), ValueError, "two optimizers are called 'TorchGradient'"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(arguments, error, part):
    with pytest.raises(error, match=part):
        verify(*arguments)


def test_printed_report_is_a_table_with_reasons():
    text = str(verify(["sgd", "genetic"], ["ridge", "torch_path"]))
    assert "scipy.linalg.cho_solve" in text
    assert "distance within 1e-06 (sgd): linear convergence" in text
    assert "4 checks, seed 0: 3 passed, 0 failed, 1 not applicable" in text


def test_python_of_the_docs_runs(capsys):
    text = (Path(__file__).parents[2] / "docs" / "verify.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.S)
    with mock.patch.object(hybridopt, "verify", verify):
        exec(compile(block, "docs/verify.md", "exec"), {})
    assert "3 checks, seed 0: 3 passed" in capsys.readouterr().out


def test_docs_name_every_baseline():
    text = (Path(__file__).parents[2] / "docs" / "verify.md").read_text()
    assert [name for name in CHECKS if f"`{name}`" not in text] == []
