"""BFGS and L-BFGS against scipy's, closed forms, and themselves alone."""

import numpy as np
import pytest
import scipy.optimize
import torch

import hybridopt
from hybridopt import BFGS, LBFGS, problems
from hybridopt.core import Evaluation
from hybridopt.evaluate import Evaluator
from hybridopt.gradient.bfgs import FactorMemory, informed, lent
from hybridopt.gradient.lbfgs import PairsMemory
from hybridopt.gradient.quasi_newton import CONVERGED, FAILED, RUNNING, SETTLED, STALLED, Step
from hybridopt.objectives.function import TorchObjective

METHODS = pytest.mark.parametrize("method", [BFGS, LBFGS])
F64 = {"dtype": torch.float64}


def generated(seed):
    return torch.Generator().manual_seed(seed)


def free(dim, dtype=torch.float64):
    upper = torch.full((dim,), torch.inf, dtype=dtype)
    return -upper, upper


def rosenbrock(x):
    a, b = x[..., :-1], x[..., 1:]
    return (100 * (b - a * a).square() + (1 - a).square()).sum(-1)


def evaluator(fun, lower, upper):
    return Evaluator(TorchObjective(fun, (), True, None), lower, upper)


def run(optimizer, fun, x, lower=None, upper=None, steps=3000):
    """The state when every row has ended."""
    if lower is None:
        lower, upper = free(x.shape[1], x.dtype)
    evaluate = evaluator(fun, lower, upper)
    state = optimizer.init(x, lower, upper, seed=0)
    for _ in range(steps):
        if not len(state.running.rows):
            return state
        state = optimizer.tell(state, evaluate(optimizer.ask(state)))
    raise AssertionError(f"rows {state.running.rows.tolist()} still run")


def starts(rows, dim, seed=0, width=4.0):
    return (torch.rand(rows, dim, generator=generated(seed), **F64) - 0.5) * width


def quadratic(dim, condition, seed=0):
    """f, its minimum and its Hessian; the minimum is not at the origin."""
    g = generated(seed)
    q, _ = torch.linalg.qr(torch.randn(dim, dim, generator=g, **F64))
    hessian = q @ torch.diag(torch.logspace(0, np.log10(condition), dim, **F64)) @ q.T
    middle = torch.randn(dim, generator=g, **F64)
    return lambda x: ((x - middle) @ hessian * (x - middle)).sum(-1) / 2, middle, hessian


def scipys(fun, x, method, bounds=None, **options):
    def both(point):
        leaf = torch.from_numpy(point.copy()).requires_grad_()
        value = fun(leaf)
        return value.item(), torch.autograd.grad(value, leaf)[0].numpy()

    return scipy.optimize.minimize(both, x.numpy(), jac=True, method=method, bounds=bounds, options=options)


# --- against scipy


@METHODS
def test_searches_cost_no_more_than_scipys_and_find_the_same_minima_on_rosenbrock(method):
    x = starts(30, 10)
    state = run(method(tol=1e-5), rosenbrock, x)
    theirs = [scipys(rosenbrock, row, "L-BFGS-B", gtol=1e-5, ftol=0.0, maxiter=10**4) for row in x]
    assert (state.status == CONVERGED).all()
    assert state.cost.double().mean() <= 1.1 * 2 * np.mean([result.nfev for result in theirs])
    assert abs((state.value < 1e-6).double().mean() - np.mean([r.fun < 1e-6 for r in theirs])) <= 0.1


def test_bfgs_solves_what_is_badly_conditioned_in_a_fraction_of_l_bfgs_b_s_evaluations():
    fun, _, _ = quadratic(10, 1e6)
    x = starts(10, 10)
    state = run(BFGS(tol=1e-6), fun, x)
    theirs = [scipys(fun, row, "L-BFGS-B", gtol=1e-6, ftol=0.0, maxiter=10**4, maxfun=10**5) for row in x]
    assert (state.status == CONVERGED).all()
    assert state.value.max() < 1e-12
    assert state.cost.double().mean() < 0.5 * 2 * np.mean([result.nfev for result in theirs])


def informed_run(fun, x, factor):
    """The state when every row, told an inverse Hessian to begin with, has ended."""
    evaluate, optimizer = evaluator(fun, *free(x.shape[1])), BFGS()
    state = informed(optimizer.init(x, *free(x.shape[1]), seed=0), factor)
    while len(state.running.rows):
        state = optimizer.tell(state, evaluate(optimizer.ask(state)))
    return state


