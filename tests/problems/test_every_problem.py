"""What holds for every registered problem; a new one is held to it by being registered."""

import inspect
import pickle
from pathlib import Path

import pytest
import torch

from hybridopt import problems

DOCS = Path(__file__).parents[2] / "docs" / "problems.md"
KNOWN = [name for name in problems.PROBLEMS if name not in ("quartic", "bowl")]  # doctest's and a test's own
DATA = ("diabetes", "breast_cancer", "digits", "diabetes_network", "breast_cancer_network", "digits_network")
WITHOUT_MINIMUM = DATA[2:]
WITHOUT_SEED = DATA[:2]
WITH_SADDLES = (
    "strict_saddle",
    "monkey_saddle",
    "himmelblau",
    "rayleigh_quotient",
    "low_rank_factorisation",
    "deep_linear_network",
    "product",
)
ON_THE_BOUNDARY = ("plane", "product", "monkey_saddle", "bbob_f5")
SOLVED = [name for name in KNOWN if name not in WITHOUT_MINIMUM]
OURS_TO_PLACE = [name for name in SOLVED if not name.startswith("bbob_")]  # where those lie is COCO's
STATIONARY = {"bbob_f20": 1e-7}  # its x_opt is defined with ten digits
DIFFERENCES = {"bbob_f16": 1e-10, "bbob_f19": 1e-10}  # shares of the width that are within a ripple
ROUNDING = {"bbob_f16": 1e-9, "bbob_f19": 1e-9, "bbob_f23": 1e-9}  # which steep ripples enlarge


def options(name):
    parameter = inspect.signature(problems.PROBLEMS[name]).parameters.get("dim")
    if parameter is None or parameter.default is not inspect.Parameter.empty:
        return [{}]
    return [{"dim": 3}, {"dim": 8}]


def cases(names, seeds):
    return [
        pytest.param(
            name, {**option, "seed": seed}, id=f"{name}-{'-'.join(map(str, option.values()))}-{seed}"
        )
        for name in names
        for option in options(name)
        for seed in range(1 if name in DATA else min(2, seeds) if name.startswith("bbob_") else seeds)
    ]


every = pytest.mark.parametrize(("name", "given"), cases(KNOWN, 1))
solved = pytest.mark.parametrize(("name", "given"), cases(SOLVED, 4))
ours_to_place = pytest.mark.parametrize(("name", "given"), cases(OURS_TO_PLACE, 4))
saddled = pytest.mark.parametrize(("name", "given"), cases(WITH_SADDLES, 4))


