"""What torch itself puts round models and optimizers: GradScaler, autocast, compile, averages, schedulers."""

import pytest
import torch
from framework_tasks import ACCEPTS, REJECTS, batches, error_of, network, same_model
from torch.nn.functional import mse_loss

from hybridopt.optim import Hybrid


class Training:
    """A loop with or without closures; `wrap` is what stands round the model."""

    def __init__(
        self, escape, *, wrap=lambda model: model, autocast=False, scaler=None, objective=False, factor=1.0
    ):
        self.net = network()
        self.model = wrap(self.net)
        self.autocast, self.scaler, self.objective, self.factor = autocast, scaler, objective, factor
        options = {"objective": self.loss} if objective and escape else {}
        if escape is None:
            self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-2)
        else:
            self.optimizer = Hybrid(self.net.parameters(), lr=1e-2, escape=escape, **options)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 0.02, total_steps=60)

    def loss(self):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            return self.factor * mse_loss(self.model(self.batch[0]), self.batch[1])

    def closure(self):
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        return loss

    def epochs(self, number):
        for _ in range(number):
            for self.batch in batches():
                self.step()
                self.scheduler.step()
        return self

    def step(self):
        if self.scaler is not None:
            self.optimizer.zero_grad()
            self.scaler.scale(self.loss()).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        elif self.objective:
            self.closure()
            self.optimizer.step()
        else:
            self.optimizer.step(self.closure)


def trained(escape, *, scale=False, **options):
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3) if scale else None
    training = Training(escape, scaler=scaler, **options)
    torch.manual_seed(2)
    return training.epochs(5)


def compiled(model):
    torch.compiler.reset()
    return torch.compile(model, backend="aot_eager")


WAYS = {
    "closure": {},
    "objective": {"objective": True},
    "autocast": {"autocast": True},
    "autocast objective": {"autocast": True, "objective": True},
    "scaler": {"scale": True, "objective": True, "autocast": True},
    "compiled": {"wrap": compiled},
    "compiled objective": {"wrap": compiled, "objective": True},
}


@pytest.mark.parametrize("way", WAYS)
def test_rejected_escapes_leave_the_base_as_it_is(way):
    alone, hybrid = trained(None, **WAYS[way]), trained(REJECTS, **WAYS[way])
    assert hybrid.optimizer.history
    assert same_model(alone.net, hybrid.net)
    assert alone.scheduler.get_last_lr() == hybrid.scheduler.get_last_lr()


@pytest.mark.parametrize("way", WAYS)
def test_accepted_escapes_train(way):
    hybrid = trained(ACCEPTS, **WAYS[way])
    assert any(attempt.accepted for attempt in hybrid.optimizer.history)
    assert error_of(hybrid.net) < 0.9 * error_of(network())


@pytest.mark.parametrize("objective", [False, True])
def test_escapes_compile_nothing_again(objective):
    training = Training(ACCEPTS, wrap=compiled, objective=objective)
    training.epochs(1)
    torch._dynamo.utils.counters.clear()
    training.epochs(3)
    assert training.optimizer.history
    assert not torch._dynamo.utils.counters["stats"].get("unique_graphs")


def test_objective_may_call_backward_and_clip_by_itself():
    def run(escape, *, backward):
        training = Training(escape, objective=True)

        def objective():
            loss = training.loss()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(training.net.parameters(), 100.0)
            return loss

        if backward:
            training.optimizer.objective = objective
        torch.manual_seed(2)
        return training.epochs(5)

    alone, hybrid = run(None, backward=False), run(REJECTS, backward=True)
    assert hybrid.optimizer.history
    assert same_model(alone.net, hybrid.net)
    one, two = (run(ACCEPTS, backward=backward) for backward in (False, True))
    assert one.optimizer.history == two.optimizer.history
    assert same_model(one.net, two.net)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # the first step is skipped
def test_scaler_skips_steps_with_infinite_gradients_in_an_escape_as_ever():
    def run(escape):
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
        training = Training(escape, scaler=scaler, objective=True, factor=1e3)
        torch.manual_seed(2)
        return training.epochs(5)

    alone, hybrid = run(None), run(REJECTS)
    assert hybrid.optimizer.history
    assert alone.scaler.get_scale() == hybrid.scaler.get_scale() < 2.0**127
    assert same_model(alone.net, hybrid.net)


def test_average_of_weights_takes_the_parents():
    def average(escape):
        training = Training(escape)
        mean = torch.optim.swa_utils.AveragedModel(training.net)
        training.optimizer.register_step_post_hook(lambda *_: mean.update_parameters(training.net))
        torch.manual_seed(2)
        training.epochs(5)
        return mean

    assert same_model(average(None), average(REJECTS))


def test_scheduler_of_plateaus_and_hooks_see_one_step_a_step():
    training = Training(REJECTS)
    seen = []
    training.optimizer.register_step_pre_hook(lambda *_: seen.append("pre"))
    training.optimizer.register_step_post_hook(lambda *_: seen.append("post"))
    training.epochs(3)
    assert training.optimizer.history
    assert seen == ["pre", "post"] * 18