def test_bfgs_that_is_told_the_inverse_hessian_of_a_quadratic_takes_newtons_step():
    fun, minimum, hessian = quadratic(6, 1e4)
    factor = torch.linalg.cholesky(torch.linalg.inv(hessian))
    state = informed_run(fun, minimum + starts(3, 6), factor)
    assert (state.x - minimum).abs().max() < 1e-6
    plain = run(BFGS(), fun, minimum + starts(3, 6))
    assert (state.cost < 0.5 * plain.cost).all()


def lent_by(method, fun, x):
    """Factors that searches lend."""
    evaluate = evaluator(fun, *free(x.shape[1]))
    state, found = method.init(x, *free(x.shape[1]), seed=0), []
    while len(state.running.rows):
        before, state = state, method.tell(state, evaluate(method.ask(state)))
        found.append(lent(before, state))
    return torch.cat(found)


def test_searches_lend_the_inverse_hessian_they_end_with_and_limited_memory_none():
    fun, minimum, hessian = quadratic(4, 10)
    found = lent_by(BFGS(), fun, minimum + starts(2, 4))
    assert found.shape == (2, 4, 4)
    assert (found @ found.mT @ hessian - torch.eye(4, **F64)).abs().max() < 0.1
    assert lent_by(LBFGS(), fun, minimum + starts(2, 4)).shape == (0, 4, 4)


def test_an_inverse_hessian_that_leads_nowhere_is_forgotten():
    state = informed_run(rosenbrock, starts(3, 2), 1e8 * torch.eye(2, **F64))
    assert (state.x - 1).abs().max() < 1e-6


def test_bfgs_ends_on_a_quadratic_after_a_few_steps_a_dimension():
    fun, middle, _ = quadratic(20, 100)
    state = run(BFGS(tol=1e-8), fun, starts(5, 20))
    assert (state.x - middle).abs().max() < 1e-7
    assert state.cost.max() / 2 < 4 * 20


@METHODS
@pytest.mark.parametrize("seed", range(5))
def test_bounded_least_squares_end_at_scipys_solution(method, seed):
    g = generated(seed)
    a, b = torch.randn(15, 8, generator=g, **F64), 3 * torch.randn(15, generator=g, **F64)
    lower, upper = -torch.rand(8, generator=g, **F64), torch.rand(8, generator=g, **F64)
    lower[0], upper[1] = -torch.inf, torch.inf
    lower[2] = upper[2] = 0.25
    theirs = scipy.optimize.lsq_linear(a.numpy(), b.numpy(), _widened(lower, upper), tol=1e-14)
    x = torch.minimum(torch.maximum(starts(4, 8, seed), lower), upper)
    state = run(method(tol=1e-8), lambda x: (x @ a.T - b).square().sum(-1) / 2, x, lower, upper)
    assert (state.status == CONVERGED).all()
    others = torch.arange(8) != 2
    difference = state.x[:, others] - torch.from_numpy(theirs.x)[others]
    assert difference.abs().max() < 1e-5
    assert state.value.max() <= theirs.cost * (1 + 1e-9) + 1e-9


def _widened(lower, upper):
    """scipy wants no fixed variables; one of a width of 1e-9 is near enough."""
    return lower.numpy(), torch.where(lower == upper, upper + 1e-9, upper).numpy()


@METHODS
def test_bounded_quadratics_cost_no_more_than_l_bfgs_b_s(method):
    fun, _, _ = quadratic(10, 1e3)
    lower, upper = (
        -torch.rand(10, generator=generated(1), **F64),
        torch.rand(10, generator=generated(2), **F64),
    )
    x = torch.minimum(torch.maximum(starts(10, 10), lower), upper)
    state = run(method(tol=1e-6), fun, x, lower, upper)
    bounds = list(zip(lower.tolist(), upper.tolist(), strict=True))
    theirs = [scipys(fun, row, "L-BFGS-B", bounds, gtol=1e-6, ftol=0.0) for row in x]
    assert (state.status == CONVERGED).all()
    assert abs(state.value.max() - min(result.fun for result in theirs)) < 1e-8
    assert state.cost.double().mean() <= 2 * np.mean([result.nfev for result in theirs])


@METHODS
def test_a_corner_is_reached_in_a_few_steps(method):
    slope = torch.tensor([1.0, -2.0, 3.0, -0.1, 5.0, 0.3], **F64)
    lower, upper = torch.full((6,), -5.0, **F64), torch.full((6,), 4.0, **F64)
    state = run(method(), lambda x: x @ slope, starts(3, 6), lower, upper)
    assert (state.x == torch.where(slope > 0, lower, upper)).all()
    assert (state.status == CONVERGED).all()
    assert state.cost.max() <= 2 * 12