def gradient(problem, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(problem.fun(x).sum(), x)[0]


def inside(problem, count, seed=0):
    g = torch.Generator().manual_seed(seed)
    share = torch.rand(count, problem.dim, generator=g, dtype=torch.float64)
    return problem.lower + share * (problem.upper - problem.lower)


def test_the_names_are_those_of_this_file():
    found = {name for name in KNOWN if problems.make(name, **options(name)[0]).saddles is not None}
    assert found == set(WITH_SADDLES)
    assert {name for name in KNOWN if problems.make(name, **options(name)[0]).value is None} == set(
        WITHOUT_MINIMUM
    )


@solved
def test_the_value_at_every_minimiser_is_the_known_minimum(name, given):
    p = problems.make(name, **given)
    expected = torch.full((len(p.x),), p.value, dtype=torch.float64)
    torch.testing.assert_close(p.fun(p.x), expected, rtol=1e-14, atol=1e-14 if name != "schwefel" else 1e-11)


@solved
def test_no_descent_from_a_minimiser_stays_in_the_box(name, given):
    p = problems.make(name, **given)
    step = (p.x - gradient(p, p.x)).clamp(p.lower, p.upper) - p.x  # the gradient alone, where it is inside
    assert step.abs().max() < STATIONARY.get(name, 1e-12)
    if name not in ON_THE_BOUNDARY:
        assert gradient(p, p.x).abs().max() < STATIONARY.get(name, 1e-12)


@ours_to_place
def test_minimisers_are_in_the_box_and_off_its_centre(name, given):
    p = problems.make(name, **given)
    half = (p.upper - p.lower) / 2
    off = (p.x - (p.lower + p.upper) / 2) / half
    assert (off.abs().amax(1) > 0.1).all()
    assert (off.abs() <= 1 if name in ON_THE_BOUNDARY else off.abs() < 0.96).all()


@solved
def test_no_point_of_the_box_is_below_the_known_minimum(name, given):
    p = problems.make(name, **given)
    g = torch.Generator().manual_seed(1)
    near = p.x[:1] + (p.upper - p.lower) / 100 * torch.randn(2000, p.dim, generator=g, dtype=torch.float64)
    rows = torch.cat([inside(p, 2000), near.clamp(p.lower, p.upper)])
    assert p.fun(rows).min() >= p.value - 1e-14


@saddled
def test_saddles_and_starts_are_stationary_points_in_the_box(name, given):
    p = problems.make(name, **given)
    half = (p.upper - p.lower) / 2
    assert (((p.saddles - (p.lower + p.upper) / 2) / half).abs() < 0.96).all()
    assert gradient(p, p.saddles).abs().max() < 1e-12
    assert p.start is None or torch.equal(p.start, p.saddles[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@saddled
def test_the_gradient_at_the_start_is_exactly_zero(name, given, dtype):
    p = problems.make(name, **given)
    if p.start is None:
        return
    start = p.start.to(dtype)
    assert (gradient(p, start) == 0).all()
    assert (gradient(p, start.expand(3, p.dim)) == 0).all()


@saddled
def test_there_are_lower_and_higher_points_around_every_saddle(name, given):
    p = problems.make(name, **given)
    g = torch.Generator().manual_seed(2)
    for saddle in p.saddles:
        curved = torch.linalg.eigh(torch.autograd.functional.hessian(p.fun, saddle))[1].T
        known = torch.cat([p.x, p.saddles]) - saddle  # descent of third order is rare among random directions
        drawn = torch.randn(1000, p.dim, generator=g, dtype=torch.float64)
        change = p.fun(saddle + 1e-2 * torch.cat([curved, known, drawn])) - p.fun(saddle)
        assert change.min() < -1e-9
        assert change.max() > 1e-9


@every
def test_autograd_agrees_with_differences_of_the_value(name, given):
    if name == "bbob_f23":
        pytest.skip("it is linear over 1e-10 at most; tests/problems/test_bbob.py has its gradient")
    p = problems.make(name, **given)
    x = inside(p, 1)[0] if p.start is None else p.start + 0.05
    g = torch.Generator().manual_seed(3)
    direction = torch.nn.functional.normalize(torch.randn(p.dim, generator=g, dtype=torch.float64), dim=0)
    h = DIFFERENCES.get(name, 1e-6) * float((p.upper - p.lower).max())
    slope = (p.fun(x + h * direction) - p.fun(x - h * direction)) / (2 * h)
    scale = float(gradient(p, x).norm())
    torch.testing.assert_close(gradient(p, x) @ direction, slope, rtol=1e-5, atol=1e-6 * scale)


@every
def test_a_batch_is_as_its_rows_one_by_one(name, given):
    p = problems.make(name, **given)
    x = inside(p, 6).view(2, 3, p.dim)
    values = p.fun(x)
    assert values.shape == (2, 3)
    assert p.fun(x[0, 0]).shape == ()
    by_row = torch.stack([p.fun(row) for row in x.view(6, p.dim)]).view(2, 3)
    near = {"rtol": ROUNDING.get(name, 1e-12), "atol": 1e-12}
    torch.testing.assert_close(values, by_row, **near)
    torch.testing.assert_close(torch.func.vmap(p.fun)(x[0]), by_row[0], **near)
    assert p.fun(x[:0]).shape == (0, 3)


@every
def test_values_come_in_the_dtype_of_x(name, given):
    p = problems.make(name, **given)
    x = inside(p, 4)
    single = p.fun(x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), p.fun(x.float().double()), rtol=1e-3, atol=1e-3)
    assert torch.isfinite(gradient(p, x.float())).all()


@every
def test_same_seed_same_problem_and_another_seed_another(name, given):
    first, again, other = (problems.make(name, **{**given, "seed": seed}) for seed in (4, 4, 5))
    point = inside(first, 1)
    assert torch.equal(first.fun(point), again.fun(point))
    assert torch.equal(first.bounds, again.bounds)
    if name not in WITHOUT_SEED:
        different = [
            a is not None and not torch.allclose(a, b)
            for a, b in ((first.x, other.x), (first.start, other.start), (first.lower, other.lower))
        ]
        assert any(different)


@every
def test_problems_can_be_sent_to_other_processes(name, given):
    p = problems.make(name, **given)
    sent = pickle.loads(pickle.dumps(p))
    point = inside(p, 2)
    assert torch.equal(sent.fun(point), p.fun(point))


@every
def test_making_a_problem_leaves_the_global_generator_alone(name, given):
    before = torch.get_rng_state()
    problems.make(name, **given)
    assert torch.equal(before, torch.get_rng_state())


def test_every_problem_and_task_stands_in_the_table_of_the_docs():
    text = DOCS.read_text()
    assert [name for name in [*KNOWN, *problems.TASKS] if f"| `{name}` |" not in text] == []
