"""The scipy door: what it takes, what it returns, how it ends."""

import logging
import math
import random
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import scipy.optimize
import torch

import hybridopt
from hybridopt import GeneticAlgorithm, TorchGradient, minimize

SGD = TorchGradient(torch.optim.SGD, lr=0.1)


def parabola(x):
    return ((x - 1) ** 2).sum()


def rows_of_parabola(x):
    return ((x - 1) ** 2).sum(-1)


def numpy_parabola(x):
    return float(np.sum((np.asarray(x) - 1) ** 2))


# --- functions


def test_torch_function_of_one_point_is_minimised_to_the_known_minimum():
    result = minimize(parabola, x0=[0.0, 3.0], method=SGD)
    assert isinstance(result, scipy.optimize.OptimizeResult)
    assert result.success
    assert result.status == 0
    np.testing.assert_allclose(result.x, [1, 1], atol=1e-6)
    np.testing.assert_allclose(result.jac, 2 * (result.x - 1))


def test_vectorized_function_gives_the_same_run():
    one = minimize(parabola, bounds=[(-3, 2)] * 3, max_evals=800, seed=1)
    rows = minimize(rows_of_parabola, bounds=[(-3, 2)] * 3, max_evals=800, seed=1, vectorized=True)
    np.testing.assert_array_equal(one.x, rows.x)


def test_function_that_vmap_refuses_is_called_row_by_row():
    def branching(x):
        return (x**2).sum() if x[0] > 0 else (x**2).sum() + x[0] ** 2

    result = minimize(branching, x0=[[1.0, 0.5], [-2.0, 3.0]], method=SGD)
    np.testing.assert_allclose(result.x, 0, atol=1e-5)


def test_exception_of_the_function_passes_unchanged_and_carries_the_best_so_far():
    calls = []

    def breaks(x):
        calls.append(1)
        if len(calls) > 30:
            raise KeyError("mine")
        return parabola(x)

    with pytest.raises(KeyError, match="mine") as caught:
        minimize(breaks, x0=[0.0, 3.0], method=TorchGradient(torch.optim.SGD, lr=0.01))
    best = caught.value.best_so_far
    assert best.nit > 20
    assert best.fun < parabola(torch.tensor([0.0, 3.0]))
    assert not best.success
    assert "best value so far" in caught.value.__notes__[0]


def test_exception_inside_vmap_that_is_the_users_own_is_not_retried_row_by_row():
    calls = []

    def breaks(x):
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("out of cheese")
        return parabola(x)

    with pytest.raises(RuntimeError, match="out of cheese"):
        minimize(breaks, x0=[[0.0, 3.0], [1.0, 2.0]], method=SGD)
    assert len(calls) == 2


def test_numpy_function_is_searched_without_gradients_by_auto():
    result = minimize(numpy_parabola, bounds=[(-3, 2)] * 2, max_evals=4000, seed=0)
    assert result.njev == 0
    np.testing.assert_allclose(result.x, 1, atol=1e-2)


def test_numpy_function_with_jac_equals_the_torch_function():
    by_jac = minimize(numpy_parabola, x0=[0.0, 3.0], jac=lambda x: 2 * (x - 1), method=SGD)
    by_pair = minimize(lambda x: (numpy_parabola(x), 2 * (x - 1)), x0=[0.0, 3.0], jac=True, method=SGD)
    by_torch = minimize(parabola, x0=[0.0, 3.0], method=SGD)
    np.testing.assert_allclose(by_jac.x, by_torch.x, rtol=1e-12)
    np.testing.assert_array_equal(by_pair.x, by_jac.x)


def test_numpy_function_without_jac_is_refused_by_gradient_methods():
    with pytest.raises(TypeError, match="numpy function without jac.*pass jac="):
        minimize(numpy_parabola, x0=[0.0, 3.0], method="adam")


def test_jac_of_a_torch_function_is_used():
    result = minimize(parabola, x0=torch.tensor([0.0, 3.0]), jac=lambda x: 2 * (x - 1), method=SGD)
    assert torch.allclose(result.x, torch.ones(2), atol=1e-3)


@pytest.mark.parametrize("jac", [lambda x: np.array([2 * x[0], 2 * x[1]]), lambda x: [2 * x[0], 2 * x[1]]])
def test_plain_arithmetic_with_a_jac_for_numpy_is_numpys(jac):
    result = minimize(lambda x: x[0] ** 2 + x[1] ** 2, x0=[1.0, 2.0], jac=jac, method=SGD)
    assert result.success


