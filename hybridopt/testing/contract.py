"""Laws of the contract itself: pure functions, a state that can be saved, well-formed queries and states."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hybridopt import checkpoint
from hybridopt.core import Optimizer, Query, State
from hybridopt.testing.compare import difference, snapshot
from hybridopt.testing.landscape import bowl, evaluator
from hybridopt.testing.law import Case, LawError, law, require, require_same
from hybridopt.testing.walk import begin, box, fresh, history, start, walk


@law()
def ask_is_idempotent(optimizer: Optimizer[Any], case: Case) -> None:
    """The same state asked twice, also after it was told, gives the same query."""
    optimizer = fresh(optimizer)
    for step in walk(optimizer, begin(optimizer, case), evaluator(bowl(case), case), case.steps):
        again = snapshot(optimizer.ask(step.before), "query")
        once_more = snapshot(optimizer.ask(step.before), "query")
        require_same(difference(once_more, again), "the same state asked twice")
        require_same(
            difference(again, snapshot(step.query, "query")), "the same state asked before and after a tell"
        )


@law()
def tell_leaves_its_argument_untouched(optimizer: Optimizer[Any], case: Case) -> None:
    """No old state, query or evaluation ever changes, and old states can be told again."""
    optimizer, evaluate = fresh(optimizer), evaluator(bowl(case), case)
    given = (start(optimizer, case), *box(case))
    state = optimizer.init(*given, seed=case.seed)
    records: list[tuple[object, str]] = [(given, "arguments of init"), (state, "state")]
    before = [snapshot(*record) for record in records]
    for _ in range(case.steps):
        query = optimizer.ask(state)
        asked = snapshot(query, "query")
        evaluation = evaluate(query)
        answered = snapshot(evaluation, "evaluation")
        after = optimizer.tell(state, evaluation)
        told = snapshot(after, "state")
        require_same(
            difference(snapshot(optimizer.tell(state, evaluation), "state"), told),
            "the same state told twice",
        )
        records += [(query, "query"), (evaluation, "evaluation"), (after, "state")]
        before += [asked, answered, told]
        state = after
    for record, was in zip(records, before, strict=True):
        require_same(difference(snapshot(*record), was), "ask or tell changed what it was given")


@law()
def resume_is_exact(optimizer: Optimizer[Any], case: Case) -> None:
    """A run that is saved to a file and loaded anywhere on its way goes on bit for bit."""
    evaluate = evaluator(bowl(case), case)
    running = fresh(optimizer)
    state = begin(running, case)
    states = [state, *(step.after for step in walk(running, state, evaluate, case.steps))]
    whole = history(fresh(optimizer), state, evaluate, case.steps)
    for done in sorted({0, case.steps // 2, case.steps - 1}):
        rest = history(fresh(optimizer), _through_a_file(states[done]), evaluate, case.steps - done)
        for step, (got, expected) in enumerate(zip(rest, whole[done:], strict=True), done):
            require_same(difference(got, expected), f"saved after {done} tells, step {step} is another one")


@law()
def step_counts_the_tells(optimizer: Optimizer[Any], case: Case) -> None:
    """`state.step` is the number of tells; seed and bounds stay what `init` was given."""
    optimizer = fresh(optimizer)
    state = begin(optimizer, case)
    _require_kept(state, 0, case)
    for count, step in enumerate(walk(optimizer, state, evaluator(bowl(case), case), case.steps), 1):
        _require_kept(step.after, count, case)


@law()
def queries_are_well_formed(optimizer: Optimizer[Any], case: Case) -> None:
    """`query.x` is (n, dim), orders are those of the traits, a direction comes with order 2."""
    optimizer, evaluate = fresh(optimizer), evaluator(bowl(case), case)
    state = begin(optimizer, case)
    for _ in range(case.steps):
        query = optimizer.ask(state)
        _require_well_formed(query, optimizer.traits.order, case)
        state = optimizer.tell(state, evaluate(query))


@law()
def value_belongs_to_x(optimizer: Optimizer[Any], case: Case) -> None:
    """After every tell a finite `state.value[i]` is the value of `state.x[i]`."""
    rows = bowl(case)
    optimizer = fresh(optimizer)
    state = begin(optimizer, case)
    require(
        bool((state.value == torch.inf).all()),
        f"nothing is evaluated yet, but state.value is {state.value.tolist()}; expected +inf in every row",
    )
    known = 0
    for step in walk(optimizer, state, evaluator(rows, case), case.steps):
        require_values_of(step.after, rows(step.after.x))
        known += int(torch.isfinite(step.after.value).sum())
    require(known > 0, f"no state.value was finite after any of {case.steps} tells of finite values")


def require_values_of(state: State, true: Tensor) -> None:
    """Finite values of the state must be the true ones, up to rounding; shapes (population,)."""
    shape = (*state.x.shape[:1],)
    require(
        state.value.shape == shape,
        f"state.value has shape {tuple(state.value.shape)}, expected (population,) = {tuple(shape)}",
    )
    tolerance = 100 * torch.finfo(true.dtype).eps
    wrong = torch.isfinite(state.value) & ~torch.isclose(state.value, true, tolerance, tolerance)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise LawError(
            f"after {state.step} tells state.value[{row}] is {float(state.value[row]):.9g}, expected "
            f"{float(true[row]):.9g}, the value of state.x[{row}] = {state.x[row].tolist()}"
        )


def _through_a_file(state: State) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.pt"
        try:
            checkpoint.save(path, state)
            return checkpoint.load(path)
        except (TypeError, checkpoint.CheckpointError) as error:
            raise LawError(f"{type(state).__qualname__} can't be saved and loaded: {error}") from error


def _require_kept(state: State, tells: int, case: Case) -> None:
    require(
        type(state.step) is int and state.step == tells,
        f"after {tells} tells state.step is {state.step!r}, expected {tells}",
    )
    require(
        type(state.seed) is int and state.seed == case.seed,
        f"after {tells} tells state.seed is {state.seed!r}, expected {case.seed}, as init was given",
    )
    bounds = snapshot((state.lower, state.upper), "bounds")
    require_same(difference(bounds, snapshot(tuple(box(case)), "bounds")), "the state's bounds changed")


def _require_well_formed(query: Query, order: int, case: Case) -> None:
    require(isinstance(query, Query), f"ask returned {type(query).__name__}, expected a Query")
    require(
        query.x.ndim == 2 and query.x.shape[0] > 0 and query.x.shape[1] == case.dim,
        f"query.x has shape {tuple(query.x.shape)}, expected (n, dim) with n > 0 and dim = {case.dim}",
    )
    require(not query.x.requires_grad, "query.x requires grad, expected a tensor without: detach it")
    require(
        type(query.order) is int and 0 <= query.order <= order,
        f"query.order is {query.order!r}, expected 0 to {order}, the order in `traits`",
    )
    require(type(query.sample) is int, f"query.sample is {query.sample!r}, expected an int")
    got = None if query.direction is None else tuple(query.direction.shape)
    expected = tuple(query.x.shape) if query.order == 2 else None
    require(got == expected, f"query.direction has shape {got}, expected {expected} for order {query.order}")
