"""The JSON schema accepts what is right and refuses what it can see to be wrong."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from hybridopt.runs.schema import schema
from hybridopt.runs.source import parse

EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))
GOOD = """\
title: test
seeds: [1, 2]
comparisons:
  - budget: 100
    problems:
      - {name: sphere, dim: 3, instance: 2, label: ball}
      - {import: 'mine:bowl', bounds: [0, 1], dim: 2}
    optimizers:
      descent: {name: sgd, lr: 0.1, momentum: 0.9}
      mine: {import: 'mine:Evolution', population_size: 3}
      net: {torch: Adam, lr: 0.1}
"""


@pytest.fixture(scope="module")
def validator():
    found = schema()
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_shipped_experiments_are_valid(path, validator):
    assert list(validator.iter_errors(parse(path.read_text()))) == []


def test_a_good_config_is_valid(validator):
    assert list(validator.iter_errors(parse(GOOD))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("budget: 100", "budget: -1"),
        ("budget: 100", "budgte: 100"),
        ("seeds: [1, 2]", "seeds: 0"),
        ("name: sphere", "name: sphare"),
        ("dim: 3, ", "dims: 3, "),
        ("dim: 3, ", "dim: x, "),
        ("name: sgd", "name: sdg"),
        ("torch: Adam", "torch: Adm"),
        ("import: 'mine:Evolution'", "import: mine"),
    ],
)
def test_mistakes_are_seen(old, new, validator):
    assert old in GOOD
    assert list(validator.iter_errors(parse(GOOD.replace(old, new, 1))))
