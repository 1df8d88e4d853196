"""accelerate: `prepare` loads the state, the prepared optimizer calls `step(None)`, `save_state`."""

import pytest
import torch
from framework_tasks import ACCEPTS, ACCEPTS_LATE, REJECTS, batches, error_of, network, same_model
from torch.nn.functional import mse_loss

from hybridopt.optim import Hybrid

accelerate = pytest.importorskip("accelerate")


@pytest.fixture(autouse=True)
def _anew():
    """Each accelerator with its own options; they share a state in the process."""
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


class Training:
    """A run with accelerate; `make` gets parameters and objective."""

    def __init__(self, make, **options):
        self.accelerator = accelerate.Accelerator(cpu=True, **options)
        self.bare = network()
        self.optimizer = make(self.bare.parameters(), self.objective)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.95)
        self.model, self.prepared, self.batches, self.scheduler = self.accelerator.prepare(
            self.bare, self.optimizer, batches(), scheduler
        )
        torch.manual_seed(2)

    def objective(self):
        with self.accelerator.autocast():
            return mse_loss(self.model(self.batch[0]), self.batch[1])

    def closure(self):
        self.prepared.zero_grad()
        loss = self.objective()
        self.accelerator.backward(loss)
        return loss

    def epoch(self, *, closures=False):
        for batch in self.batches:
            self.batch = batch
            with self.accelerator.accumulate(self.model):
                if closures:
                    self.prepared.step(self.closure)
                else:
                    self.accelerator.backward(self.objective())
                    self.accelerator.clip_grad_norm_(self.model.parameters(), 0.5)
                    self.prepared.step()
                self.scheduler.step()
                if not closures:
                    self.prepared.zero_grad()
        return self

    def epochs(self, number):
        for _ in range(number):
            self.epoch()
        return self


def adamw(params, objective):
    return torch.optim.AdamW(params, lr=1e-2)


def rejecting(params, objective):
    return Hybrid(params, base=torch.optim.AdamW, lr=1e-2, escape=REJECTS, objective=objective)


def accepting(params, objective):
    return Hybrid(params, base=torch.optim.AdamW, lr=1e-2, escape=ACCEPTS, objective=objective)


def accepting_late(params, objective):
    return Hybrid(params, base=torch.optim.AdamW, lr=1e-2, escape=ACCEPTS_LATE, objective=objective)


def with_closures(params, objective):
    return Hybrid(params, base=torch.optim.AdamW, lr=1e-2, escape=REJECTS)


@pytest.mark.parametrize(
    "options",
    [{}, {"gradient_accumulation_steps": 2}, {"mixed_precision": "bf16"}],
    ids=["plain", "accumulated", "bf16"],
)
def test_rejected_escapes_leave_the_base_as_it_is(options):
    alone, hybrid = Training(adamw, **options), Training(rejecting, **options)
    for training in (alone, hybrid):
        torch.manual_seed(2)
        training.epochs(4)
    assert hybrid.optimizer.history
    assert same_model(alone.bare, hybrid.bare)
    assert alone.scheduler.get_last_lr() == hybrid.scheduler.get_last_lr()


def test_prepared_optimizer_takes_closures():
    alone, hybrid = Training(adamw), Training(with_closures)
    for training in (alone, hybrid):
        torch.manual_seed(2)
        training.epoch(closures=True).epoch(closures=True)
    assert hybrid.optimizer.history
    assert same_model(alone.bare, hybrid.bare)


def test_prepare_in_the_middle_of_an_escape_keeps_it():
    once, twice = Training(accepting), Training(accepting)
    for training in (once, twice):
        torch.manual_seed(2)
        training.epoch()
        if training is twice:
            training.prepared = training.accelerator.prepare(training.optimizer)
        training.epochs(2)
    assert twice.optimizer.history == once.optimizer.history != ()
    assert same_model(once.bare, twice.bare)


@pytest.mark.parametrize("make", [rejecting, accepting_late])
def test_run_loaded_in_the_middle_of_an_escape_equals_the_unbroken_one(make, tmp_path):
    whole = Training(make).epochs(7)
    first = Training(make).epoch()
    assert first.optimizer.escaping
    first.accelerator.save_state(tmp_path / "one")
    rest = Training(make)
    rest.accelerator.load_state(tmp_path / "one")
    rest.epochs(6)
    assert rest.optimizer.history[0].step < 6
    assert rest.optimizer.history == whole.optimizer.history
    assert same_model(whole.bare, rest.bare)


def test_accepted_escapes_train():
    training = Training(accepting).epochs(5)
    assert any(attempt.accepted for attempt in training.optimizer.history)
    assert error_of(training.bare) < 0.9 * error_of(network())