def test_args_are_passed_on():
    result = minimize(lambda x, a, b: ((x - a) ** 2).sum() + b, x0=[0.0], args=(3.0, 7.0), method=SGD)
    np.testing.assert_allclose([*result.x, result.fun], [3, 7], atol=1e-6)


def test_scipy_functions_are_numpys():
    jac = scipy.optimize.rosen_der
    result = minimize(scipy.optimize.rosen, x0=[0.9, 0.8], jac=jac, method="rprop", max_evals=4000)
    assert result.fun < 1e-3


# --- gradients that are not the function's


@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize(
    "fun",
    [
        lambda x: (x.detach() ** 2).sum() + x[0],
        lambda x: float(x[0]) ** 2 + x[1] ** 2,
        lambda x: math.cos(x[0]) + x[1] ** 2,
    ],
)
@pytest.mark.parametrize("x0", [[1.0, 2.0], [[1.0, 2.0], [2.0, 3.0]]])
def test_gradient_of_another_function_is_a_clear_error(fun, x0):
    with pytest.raises(hybridopt.GradientMismatchError, match="a part of fun detached"):
        minimize(fun, x0=x0, method=SGD)


def test_wrong_jac_is_a_clear_error_and_check_grad_turns_it_off():
    arguments = {"x0": [0.0, 3.0], "jac": lambda x: -2 * (x - 1), "method": SGD, "max_evals": 50}
    with pytest.raises(hybridopt.GradientMismatchError, match="or is jac wrong"):
        minimize(numpy_parabola, **arguments)
    minimize(numpy_parabola, **arguments, check_grad=False)


def test_wholly_detached_function_says_so():
    with pytest.raises(TypeError, match="does not depend on x through torch operations"):
        minimize(lambda x: (x.detach() ** 2).sum(), x0=[1.0], method=SGD)


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: torch.relu(x).sum() + (x**2).sum(),  # kink at the start
        lambda x: x.abs().sum(),
        lambda x: torch.floor(3 * x).square().sum(),  # steps: zero gradient
        lambda x: torch.cos(1e6 * x).sum() + (x**2).sum(),  # faster than the difference's width
        lambda x: 1e8 + (1e-4 * x**2).sum(),  # drowned in rounding
        lambda x: (x.float() ** 2).sum(),  # rounds more than x does
    ],
)
@pytest.mark.parametrize("x0", [[0.0, 0.0], [0.3, -2.0]])
def test_gradient_check_raises_no_false_alarm(fun, x0):
    minimize(fun, x0=x0, method=SGD, max_evals=60)


@pytest.mark.parametrize("dim", [2, 4, 10])
def test_gradient_check_is_not_fooled_by_symmetric_starts_nor_by_bounds(dim):
    def half_detached(x):
        return ((x - 1) ** 2).sum() + (5 * (x.detach() - 2) ** 2).sum()

    for seed in range(20):
        for start, bounds in ((0.1, None), (0.0, (0, 3))):
            with pytest.raises(hybridopt.GradientMismatchError):
                minimize(half_detached, x0=[start] * dim, bounds=bounds, method=SGD, seed=seed)


def test_gradient_check_costs_a_unit():
    result = minimize(parabola, x0=[0.0, 3.0], method=SGD)
    assert result.ledger.phases["gradient check"] == 1


def test_gradient_check_costs_another_unit_where_a_function_curves_much():
    result = minimize(lambda x: (1e6 * x).sin().sum() / 1e6, x0=[0.3, 1.0], method="bfgs", seed=0)
    assert result.ledger.phases["gradient check"] == 2


# --- numbers that are not finite


def test_nan_objective_ends_without_success_and_counts_every_point():
    result = minimize(lambda x: x.sum() * math.nan, x0=[0.0, 1.0], method=SGD, max_evals=101)
    assert not result.success
    assert result.fun == math.inf
    assert result.ledger.nonfinite == 51
    assert "No finite value" in result.message


def test_finite_value_with_nan_gradient_is_no_stationary_point():
    result = minimize(lambda x: torch.sqrt((x**2).sum()) + x[0] / 2, x0=[0.0, 0.0], method=SGD, max_evals=200)
    assert result.status != 0
    assert result.fun <= 0


