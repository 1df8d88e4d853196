"""Which children free a training that is stuck: the measurements behind the defaults of `Escape`.

    OMP_NUM_THREADS=1 python benchmarks/children.py                     # ten minutes
    OMP_NUM_THREADS=1 python benchmarks/children.py --tasks xor --seeds 5
    OMP_NUM_THREADS=1 python benchmarks/children.py --tasks spirals --marks 500 1000 2000

The base alone trains for the whole budget of a task of `stuck.py`. From where it is stuck then, above the
threshold, children of each kind are trained by the base, with its state or with a new one. The report has the
share of children below the threshold after so many steps.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from stuck_tasks import ALL
from torch import Tensor
from torch_tasks import Trainee, Training, spend

from hybridopt.optim import mutation, redraw

MARKS = (100, 200, 400, 800)  # steps
EACH = 2  # children of a kind of each stuck training


@dataclass(frozen=True, eq=False)
class Stuck:
    """A training by the base that ended above the threshold.

    Attributes
    ----------
    seed : int
    trainee : Trainee
    base : torch.optim.Optimizer
    weights : list of Tensor
    moments : list of Tensor or None
        Second moments of the gradients.
    firsts : list of (float, float)
        What `redraw.first_of` told of the first weights.
    """

    seed: int
    trainee: Trainee
    base: torch.optim.Optimizer
    weights: list[Tensor]
    moments: list[Tensor | None]
    firsts: list[redraw.First]


def redrawn(training: Stuck, seed: int, *, share: float, by_moments: bool = False) -> list[Tensor] | None:
    """A child with a share of the hidden units drawn anew; None if there are no such units."""
    if share < 1 and not redraw.layers([weight.shape for weight in training.weights]):
        return None
    moments = training.moments if by_moments else [None] * len(training.weights)
    return redraw.redrawn(training.weights, share, moments, training.firsts, seed, "child")


def noise(training: Stuck, seed: int, *, sigma: float) -> list[Tensor]:
    """A child by Gaussian noise."""
    return mutation.noise(training.weights, sigma, [None] * len(training.weights), seed, "child")


KINDS: dict[str, Callable[[Stuck, int], Sequence[Tensor] | None]] = {
    "noise 0.1": partial(noise, sigma=0.1),
    "noise 0.3": partial(noise, sigma=0.3),
    "noise 1": partial(noise, sigma=1.0),
    "fresh": partial(redrawn, share=1.0),
    "redraw 0.1": partial(redrawn, share=0.1),
    "redraw 0.1 by moments": partial(redrawn, share=0.1, by_moments=True),
    "redraw 0.3": partial(redrawn, share=0.3),
    "redraw 0.6": partial(redrawn, share=0.6),
}


def stuck(task: Training, seeds: int) -> Iterator[Stuck]:
    """Trainings that end above the threshold."""
    for seed in range(seeds):
        trainee = task.begin(seed)
        params = list(trainee.model.parameters())
        firsts = [redraw.first_of(param) for param in params]
        base = task.optimizer(trainee)
        if spend(trainee, base, task.budget)["final"] > task.threshold:
            weights = [param.detach().clone() for param in params]
            moments = [mutation.second_moment(base.state[param], param) for param in params]
            yield Stuck(seed, trainee, base, weights, moments, firsts)


def freed(
    task: Training, training: Stuck, child: Sequence[Tensor], marks: Sequence[int], *, heir: bool
) -> list[bool]:
    """Whether a child is, or was, below the threshold after so many steps."""
    trainee = training.trainee
    with torch.no_grad():
        for param, weight in zip(trainee.model.parameters(), child, strict=True):
            param.copy_(weight)
    optimizer = task.optimizer(trainee)
    if heir:
        optimizer.load_state_dict(copy.deepcopy(training.base.state_dict()))
    trainee.cost = 0
    below: list[bool] = []
    for mark in marks:
        below.append(any(below) or spend(trainee, optimizer, mark)["final"] <= task.threshold)
    return below


def report(task: Training, seeds: int, marks: Sequence[int]) -> None:
    """Print the shares of a task."""
    trainings = list(stuck(task, seeds))
    print(
        f"{task.name}: {len(trainings)} of {seeds} trainings are stuck; of {EACH} children of each are free"
    )
    for name, kind in KINDS.items():
        born = [
            (training, child)
            for training in trainings
            for each in range(EACH)
            if (child := kind(training, EACH * training.seed + each)) is not None
        ]
        for heir in (True, False) if born else ():
            rows = [freed(task, training, child, marks, heir=heir) for training, child in born]
            shares = zip(marks, torch.tensor(rows, dtype=torch.float64).mean(0).tolist(), strict=True)
            words = "  ".join(f"{share:4.0%} after {mark}" for mark, share in shares)
            print(f"  {name:22} {'base state' if heir else 'new state':10}  {words}", flush=True)


def main() -> None:
    """Report the tasks that the command line names."""
    names = ("parity4", "parity6", "xor", "phase")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=names, choices=list(ALL), metavar="TASK")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--marks", nargs="+", type=int, default=MARKS, metavar="STEPS")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.tasks:
        report(ALL[name], asked.seeds, sorted(asked.marks))


if __name__ == "__main__":
    main()
