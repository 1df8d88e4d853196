import copy
import io
import pickle
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from hybridopt.core import Evaluation, Query, State, Traits, project
from hybridopt.evolution import GeneticAlgorithm
from hybridopt.gradient import TorchGradient
from hybridopt.optim import FromEngine
from hybridopt.rng import generator, global_generators_fingerprint
from hybridopt.start import fill


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@dataclass(frozen=True)
class Scatter:
    """Random search round the best row: the smallest engine optimizer that is one."""

    population: int = 5
    order: int = 0

    @property
    def traits(self) -> Traits:
        return Traits(order=self.order, stochastic=True)

    def init(self, x, lower, upper, *, seed):
        rows = fill(x, self.population, lower, upper, seed)
        return State(rows, torch.full((self.population,), torch.inf, dtype=x.dtype), lower, upper, seed, 0)

    def ask(self, state):
        if state.step == 0:
            return Query(state.x, self.order)
        g = generator(state.seed, "scatter", state.step)
        noise = torch.randn(state.x.shape, generator=g, dtype=state.x.dtype)
        best = state.x[state.value.argmin()]
        return Query(project(best + 0.1 * noise, state.lower, state.upper), self.order)

    def tell(self, state, evaluation: Evaluation):
        better = evaluation.value < state.value
        x = torch.where(better[:, None], evaluation.x, state.x)
        value = torch.where(better, evaluation.value, state.value)
        return replace(state, x=x, value=value, step=state.step + 1)


def regression(dtype=torch.float32):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).to(dtype)
    x = torch.randn(32, 2, dtype=dtype)
    y = x[:, :1] * x[:, 1:]

    def closure():
        model.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    return model, closure


def weights(model: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def test_a_genetic_algorithm_trains_a_small_network():
    """20 seeds, 12 generations of 20: each at most 0.85 of the loss the start has."""
    model, closure = regression()
    start, begin = closure().item(), weights(model)
    for seed in range(20):
        nn.utils.vector_to_parameters(begin, model.parameters())
        optimizer = FromEngine(model.parameters(), GeneticAlgorithm(population_size=20), seed=seed)
        losses = [optimizer.step(closure).item() for _ in range(12)]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] <= 0.85 * start


@pytest.mark.parametrize("base", [torch.optim.SGD, torch.optim.Adam])
def test_torch_gradient_visits_what_torch_itself_visits(base):
    model, closure = regression(torch.float64)
    optimizer = FromEngine(model.parameters(), TorchGradient(base, lr=0.05), radius=None, sampled=True)
    other, other_closure = regression(torch.float64)
    reference = base(other.parameters(), lr=0.05)
    for _ in range(30):
        before = weights(other)
        loss = reference.step(other_closure)
        assert torch.equal(optimizer.step(closure), loss.detach())
        assert torch.equal(weights(model), before)


def test_the_best_row_so_far_is_left_and_its_loss_returned():
    model, closure = regression(torch.float64)
    optimizer = FromEngine(model.parameters(), Scatter())
    losses = []
    for _ in range(20):
        losses.append(optimizer.step(closure).item())
        assert closure().item() == losses[-1]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_with_sampled_data_the_best_row_of_the_step_is_left():
    model, closure = regression(torch.float64)
    offset = 0.0
    optimizer = FromEngine(model.parameters(), Scatter(), sampled=True)

    def shifted():
        return closure() + offset

    first = optimizer.step(shifted)
    offset = 100.0  # a minibatch on which everything is worse
    second = optimizer.step(shifted)
    assert second > first + 50
    assert shifted().item() == second.item()


@pytest.mark.parametrize("way", ["state_dict", "deepcopy", "pickle"])
@pytest.mark.parametrize(
    "engine", [Scatter(), GeneticAlgorithm(population_size=10), TorchGradient(torch.optim.Adam, lr=0.05)]
)
def test_resumed_run_equals_uninterrupted_run(engine, way):
    model, closure = regression()
    optimizer = FromEngine(model.parameters(), engine, seed=3)
    for _ in range(5):
        optimizer.step(closure)
    if way == "state_dict":
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        again_model, again_closure = regression()
        again = FromEngine(again_model.parameters(), engine, seed=8)
        again.load_state_dict(torch.load(file, weights_only=True))
    elif way == "deepcopy":
        again_model, again_closure, again = *regression(), copy.deepcopy(optimizer)
        reattach(again, again_model)
    else:
        again_model, again_closure, again = *regression(), pickle.loads(pickle.dumps(optimizer))
        reattach(again, again_model)
    for _ in range(5):
        assert torch.equal(optimizer.step(closure), again.step(again_closure))
        assert torch.equal(weights(model), weights(again_model))
    assert optimizer.ledger == again.ledger


