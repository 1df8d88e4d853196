"""Hugging Face's Trainer: `step()` without closures, parameter groups of its own, checkpoints."""

import pytest
import torch
from framework_tasks import ACCEPTS, ACCEPTS_LATE, REJECTS, X, Y, error_of, network, same_model
from torch import nn
from torch.nn.functional import mse_loss

from hybridopt.optim import Hybrid

transformers = pytest.importorskip("transformers")

ROWS = [{"rows": row, "labels": target} for row, target in zip(X, Y, strict=True)]


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = network()

    def forward(self, rows, labels):
        predicted = self.layers(rows)
        return {"loss": mse_loss(predicted, labels), "logits": predicted}


class HybridTrainer(transformers.Trainer):
    def training_step(self, model, inputs, *args, **kwargs):
        self.last = dict(inputs)
        return super().training_step(model, inputs, *args, **kwargs)

    def objective(self):
        with self.compute_loss_context_manager():
            return self.compute_loss(self.model_wrapped, self._prepare_inputs(dict(self.last)))


def train(folder, optimizer, steps=36, *, resume=None, **options):
    """A trained trainer; `optimizer` is an escape, or None for the base alone."""
    args = transformers.TrainingArguments(
        str(folder),
        max_steps=steps,
        per_device_train_batch_size=16,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
        save_strategy="steps",
        save_steps=6,
        **{"weight_decay": 0.1, "lr_scheduler_type": "constant_with_warmup", "warmup_steps": 4, **options},
    )
    trainer = HybridTrainer(Model(), args, train_dataset=ROWS, optimizer_cls_and_kwargs=optimizer)
    trainer.optimizer_cls_and_kwargs[1].update(
        {"objective": trainer.objective} if optimizer[0] is Hybrid else {}
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def adamw():
    return torch.optim.AdamW, {"lr": 1e-2}


def hybrid(escape):
    return Hybrid, {"base": torch.optim.AdamW, "lr": 1e-2, "escape": escape}


def optimizer_of(trainer):
    return trainer.optimizer.optimizer  # inside accelerate's


@pytest.mark.parametrize(
    "options", [{}, {"gradient_accumulation_steps": 2}, {"bf16": True}], ids=["plain", "accumulated", "bf16"]
)
def test_rejected_escapes_leave_the_base_as_it_is(options, tmp_path):
    alone = train(tmp_path / "alone", adamw(), **options)
    raced = train(tmp_path / "raced", hybrid(REJECTS), **options)
    assert optimizer_of(raced).history
    assert same_model(alone.model, raced.model)
    assert alone.lr_scheduler.get_last_lr() == raced.lr_scheduler.get_last_lr()
    assert [group["weight_decay"] for group in optimizer_of(raced).param_groups] == [0.1, 0.0]


@pytest.mark.parametrize("escape", [REJECTS, ACCEPTS_LATE], ids=["rejects", "accepts"])
def test_training_resumed_in_the_middle_of_an_escape_equals_the_unbroken_one(escape, tmp_path):
    whole = train(tmp_path, hybrid(escape))
    rest = train(tmp_path / "rest", hybrid(escape), resume=str(tmp_path / "checkpoint-6"))
    assert optimizer_of(rest).history[0].step < 6
    assert optimizer_of(rest).history[0].step + optimizer_of(rest).history[0].calls > 6
    assert optimizer_of(rest).history == optimizer_of(whole).history
    assert same_model(whole.model, rest.model)


def test_optimizer_made_beforehand_is_taken(tmp_path):
    model = Model()
    optimizer = Hybrid(model.parameters(), lr=1e-2, escape=REJECTS, objective=lambda: trainer.objective())
    args = transformers.TrainingArguments(
        str(tmp_path), max_steps=20, use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no"
    )
    trainer = HybridTrainer(model, args, train_dataset=ROWS, optimizers=(optimizer, None))
    trainer.train()
    assert optimizer.history


def test_accepted_escapes_train(tmp_path):
    trainer = train(tmp_path, hybrid(ACCEPTS), steps=36)
    assert any(attempt.accepted for attempt in optimizer_of(trainer).history)
    assert error_of(trainer.model.layers) < 0.9 * error_of(network())