@pytest.mark.parametrize("method", ["genetic", "adam"])
def test_nan_region_never_wins(method):
    def half(x):
        return torch.where(x[0] < 0, torch.nan, ((x - 0.5) ** 2).sum())

    result = minimize(half, x0=[2.0, 2.0], bounds=(-3, 3), method=method, max_evals=2000, seed=0)
    assert math.isfinite(result.fun)
    assert result.x[0] >= 0


def test_minus_infinity_never_wins():
    result = minimize(lambda x: torch.log(x).sum(), bounds=[(0, 1)], method="genetic", max_evals=500, seed=0)
    assert math.isfinite(result.fun)


# --- chance


def test_function_that_draws_repeats_with_its_seed_and_leaves_the_generators_alone():
    def noisy(x):
        return parabola(x) + 0.1 * torch.randn(())

    torch.manual_seed(1)
    runs = [minimize(noisy, bounds=(-2, 3), x0=[0.0, 0.0], method="genetic", max_evals=500, seed=5)]
    torch.manual_seed(2)
    runs.append(minimize(noisy, bounds=(-2, 3), x0=[0.0, 0.0], method="genetic", max_evals=500, seed=5))
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    states = [random.getstate(), repr(np.random.get_state()), torch.get_rng_state()]  # noqa: NPY002
    minimize(noisy, x0=[0.0, 0.0], method="genetic", max_evals=500, seed=5)
    minimize(lambda x: parabola(x).item() + np.random.randn(), x0=[0.0], max_evals=50)  # noqa: NPY002
    assert states[:2] == [random.getstate(), repr(np.random.get_state())]  # noqa: NPY002
    assert torch.equal(states[2], torch.get_rng_state())


