"""Names lead to optimizers, and wrong names to the nearest."""

import pytest

from hybridopt import registry


@pytest.mark.parametrize("name", registry.OPTIMIZERS)
def test_every_line_leads_somewhere(name):
    assert callable(registry.load(registry.OPTIMIZERS[name]))


def test_name_and_import_path_make_the_same():
    by_name = registry.make("genetic", population_size=7)
    assert by_name == registry.make("hybridopt.evolution:GeneticAlgorithm", population_size=7)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="unknown optimizer 'genetics': did you mean 'genetic'"):
        registry.make("genetics")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("hybridopt.core", "has the form"),
        ("no_such_package:X", "is the package installed"),
        ("hybridopt.core:Quary", "did you mean 'Query'"),
    ],
)
def test_wrong_import_path_says_why(path, message):
    with pytest.raises(ValueError, match=message):
        registry.load(path)


@pytest.mark.parametrize("target", ["own.RandomStep", "own:", ":RandomStep", 3])
def test_only_import_paths_are_registered(target):
    with pytest.raises(ValueError, match="has the form 'package.module:name'"):
        registry.register("x", target)
    assert "x" not in registry.OPTIMIZERS


def test_names_are_registered_once(monkeypatch):
    monkeypatch.setattr(registry, "OPTIMIZERS", dict(registry.OPTIMIZERS))
    registry.register("mine", "hybridopt.core:State")
    registry.register("mine", "hybridopt.core:State")
    with pytest.raises(ValueError, match="is taken by 'hybridopt.core:State'"):
        registry.register("mine", "hybridopt.core:Query")
