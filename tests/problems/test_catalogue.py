"""Names, options, and a user's own problems."""

import pytest
import torch

from hybridopt import problems


@pytest.fixture
def _clean_catalogue(monkeypatch):
    monkeypatch.setattr("hybridopt.problems.catalogue.PROBLEMS", dict(problems.PROBLEMS))


def bowl(dim, seed):
    lower, upper = problems.box(dim, -1.0, 2.0)
    return problems.Problem("bowl", dim, lambda x: x.square().sum(-1), lower, upper, value=0.0)


@pytest.mark.usefixtures("_clean_catalogue")
def test_one_decorator_line_registers_a_problem_of_ones_own():
    problems.problem("bowl")(bowl)
    assert problems.make("bowl", dim=3).fun(torch.ones(3)) == 3


@pytest.mark.usefixtures("_clean_catalogue")
def test_a_taken_name_is_refused():
    with pytest.raises(ValueError, match=r"'sphere' is taken by hybridopt\.problems\.functions\.sphere"):
        problems.problem("sphere")(bowl)
    with pytest.raises(ValueError, match="'digits_mlp' is taken"):
        problems.problem("digits_mlp")(bowl)


@pytest.mark.usefixtures("_clean_catalogue")
def test_a_module_loaded_again_may_register_again():
    problems.problem("bowl")(bowl)
    problems.problem("bowl")(bowl)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="unknown problem 'rastrigni': did you mean 'rastrigin'"):
        problems.make("rastrigni", dim=2)
    with pytest.raises(ValueError, match="unknown task 'digits_mpl': did you mean 'digits_mlp'"):
        problems.make_task("digits_mpl")


def test_a_problem_is_found_by_import_path():
    p = problems.make("hybridopt.problems.functions:sphere", dim=2, seed=1)
    assert torch.equal(p.x, problems.make("sphere", dim=2, seed=1).x)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sphere", {}, "problem 'sphere' needs the option 'dim'"),
        ("sphere", {"dims": 3, "dim": 2}, "problem 'sphere' has no option 'dims': did you mean 'dim'"),
        ("beale", {"dim": 3}, "two dimensions, got dim=3"),
        ("rosenbrock", {"dim": 1}, "dim of at least 2, got 1"),
        ("sphere", {"dim": 0}, "dim of at least 1, got 0"),
    ],
)
def test_wrong_options_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        problems.make(name, **options)
