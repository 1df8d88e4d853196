"""Lightning: automatic and manual optimization, its wrapper round optimizers, logging, checkpoints."""

import pytest
import torch
from framework_tasks import ACCEPTS, ACCEPTS_LATE, REJECTS, batches, error_of, network, same_model
from torch.nn.functional import mse_loss

from hybridopt.optim import Hybrid

lightning = pytest.importorskip("lightning")


def adamw(module):
    return torch.optim.AdamW(module.parameters(), lr=1e-2)


def rejecting(module):
    return Hybrid(module.parameters(), base=torch.optim.AdamW, lr=1e-2, escape=REJECTS)


def accepting(module):
    return Hybrid(module.parameters(), base=torch.optim.AdamW, lr=1e-2, escape=ACCEPTS)


def accepting_late(module):
    return Hybrid(module.parameters(), base=torch.optim.AdamW, lr=1e-2, escape=ACCEPTS_LATE)


class Regression(lightning.LightningModule):
    def __init__(self, make):
        super().__init__()
        self.make = make
        self.layers = network()
        self.losses = []

    def training_step(self, batch, index):
        loss = mse_loss(self.layers(batch[0]), batch[1])
        self.log("inside", loss, batch_size=16)
        return loss

    def on_train_batch_start(self, batch, index):
        torch.manual_seed(self.trainer.global_step)  # checkpoints of Lightning hold no random state

    def on_train_batch_end(self, outputs, batch, index):
        self.losses.append(float(outputs["loss"]))
        self.log("outside", outputs["loss"], on_step=False, on_epoch=True, batch_size=16)

    def configure_optimizers(self):
        optimizer = self.make(self)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


class Manual(Regression):
    """Manual optimization, where `step` gets a closure that does nothing."""

    def __init__(self, make):
        super().__init__(make)
        self.automatic_optimization = False

    def training_step(self, batch, index):
        self.batch = batch
        loss = self.objective()
        self.optimizers().zero_grad()
        self.manual_backward(loss)
        self.optimizers().step()
        return loss

    def objective(self):
        return mse_loss(self.layers(self.batch[0]), self.batch[1])


def manual_rejecting(module):
    return Hybrid(module.parameters(), lr=1e-2, escape=REJECTS, objective=module.objective)


def fit(module, epochs, *, ckpt_path=None, **options):
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **options,
    )
    torch.manual_seed(2)
    trainer.fit(module, batches(shuffle=not epochs % 2), ckpt_path=ckpt_path)
    return trainer


@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate_grad_batches": 2}, {"gradient_clip_val": 0.1}, {"precision": "bf16-mixed"}],
    ids=["plain", "accumulated", "clipped", "bf16"],
)
def test_rejected_escapes_leave_the_base_as_it_is(options):
    alone, hybrid = Regression(adamw), Regression(rejecting)
    trainers = [fit(module, 4, **options) for module in (alone, hybrid)]
    assert len(hybrid.optimizers().history) >= 1
    assert same_model(alone, hybrid)
    assert alone.losses == hybrid.losses
    rates = [trainer.optimizers[0].param_groups[0]["lr"] for trainer in trainers]
    assert rates[0] == rates[1] < 1e-2


def test_values_logged_outside_the_closure_are_the_parents():
    trainers = [fit(Regression(make), 2) for make in (adamw, rejecting)]
    for name in ("outside", "inside"):
        alone, hybrid = (trainer.callback_metrics[name] for trainer in trainers)
        assert alone == hybrid


def test_mean_over_an_epoch_logged_inside_the_closure_counts_children():
    class Inside(Regression):
        def training_step(self, batch, index):
            loss = mse_loss(self.layers(batch[0]), batch[1])
            self.log("inside", loss, on_epoch=True, batch_size=16)
            return loss

    alone, hybrid = (fit(Inside(make), 2).callback_metrics for make in (adamw, rejecting))
    assert alone["inside_step"] == hybrid["inside_step"]
    assert alone["inside_epoch"] != hybrid["inside_epoch"]  # as the page on frameworks says


def test_wrapper_of_lightning_shows_the_optimizer():
    module = Regression(rejecting)
    trainer = fit(module, 2)
    assert isinstance(module.optimizers(), Hybrid)
    assert isinstance(module.optimizers(), torch.optim.AdamW)
    assert module.optimizers().history == trainer.optimizers[0].history


@pytest.mark.parametrize("make", [rejecting, accepting_late])
def test_fit_resumed_in_the_middle_of_an_escape_equals_the_unbroken_one(make, tmp_path):
    whole, first, rest = (Regression(make) for _ in range(3))
    fit(whole, 5)
    trainer = fit(first, 1)
    assert first.optimizers().escaping
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    fit(rest, 5, ckpt_path=tmp_path / "one.ckpt")
    assert rest.optimizers().history[0].step < 6
    assert rest.optimizers().history == whole.optimizers().history
    assert same_model(whole, rest)


def test_accepted_escapes_train():
    module = Regression(accepting)
    fit(module, 6)
    assert any(attempt.accepted for attempt in module.optimizers().history)
    assert error_of(module.layers) < 0.9 * error_of(network())


def test_manual_optimization_escapes_by_an_objective():
    alone, hybrid = Manual(adamw), Manual(manual_rejecting)
    for module in (alone, hybrid):
        fit(module, 4)
    assert hybrid.optimizers().history
    assert same_model(alone, hybrid)
