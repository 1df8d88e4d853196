"""What README and docs show runs as it stands there, page by page, in a folder of its own.

Blocks of a page run in their order, Python in one namespace. By convention

* a block that begins with a comment that is a file's name (`# losses.py`, `# first.yaml`) is saved under it;
* `print(...)  # -> text` must print that text;
* a command `hybridopt ...` in a console block must exist with its options, and is run if one of its arguments
  is a file that the page has saved, or a folder that a command before has made.
"""

import ast
import dataclasses
import importlib
import inspect
import re
import shlex
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from hybridopt import cli, problems, registry
from hybridopt.runs.config import load

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
SHELLS = {"console", "sh", "shell", "bash"}


@dataclasses.dataclass
class Block:
    language: str
    text: str
    line: int

    @property
    def saved_as(self):
        found = re.match(r"# ([\w/]+\.(?:py|yaml))\n", self.text)
        return found[1] if found else None


def blocks(page):
    text = page.read_text()
    for found in re.finditer(r"^```(\w+)\n(.*?)^```", text, re.S | re.M):
        yield Block(found[1], found[2], text[: found.start(2)].count("\n"))


def commands(page):
    """Command lines `hybridopt ...` of a page's console blocks."""
    for block in blocks(page):
        if block.language in SHELLS:
            yield from command_lines(block)


def command_lines(block):
    lines = block.text.splitlines()
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    for line in prompted or lines:
        if line.startswith("hybridopt "):
            yield shlex.split(line, comments=True)[1:]


class Page:
    """A page's namespace, and what it has saved and made in the current folder."""

    def __init__(self, path):
        self.path = path
        self.module = types.ModuleType(f"page_{path.stem}")
        self.printed = {}
        self.module.print = self.record

    def record(self, *words, **_):
        line = sys._getframe(1).f_lineno
        self.printed.setdefault(line, []).append(" ".join(map(str, words)))

    def play(self, block):
        if block.saved_as:
            Path(block.saved_as).parent.mkdir(parents=True, exist_ok=True)
            Path(block.saved_as).write_text(block.text)
        if block.language == "python" and not block.saved_as:
            self.run_python(block)
        elif block.language == "yaml":
            self.check_yaml(block)
        elif block.language in SHELLS:
            for words in command_lines(block):
                if any(Path(word).exists() for word in words):
                    self.run_command(words)

    def run_python(self, block):
        tree = ast.parse(block.text)
        ast.increment_lineno(tree, block.line)  # tracebacks and prints by the page's own lines
        exec(compile(tree, str(self.path), "exec"), vars(self.module))
        for number, line in enumerate(block.text.splitlines(), block.line + 1):
            expected = re.search(r"print\(.*\)  # -> (.*)$", line)
            if expected:
                assert (number, " ".join(self.printed.get(number, []))) == (number, expected[1])

    def check_yaml(self, block):
        content = yaml.safe_load(block.text)
        if isinstance(content, dict) and "comparisons" in content:
            path = Path(block.saved_as or "block.yaml")
            path.write_text(block.text)
            assert load(path).title

    def run_command(self, words):
        if words[0] == "run":
            words = [*words, "--jobs", "1"]  # in this process
        done = CliRunner().invoke(cli.app, words)
        assert done.exit_code == 0, (words, done.output, done.exception)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder from which modules can be imported; what is registered is forgotten after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    tables = (registry.OPTIMIZERS, problems.PROBLEMS, problems.TASKS)
    before = [dict(table) for table in tables]
    known = set(sys.modules)
    yield tmp_path
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
    for name in set(sys.modules) - known:
        file = Path(getattr(sys.modules[name], "__file__", None) or "builtin")
        if file.parent in (tmp_path, ROOT / "experiments") or name.startswith("page_"):
            del sys.modules[name]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_block_of_the_page_runs_in_order(path, folder):
    page = Page(path)
    sys.modules[page.module.__name__] = page.module  # dataclasses and checkpoints look there
    for block in blocks(path):
        page.play(block)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_of_the_page_exists_with_its_options(path):
    inline = [shlex.split(words) for words in re.findall(r"`hybridopt ([^`\n]+)`", path.read_text())]
    known = typer.main.get_command(cli.app)
    for words in [*commands(path), *inline]:
        name = words[0] if not words[0].startswith("-") else None
        if name is not None:
            assert name in known.commands, words
        options = {option for p in (known.commands[name] if name else known).params for option in p.opts}
        used = {word.partition("=")[0] for word in words if word.startswith("-")} - {"--help"}
        assert used <= options, words


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_relative_link_of_the_page_leads_to_a_file(path):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_make_target_and_script_of_the_page_exists(path):
    text = path.read_text()
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:`|\n {4}|\$ )make ([\w-]+)", text)) <= targets
    scripts = re.findall(r"\bpython ((?:docs|benchmarks)/\S+?\.py)", text)
    assert [script for script in scripts if not (ROOT / script).exists()] == []


def test_every_page_stands_in_the_index():
    index = (DOCS / "index.md").read_text()
    entries = " ".join(block for block in re.findall(r"```\{toctree\}\n(.*?)```", index, re.S))
    assert [p.stem for p in PAGES[1:] if p.stem != "index" and not re.search(rf"\b{p.stem}\b", entries)] == []


def test_every_public_name_stands_on_the_page_of_the_api():
    text = (DOCS / "api.md").read_text()
    public = {name.rpartition(".")[2] for name in re.findall(r"^   ([\w.]+)$", text, re.M)}
    modules = [
        "",
        "optim",
        "gradient",
        "hybrid",
        "landscape",
        "objectives",
        "problems",
        "testing",
        "evolution",
    ]
    names = []
    for module in modules:
        found = importlib.import_module(f"hybridopt.{module}".rstrip("."))
        names += [
            name for name in found.__all__ if callable(getattr(found, name)) and not name.endswith("State")
        ]
    conditions = importlib.import_module("hybridopt.conditions")
    names += [
        name
        for name, thing in vars(conditions).items()
        if inspect.isclass(thing) and thing.__module__ == conditions.__name__ and not name.startswith("_")
    ]
    assert sorted(set(names) - public) == []


def test_own_optimizer_of_the_docs_is_short():
    (example,) = [block for block in blocks(DOCS / "contract.md") if block.saved_as == "random_step.py"]
    assert len(example.text.splitlines()) <= 42  # with the file's name and two blank lines after the imports


def test_every_shipped_experiment_is_valid(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))  # as `hybridopt run` does
    for path in (ROOT / "experiments").glob("*.yaml"):
        assert load(path).title == yaml.safe_load(path.read_text())["title"]


def test_every_registered_name_stands_in_the_table_of_optimizers():
    text = (DOCS / "optimizers.md").read_text()
    assert [name for name in registry.OPTIMIZERS if f"`{name}`" not in text] == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    shutil.rmtree(DOCS / "generated", ignore_errors=True)  # pages of names that are gone
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        str(DOCS),
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_the_page_on_the_idea_shows_what_its_command_prints():
    text = (DOCS / "idea.md").read_text()
    for script in ("idea.py",):
        command = [sys.executable, str(DOCS / "figures" / script), "--print"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert printed.strip() in text


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, hybridopt; print([m for m in HEAVY if m in sys.modules])"
    heavy = ["scipy.stats", "scipy.optimize", "deap", "sklearn", "typer", "rich", "pydantic", "yaml"]
    script = code.replace("HEAVY", repr(heavy))
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