def reattach(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """A copied optimizer has copies of the parameters; let it have these instead."""
    copies = optimizer.param_groups[0]["params"]
    model.load_state_dict(dict(zip(model.state_dict(), [p.detach() for p in copies], strict=True)))
    optimizer.param_groups[0]["params"] = list(model.parameters())


def test_every_row_sees_the_same_random_numbers_and_the_next_step_others():
    x, seen = nn.Parameter(torch.ones(3)), []
    optimizer = FromEngine([x], Scatter(population=4))

    def closure():
        seen.append(torch.rand(()).item())
        return x.square().sum()

    torch.manual_seed(1)
    optimizer.step(closure)
    optimizer.step(closure)
    torch.manual_seed(1)
    assert seen == [torch.rand(()).item()] * 4 + [torch.rand(()).item()] * 4
    assert seen[0] != seen[4]


def test_making_one_draws_nothing_and_torch_manual_seed_repeats_it():
    def final(seed):
        model, closure = regression()
        torch.manual_seed(seed)
        before = global_generators_fingerprint()
        optimizer = FromEngine(model.parameters(), Scatter())
        for _ in range(3):
            optimizer.step(closure)
        assert global_generators_fingerprint() == before
        return weights(model)

    assert torch.equal(final(1), final(1))
    assert not torch.equal(final(1), final(2))


def test_the_search_stays_within_the_radius_and_begins_at_the_weights():
    x, rows = nn.Parameter(torch.tensor([5.0, -3.0])), []
    optimizer = FromEngine([x], Scatter(population=20), radius=0.25)

    def closure():
        rows.append(x.detach().clone())
        return -x.sum()

    for _ in range(30):
        optimizer.step(closure)
    assert torch.equal(rows[0], torch.tensor([5.0, -3.0]))
    offsets = torch.stack(rows) - torch.tensor([5.0, -3.0])
    assert offsets.abs().max() <= 0.25
    assert torch.equal(x.detach(), torch.tensor([5.25, -2.75]))


def test_the_ledger_books_a_value_for_each_row_and_gradients_where_asked():
    model, closure = regression()
    optimizer = FromEngine(model.parameters(), Scatter())
    assert optimizer.ledger.cost == 0
    optimizer.step(closure)
    optimizer.step(closure)
    assert (optimizer.ledger.values, optimizer.ledger.grads) == (10, 0)
    optimizer = FromEngine(model.parameters(), TorchGradient(torch.optim.SGD, lr=0.1))
    optimizer.step(closure)
    assert (optimizer.ledger.values, optimizer.ledger.grads, optimizer.ledger.cost) == (1, 1, 2)


def test_losses_that_are_not_finite_never_win():
    x, bad = nn.Parameter(torch.full((2,), 0.1)), iter([float("nan"), -float("inf")] * 100)
    optimizer = FromEngine([x], Scatter())

    def closure():
        return (x - 1).square().sum().item() if (x > 0).all() else next(bad)

    losses = [optimizer.step(closure).item() for _ in range(30)]
    assert 0 <= losses[-1] < 0.5
    assert (x > 0).all()
    assert optimizer.ledger.nonfinite > 0


def test_when_the_closure_raises_all_is_as_before_the_step():
    model, closure = regression()
    optimizer = FromEngine(model.parameters(), Scatter())
    optimizer.step(closure)
    before, ledger, fingerprint = weights(model), optimizer.ledger, global_generators_fingerprint()
    calls = 0

    def failing():
        nonlocal calls
        calls += 1
        torch.rand(())
        if calls == 3:
            raise ZeroDivisionError
        return closure()

    with pytest.raises(ZeroDivisionError):
        optimizer.step(failing)
    assert torch.equal(weights(model), before)
    assert optimizer.ledger == ledger
    assert global_generators_fingerprint() == fingerprint


def test_frozen_and_empty_parameters_and_several_groups_are_fine():
    frozen, empty = nn.Parameter(torch.ones(2), requires_grad=False), nn.Parameter(torch.ones(0))
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3, 1))
    optimizer = FromEngine([frozen, empty, a], Scatter(population=10))
    optimizer.add_param_group({"params": [b]})
    for _ in range(50):
        optimizer.step(lambda: (a - 1).square().sum() + (b + 1).square().sum() + frozen.sum())
    assert torch.equal(frozen, torch.ones(2))
    assert a.min() > 0.3
    assert b.max() < -0.3


