"""What README and docs show runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import hybridopt
from hybridopt import registry, testing
from hybridopt.runs.config import load

ROOT = Path(__file__).parent.parent


def blocks(name, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.S)


@pytest.mark.parametrize("number", range(2))
def test_python_of_the_readme_runs(number, capsys):
    exec(compile(blocks("README.md", "python")[number], "README.md", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("number", range(2))
def test_python_of_the_page_on_stationarity_runs(number, capsys):
    exec(compile(blocks("docs/stationarity.md", "python")[number], "stationarity.md", "exec"), {})
    assert "strict saddle" in capsys.readouterr().out


def test_yaml_of_the_readme_is_a_valid_experiment(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(blocks("README.md", "yaml")[0])
    assert len(load(path).seeds) == 5


def test_every_shipped_experiment_is_valid():
    for path in (ROOT / "experiments").glob("*.yaml"):
        assert load(path).title == yaml.safe_load(path.read_text())["title"]


def test_own_optimizer_of_the_docs_passes_every_law():
    names = {"__name__": "docs_contract"}
    sys.modules["docs_contract"] = module = type(sys)("docs_contract")
    module.__dict__.update(names)
    exec(compile(blocks("docs/contract.md", "python")[1], "docs/contract.md", "exec"), module.__dict__)
    testing.check_optimizer(module.RandomStep())
    found = hybridopt.minimize(
        lambda x: ((x - 1) ** 2).sum(), bounds=[(-3, 2)] * 2, method=module.RandomStep(), seed=0
    )
    assert found.fun < 1e-3


def test_every_registered_name_stands_in_the_table_of_optimizers():
    text = (ROOT / "docs" / "optimizers.md").read_text()
    assert [name for name in registry.OPTIMIZERS if f"`{name}`" not in text] == []


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, hybridopt; print([m for m in HEAVY if m in sys.modules])"
    heavy = ["scipy.stats", "scipy.optimize", "deap", "sklearn", "typer", "rich", "pydantic", "yaml"]
    script = code.replace("HEAVY", repr(heavy))
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
