"""Settings of the command line: where they go, and what is said of bad ones."""

from pathlib import Path

import pytest

from hybridopt.runs.config import load
from hybridopt.runs.setting import apply
from hybridopt.runs.source import ConfigError, Source

DATA = {"seeds": 5, "comparisons": [{"budget": 1, "optimizers": {"lr 0.1": {"name": "sgd", "lr": 0.1}}}]}
GOOD = """\
title: test
seeds: 3
comparisons:
  - budget: 100
    problems: [{name: sphere, dim: 3}]
    optimizers: {descent: {name: sgd, lr: 0.1}}
"""


def applied(*settings):
    return apply(Source(Path("x.yaml"), DATA), settings).data


def said(tmp_path, *settings):
    path = tmp_path / "it.yaml"
    path.write_text(GOOD)
    with pytest.raises(ConfigError) as caught:
        load(path, settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("comparisons[0].budget=7", lambda d: d["comparisons"][0]["budget"]),
        ("comparisons.0.budget = 7", lambda d: d["comparisons"][0]["budget"]),
        (
            'comparisons[0].optimizers."lr 0.1".lr=7',
            lambda d: d["comparisons"][0]["optimizers"]["lr 0.1"]["lr"],
        ),
        ("tolerance=7", lambda d: d["tolerance"]),
    ],
)
def test_a_value_is_put_where_the_key_leads(setting, place):
    assert place(applied(setting)) == 7
    assert DATA["seeds"] == 5
    assert "tolerance" not in DATA


def test_values_are_yaml_and_the_last_one_counts():
    assert applied("seeds=[1, 2]")["seeds"] == [1, 2]
    assert applied("seeds=1", "seeds=2")["seeds"] == 2
    assert applied("tolerance=1e-3")["tolerance"] == 1e-3
    assert applied(
        "comparisons[0].optimizers.new={name: adam, lr: 0.5}", "comparisons[0].optimizers.new.lr=2"
    )["comparisons"][0]["optimizers"]["new"] == {"name": "adam", "lr": 2}


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("seeds", "expected key=value such as seeds=3"),
        ("=3", "expected key=value"),
        ("comparisons[1].budget=3", "comparisons is a list of 1, counted from 0; got the place 1"),
        ("comparisons.first.budget=3", "got the place 'first'"),
        ("comparsons[0].budget=3", "top level has no 'comparsons': did you mean 'comparisons'"),
        ("seeds.number=3", "seeds is 3, nothing with parts; got the part 'number'"),
        ("seeds=[1", "the value is not valid YAML"),
        ("seeds={a: 1, a: 2}", "the key 'a' stands here"),
    ],
)
def test_a_setting_that_leads_nowhere_is_refused(setting, part, tmp_path):
    message = said(tmp_path, setting)
    assert message.startswith(f"--set {setting}: ")
    assert part in message


@pytest.mark.parametrize(
    ("setting", "rest"),
    [
        ("comparisons[0].budget=-3", "comparisons[0].budget: got -3, expected a number greater than 0"),
        ("comparisons[0].budgte=3", "comparisons[0].budgte: unknown key 'budgte': did you mean 'budget'"),
        (
            "comparisons[0].optimizers.descent={name: sdg}",
            "comparisons[0].optimizers.descent.name: unknown optimizer 'sdg': did you mean 'sgd'",
        ),
    ],
)
def test_a_mistake_in_a_setting_is_told_with_the_setting_and_not_a_line(setting, rest, tmp_path):
    assert said(tmp_path, setting).startswith(f"--set {setting}, {rest}")