def test_hooks_fire_once_a_step():
    model, closure = regression()
    optimizer, fired = FromEngine(model.parameters(), Scatter()), []
    optimizer.register_step_post_hook(lambda *_: fired.append(1))
    optimizer.step(closure)
    assert fired == [1]


def test_gradients_are_left_as_they_were():
    x = nn.Parameter(torch.ones(3))
    optimizer = FromEngine([x], TorchGradient(torch.optim.SGD, lr=0.1))

    def closure():
        loss = x.square().sum()
        loss.backward()
        return loss

    x.grad = grad = torch.full((3,), 7.0)
    optimizer.step(closure)
    assert x.grad is grad
    assert torch.equal(grad, torch.full((3,), 7.0))


def test_without_a_closure_it_is_a_clear_error():
    with pytest.raises(TypeError, match="needs a closure"):
        FromEngine([nn.Parameter(torch.ones(2))], Scatter()).step()


def test_gradients_that_are_missing_are_a_clear_error():
    x = nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="backward"):
        FromEngine([x], Scatter(order=1)).step(lambda: x.sum())


@pytest.mark.parametrize(
    ("params", "engine", "options", "error", "message"),
    [
        ([torch.ones(2), torch.ones(2, dtype=torch.float64)], Scatter(), {}, ValueError, "share dtype"),
        ([torch.ones(2, dtype=torch.complex64)], Scatter(), {}, TypeError, "complex64"),
        ([torch.ones(2)], Scatter(order=2), {}, ValueError, "order 2"),
        ([torch.ones(2)], Scatter, {}, TypeError, "engine optimizer"),
        ([torch.ones(2)], torch.optim.Adam, {}, TypeError, "engine optimizer"),
        ([torch.ones(2)], Scatter(), {"radius": -1.0}, ValueError, "radius must be positive"),
        ([torch.ones(2)], Scatter(), {"radius": "wide"}, TypeError, "radius must be a number"),
        ([torch.ones(2)], Scatter(), {"seed": 0.5}, TypeError, "seed must be a whole number"),
    ],
)
def test_bad_arguments_are_clear_errors(params, engine, options, error, message):
    with pytest.raises(error, match=message):
        FromEngine([nn.Parameter(p) for p in params], engine, **options)


def test_a_step_with_nothing_to_search_is_a_clear_error():
    x = nn.Parameter(torch.ones(2), requires_grad=False)
    with pytest.raises(ValueError, match="frozen or empty"):
        FromEngine([x], Scatter()).step(lambda: 1.0)


def test_groups_added_after_the_first_step_and_states_of_other_models_are_refused():
    model, closure = regression()
    optimizer = FromEngine(model.parameters(), Scatter())
    optimizer.step(closure)
    with pytest.raises(ValueError, match="fixed by the first step"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    other = FromEngine([nn.Parameter(torch.ones(2))], Scatter())
    with pytest.raises(ValueError, match="parameters make"):
        other.load_state_dict(optimizer.state_dict())
    with pytest.raises(ValueError, match="no entry"):
        other.load_state_dict(torch.optim.SGD([nn.Parameter(torch.ones(2))]).state_dict())


def test_a_state_of_another_optimizer_or_of_other_options_is_refused():
    model, closure = regression()
    evolution = FromEngine(model.parameters(), GeneticAlgorithm(population_size=5))
    evolution.step(closure)
    for other in (TorchGradient(torch.optim.SGD, lr=0.1), GeneticAlgorithm(population_size=6)):
        before = weights(model)
        with pytest.raises(ValueError, match="state_dict is of the optimizer GeneticAlgorithm.*load it with"):
            FromEngine(model.parameters(), other).load_state_dict(evolution.state_dict())
        assert torch.equal(weights(model), before)
    FromEngine(model.parameters(), GeneticAlgorithm(population_size=5)).load_state_dict(
        evolution.state_dict()
    )
