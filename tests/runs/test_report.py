"""The page of a result folder: what it says, that it loads nothing, and that its numbers are numpy's."""

import base64
import datetime
import html.parser
import json
import math
import re
import sys

import numpy as np
import pytest

from hybridopt.loop import Ledger
from hybridopt.runs import folder as folders
from hybridopt.runs.cell import Run, cells, run_cell
from hybridopt.runs.config import Experiment
from hybridopt.runs.folder import Results, open_results
from hybridopt.runs.report import write
from hybridopt.runs.report.chart import FLOOR, figure, notes, scale, styles
from hybridopt.runs.report.curves import GAP, LOSS, POINTS, VALUE, chart, common_grid, last_so_far
from hybridopt.runs.report.page import page
from hybridopt.runs.report.quartiles import quartiles
from hybridopt.runs.report.summary import columns, entry
from hybridopt.runs.store import Store
from hybridopt.runs.table import verdicts

NOON = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
SPHERE = {"name": "sphere", "dim": 3}
OPTIMIZERS = {
    "descent": {"name": "rprop", "lr": 0.1},
    "evolution": {"name": "genetic", "population_size": 10},
}
NASTY = "<script>alert('x')</script> & \"<b>%{x}"


class Elements(html.parser.HTMLParser):
    """Elements with their attributes, and the text outside scripts and styles."""

    VOID, WITHIN_WORDS = ("meta", "line"), ("a", "strong")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.words.append("" if tag in self.WITHIN_WORDS else " ")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.words.append("" if tag in self.WITHIN_WORDS else " ")

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def experiment(problems=(SPHERE,), optimizers=None, seeds=3, title="Which one?", subtitle="Easy"):
    optimizers = optimizers or OPTIMIZERS
    one = {"title": subtitle, "budget": 200, "problems": list(problems), "optimizers": optimizers}
    return Experiment.model_validate({"title": title, "seeds": seeds, "comparisons": [one]})


def stored(folder, experiment, runs=None):
    """Results of a folder with these runs, by default all of them carried out."""
    with Store(folder / folders.DATABASE) as store:
        folders.note(folder, experiment)
        store.begin(2, "0", "hybridopt run it.yaml", "/home/me")
        for run in map(run_cell, cells(experiment)) if runs is None else runs:
            store.add(run)
    return open_results(folder)


def made(experiment, metrics_of, curve=((1, 4.0), (10, 1.0))):
    """Runs with what a function of optimizer and seed gives: metrics, or None for one that fails."""
    for cell in cells(experiment):
        metrics = metrics_of(cell.label, cell.seed)
        if metrics is None:
            yield Run(cell, {}, Ledger(3), (), 0.1, "ValueError: no < yes", "Traceback ... no < yes")
        else:
            yield Run(cell, metrics, Ledger(100 + cell.seed), curve, 0.25, "done")


def drawn(text):
    """What the page hands to plotly.js, by the id of its element."""
    found = re.search(r"Object\.entries\((\{.*\})\)\) Plotly\.newPlot", text)
    return json.loads(found[1]) if found else {}


def numbers(field):
    """Array of what plotly writes for one."""
    flat = np.frombuffer(base64.b64decode(field["bdata"]), dtype=field["dtype"])
    return flat.reshape([int(length) for length in field.get("shape", "-1").split(",")])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("small"), experiment([SPHERE, {"name": "rastrigin", "dim": 2}]))


@pytest.fixture(scope="module")
def small_page(small):
    return page(small, NOON)


def test_page_holds_every_optimizer_problem_and_verdict(small, small_page):
    text = Elements(small_page).text
    for words in ("Which one?", "Easy", "sphere-3", "rastrigin-2", *OPTIMIZERS):
        assert words in text
    lines = list(verdicts(small.experiment, small.runs))
    assert len(lines) == 2
    assert all(line in text for line in lines)
    assert "12 runs: 12 finished, none failed, none left." in text
    assert "hybridopt run it.yaml" in text
    assert "Written 2026-11-23 12:00 UTC" in text


def test_every_element_of_the_page_is_closed(small_page):
    assert Elements(small_page).open == []


