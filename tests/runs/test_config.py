"""Configs: what a good one becomes, and what is said of bad ones."""

import pytest
import torch
from typer.testing import CliRunner

from hybridopt.cli import app
from hybridopt.conditions import AllOf, AnyOf, Stalled, Steps
from hybridopt.optim import Escape
from hybridopt.rng import global_generators_fingerprint
from hybridopt.runs import build
from hybridopt.runs.config import load
from hybridopt.runs.source import ConfigError, read

GOOD = """\
title: test
seeds: 3
comparisons:
  - budget: 100
    problems:
      - {name: sphere, dim: 3}
    optimizers:
      descent: {name: sgd, lr: 0.1}
"""


def write(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def said(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    return str(caught.value)


def test_a_good_config_is_read(tmp_path):
    experiment = load(write(tmp_path, GOOD))
    assert experiment.title == "test"
    assert experiment.seeds == [0, 1, 2]
    assert experiment.tolerance == 1e-6
    assert experiment.comparisons[0].optimizers == {"descent": {"name": "sgd", "lr": 0.1}}


def test_seeds_may_be_listed(tmp_path):
    assert load(write(tmp_path, GOOD.replace("seeds: 3", "seeds: [7, 3]"))).seeds == [7, 3]


def test_1e_minus_6_is_a_number(tmp_path):
    assert load(write(tmp_path, "tolerance: 1e-3\n" + GOOD)).tolerance == 1e-3


# (text of GOOD, what stands there instead, line, key, part of the message)
MISTAKES = {
    "unknown key": (
        "budget: 100",
        "budget: 100\n    budgte: 3",
        5,
        "comparisons[0].budgte",
        "did you mean 'budget'",
    ),
    "unknown top key": ("title: test", "title: a\ntolernce: 1", 2, "tolernce", "did you mean 'tolerance'"),
    "missing key": ("title: test\n", "", 1, "title", "missing"),
    "missing inner key": ("budget: 100\n    ", "", 4, "comparisons[0].budget", "missing; expected the units"),
    "wrong type": ("title: test", "title: 5", 1, "title", "got 5, expected string"),
    "text for a number": ("100", "lots", 4, "comparisons[0].budget", "got 'lots', expected integer"),
    "negative budget": ("100", "-5", 4, "comparisons[0].budget", "got -5, expected a number greater than 0"),
    "zero tolerance": ("title: test", "title: a\ntolerance: 0", 2, "tolerance", "greater than 0"),
    "no seeds": ("seeds: 3", "seeds: 0", 2, "seeds", "got 0, expected at least 1 seed"),
    "wrong seeds": ("seeds: 3", "seeds: some", 2, "seeds", "expected a number of seeds, or a list"),
    "a seed twice": ("seeds: 3", "seeds: [1, 1]", 2, "seeds", "expected every seed once"),
    "negative seed": ("seeds: 3", "seeds: [1, -1]", 2, "seeds[1]", "greater than or equal to 0"),
    "empty list": (
        "problems:\n      - {name: sphere, dim: 3}",
        "problems: []",
        5,
        "comparisons[0].problems",
        "expected a list of problems",
    ),
    "unknown problem": (
        "name: sphere",
        "name: sphare",
        6,
        "comparisons[0].problems[0].name",
        "mean 'sphere'",
    ),
    "unknown problem option": (
        "dim: 3",
        "dims: 3",
        6,
        "comparisons[0].problems[0].dims",
        "did you mean 'dim'",
    ),
    "missing problem option": (", dim: 3", "", 6, "comparisons[0].problems[0]", "needs the option 'dim'"),
    "type of problem option": ("dim: 3", "dim: x", 6, "comparisons[0].problems[0].dim", "expected integer"),
    "instance": ("dim: 3", "dim: 3, instance: x", 6, "comparisons[0].problems[0].instance", "got 'x'"),
    "problem twice": (
        "dim: 3}",
        "dim: 3}\n      - {name: sphere, dim: 3}",
        7,
        "comparisons[0].problems[1]",
        "'sphere-3' stands in this list twice",
    ),
    "unknown optimizer": (
        "name: sgd",
        "name: sdg",
        8,
        "comparisons[0].optimizers.descent.name",
        "mean 'sgd'",
    ),
    "unknown option": ("lr: 0.1", "lrr: 0.1", 8, "comparisons[0].optimizers.descent.lrr", "'lrr'"),
    "missing option": (
        "name: sgd, lr: 0.1",
        "name: alternate",
        8,
        "comparisons[0].optimizers.descent",
        "needs the option 'phases'",
    ),
    "bad value": (
        "{name: sgd, lr: 0.1}",
        "{name: genetic, population_size: 1}",
        8,
        "comparisons[0].optimizers.descent.population_size",
        "got 1",
    ),
    "type of option": (
        "{name: sgd, lr: 0.1}",
        "{name: genetic, population_size: ten}",
        8,
        "comparisons[0].optimizers.descent.population_size",
        "got 'ten', expected integer",
    ),
    "bad import path": (
        "name: sgd",
        "import: 'nowhere:x'",
        8,
        "comparisons[0].optimizers.descent.import",
        "No module named 'nowhere'",
    ),
    "bad attribute": (
        "name: sgd",
        "import: 'hybridopt.conditions:Stalld'",
        8,
        "comparisons[0].optimizers.descent.import",
        "did you mean 'Stalled'",
    ),
    "path without attribute": (
        "name: sgd",
        "import: nowhere.x",
        8,
        "comparisons[0].optimizers.descent.import",
        "has the form 'package.module:name'",
    ),
    "path as a name": (
        "name: sgd",
        "name: 'mine:x'",
        8,
        "comparisons[0].optimizers.descent.name",
        "under the key 'import'",
    ),
    "module that fails": (
        "name: sphere",
        "import: 'unreliable_module:x'",
        6,
        "comparisons[0].problems[0].import",
        "raised ZeroDivisionError",
    ),
    "problem that is no function": (
        "name: sphere",
        "import: 'math:pi'",
        6,
        "comparisons[0].problems[0].import",
        "must be a function",
    ),
    "function without a box": (
        "name: sphere",
        "import: 'torch:sum'",
        6,
        "comparisons[0].problems[0]",
        "give bounds (a box to search), a start, or both",
    ),
    "bounds the wrong way round": (
        "name: sphere, dim: 3",
        "import: 'torch:sum', dim: 3, bounds: [5, -5]",
        6,
        "comparisons[0].problems[0].bounds",
        "must be lower <= upper",
    ),
    "option of a function": (
        "name: sphere, dim: 3",
        "import: 'torch:sum', dim: 3, bound: [5, -5]",
        6,
        "comparisons[0].problems[0].bound",
        "did you mean 'bounds'",
    ),
    "model as a text": (
        "name: sphere, dim: 3",
        "name: network, model: 'torch.nn:Linear', data: digits",
        6,
        "comparisons[0].problems[0].model",
        "under the key 'import'",
    ),
    "option of a model": (
        "name: sphere, dim: 3",
        "name: network, data: digits, model: {import: 'torch.nn:Linear', in_feature: 3, out_features: 2}",
        6,
        "comparisons[0].problems[0].model.in_feature",
        "did you mean 'in_features'",
    ),
    "unknown data": (
        "name: sphere, dim: 3",
        "name: network, data: digts, model: {import: 'torch.nn:Identity'}",
        6,
        "comparisons[0].problems[0].data",
        "did you mean 'digits'",
    ),
    "unknown loss": (
        "name: sphere, dim: 3",
        "name: network, data: digits, loss: cros_entropy, model: {import: 'torch.nn:Identity'}",
        6,
        "comparisons[0].problems[0].loss",
        "did you mean 'cross_entropy'",
    ),
    "no kind": ("name: sgd", "nam: sgd", 8, "comparisons[0].optimizers.descent", "did you mean 'name'"),
    "condition for optimizer": (
        "name: sgd, lr: 0.1",
        "name: steps, count: 3",
        8,
        "comparisons[0].optimizers.descent.name",
        "'steps' is no optimizer but a condition",
    ),
    "imported condition for optimizer": (
        "name: sgd, lr: 0.1",
        "import: 'hybridopt.conditions:Steps', count: 3",
        8,
        "comparisons[0].optimizers.descent.import",
        "is no optimizer but a condition",
    ),
    "unknown condition": (
        "{name: sgd, lr: 0.1}",
        "\n        name: alternate\n        phases: [{name: genetic}, {name: sgd}]\n"
        "        switch: {name: staled}",
        11,
        "comparisons[0].optimizers.descent.switch.name",
        "did you mean 'stalled'",
    ),
    "value of condition": (
        "{name: sgd, lr: 0.1}",
        "\n        name: alternate\n        phases: [{name: genetic}, {name: sgd}]\n"
        "        switch:\n          - {name: steps, count: 2}\n          - {name: stalled, steps: -2}",
        13,
        "comparisons[0].optimizers.descent.switch[1].steps",
        "must be at least 1, got -2",
    ),
    "trainer for function": (
        "name: sgd",
        "torch: SGD",
        8,
        "comparisons[0].optimizers.descent",
        "is a function",
    ),
    "engine for task": (
        "{name: sphere, dim: 3}",
        "{name: digits_mlp}",
        8,
        "comparisons[0].optimizers.descent",
        "is a learning task",
    ),
    "duplicate key": (
        "budget: 100",
        "budget: 100\n    budget: 5",
        5,
        "comparisons[0].budget",
        "again in line 5",
    ),
    "duplicate label": (
        "0.1}",
        "0.1}\n      descent: {name: adam}",
        9,
        "comparisons[0].optimizers.descent",
        "again in line 9",
    ),
}


@pytest.fixture(autouse=True)
def _importable(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("modules")
    (folder / "unreliable_module.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_file_line_and_key(mistake, tmp_path):
    old, new, line, key, part = MISTAKES[mistake]
    assert old in GOOD
    message = said(tmp_path, GOOD.replace(old, new))
    if mistake.startswith("duplicate"):  # PyYAML would keep the last one; where it stands first is said, too
        line -= 1
    assert message.startswith(f"{tmp_path / 'config.yaml'}, line {line}, {key}: ")
    assert part in message
    assert len(message.splitlines()) == 1


def test_for_a_mistake_nothing_is_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(MISTAKES) >= 30
    for old, new, *_ in MISTAKES.values():
        path = write(tmp_path, GOOD.replace(old, new))
        result = CliRunner().invoke(app, ["run", str(path)])
        assert result.exit_code == 2
        assert str(path) in result.stderr
        assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


DIGITS = GOOD.replace("{name: sphere, dim: 3}", "{name: digits_mlp}")
TRAINERS = {
    "unknown torch optimizer": ("torch: Adm", "descent.torch", "did you mean 'Adam'"),
    "unknown torch option": ("torch: Adam, lrr: 1", "descent.lrr", "did you mean 'lr'"),
    "wrong torch option": ("torch: Adam, lr: -1.0", "descent.lr", "Invalid learning rate"),
    "whole number for lr": ("torch: Adam, lr: -1", "descent.lr", "Invalid learning rate"),
    "one of two numbers": ("torch: Adam, betas: [0.9, 2.0]", "descent.betas", "Invalid beta parameter"),
    "dense gradients": ("torch: SparseAdam", "descent", "does not support dense gradients"),
    "biases": ("torch: Muon", "descent", "only supports 2D parameters"),
    "option of escape": ("hybrid: Adam, escape: {evry: 3}", "descent.escape.evry", "did you mean 'every'"),
    "value of escape": (
        "hybrid: Adam, escape: {share: -2.0}",
        "descent.escape.share",
        "must be positive, got -2.0",
    ),
    "text for when": (
        "hybrid: Adam, escape: {when: stalled}",
        "descent.escape.when",
        "in a config it is a mapping: {name: stalled}",
    ),
    "condition of escape": (
        "hybrid: Adam, escape: {when: {name: stald}}",
        "descent.escape.when.name",
        "unknown condition 'stald': did you mean 'stalled'",
    ),
    "escape": ("hybrid: Adam, escape: 5", "descent.escape", "got 5"),
    "text for lr": ("torch: Adam, lr: fast", "descent.lr", "got 'fast', expected number"),
    "unknown base": ("hybrid: AdamWW", "descent.hybrid", "did you mean 'AdamW'"),
    "unknown option of base": ("hybrid: Adam, lrr: 1", "descent.lrr", "did you mean 'lr'"),
    "unknown engine": ("from_engine: {name: genetc}", "descent.from_engine.name", "did you mean 'genetic'"),
    "no engine": ("from_engine: genetic", "descent.from_engine", "expected a mapping with the 'name'"),
    "unknown door option": (
        "from_engine: {name: genetic}, radios: 1",
        "descent.radios",
        "did you mean 'radius'",
    ),
    "bad door option": ("from_engine: {name: genetic}, radius: -1", "descent.radius", "got -1"),
    "two kinds": ("torch: Adam, hybrid: Adam", "descent", "expected exactly one of the keys"),
}


@pytest.mark.parametrize("mistake", TRAINERS)
def test_a_mistake_in_what_trains_networks_is_named(mistake, tmp_path):
    new, key, part = TRAINERS[mistake]
    message = said(tmp_path, DIGITS.replace("name: sgd, lr: 0.1", new))
    assert message.startswith(f"{tmp_path / 'config.yaml'}, line 8, comparisons[0].optimizers.{key}: ")
    assert part in message


ALTERNATE = "name: alternate, phases: [{name: genetic}, {name: sgd}], switch: "
OPTIONS = {
    "condition as a text": (
        ALTERNATE + "stalled",
        "switch",
        "a condition such as Stalled(50), got 'stalled'; in a config it is a mapping: {name: stalled}",
    ),
    "conditions as texts": (ALTERNATE + "[stalled, steps]", "switch", "a mapping: {name: stalled}"),
    "optimizer as a condition": (ALTERNATE + "{name: genetic}", "switch", "must be a condition"),
    "phases as texts": ("name: alternate, phases: [genetic, sgd]", "phases", "a mapping: {name: genetic}"),
    "one phase": ("name: alternate, phases: {name: genetic}", "phases", "must be a sequence"),
    "no gradient method": ("name: perturbed, inner: {name: genetic}", "inner", "must be a TorchGradient"),
    "method as a text": ("name: gradient_noise, inner: sgd", "inner", "a mapping: {name: sgd}"),
    "text for a rate": ("name: adam, lr: fast", "lr", "must be a number, got 'fast'"),
    "negative rate": ("name: adam, lr: -1", "lr", "Invalid learning rate: -1"),
}


@pytest.mark.parametrize("mistake", OPTIONS)
def test_a_wrong_option_is_blamed_on_its_key(mistake, tmp_path):
    new, key, part = OPTIONS[mistake]
    message = said(tmp_path, GOOD.replace("name: sgd, lr: 0.1", new))
    assert f"line 8, comparisons[0].optimizers.descent.{key}: " in message
    assert part in message


def test_for_a_misspelt_optimizer_only_optimizers_are_suggested(tmp_path):
    message = said(tmp_path, GOOD.replace("name: sgd, lr: 0.1", "name: stepps"))
    assert "unknown optimizer 'stepps'; known are" in message
    assert "stalled" not in message


def test_an_empty_minibatch_is_found_before_anything_runs(tmp_path):
    message = said(tmp_path, DIGITS.replace("{name: digits_mlp}", "{name: digits_mlp, batch_size: 0}"))
    assert "comparisons[0].problems[0].batch_size: got 0, expected at least 1" in message


def test_an_escape_is_built_of_its_mapping():
    spec = {"hybrid": "SGD", "lr": 0.1, "escape": {"when": {"name": "steps", "count": 3}, "spread": [0.1, 1]}}
    optimizer = build.trainer(spec)([torch.nn.Parameter(torch.ones(2))])
    assert optimizer._escape.options == Escape(when=Steps(3), spread=(0.1, 1))
    assert build.trainer({**spec, "escape": None})([torch.nn.Parameter(torch.ones(2))]).history == ()


def test_checking_a_trainer_leaves_the_global_generators_alone():
    before = global_generators_fingerprint()
    build.trainer({"torch": "LBFGS"})
    assert global_generators_fingerprint() == before


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines(tmp_path):
    text = GOOD.replace("sphere", "sphare").replace("sgd", "sdg")
    first, second = said(tmp_path, text).splitlines()
    assert "line 6" in first
    assert "line 8" in second


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("title: [1\nseeds: 2\n", "line 2: not valid YAML"),
        ("a: 1\n  b: 2\n", "line 2: not valid YAML"),
        (
            "a: !!python/object/apply:os.getcwd []\n",
            "line 1: not valid YAML: could not determine a constructor",
        ),
        ("a: \x01", "not valid YAML"),
        ("", "line 1, top level: expected the keys title, seeds"),
        ("- 1\n", "line 1, top level: expected the keys title, seeds"),
        ("a: &a [*a]\n", "line 1, a[0]: this part contains itself"),
        ("a: 1\n---\nb: 2\n", "line 2: not valid YAML: expected a single document"),
    ],
)
def test_what_is_no_config_is_refused_with_its_line(text, part, tmp_path):
    assert part in said(tmp_path, text)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.yaml: can't be read \(No such file"):
        load(tmp_path / "nothing.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a text file"):
        load(tmp_path / "binary")


def test_lines_are_those_of_keys_also_below_merges_and_aliases(tmp_path):
    source = read(write(tmp_path, "a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\nc: *a\n"))
    assert source.data["b"] == {"x": 1, "y": 2}
    assert source.line(("b", "y")) == 5
    assert source.line(("b", "x")) == 3
    assert source.line(("c", "x")) == 2
    assert source.line(("nowhere",)) == 1


def test_nested_optimizers_and_conditions_are_built():
    stalled = {"name": "stalled", "steps": 20}
    built = build.engine(
        {
            "name": "alternate",
            "phases": [
                {"name": "genetic", "population_size": 10},
                {"name": "perturbed", "inner": {"name": "rprop"}},
            ],
            "switch": [
                {"name": "any_of", "conditions": [stalled, {"name": "steps", "count": 3}]},
                {"name": "all_of", "conditions": [stalled]},
            ],
            "handover": {"import": "hybridopt.hybrid.handover:rows_only"},
        }
    )
    assert built.phases[0].population_size == 10
    assert built.phases[1].inner.base is torch.optim.Rprop
    assert built.switch == (AnyOf(Stalled(20), Steps(3)), AllOf(Stalled(20)))


def test_every_condition_of_the_library_has_a_name():
    from hybridopt import conditions

    classes = {
        name
        for name, found in vars(conditions).items()
        if getattr(found, "__module__", "") == conditions.__name__ and "__call__" in vars(found)
    }
    assert {name.replace("_", "") for name in build.CONDITIONS} == {name.lower() for name in classes}
