"""skorch: options by `optimizer__`, closures, callbacks, `save_params`, clones and pickles."""

import pickle

import pytest
import torch
from framework_tasks import ACCEPTS, ACCEPTS_LATE, REJECTS, X, Y, network, same_model

from hybridopt.optim import Hybrid

skorch = pytest.importorskip("skorch")
model_selection = pytest.importorskip("sklearn.model_selection")

REJECTING = {"optimizer": Hybrid, "optimizer__base": torch.optim.AdamW, "optimizer__escape": REJECTS}
ACCEPTING = {**REJECTING, "optimizer__escape": ACCEPTS}
ACCEPTING_LATE = {**REJECTING, "optimizer__escape": ACCEPTS_LATE}
ALONE = {"optimizer": torch.optim.AdamW}
ROWS, TARGETS = X.numpy(), (Y[:, 0] > 0).long().numpy()


class LastStep:
    """Keeps the last run of the closure, the parent's."""

    def store_step(self, step):
        self.step = step

    def get_step(self):
        return self.step


class Classifier(skorch.NeuralNetClassifier):
    def get_train_step_accumulator(self):
        return LastStep()


def classes():
    net = network(2)
    torch.manual_seed(2)
    return net


def classifier(optimizer, kind=Classifier, **options):
    fixed = {
        "criterion": torch.nn.CrossEntropyLoss,
        "lr": 1e-2,
        "batch_size": 16,
        "train_split": None,
        "verbose": 0,
        "iterator_train__shuffle": True,
    }
    return kind(classes, **fixed, **optimizer, **{"max_epochs": 5, **options})


def go_on(net):
    torch.manual_seed(3)
    for _ in range(6):
        net.partial_fit(ROWS, TARGETS, epochs=1)


def callbacks():
    schedule = skorch.callbacks.LRScheduler(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9)
    return {"callbacks": [schedule, skorch.callbacks.GradientNormClipping(0.3)]}


@pytest.mark.parametrize("make", [dict, callbacks])
def test_rejected_escapes_leave_the_base_as_it_is(make):
    alone = classifier(ALONE, **make()).fit(ROWS, TARGETS)
    hybrid = classifier(REJECTING, **make()).fit(ROWS, TARGETS)
    assert hybrid.optimizer_.history
    assert same_model(alone.module_, hybrid.module_)
    assert alone.optimizer_.param_groups[0]["lr"] == hybrid.optimizer_.param_groups[0]["lr"]
    assert alone.history[:, "train_loss"] == hybrid.history[:, "train_loss"]


def test_first_run_of_the_closure_that_skorch_keeps_is_a_childs():
    alone = classifier(ALONE, skorch.NeuralNetClassifier).fit(ROWS, TARGETS)
    hybrid = classifier(REJECTING, skorch.NeuralNetClassifier).fit(ROWS, TARGETS)
    assert same_model(alone.module_, hybrid.module_)
    assert alone.history[:, "train_loss"] != hybrid.history[:, "train_loss"]  # as the page on frameworks says


@pytest.mark.parametrize("options", [REJECTING, ACCEPTING_LATE], ids=["rejects", "accepts"])
def test_run_loaded_in_the_middle_of_an_escape_equals_the_unbroken_one(options, tmp_path):
    names = {"f_params": tmp_path / "net.pt", "f_optimizer": tmp_path / "optimizer.pt"}
    first = classifier(options, max_epochs=1).fit(ROWS, TARGETS)
    assert first.optimizer_.escaping
    first.save_params(**names)
    rest = classifier(options).initialize()
    rest.load_params(**names)
    for net in (first, rest):
        go_on(net)
    assert rest.optimizer_.history[0].step < 6
    assert rest.optimizer_.history == first.optimizer_.history
    assert same_model(first.module_, rest.module_)


def test_pickled_net_goes_on_as_the_one_it_came_from():
    first = classifier(ACCEPTING, max_epochs=1).fit(ROWS, TARGETS)
    rest = pickle.loads(pickle.dumps(first))
    for net in (first, rest):
        go_on(net)
    assert rest.optimizer_.history == first.optimizer_.history != ()
    assert same_model(first.module_, rest.module_)


def test_options_can_be_searched_over():
    grid = {"optimizer__lr": [1e-3, 1e-1], "optimizer__base": [torch.optim.SGD, torch.optim.AdamW]}
    search = model_selection.GridSearchCV(classifier(ACCEPTING, max_epochs=2), grid, cv=2)
    search.fit(ROWS, TARGETS)
    assert isinstance(search.best_estimator_.optimizer_, search.best_params_["optimizer__base"])


def test_accepted_escapes_train():
    net = classifier(ACCEPTING, max_epochs=6).fit(ROWS, TARGETS)
    assert any(attempt.accepted for attempt in net.optimizer_.history)
    losses = net.history[:, "train_loss"]
    assert losses[-1] < losses[0]