def test_function_that_draws_in_a_part_of_the_box_only_is_found_out_too():
    def late(x):
        return parabola(x) + (0.01 * torch.randn(()) if x[0] > 0.5 else 0.0)

    before = torch.get_rng_state()
    runs = [minimize(late, x0=[0.0, 0.0], method=SGD, max_evals=300, seed=3) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    assert torch.equal(torch.get_rng_state(), before)


def test_same_seed_same_run_and_no_seed_is_told():
    runs = [minimize(parabola, bounds=[(-3, 2)] * 2, max_evals=300, seed=4) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    fresh = minimize(parabola, bounds=[(-3, 2)] * 2, max_evals=300)
    again = minimize(parabola, bounds=[(-3, 2)] * 2, max_evals=300, seed=fresh.seed)
    np.testing.assert_array_equal(fresh.x, again.x)


# --- starts, bounds, kinds of numbers


@pytest.mark.parametrize(
    "bounds",
    [
        [(-2, 3), (-2, 3)],
        (-2, 3),
        np.array([[-2, 3], [-2, 3]]),
        torch.tensor([[-2.0, 3.0], [-2.0, 3.0]], dtype=torch.float64),
        scipy.optimize.Bounds([-2, -2], [3, 3]),
        scipy.optimize.Bounds(-2, 3),
    ],
)
def test_all_forms_of_bounds_mean_the_same(bounds):
    result = minimize(parabola, x0=[0.0, 2.0], bounds=bounds, max_evals=300, seed=0)
    assert (
        result.x.tolist() == minimize(parabola, [0.0, 2.0], bounds=(-2, 3), max_evals=300, seed=0).x.tolist()
    )


def test_none_and_infinity_in_bounds_mean_free():
    result = minimize(parabola, x0=[0.0, 2.0], bounds=[(None, 0.5), (1.5, math.inf)], method=SGD)
    np.testing.assert_allclose(result.x, [0.5, 1.5])
    assert result.success


def test_fixed_variable_stays():
    result = minimize(parabola, x0=[0.25, 2.0], bounds=[(0.25, 0.25), (-4, 4)], max_evals=500, seed=0)
    assert result.x[0] == 0.25


COARSE = torch.zeros(2, dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bounds": [[0] * 5, [1] * 5]}, r"\(dim, 2\), got \(2, 5\); pass bounds.T"),
        ({"x0": [0.0] * 3, "bounds": [(0, 1)] * 2}, r"= \(3, 2\), got \(2, 2\)"),
        ({"bounds": [(0, 1), (2, 1)]}, r"lower <= upper, got \(2.0, 1.0\) for coordinate 1"),
        ({"bounds": [(0, math.nan)]}, "lower <= upper"),
        ({"bounds": [(0, "a")]}, "pairs"),
        ({"x0": [0.0, 9.0], "bounds": (-1, 1)}, r"coordinate 1 is 9.0, expected -1.0 .. 1.0"),
        ({"x0": [0.0, math.nan]}, "x0 must be finite"),
        ({"x0": [[[0.0]]]}, r"shape \(dim,\) or \(n, dim\)"),
        ({"x0": "here"}, "x0 must be numbers"),
        ({}, "give x0"),
        ({"bounds": (0, 1)}, "give x0 too"),
        ({"bounds": [(0, None)]}, "without x0 every bound must be finite"),
        ({"x0": [0.0], "max_evals": 0}, "max_evals must be a whole number of at least 1, got 0"),
        ({"x0": [0.0], "max_evals": 2.5}, "max_evals must be a whole number"),
        ({"x0": [0.0], "max_evals": math.inf}, "max_evals must be a whole number"),
        ({"x0": [0.0], "max_evals": "a"}, "max_evals must be a whole number"),
        ({"x0": [0.0], "seed": [3]}, "seed must be a whole number"),
        ({"x0": [0.0], "tol": "a"}, "tol must be a number"),
        ({"x0": [0.0], "bounds": 5}, "bounds must be pairs"),
        ({"x0": [1j]}, "x0 must be real"),
        ({"x0": torch.zeros(2, dtype=torch.half)}, "float16 is too coarse"),
        ({"x0": COARSE, "bounds": (-1, 1)}, "can't work out in bfloat16; pass x0 and bounds in float32"),
        ({"x0": COARSE, "method": "cmaes"}, "can't work out in bfloat16"),
        ({"x0": COARSE, "method": "funnel"}, "can't work out in bfloat16"),
        ({"bounds": (0, 1), "x0": [0.5], "method": "genetic", "tol": 1e-3}, "the method takes no gradients"),
        ({"x0": [0.0], "max_time": 0}, "max_time must be a positive"),
        ({"x0": [0.0], "tol": -1.0}, "tol must be"),
        ({"x0": [0.0], "target": math.nan}, "target must be"),
        ({"x0": [0.0], "seed": -1}, "seed must be"),
        ({"x0": [0.0], "method": "adamm"}, "did you mean 'adam'"),
    ],
)
def test_bad_values_are_errors_that_say_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        minimize(parabola, **arguments)


@pytest.mark.parametrize("method", ["bfgs", "rprop", "basin_hopping", "memetic", "shade"])
def test_bfloat16_is_searched_in_as_finely_as_it_allows(method):
    result = minimize(parabola, COARSE, method=method, bounds=(-2, 5), max_evals=2000, seed=0)
    assert result.x.dtype == torch.bfloat16
    assert result.fun < 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": 3}, "method must be a name"),
        ({"method": SGD, "options": {"lr": 1}}, "options are for methods given by name"),
        ({"options": {"lr": 1}}, "'auto' takes no options"),
        ({"method": "adam", "options": {"learning_rate": 1}}, "it takes .*'lr'"),
        ({"jac": "2-point"}, "jac must be a callable"),
        ({"callback": 3}, "callback must be callable"),
        ({"fun": 3}, "fun must be callable"),
        ({"fun": lambda x: None}, "is a return missing"),
        ({"fun": lambda x: (float(x[0]) ** 2, 2 * np.asarray(x))}, "pass jac=True"),
        ({"fun": lambda x: float(x[0]) ** 2, "jac": True}, r"must return \(value, gradient\)"),
    ],
)
def test_bad_types_are_errors_that_say_what_was_expected(arguments, message):
    with pytest.raises(TypeError, match=message):
        minimize(**({"fun": parabola, "x0": [0.0]} | arguments))


@pytest.mark.parametrize(
    ("fun", "vectorized", "message"),
    [
        (lambda x: x, False, r"shape \(2,\) for one point, expected \(\); .*vectorized=True"),
        (lambda x: x, True, r"shape \(1, 2\) for a batch of rows, expected \(1,\)"),
        (lambda x: np.asarray(x), False, r"shape \(2,\) for one point"),
    ],
)
def test_wrong_output_shape_is_named(fun, vectorized, message):
    with pytest.raises(ValueError, match=message):
        minimize(fun, x0=[0.0, 1.0], vectorized=vectorized)


