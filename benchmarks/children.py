"""Which children free a training that is stuck: the measurements behind the defaults of `Escape`.

    OMP_NUM_THREADS=1 python benchmarks/children.py                     # ten minutes
    OMP_NUM_THREADS=1 python benchmarks/children.py --tasks xor --seeds 5

The base alone trains for the whole budget of a task of `stuck.py`. From where it is stuck then, above the
threshold, children of each kind are trained by the base, with its state or with a new one. The report has the
share of children below the threshold after so many steps.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from stuck_tasks import TASKS
from torch import Tensor
from torch_tasks import Trainee, Training, spend, steps

from hybridopt.optim import mutation, redraw

MARKS = (100, 200, 400, 800)  # steps
EACH = 2  # children of a kind of each stuck training
Stuck = tuple[Trainee, torch.optim.Optimizer, list[Tensor], list[redraw.First]]
Kind = Callable[[list[Tensor], list[Tensor | None], list[redraw.First], int], Sequence[Tensor] | None]


def redrawn(share: float, *, by_moments: bool = False) -> Kind:
    """Children with a share of the hidden units drawn anew."""

    def make(
        weights: list[Tensor], moments: list[Tensor | None], firsts: list[redraw.First], seed: int
    ) -> Sequence[Tensor] | None:
        known = moments if by_moments else [None] * len(weights)
        return redraw.redrawn(weights, share, known, firsts, seed, "child")

    return make


def noise(sigma: float) -> Kind:
    """Children by Gaussian noise."""

    def make(
        weights: list[Tensor], moments: list[Tensor | None], firsts: list[redraw.First], seed: int
    ) -> Sequence[Tensor]:
        return mutation.noise(weights, sigma, [None] * len(weights), seed, "child")

    return make


KINDS: dict[str, Kind] = {
    "noise 0.1": noise(0.1),
    "noise 0.3": noise(0.3),
    "noise 1": noise(1.0),
    "fresh": redrawn(1.0),
    "redraw 0.1": redrawn(0.1),
    "redraw 0.1 by moments": redrawn(0.1, by_moments=True),
    "redraw 0.3": redrawn(0.3),
    "redraw 0.6": redrawn(0.6),
}


def stuck(task: Training, seeds: int) -> Iterator[tuple[int, Stuck]]:
    """Trainings by the base that end above the threshold, with their seeds."""
    for seed in range(seeds):
        trainee = task.begin(seed)
        params = list(trainee.model.parameters())
        firsts = [redraw.first_of(param) for param in params]
        optimizer = task.optimizer(trainee)
        if spend(trainee, optimizer, task.budget)["final"] > task.threshold:
            yield seed, (trainee, optimizer, [param.detach().clone() for param in params], firsts)


def freed(task: Training, training: Stuck, kind: Kind, seed: int, *, heir: bool) -> list[bool] | None:
    """Whether a child is below the threshold after so many steps; None if there is no such child."""
    trainee, base, weights, firsts = training
    params = list(trainee.model.parameters())
    moments = [mutation.second_moment(base.state[param], param) for param in params]
    child = kind(weights, moments, firsts, seed)
    if child is None:
        return None
    with torch.no_grad():
        for param, weight in zip(params, child, strict=True):
            param.copy_(weight)
    optimizer = task.optimizer(trainee)
    if heir:
        optimizer.load_state_dict(copy.deepcopy(base.state_dict()))
    trainee.cost, below = 0, []
    for mark in MARKS:
        if not any(below):
            for _ in steps(trainee, optimizer, mark):
                pass
        below.append(trainee.final() <= task.threshold)
    return below


def report(task: Training, seeds: int) -> None:
    """Print the shares of a task."""
    trainings = list(stuck(task, seeds))
    print(
        f"{task.name}: {len(trainings)} of {seeds} trainings are stuck; of {EACH} children of each are free"
    )
    for name, kind in KINDS.items():
        for heir in (True, False):
            found = [
                freed(task, training, kind, EACH * seed + each, heir=heir)
                for seed, training in trainings
                for each in range(EACH)
            ]
            rows = torch.tensor([below for below in found if below is not None], dtype=torch.float64)
            if len(rows):
                shares = zip(MARKS, rows.mean(0).tolist(), strict=True)
                words = "  ".join(f"{share:4.0%} after {mark}" for mark, share in shares)
                print(f"  {name:22} {'base state' if heir else 'new state':10}  {words}", flush=True)


def main() -> None:
    """Report the tasks that the command line names."""
    names = ("parity4", "parity6", "xor", "phase")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=names, choices=list(TASKS), metavar="TASK")
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.tasks:
        report(TASKS[name], asked.seeds)


if __name__ == "__main__":
    main()