def test_page_loads_nothing(small_page):
    for tag, attributes in Elements(small_page).elements:
        assert tag not in ("link", "img", "iframe", "base", "object", "embed")
        assert not {"src", "srcset", "action", "style"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")
    (styles,) = re.findall(r"<style>(.*?)</style>", small_page, re.DOTALL)
    assert "@import" not in styles
    assert "url(" not in styles
    assert "default-src 'none'" in small_page  # which browsers keep


def test_plotly_stands_in_the_page_once_and_draws_a_chart_a_problem(small_page):
    assert small_page.count("* plotly.js v") == 1
    ids = [attributes["id"] for _, attributes in Elements(small_page).elements if "id" in attributes]
    assert ids == ["chart-0-0", "chart-0-1"] == list(drawn(small_page))


def test_every_optimizer_has_one_colour_on_the_whole_page(small_page):
    colors = {}
    for of_chart in drawn(small_page).values():
        for trace in of_chart["data"]:
            if "name" in trace:
                colors.setdefault(trace["name"], set()).add(trace["line"]["color"])
    assert set(colors) == set(OPTIMIZERS)
    assert all(len(of_label) == 1 for of_label in colors.values())
    assert len(set.union(*colors.values())) == 2


def test_markup_in_titles_labels_and_messages_is_harmless(tmp_path):
    optimizers = {NASTY: OPTIMIZERS["descent"], "fails": OPTIMIZERS["evolution"]}
    it = experiment([{**SPHERE, "label": NASTY}], optimizers, title=NASTY, subtitle=NASTY)
    runs = made(it, lambda label, seed: {"value": 1.0, "gap": 1.0} if label == NASTY else None)
    text = page(stored(tmp_path, it, runs), NOON)
    elements = Elements(text)
    assert [tag for tag, _ in elements.elements].count("script") == 2  # plotly.js, and its call
    assert "b" not in [tag for tag, _ in elements.elements]
    assert elements.text.count(NASTY) >= 4
    (name,) = [trace["name"] for trace in drawn(text)["chart-0-0"]["data"] if "name" in trace]
    assert name == "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;&lt;b&gt;%{x}"


def test_numbers_of_the_table_are_those_of_numpy(tmp_path):
    gaps = {"descent": [0.3, 0.1, 0.7, 0.2], "evolution": [1e-9, 3e-9, 1e-3, 5.0]}
    it = experiment(seeds=4)
    runs = list(made(it, lambda label, seed: {"value": gaps[label][seed], "gap": gaps[label][seed]}))
    shown = columns(it.comparisons[0], runs)
    assert list(shown) == ["runs", "solved", "gap", "units", "seconds"]
    text = Elements(page(stored(tmp_path, it, runs), NOON)).text
    for label, numbers in gaps.items():
        low, middle, high = np.quantile(numbers, [0.25, 0.5, 0.75])
        solved = sum(number <= 1e-6 for number in numbers)
        row = f"{label} 4 {solved}/4 {middle:.2g} {low:.2g} to {high:.2g} 102 101 to 102 0.25"
        assert row in text  # units are 100 to 103, seconds all equal


def test_networks_have_accuracy_losses_and_curves_of_the_training_loss():
    it = experiment([{"name": "digits_mlp"}], {"adam": {"torch": "Adam", "lr": 0.01}})
    runs = list(made(it, lambda _, seed: {"train_loss": 0.1, "test_loss": 2e9, "test_accuracy": 0.9}))
    shown = {title: show(runs).text for title, show in columns(it.comparisons[0], runs).items()}
    assert shown == {
        "runs": "3",
        "test right": "90.0%",
        "test loss": "2e+09",
        "training loss": "0.100",
        "units": "101",
        "seconds": "0.25",
    }
    found = chart("digits_mlp", {"adam": runs})
    assert found.measure == LOSS
    assert found.lines[0].median.tolist() == [4.0, 1.0]


def test_values_are_shown_where_the_minimum_is_not_known():
    it = experiment()
    runs = list(made(it, lambda _, seed: {"value": -2.5}))
    assert list(columns(it.comparisons[0], runs)) == ["runs", "value", "units", "seconds"]
    assert chart("mine", {"descent": runs}).measure == VALUE


def test_empty_folder_has_a_page_that_says_so(tmp_path):
    text = page(stored(tmp_path, experiment(), runs=[]), NOON)
    elements = Elements(text)
    assert "6 runs: 0 finished, none failed, 6 left." in elements.text
    assert "No run has ended yet." in elements.text
    assert "descent" in elements.text
    assert "script" not in [tag for tag, _ in elements.elements]


def test_unfinished_folder_shows_what_there_is(tmp_path):
    it = experiment()
    first = next(iter(cells(it)))
    text = page(stored(tmp_path, it, [run_cell(first)]), NOON)
    assert "6 runs: 1 finished, none failed, 5 left." in Elements(text).text
    assert "runs that have ended so far" in Elements(text).text
    assert "finite value: evolution." in Elements(text).text  # the one without a curve
    (of_chart,) = drawn(text).values()
    assert [trace["name"] for trace in of_chart["data"]] == ["descent"]
    assert of_chart["layout"]["showlegend"]  # plotly's default for one line is none


def test_single_seed_has_neither_band_nor_quartiles(tmp_path):
    it = experiment(seeds=1)
    text = page(stored(tmp_path, it), NOON)
    assert len(drawn(text)["chart-0-0"]["data"]) == len(OPTIMIZERS)
    assert 'class="beside"' not in text


def test_optimizer_that_always_failed_has_its_traceback_and_no_curve(tmp_path):
    it = experiment()
    runs = made(it, lambda label, seed: {"value": 1.0, "gap": 1.0} if label == "descent" else None)
    text = page(stored(tmp_path, it, runs), NOON)
    words = Elements(text).text
    assert "6 runs: 3 finished, 3 failed, none left." in words
    assert "evolution 3 3 failed 0/3 \N{EN DASH}" in words
    assert "seeds 0, 1, 2: ValueError: no < yes Traceback ... no < yes" in words
    assert [trace.get("name") for trace in drawn(text)["chart-0-0"]["data"]] == [None, None, "descent"]


def test_problem_on_which_all_failed_has_no_chart(tmp_path):
    text = page(stored(tmp_path, experiment(), made(experiment(), lambda *_: None)), NOON)
    assert drawn(text) == {}
    assert "No curves: no run has finished" in Elements(text).text


def test_run_shared_by_two_comparisons_counts_once(tmp_path):
    it = experiment(seeds=1)
    twice = Experiment.model_validate(
        {**it.model_dump(), "comparisons": [it.comparisons[0].model_dump()] * 2}
    )
    assert "2 runs: 2 finished" in Elements(page(stored(tmp_path, twice), NOON)).text


def test_page_is_written_at_once_and_in_place_of_an_old_one(tmp_path, small):
    path = tmp_path / "report.html"
    path.write_text("old")
    write(small, path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def test_nothing_is_left_where_a_page_can_not_be_written(tmp_path, small):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write(small, tmp_path / "folder")
    assert [found.name for found in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("missing", ["plotly", "jinja2"])
def test_missing_package_is_named_with_what_to_install(small, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, "plotly.offline" if missing == "plotly" else missing, None)
    with pytest.raises(ModuleNotFoundError, match=rf'{missing}.*pip install "torch-hybridopt\[report\]"'):
        write(small, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_curves_meet_on_a_common_grid_by_their_last_value():
    first, second = np.array([[1.0, 4.0], [10.0, 2.0]]), np.array([[2.0, 3.0], [8.0, 1.0]])
    grid = common_grid([[first, second]])
    assert grid.tolist() == [1, 2, 8, 10]
    assert last_so_far(first, grid).tolist() == [4, 4, 4, 2]
    assert last_so_far(second, grid).tolist() == [math.inf, 3, 1, 1]


def test_line_begins_where_most_seeds_have_begun_and_ends_with_the_last():
    it = experiment(optimizers={"one": {"name": "rprop"}, "other": {"name": "rprop"}}, seeds=3)
    points = {0: ((1, 4.0), (10, 2.0)), 1: ((2, 3.0), (8, 1.0)), 2: ((4, 6.0),)}
    runs = [
        Run(cell, {"value": 1.0}, curve=points[cell.seed] if cell.label == "one" else ((20, 0.5),))
        for cell in cells(it)
    ]
    by_label = {label: [run for run in runs if run.cell.label == label] for label in ("one", "other")}
    one, other = chart("mine", by_label).lines
    assert one.cost.tolist() == [2, 4, 8, 10]
    assert one.median.tolist() == [4, 4, 4, 2]
    assert one.low.tolist() == [3.5, 3.5, 2.5, 1.5]
    assert one.high.tolist() == [math.inf, 5, 5, 4]
    assert other.cost.tolist() == [20]


def test_gaps_are_counted_from_the_minimum_of_each_seed():
    it = experiment(optimizers={"one": {"name": "rprop"}}, seeds=2)
    runs = [
        Run(cell, {"value": 5.0 + cell.seed, "gap": 1.0}, curve=((1, 8.0 + cell.seed), (2, 5.0 + cell.seed)))
        for cell in cells(it)
    ]
    (line,) = chart("sphere", {"one": runs}).lines
    assert line.median.tolist() == line.low.tolist() == line.high.tolist() == [4.0, 1.0]


def test_long_curves_are_thinned_to_points_of_their_own_with_both_ends():
    costs = [np.arange(1.0, 5001.0), np.arange(3.0, 4000.0)]
    grid = common_grid([[np.stack([cost, -cost], axis=1)] for cost in costs])
    assert len(grid) <= POINTS + 2
    assert {1.0, 3999.0, 5000.0} <= set(grid.tolist())
    assert set(grid.tolist()) <= set(costs[0].tolist())


def test_quartiles_are_those_of_numpy_and_know_infinity():
    values = np.random.default_rng(0).normal(size=(7, 4))
    assert quartiles(values) == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75], axis=0))
    assert quartiles([1.0, 2.0, math.inf, math.inf]).tolist() == [1.75, math.inf, math.inf]
    assert entry([math.inf, math.inf], ".2g").text == "inf"


def test_gap_of_zero_is_drawn_at_the_floor_and_hovers_as_zero():
    it = experiment(optimizers={"one": {"name": "rprop"}}, seeds=1)
    runs = list(made(it, lambda *_: {"value": 1.0, "gap": 0.0}))
    found = chart("sphere", {"one": runs})
    assert found.measure == GAP
    (trace,) = figure(found, styles(["one"]), it.tolerance)["data"]
    assert numbers(trace["y"]).tolist() == [3.0, FLOOR * it.tolerance]
    assert numbers(trace["customdata"])[:, 0].tolist() == [3.0, 0.0]
    assert "Gaps below 1e-12 are drawn there." in notes(found, it.tolerance)


@pytest.mark.parametrize(
    ("curve", "kind"),
    [
        (((1, 5.0), (2, 4.0)), "linear"),
        (((1, 5e3), (2, 4.0)), "log"),
        (((1, 5.0), (2, -4.0)), "linear"),
        (((1, 5e3), (2, -4.0)), "symlog"),
        (((1, -5.0), (2, -4e3)), "linear"),
    ],
)
def test_scale_follows_from_the_values_where_no_minimum_is_known(curve, kind):
    it = experiment(optimizers={"one": {"name": "rprop"}}, seeds=1)
    found = chart("mine", {"one": list(made(it, lambda *_: {"value": curve[-1][1]}, curve))})
    assert scale(found, it.tolerance).kind == kind
    (trace,) = figure(found, styles(["one"]), it.tolerance)["data"]
    assert (np.diff(numbers(trace["y"])) < 0).all()


def test_styles_differ_for_28_optimizers():
    found = styles(f"optimizer {number}" for number in range(28))
    assert len(set(found.values())) == 28


def test_results_need_no_folder():
    it = experiment(seeds=1)
    assert "No session is noted." in page(Results(it, list(cells(it)), [], []), NOON)