def test_integers_become_float64_and_tensors_come_back_as_tensors():
    assert minimize(parabola, x0=[0, 3], method=SGD).x.dtype == np.float64
    assert minimize(parabola, x0=torch.tensor([0, 3]), method=SGD).x.dtype == torch.float64
    single = minimize(parabola, x0=torch.tensor([0.0, 3.0], requires_grad=True), method=SGD)
    assert single.x.dtype == torch.float32
    assert not single.x.requires_grad
    assert single.success


def test_start_is_not_changed():
    x0 = np.zeros((1, 2))
    minimize(parabola, x0=x0, method=SGD)
    assert not x0.any()


# --- ends


def test_budget_is_spent_to_the_last_unit_and_never_exceeded():
    counted = []

    def counts(x):
        counted.append(len(x))
        return rows_of_parabola(x)

    for budget in (1, 3, 57, 250, 1001):
        counted.clear()
        result = minimize(
            counts, bounds=(-3, 2), x0=[0.0], method="genetic", vectorized=True, max_evals=budget, seed=0
        )
        assert result.ledger.cost == sum(counted) == budget
        assert result.status == 2


def test_default_budget_of_global_methods_is_1000_units_a_dimension():
    result = minimize(rows_of_parabola, bounds=[(-3, 2)] * 2, method="genetic", vectorized=True, seed=0)
    assert result.ledger.cost == 2000


def test_target_ends_with_success():
    result = minimize(parabola, bounds=[(-3, 2)] * 2, target=1e-3, seed=0)
    assert (result.success, result.status) == (True, 1)
    assert result.fun <= 1e-3


def test_max_time_ends():
    result = minimize(parabola, bounds=[(-3, 2)] * 2, max_time=0.05, seed=0)
    assert result.status == 3


def test_descent_that_no_longer_falls_says_stalled_and_not_success():
    result = minimize(parabola, x0=[0.0], method=TorchGradient(torch.optim.SGD, lr=1.0))  # swings for ever
    assert (result.success, result.status) == (False, 6)


def test_callback_of_both_forms_and_stop_iteration():
    seen = []

    def by_name(intermediate_result):
        seen.append(intermediate_result.fun)
        if len(seen) == 5:
            raise StopIteration

    result = minimize(parabola, x0=[0.0], method=SGD, callback=by_name)
    assert result.status == 4
    assert result.nit == 5
    assert seen == sorted(seen, reverse=True)
    points = []
    minimize(parabola, x0=[0.0], method=SGD, callback=lambda x: points.append(x), max_evals=20)
    assert points[0].shape == (1,)


def test_logging_is_silent_by_default(caplog, capsys):
    minimize(parabola, x0=[0.0], method=SGD)
    assert capsys.readouterr() == ("", "")
    with caplog.at_level(logging.INFO, logger="hybridopt"):
        minimize(parabola, x0=[0.0], method=SGD)
    assert "Converged" in caplog.text


def test_progress_bar_shows_units_and_best(capsys):
    minimize(parabola, x0=[0.0], method=SGD, progress=True)
    assert "units" in capsys.readouterr().out


# --- workers, checkpoints


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_executor_gives_the_same_run(pool):
    arguments = {"bounds": [(-3, 2)] * 2, "vectorized": True, "max_evals": 400, "seed": 0}
    alone = minimize(rows_of_parabola, **arguments)
    with pool(2) as executor:
        shared = minimize(rows_of_parabola, **arguments, executor=executor)
    np.testing.assert_array_equal(alone.x, shared.x)


def slow_rows(x):
    time.sleep(2e-3 * len(x))
    return rows_of_parabola(x)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_of_an_executor_share_a_batch():
    arguments = {
        "bounds": [(-3, 2)] * 2,
        "method": "genetic",
        "vectorized": True,
        "max_evals": 601,
        "seed": 0,
    }
    seconds = []
    for workers in (1, 4):  # they sleep, so that cores do not matter
        with ThreadPoolExecutor(workers) as executor:
            began = time.monotonic()
            minimize(slow_rows, **arguments, executor=executor)
            seconds.append(time.monotonic() - began)
    assert seconds[1] < 0.6 * seconds[0]


