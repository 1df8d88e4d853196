"""Who won where, and what is printed of it."""

import io
import math

import pytest
from rich.console import Console

from hybridopt.loop import Ledger
from hybridopt.runs.cell import Cell, Run
from hybridopt.runs.config import Comparison, Experiment
from hybridopt.runs.table import failures, tables, verdicts
from hybridopt.runs.verdict import judge, p_value

LOW, HIGH = [1.0, 1.1, 1.2, 1.3, 1.4], [2.0, 2.1, 2.2, 2.3, 2.4]
SPHERE, DIGITS = {"name": "sphere", "dim": 3}, {"name": "digits_mlp"}


def experiment(problem, labels):
    comparison = Comparison(
        title="it", budget=10, problems=[problem], optimizers={label: {} for label in labels}
    )
    return Experiment(title="", seeds=[0, 1, 2, 3, 4], comparisons=[comparison])


def runs(problem, metric, by_label):
    for label, numbers in by_label.items():
        for seed, number in enumerate(numbers):
            cell = Cell(0, problem, label, {}, seed, 10, 1e-6)
            if math.isinf(number):
                yield Run(cell, message="ValueError: no", error="Traceback ... no")
            elif metric == "gap":
                yield Run(cell, {"value": number, "gap": number}, Ledger(10))
            else:
                yield Run(cell, {"train_loss": 0.1, "test_loss": 0.2, metric: number}, Ledger(10))


def verdict_of(problem, metric, by_label):
    (line,) = verdicts(experiment(problem, by_label), list(runs(problem, metric, by_label)))
    return line


def test_the_lowest_median_wins_where_the_difference_is_significant():
    verdict = judge({"a": HIGH, "b": LOW})
    assert verdict.leaders == ("b",)
    assert verdict.others == ("a",)
    assert verdict.p == pytest.approx(2 / 252)  # exact: both extremes of C(10, 5) orders


def test_there_is_no_winner_where_the_difference_may_be_chance():
    verdict = judge({"a": [1.0, 2.0, 3.0, 4.0], "b": [1.5, 2.5, 0.5, 4.5], "c": [9.0, 8.0, 9.5, 7.0]})
    assert set(verdict.leaders) == {"a", "b"}
    assert verdict.others == ("c",)
    assert verdict.p > 0.05


def test_equal_numbers_are_no_difference():
    assert p_value([1.0, 1.0], [1.0, 1.0]) == 1.0


def test_one_optimizer_alone_is_compared_with_nothing():
    assert math.isnan(judge({"a": LOW}).p)


def test_winner_is_named_with_medians_seeds_and_p():
    line = verdict_of(SPHERE, "gap", {"slow": HIGH, "fast": [0.0] * 5})
    assert line == (
        "sphere-3: fast (5/5 solved, gap 0) wins over 5 seeds, p <= 0.0075; "
        "behind: slow (0/5 solved, gap 2.2)"
    )


def test_gaps_within_the_tolerance_are_equal():
    line = verdict_of(SPHERE, "gap", {"a": [1e-9] * 5, "b": [1e-13] * 5})
    assert line.startswith("sphere-3: no difference between a (5/5 solved")


def test_more_right_on_the_test_set_is_better():
    line = verdict_of(
        DIGITS, "test_accuracy", {"a": [0.9, 0.91, 0.92, 0.93, 0.94], "b": [0.5, 0.6, 0.55, 0.6, 0.4]}
    )
    assert line.startswith("digits_mlp: a (92.0% right) wins over 5 seeds")


def test_few_seeds_tell_nothing():
    line = verdict_of(SPHERE, "gap", {"a": LOW[:3], "b": HIGH[:3]})
    assert "can't be told apart with 3 seeds, it takes 4 or more" in line


def test_an_optimizer_that_fails_can_not_win():
    line = verdict_of(SPHERE, "gap", {"a": [math.inf] * 5, "b": HIGH})
    assert line.startswith("sphere-3: b (0/5 solved, gap 2.2) wins")
    assert "behind: a (failed)" in line


def test_where_all_fail_nobody_is_compared():
    line = verdict_of(SPHERE, "gap", {"a": [math.inf] * 5, "b": [math.inf] * 5})
    assert line == "sphere-3: no optimizer found a finite value"


def test_failures_are_listed_once_a_kind_with_their_seeds():
    failed = list(runs(SPHERE, "gap", {"a": [math.inf, 1.0, math.inf]}))
    assert list(failures(failed)) == ["failed: sphere-3, a, seed 0, 2: ValueError: no"]


@pytest.mark.parametrize(("problem", "metric"), [(SPHERE, "gap"), (DIGITS, "test_accuracy")])
def test_table_has_a_row_an_optimizer_with_medians(problem, metric):
    by_label = {"slow": [0.5, 0.25, 0.75], "fast": [0.125, 0.0, 0.25], "broken": [math.inf]}
    text = io.StringIO()
    found = list(tables(experiment(problem, by_label), list(runs(problem, metric, by_label))))
    for table in found:
        Console(file=text, width=120).print(table)
    rows = [line.split() for line in text.getvalue().splitlines()]
    (slow,) = [row for row in rows if "slow" in row]
    (fast,) = [row for row in rows if "fast" in row]
    (broken,) = [row for row in rows if "broken" in row]
    assert ("0.5" if metric == "gap" else "50.0%") in slow
    assert ("0.12" if metric == "gap" else "12.5%") in fast
    assert "-" in broken


def test_comparisons_of_which_nothing_was_run_have_no_table():
    assert list(tables(experiment(SPHERE, ["a"]), [])) == []
    assert list(verdicts(experiment(SPHERE, ["a"]), [])) == []