@METHODS
def test_variables_without_slope_on_a_bound_rest_there(method):
    problem = problems.make("bbob_f5", dim=10, seed=2)  # linear, and level in what has reached its bound
    state = run(method(), problem.fun, starts(10, 10, width=10.0), problem.lower, problem.upper)
    assert state.value.max() <= problem.value + 1e-8
    assert state.cost.max() <= 2 * 16


@METHODS
def test_variables_that_rest_without_slope_leave_when_they_have_one(method):
    lower, upper = torch.zeros(2, **F64), torch.full((2,), 5.0, **F64)
    state = run(
        method(tol=1e-8), lambda x: (x[..., 1] - x[..., 0]) ** 2 + (x[..., 0] - 1) ** 2,
        torch.zeros(1, 2, **F64), lower, upper,
    )  # fmt: skip
    assert (state.x - 1).abs().max() < 1e-6


# --- line search


@METHODS
@pytest.mark.parametrize("fun", [rosenbrock, lambda x: quadratic(6, 1e4)[0](x)])
def test_accepted_steps_keep_the_weak_wolfe_conditions(method, fun):
    lower, upper = free(6)
    evaluate = evaluator(fun, lower, upper)
    optimizer = method()
    state = optimizer.init(starts(5, 6), lower, upper, seed=0)
    accepted = 0
    for _ in range(40):
        after = optimizer.tell(state, evaluate(optimizer.ask(state)))
        moved = (after.x != state.x).any(1) & torch.isfinite(state.value)
        s = (after.x - state.x)[moved]
        before, then = (s * state.grad[moved]).sum(1), (s * after.grad[moved]).sum(1)
        rounding = 1e-14 * state.value[moved].abs()
        assert (after.value[moved] <= state.value[moved] + 1e-4 * before + rounding).all()
        assert (then >= 0.9 * before - 1e-9 * before.abs()).all()
        accepted += int(moved.sum())
        state = after
    assert accepted > 100


@pytest.mark.parametrize(("method", "theirs", "most"), [(BFGS, "BFGS", 0.67), (LBFGS, "L-BFGS-B", 1.0)])
def test_searches_leave_saddles_in_no_more_evaluations_than_scipys(method, theirs, most):
    def wells(x):
        return (x * x - 1).square().sum(-1) + 0.3 * (x[..., 1:] * x[..., :-1]).sum(-1)

    def with_gradient(x):
        x = torch.tensor(x, requires_grad=True)
        value = wells(x)
        value.backward()
        return value.item(), x.grad.numpy()

    x = starts(30, 20, width=0.01)
    state = run(method(tol=1e-5), wells, x)
    found = [scipy.optimize.minimize(with_gradient, row, jac=True, method=theirs) for row in x.numpy()]
    assert state.cost.double().mean() <= most * np.mean([2 * end.nfev for end in found])
    assert state.value.mean() <= np.mean([end.fun for end in found]) + 0.1


def test_bfgs_goes_down_along_kinks():
    def ridge(x):  # the sharp ridge of BBOB, and a convex function with a kink
        return x[..., 0].square() + 100 * x[..., 1:].square().sum(-1).sqrt()

    state = run(BFGS(), ridge, starts(5, 5))
    assert state.value.median() < 1e-6


@METHODS
def test_float32_ends_near_the_minimum_and_keeps_its_dtype(method):
    fun, middle, _ = quadratic(5, 100)
    state = run(method(), lambda x: fun(x.double()).float(), starts(4, 5).float())
    assert state.x.dtype == torch.float32
    assert (state.x - middle).abs().max() < 1e-2
    assert ((state.status == STALLED) | (state.status == CONVERGED)).all()


# --- memories, against the formulas


def steps_of(count, dim, seed=0):
    """Steps s and y = Hessian s."""
    g = generated(seed)
    _, _, hessian = quadratic(dim, 30, seed)
    s = torch.randn(count, dim, generator=g, **F64)
    return s, s @ hessian


def inverse(s, y, first):
    """(eq. 6.17) of Nocedal and Wright, from the matrix `first`."""
    h = first
    for a, b in zip(s, y, strict=True):
        v = torch.eye(len(a), **F64) - torch.outer(b, a) / (a @ b)
        h = v.T @ h @ v + torch.outer(a, a) / (a @ b)
    return h


