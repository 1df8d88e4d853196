"""The command: output, exit codes, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hybridopt import __version__, registry
from hybridopt.cli import app

CONFIG = """\
title: A test
seeds: 2
comparisons:
  - budget: 400
    problems:
      - {name: sphere, dim: 2}
    optimizers:
      descent: {name: sgd, lr: 0.2}
      evolution: {name: genetic, population_size: 10}
"""
COMMAND = [sys.executable, "-c", "from hybridopt.cli import main; main()"]
UNRELIABLE = Path(__file__).parent / "runs"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Results go to results/ below the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "it.yaml"
    path.write_text(CONFIG)
    return path


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_version_is_printed():
    result = call("--version")
    assert result.exit_code == 0
    assert result.stdout == f"hybridopt {__version__}\n"


def test_version_loads_nothing_heavy():
    code = (
        "import sys\nfrom hybridopt.cli import main\nsys.argv = ['hybridopt', '--version']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'sklearn', 'deap', 'scipy', 'scipy.stats', 'pydantic', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_list_names_optimizers_problems_and_conditions():
    everything = call("list").stdout
    assert "optimizers:" in everything
    assert "problems:" in everything
    assert "genetic" in call("list", "optimizers").stdout
    problems = call("list", "problems").stdout
    assert "rastrigin" in problems
    assert "digits_mlp" in problems
    assert "genetic " not in problems
    conditions = call("list", "conditions").stdout
    assert "stalled" in conditions
    assert "rastrigin" not in conditions


def test_run_prints_a_table_and_who_won(config):
    result = call("run", config, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "A test: 4 runs" in result.stdout
    assert "sphere-2" in result.stdout
    assert "can't be told apart with 2 seeds" in result.stdout


def test_settings_on_the_command_line_replace_those_of_the_file(config):
    result = call("run", config, "--jobs", 1, "--set", "seeds=4", "--set", "comparisons.0.budget=402")
    assert "A test: 8 runs" in result.stdout
    assert "descent (4/4 solved" in result.stdout
    assert "over 4 seeds" in result.stdout
    assert "budget 402 units" in result.stdout
    assert "budget: 402" in Path("results/it/config.yaml").read_text()


def test_each_run_without_a_folder_has_a_new_one_and_resume_takes_the_newest(config):
    call("run", config, "--jobs", 1, "--set", "seeds=1")
    assert "results in results/it-2;" in call("run", config, "--jobs", 1, "--set", "seeds=1").stdout
    again = call("run", config, "--jobs", 1, "--resume")
    assert "A test: 2 runs to do, 2 kept" in again.stdout
    assert "4 of 4 runs have ended; results in results/it-2;" in again.stdout


def test_results_are_never_written_over(config, tmp_path):
    out = tmp_path / "out"
    assert call("run", config, "--jobs", 1, "--out", out).exit_code == 0
    before = (out / "results.sqlite").read_bytes()
    refused = call("run", config, "--out", out)
    assert refused.exit_code == 2
    assert "go on with --resume, or name a new folder" in refused.stderr
    assert (out / "results.sqlite").read_bytes() == before


def test_a_folder_with_other_things_is_refused(config, tmp_path):
    refused = call("run", config, "--out", tmp_path)
    assert refused.exit_code == 2
    assert "holds other things than results" in refused.stderr


def test_resuming_what_has_ended_repeats_nothing(config):
    first = call("run", config, "--jobs", 1, "--out", "out")
    again = call("run", config, "--jobs", 1, "--out", "out", "--resume")
    assert again.exit_code == 0
    assert "A test: 0 runs to do, 4 kept" in again.stdout
    assert again.stdout.splitlines()[1:] == first.stdout.splitlines()[1:]


def test_modules_beside_the_config_are_found(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "besides.py").write_text("def bowl(x):\n    return ((x - 1) ** 2).sum()\n")
    text = CONFIG.replace("name: sphere, dim: 2", "import: 'besides:bowl', dim: 2, bounds: [-3, 2], value: 0")
    (folder / "own.yaml").write_text(text)
    result = call("run", folder / "own.yaml", "--jobs", 2)
    assert result.exit_code == 0, result.output
    assert "bowl-2" in result.stdout
    assert "descent (2/2 solved" in result.stdout
    monkeypatch.setattr("sys.path", [part for part in sys.path if part != str(folder)])
    sys.modules.pop("besides", None)
    again = call("run", "results/own/config.yaml", "--jobs", 1, "--out", "copy")
    assert again.exit_code == 0, again.output


def test_status_tells_what_is_done_and_what_is_left(config):
    call("run", config, "--jobs", 1, "--set", "seeds=1", "--out", "out")
    done = call("status", "out")
    assert done.exit_code == 0
    assert "all runs have ended" in done.stdout
    assert __version__ in done.stdout
    text = Path("out/config.yaml").read_text()
    Path("out/config.yaml").write_text(text.replace("seeds:\n- 0", "seeds:\n- 0\n- 1"))
    assert "2 runs left, about" in call("status", "out").stdout
    assert "hybridopt run out/config.yaml --out out --resume" in call("status", "out").stdout


@pytest.mark.parametrize("command", ["status", "report"])
def test_a_folder_without_results_ends_with_code_2(command, tmp_path):
    result = call(command, tmp_path)
    assert result.exit_code == 2
    assert "is no result folder" in result.stderr


def test_two_runs_do_not_write_to_one_folder(config, tmp_path):
    from hybridopt.runs.folder import held

    with held(tmp_path / "out"):
        result = call("run", config, "--out", "out", "--resume")
    assert result.exit_code == 2
    assert "another run is writing there" in result.stderr


def test_schema_is_json():
    assert "comparisons" in json.loads(call("schema").stdout)["properties"]


def test_a_failing_run_is_told_at_the_end_and_by_the_exit_code(config, monkeypatch):
    monkeypatch.syspath_prepend(UNRELIABLE)
    config.write_text(CONFIG.replace("name: sphere", "import: 'unreliable:failing'"))
    result = call("run", config, "--jobs", 1, "--out", "out")
    assert result.exit_code == 1
    assert "failed: failing-2, descent, seed 1: RuntimeError: odd seed" in result.stdout
    assert "0 runs to do" in call("run", config, "--out", "out", "--resume").stdout
    retried = call("run", config, "--jobs", 1, "--out", "out", "--resume", "--retry")
    assert "2 runs to do, 2 kept" in retried.stdout
    assert retried.exit_code == 1


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (CONFIG.replace("genetic", "genetc"), "did you mean 'genetic'"),
        (CONFIG.replace("budget: 400", "budget: -1"), "line 4, comparisons[0].budget: got -1"),
        ("title: [", "not valid YAML"),
    ],
)
def test_a_bad_config_ends_with_code_2_and_nothing_is_started(text, part, config, monkeypatch):
    monkeypatch.setattr("hybridopt.runs.session.run", lambda *_: pytest.fail("started"))
    config.write_text(text)
    result = call("run", config)
    assert result.exit_code == 2
    assert part in result.stderr
    assert str(config) in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_an_unknown_file_ends_with_code_2(tmp_path):
    result = call("run", tmp_path / "no.yaml")
    assert result.exit_code == 2
    assert "no.yaml: can't be read (No such file or directory)" in result.stderr


@pytest.mark.parametrize(
    "arguments", [("run",), ("list", "wonders"), ("run", "x", "--jobs", "0"), ("status",), ("walk",)]
)
def test_wrong_use_ends_with_code_2(arguments):
    assert call(*arguments).exit_code == 2


def test_ctrl_c_prints_what_was_finished_and_ends_with_code_130(config, monkeypatch):
    from hybridopt.runs import runner

    real = runner.run

    def interrupted(work, jobs):
        yield from real(work[:2], 1)
        raise KeyboardInterrupt

    monkeypatch.setattr("hybridopt.runs.session.run", interrupted)
    result = call("run", config)
    assert result.exit_code == 130
    assert "descent" in result.stdout
    assert "2 of 4 runs have ended" in result.stdout
    assert "--out results/it --resume" in result.stdout
    assert call("run", config, "--resume", "--jobs", 1).exit_code == 130  # of the other two
    assert "all runs have ended" in call("status", "results/it").stdout


@pytest.mark.slow  # three processes import torch
@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
def test_ctrl_c_in_a_terminal_ends_all_processes_quietly_with_code_130(config, tmp_path):
    endless = "- {import: 'unreliable:endless', dim: 2}"
    text = CONFIG.replace("seeds: 2", "seeds: [0, 1]").replace("- {name: sphere, dim: 2}", endless)
    config.write_text(text.replace("      evolution: {name: genetic, population_size: 10}\n", ""))
    environment = {**os.environ, "PYTHONPATH": str(UNRELIABLE), "HYBRIDOPT_TEST_FOLDER": str(tmp_path)}
    process = subprocess.Popen(
        [*COMMAND, "run", str(config), "--jobs", "2"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(tmp_path / "begun-0", tmp_path / "begun-1")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    out, err = process.communicate(timeout=60)  # the machine may be busy
    assert process.returncode == 130
    assert err == ""
    assert "0 of 2 runs have ended" in out
    with pytest.raises(ProcessLookupError):
        wait_until_gone(process.pid)


def test_verify_prints_a_table_and_ends_with_code_0():
    result = call(
        "verify", "--optimizer", "sgd", "--baseline", "ridge", "--baseline", "nonnegative", "--jobs", 1
    )
    assert result.exit_code == 0, result.output
    assert "scipy.linalg.cho_solve" in result.stdout
    assert "2 checks, seed 0: 2 passed, 0 failed, 0 not applicable" in result.stdout
    assert result.stderr == ""


def test_verify_prints_json():
    result = call("verify", "--optimizer", "rprop", "--baseline", "ridge", "--json", "--seed", 3, "--jobs", 1)
    report = json.loads(result.stdout)
    assert report["passed"]
    assert report["hybridopt"] == __version__
    assert report["seed"] == 3
    assert report["rows"][0]["optimizer"] == "rprop"


def test_verify_ends_with_code_1_if_one_fails(monkeypatch):
    monkeypatch.setitem(registry.OPTIMIZERS, "bare", "hybridopt.hybrid.alternate:Alternate")
    result = call("verify", "--optimizer", "bare", "--baseline", "ridge", "--jobs", 1)
    assert result.exit_code == 1
    assert "failed: bare on ridge: TypeError: Alternate.__init__() missing" in result.stdout


@pytest.mark.parametrize(
    ("option", "name", "nearest"), [("--optimizer", "adm", "adam"), ("--baseline", "rigde", "ridge")]
)
def test_verify_ends_with_code_2_for_an_unknown_name(option, name, nearest):
    result = call("verify", option, name)
    assert result.exit_code == 2
    assert f"did you mean '{nearest}'" in result.stderr
    assert result.stdout == ""


def test_ctrl_c_ends_verify_with_code_130(monkeypatch):
    from hybridopt.verify import door

    def interrupted(work, jobs):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(door, "results", interrupted)
    assert call("verify", "--optimizer", "sgd").exit_code == 130


def test_output_is_plain_where_there_is_no_terminal(config):
    result = call("run", config, "--jobs", 2)
    assert "\x1b" not in result.stdout
    assert result.stderr == ""
    assert "sphere-2" in result.stdout


def wait_for(*files):
    until = time.monotonic() + 30
    while not all(file.exists() for file in files):
        assert time.monotonic() < until, "the runs did not begin"
        time.sleep(0.05)


def wait_until_gone(group):
    """Raise ProcessLookupError as soon as no process of the group is left."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        os.killpg(group, 0)
        time.sleep(0.05)