def test_resumed_run_equals_uninterrupted_run(tmp_path):
    arguments = {"bounds": [(-3, 2)] * 3, "seed": 3}
    path = tmp_path / "run.ckpt"
    whole = minimize(parabola, **arguments, max_evals=3000)
    for budget in (1, 500, 1203, 3000):
        resumed = minimize(parabola, **arguments, max_evals=budget, checkpoint=path)
    np.testing.assert_array_equal(whole.x, resumed.x)
    assert whole.ledger == resumed.ledger
    assert whole.nit == resumed.nit


def test_interrupt_saves_and_returns_the_best_and_the_run_goes_on(tmp_path):
    path = tmp_path / "run.ckpt"
    steps = []

    def interrupts(x):
        steps.append(1)
        if len(steps) == 7:
            raise KeyboardInterrupt

    arguments = {"bounds": [(-3, 2)] * 3, "max_evals": 2000, "checkpoint": path}
    stopped = minimize(parabola, **arguments, callback=interrupts, seed=3)
    assert (stopped.success, stopped.status, stopped.nit) == (False, 5, 7)
    assert math.isfinite(stopped.fun)
    resumed = minimize(parabola, **arguments)  # the seed is the checkpoint's
    whole = minimize(parabola, bounds=[(-3, 2)] * 3, max_evals=2000, seed=3)
    np.testing.assert_array_equal(whole.x, resumed.x)
    assert resumed.ledger == whole.ledger


def test_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.ckpt"
    minimize(parabola, bounds=[(-3, 2)] * 3, max_evals=200, checkpoint=path, seed=1)
    with pytest.raises(hybridopt.CheckpointError, match="belongs to another run"):
        minimize(parabola, bounds=[(-3, 4)] * 3, max_evals=200, checkpoint=path)
    with pytest.raises(hybridopt.CheckpointError, match="has seed 1, got seed=2"):
        minimize(parabola, bounds=[(-3, 2)] * 3, max_evals=200, checkpoint=path, seed=2)


@pytest.mark.parametrize(
    ("fun", "options"),
    [(lambda x: ((x - 0.5) ** 2).sum(), {}), (parabola, {"options": {"sigma": 0.9}})],
)
def test_checkpoint_of_another_function_or_option_is_refused(tmp_path, fun, options):
    path = tmp_path / "run.ckpt"
    arguments = {"bounds": [(-3, 2)] * 3, "max_evals": 300, "checkpoint": path, "method": "genetic"}
    minimize(parabola, **arguments, seed=1)
    with pytest.raises(hybridopt.CheckpointError, match="belongs to another run"):
        minimize(fun, **arguments, **options)


def test_checkpoint_that_cannot_be_written_fails_at_once(tmp_path):
    calls = []
    with pytest.raises(FileNotFoundError):
        minimize(lambda x: (calls.append(1), parabola(x))[1], x0=[0.0], checkpoint=tmp_path / "no" / "x")
    assert len(calls) == 1


def test_exception_writes_the_checkpoint(tmp_path):
    path = tmp_path / "run.ckpt"
    calls = []

    def breaks(x):
        calls.append(1)
        if len(calls) == 9:
            raise OSError("disk on fire")
        return rows_of_parabola(x)

    arguments = {"bounds": [(-3, 2)] * 3, "max_evals": 900, "vectorized": True, "seed": 1}
    with pytest.raises(OSError, match="disk on fire"):
        minimize(breaks, **arguments, checkpoint=path)
    resumed = minimize(rows_of_parabola, **arguments, checkpoint=path)
    np.testing.assert_array_equal(resumed.x, minimize(rows_of_parabola, **arguments).x)


def test_optimizer_may_be_given_as_class_or_torch_class():
    by_class = minimize(parabola, x0=[0.0], bounds=(-2, 3), method=GeneticAlgorithm, max_evals=200, seed=0)
    by_name = minimize(parabola, x0=[0.0], bounds=(-2, 3), method="genetic", max_evals=200, seed=0)
    assert by_class.fun == by_name.fun
    by_torch = minimize(parabola, x0=[0.0], method=torch.optim.SGD, options={"lr": 0.1})
    assert by_torch.x == minimize(parabola, x0=[0.0], method=SGD).x


def test_constraints_beyond_bounds_are_refused_with_a_way_out():
    with pytest.raises(NotImplementedError, match="constraints beyond bounds .*SLSQP"):
        minimize(parabola, x0=[0.0, 3.0], constraints={"type": "eq", "fun": lambda x: x[0]})
    minimize(parabola, x0=[0.0, 3.0], constraints=(), method=SGD, max_evals=10)