SCALES = pytest.mark.parametrize(
    "scale", [None, torch.tensor([0.1, 1, 10, 3, 5, 0.5], **F64)], ids=["plain", "scaled"]
)


@SCALES
def test_limited_memory_multiplies_as_the_bfgs_formula_of_the_last_steps(scale):
    memory, (s, y) = PairsMemory(3), steps_of(5, 6)
    units = torch.ones(6, **F64) if scale is None else scale
    known = memory.empty(s[:1])
    yes, no = torch.tensor([True]), torch.tensor([False])
    for count, (a, b) in enumerate(zip(s, y, strict=True)):
        first = yes if count == 0 else no
        step = Step(yes, True, first, a[None], b[None], (a @ b)[None], torch.ones(1, **F64), None, scale)
        known = memory.learn(known, step)
        last = slice(max(0, count - 2), count + 1)
        h = inverse(s[last], y[last], torch.diag(units.square()) * (a @ b) / (units * b).square().sum())
        grad = torch.randn(1, 6, generator=generated(1), **F64)
        torch.testing.assert_close(memory.multiply(known, grad, scale)[1][0], h @ grad[0])


@SCALES
def test_factor_changes_as_the_scaled_bfgs_formula_also_where_a_bound_bent_the_step(scale):
    memory, (s, y) = FactorMemory(), steps_of(6, 6)
    units = torch.ones(6, **F64) if scale is None else scale
    known = memory.empty(s[:1])
    yes, no = torch.tensor([True]), torch.tensor([False])
    h = torch.eye(6, **F64)
    for count, (a, b) in enumerate(zip(s, y, strict=True)):
        sy = a @ b
        h = torch.diag(units.square()) * (a / units).square().sum() / sy if count == 0 else h
        h = h / (sy / (a @ torch.linalg.solve(h, a))).clamp(1e-4, 1.0)
        h = inverse(a[None], b[None], h)
        first = no if count else yes
        step = Step(yes, True, first, a[None], b[None], sy[None], torch.ones(1, **F64), yes, scale)
        known = memory.learn(known, step)
        torch.testing.assert_close(known.factor[0] @ known.factor[0].T, h)


def test_a_variable_that_is_fixed_leaves_the_inverse_hessian_of_the_others():
    memory = FactorMemory()
    factor = torch.randn(2, 5, 5, generator=generated(2), **F64)
    hessian = torch.linalg.inv(factor @ factor.mT)
    known = memory.empty(torch.zeros(2, 5, **F64))
    known = type(known)(factor, known.image)
    fixed = torch.tensor([[False, True, False, True, False], [False] * 5])
    h = memory.fix(known, fixed).factor
    h = h @ h.mT
    others = torch.tensor([0, 2, 4])
    torch.testing.assert_close(h[0][others][:, others], torch.linalg.inv(hessian[0][others][:, others]))
    torch.testing.assert_close(h[1], factor[1] @ factor[1].T)


# --- rows


@METHODS
@pytest.mark.parametrize("bound", [torch.inf, 1.2])
def test_rows_together_take_the_path_each_takes_alone(method, bound):
    x = starts(12, 7, width=2.0)
    lower, upper = torch.full((7,), -bound, **F64), torch.full((7,), bound, **F64)
    together = run(method(tol=1e-8), rosenbrock, x, lower, upper)
    for row in range(12):
        alone = run(method(tol=1e-8), rosenbrock, x[row : row + 1], lower, upper)
        torch.testing.assert_close(alone.x[0], together.x[row], rtol=1e-6, atol=1e-6)
        assert abs(int(alone.cost[0]) - int(together.cost[row])) <= 6  # rounding, after fifty steps


@METHODS
def test_first_steps_of_rows_together_equal_those_of_each_alone(method):
    x, (lower, upper) = starts(12, 7), free(7)
    evaluate, optimizer = evaluator(rosenbrock, lower, upper), method()
    together = optimizer.init(x, lower, upper, seed=0)
    alone = [optimizer.init(row[None], lower, upper, seed=0) for row in x]
    for _ in range(10):
        together = optimizer.tell(together, evaluate(optimizer.ask(together)))
        alone = [optimizer.tell(state, evaluate(optimizer.ask(state))) for state in alone]
        asked = torch.cat([optimizer.ask(state).x for state in alone])
        torch.testing.assert_close(optimizer.ask(together).x, asked, rtol=1e-11, atol=1e-12)


