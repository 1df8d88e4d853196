"""Models, parameters and gradients of every kind: a run of `Hybrid` is its base's bit for bit."""

import functools

import pytest
import torch
from contract_tasks import Loop, assert_twins, plain_closure
from torch import nn
from torch.nn.utils import parametrizations


def loop(make, model, x, y, name="SGD", params=None, **options):
    """Full-batch regression."""
    params = model.parameters() if params is None else params
    options = {"lr": 0.01, **options}
    optimizer = make(name, params, buffers=model.buffers(), **options)
    closure = plain_closure(model, optimizer, x, y)
    return Loop(model, optimizer, lambda number: optimizer.step(closure).detach())


class Tied(nn.Module):
    """An embedding that is also the last layer, a frozen layer, an unused one, and one without size."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.unused = nn.Linear(4, 4)
        self.empty = nn.Parameter(torch.ones(0, 4))
        self.last = nn.Linear(4, 5)
        self.last.weight = self.table.weight

    def forward(self, x):
        return self.last(torch.tanh(self.frozen(self.table(x)))) + self.empty.sum()


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRU(3, 4, batch_first=True)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.cell(x.reshape(-1, 2, 3))[0][:, -1])


def convolution():
    layers = [nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Dropout2d(0.3), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(nn.Unflatten(1, (1, 2, 3)), *layers, nn.Linear(4, 2)), torch.randn(8, 6)


def linears(wrap=lambda layer: layer):
    return nn.Sequential(wrap(nn.Linear(6, 4)), nn.Tanh(), wrap(nn.Linear(4, 2))), torch.randn(8, 6)


MODELS = {
    "batch norm and dropout": lambda: (
        nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)),
        torch.randn(8, 6),
    ),
    "cumulative batch norm": lambda: (
        nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, momentum=None), nn.Linear(4, 2)),
        torch.randn(8, 6),
    ),
    "convolution": convolution,
    "layer norm": lambda: (nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 2)), torch.randn(8, 6)),
    "attention": lambda: (
        nn.Sequential(
            nn.Unflatten(1, (1, 6)),
            nn.TransformerEncoderLayer(6, 2, 8, dropout=0.1, batch_first=True),
            nn.Flatten(),
            nn.Linear(6, 2),
        ),
        torch.randn(8, 6),
    ),
    "recurrent": lambda: (Recurrent(), torch.randn(8, 6)),
    "random slopes": lambda: (
        nn.Sequential(nn.Linear(6, 4), nn.RReLU(), nn.Linear(4, 2)),
        torch.randn(8, 6),
    ),
    "weight norm": lambda: linears(parametrizations.weight_norm),
    "spectral norm": lambda: linears(parametrizations.spectral_norm),
    "orthogonal": lambda: linears(parametrizations.orthogonal),
}


@pytest.mark.parametrize("name", ["AdamW", "LBFGS"])
@pytest.mark.parametrize("kind", MODELS)
def test_models_train_as_with_the_base(kind, name):
    def build(make):
        torch.manual_seed(3)
        model, x = MODELS[kind]()
        return loop(make, model, x, torch.randn(8, 2), name, **({"max_iter": 3} if name == "LBFGS" else {}))

    assert_twins(build)


@pytest.mark.parametrize("name", ["Adagrad", "Adam", "LBFGS", "RMSprop", "SGD"])
def test_tied_frozen_unused_and_empty_parameters_train_as_with_the_base(name):
    def build(make):
        torch.manual_seed(3)
        return loop(make, Tied(), torch.arange(5), torch.randn(5, 5), name)

    twin = assert_twins(build)
    assert twin.model.last.weight is twin.model.table.weight
    assert twin.model.unused.weight.grad is None


def test_layers_frozen_and_thawed_in_the_midst_train_as_with_the_base():
    def build(make):
        torch.manual_seed(3)
        model, x = linears()
        made = loop(make, model, x, torch.randn(8, 2), "Adam")

        def step(number):
            model[0].requires_grad_(number % 6 < 3)
            return made.step(number)

        return Loop(model, made.optimizer, step)

    assert_twins(build, 30)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        (name, dtype)
        for name in ("Adam", "AdamW", "Adagrad", "LBFGS", "RMSprop", "SGD")
        for dtype in (torch.float16, torch.bfloat16, torch.float64)
        if (name, dtype) != ("LBFGS", torch.float16)  # its own run ends in NaN
    ],
)
def test_dtypes_train_as_with_the_base(name, dtype):
    def build(make):
        torch.manual_seed(3)
        model, x = linears()
        options = {"eps": 1e-3} if name == "Adam" else {}  # 1e-8 is zero in float16
        return loop(make, model.to(dtype), x.to(dtype), torch.randn(8, 2, dtype=dtype), name, **options)

    assert_twins(build)


@pytest.mark.parametrize("flag", [{}, {"foreach": True}, {"fused": True}])
def test_dtypes_layouts_and_sizes_mixed_in_one_group_train_as_with_the_base(flag):
    def build(make):
        torch.manual_seed(3)
        tensors = [
            torch.randn(3, 4).t(),
            torch.randn(3, 2)[:, 0],
            torch.randn(2, 3, dtype=torch.float64),
            torch.randn(4, dtype=torch.bfloat16),
            torch.randn(()),
            torch.randn(0, 3),
            torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        ]
        model = nn.ParameterList(nn.Parameter(tensor) for tensor in tensors)
        optimizer = make("Adam", model.parameters(), lr=0.01, **flag)

        def closure():
            optimizer.zero_grad()
            loss = sum((param.float() - 1).square().sum() for param in model)
            loss.backward()
            return loss

        return Loop(model, optimizer, lambda number: optimizer.step(closure).detach())

    twin = assert_twins(build)
    assert [param.stride() for param in twin.model][:2] == [(1, 4), (2,)]


def test_groups_of_their_own_rates_decays_and_names_train_as_with_the_base():
    def build(make):
        torch.manual_seed(3)
        model, x = linears()
        groups = [
            {"params": [("first", model[0].weight)], "lr": 0.1, "weight_decay": 0.3, "name": "matrices"},
            {"params": [("second", model[2].weight)], "betas": (0.5, 0.9), "amsgrad": True},
            {"params": [("a", model[0].bias), ("b", model[2].bias)], "weight_decay": 0.0},
        ]
        return loop(make, model, x, torch.randn(8, 2), "AdamW", groups)

    twin = assert_twins(build)
    assert [group["param_names"] for group in twin.optimizer.param_groups] == [
        ["first"],
        ["second"],
        ["a", "b"],
    ]


def test_groups_that_do_not_evolve_train_as_with_the_base():
    def build(make):
        torch.manual_seed(3)
        model, x = linears()
        still = {"params": model[2].parameters(), "evolve": False}
        return loop(make, model, x, torch.randn(8, 2), "Adam", [{"params": model[0].parameters()}, still])

    assert_twins(build)


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate parameters")
@pytest.mark.parametrize("name", ["Adam", "LBFGS", "SGD"])
def test_parameters_given_twice_are_stepped_twice_as_by_the_base(name):
    def build(make):
        torch.manual_seed(3)
        model, x = linears()
        return loop(make, model, x, torch.randn(8, 2), name, [*model.parameters(), *model.parameters()])

    assert_twins(build)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
@pytest.mark.parametrize("name", ["Adagrad", "SGD", "SparseAdam"])
def test_sparse_gradients_that_are_not_coalesced_train_as_with_the_base(name):
    def build(make):
        model = nn.ParameterList([nn.Parameter(torch.tensor([1.5, 1.5]))])
        (param,) = model
        optimizer = make(name, [param], lr=1e-3)

        def closure(place):
            optimizer.zero_grad()
            x, y = param
            loss = (1 - x).square() + 100 * (y - x.square()).square()
            loss.backward()
            part = param.grad[place]
            values = torch.stack([part / 4, part - part / 4])
            param.grad = torch.sparse_coo_tensor([[place, place]], values, (2,), check_invariants=True)
            return loss

        return Loop(model, optimizer, lambda n: optimizer.step(functools.partial(closure, n % 2)).detach())

    assert_twins(build, 40, tried=False)