def asked(optimizer, fun, x, lower, upper, steps=30):
    """The points of some steps, (steps, rows, dim)."""
    evaluate, state, points = evaluator(fun, lower, upper), optimizer.init(x, lower, upper, seed=0), []
    for _ in range(steps):
        points.append(optimizer.ask(state).x)
        state = optimizer.tell(state, evaluate(optimizer.ask(state)))
    return torch.stack(points)


@METHODS
@pytest.mark.parametrize(
    ("sides", "height"), [([0.125, 1, 64, 1024], 1.0), ([0.125, 1, 64, 1024], 2.0**-30), ([1] * 4, 2.0**20)]
)
def test_scaled_searches_know_neither_the_units_of_the_variables_nor_of_the_value(method, sides, height):
    sides, cube = torch.tensor(sides, **F64), torch.full((4,), 2.0, **F64)
    optimizer, x = method(scaled=True, first_step=0.1), starts(1, 4, width=3.0)
    expected = asked(optimizer, rosenbrock, x, -cube, cube)
    points = asked(
        optimizer, lambda z: height * rosenbrock(z / sides), x * sides, -cube * sides, cube * sides
    )
    assert torch.equal(points / sides, expected)


@METHODS
def test_the_first_step_of_a_scaled_search_is_a_share_of_the_box(method):
    lower, upper = torch.tensor([-3.0, 0.0], **F64), torch.tensor([5.0, 1.0], **F64)
    x = torch.tensor([[1.0, 0.4]], **F64)
    points = asked(
        method(scaled=True, first_step=0.2), lambda x: 1e-3 * (x - x.new_tensor([2, 0.5])).square().sum(-1),
        x, lower, upper, steps=2,
    )  # fmt: skip
    assert ((points[1] - x) / (upper - lower)).norm().item() == pytest.approx(0.2)


@METHODS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [1e4, 1e10, 1e25, torch.inf])
def test_a_scaled_search_in_a_box_that_tells_nothing_finds_the_minimum_all_the_same(method, dtype, width):
    upper = torch.full((2,), width, dtype=dtype)
    state = run(
        method(scaled=True, first_step=0.1),
        rosenbrock,
        torch.tensor([[-1.2, 1.0]], dtype=dtype),
        -upper,
        upper,
    )
    assert state.value.item() < 1e-6


@METHODS
def test_rows_that_end_are_not_asked_again_and_cost_nothing_more(method):
    fun, middle, _ = quadratic(4, 10)
    x = torch.stack([middle, middle + 3, middle + 0.01])
    lower, upper = free(4)
    evaluate, optimizer = evaluator(fun, lower, upper), method(tol=1e-8)
    state, spent = optimizer.init(x, lower, upper, seed=0), 0
    while len(state.running.rows):
        query = optimizer.ask(state)
        assert query.x.shape[0] == int((state.status == RUNNING).sum())
        spent += query.cost
        state = optimizer.tell(state, evaluate(query))
    assert state.cost[0] == 2
    assert int(state.cost.sum()) == spent


@METHODS
def test_the_best_row_is_asked_when_all_have_ended(method):
    state = run(method(tol=1e-6), rosenbrock, starts(5, 2))
    query = method().ask(state)
    assert torch.equal(query.x, state.x[state.value.argmin()][None])
    after = method().tell(state, evaluator(rosenbrock, *free(2))(query))
    assert torch.equal(after.x, state.x)
    assert after.step == state.step + 1


@METHODS
def test_restarted_rows_run_in_the_batch_as_if_they_were_new(method):
    optimizer, (lower, upper) = method(tol=1e-8), free(4)
    evaluate = evaluator(rosenbrock, lower, upper)
    x, new = starts(3, 4), starts(2, 4, seed=1)
    state = optimizer.init(x, lower, upper, seed=0)
    for _ in range(12):
        state = optimizer.tell(state, evaluate(optimizer.ask(state)))
    untouched = state.x.clone()
    began = optimizer.restart(state, torch.tensor([2, 0]), new)
    assert torch.equal(state.x, untouched)
    assert torch.isinf(began.value[[0, 2]]).all()
    masked = optimizer.restart(state, torch.tensor([True, False, True]), new.flip(0))
    assert torch.equal(masked.x, began.x)
    while len(began.running.rows):
        began = optimizer.tell(began, evaluate(optimizer.ask(began)))
    for place, start in ((2, new[0]), (0, new[1]), (1, x[1])):
        alone = run(optimizer, rosenbrock, start[None])
        torch.testing.assert_close(began.x[place], alone.x[0], rtol=1e-6, atol=1e-7)
        assert abs(int(began.cost[place]) - int(alone.cost[0])) <= 4


@METHODS
def test_a_row_without_a_finite_start_fails_and_harms_no_other(method):
    x = starts(4, 3)
    x[1] += 100
    fun = lambda x: torch.where(x[..., 0] > 50, torch.nan, rosenbrock(x))  # noqa: E731
    state = run(method(tol=1e-8), fun, x)
    assert state.status.tolist() == [CONVERGED, FAILED, CONVERGED, CONVERGED]
    assert torch.isinf(state.value[1])
    others = run(method(tol=1e-8), fun, x[[0, 2, 3]])
    torch.testing.assert_close(state.x[[0, 2, 3]], others.x, rtol=1e-6, atol=1e-7)


@METHODS
def test_rows_that_all_fail_are_scattered_until_one_is_finite(method):
    lower, upper = torch.full((2,), -5.0, **F64), torch.full((2,), 5.0, **F64)
    fun = lambda x: torch.where(x.sum(-1) > 0, torch.nan, (x + 2).square().sum(-1))  # noqa: E731
    state = run(method(tol=1e-8), fun, torch.full((2, 2), 4.0, **F64), lower, upper)
    assert (state.x[state.value.argmin()] + 2).abs().max() < 1e-6


@METHODS
def test_a_wall_of_nan_is_not_crossed_and_not_the_end(method):
    fun = lambda x: torch.where(x[..., 0] > 1, torch.nan, rosenbrock(x - 0.5))  # noqa: E731
    state = run(method(), fun, starts(5, 2, width=1.0) - 1)
    assert (state.x[:, 0] <= 1).all()
    assert state.value.max() < 1.0
    assert state.cost.max() < 2 * 400


@METHODS
def test_loose_tolerances_end_rows_early(method):
    x = starts(6, 6)
    loose, tight = run(method(ftol=1e-3), rosenbrock, x), run(method(tol=1e-8), rosenbrock, x)
    assert (loose.status == SETTLED).all()
    assert loose.cost.sum() < 0.8 * tight.cost.sum()
    assert (loose.value < rosenbrock(x) / 2).all()  # and not before they have begun


@METHODS
def test_without_a_tolerance_rows_stall_at_the_bottom(method):
    fun, middle, _ = quadratic(5, 1e3)
    state = run(method(), lambda x: fun(x) + 100, starts(5, 5))
    assert ((state.status == STALLED) | (state.status == CONVERGED)).all()
    assert (state.x - middle).abs().max() < 1e-5


# --- the door


@METHODS
@pytest.mark.parametrize("bounds", [None, (-2.0, 3.0)])
def test_minimize_ends_with_success(method, bounds):
    result = hybridopt.minimize(rosenbrock, x0=torch.full((8,), -1.0, **F64), bounds=bounds, method=method())
    assert result.success
    assert result.ledger.cost < 500


@METHODS
def test_minimize_leaves_a_saddle(method):
    result = hybridopt.minimize(
        lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4, x0=[0.0, 0.0], method=method(), seed=0
    )
    assert result.success
    assert round(result.fun, 9) == -1.0


@METHODS
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"tol": -1.0}, ValueError),
        ({"ftol": "small"}, TypeError),
        ({"first_step": 0.0}, ValueError),
        ({"max_trials": 1}, ValueError),
        ({"population_size": 2.5}, TypeError),
        ({"scaled": 1}, TypeError),
    ],
)
def test_impossible_options_are_refused(method, options, error):
    with pytest.raises(error, match=next(iter(options))):
        method(**options)


def test_a_memory_of_no_steps_is_refused():
    with pytest.raises(ValueError, match="memory must be at least 1"):
        LBFGS(memory=0)


@pytest.mark.parametrize("method", [BFGS(), LBFGS()])
def test_steps_too_small_to_be_squared_teach_nothing(method):
    """Noise in the values keeps a search going, here towards 0 until products underflow."""
    noise = torch.Generator().manual_seed(0)
    lower, upper = torch.full((3,), -3.0, dtype=torch.float64), torch.full((3,), 2.0, dtype=torch.float64)
    state = method.init(torch.full((8, 3), -0.5, dtype=torch.float64), lower, upper, seed=0)
    for _ in range(500):
        x = method.ask(state).x
        assert torch.isfinite(x).all()
        value = x.square().sum(1) + 1e-3 * torch.randn(len(x), generator=noise, dtype=x.dtype)
        state = method.tell(state, Evaluation(x, value, 2 * x))
