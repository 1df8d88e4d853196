"""What `Hybrid` adds to an ordinary step of its base: microseconds, a share of an iteration, and memory.

    OMP_NUM_THREADS=1 python benchmarks/hybrid_step.py             # all of it; about five minutes
    OMP_NUM_THREADS=1 python benchmarks/hybrid_step.py --steps     # microseconds alone, about three
    OMP_NUM_THREADS=1 python benchmarks/hybrid_step.py --shares    # of iterations alone
    OMP_NUM_THREADS=1 python benchmarks/hybrid_step.py --memory    # alone

Base and Hybrid take turns on the same parameters, gradients and moments, so that nothing but the step
differs; times are of the processor. Losses are stored ones that fall, so that the default escape looks as
often as ever and never acts.

Steps: stored gradients, tensors of 16 numbers, 1,000 steps a round, turns of 100; the median over rounds of
the difference of the means. Bar: 12 microseconds + 0.5 a tensor.

Iterations: forward, backward and step of a ReLU network by a closure, turns of one; the median of the
differences over the median of the base's times. Bar: 1 %. The time of the base's step stands beside it, also
for the fused Adam.

Memory: bytes of all tensors that Python's collector finds after 30 iterations, and growth of resident memory,
in units of the parameters; each run in a fresh process. Bar: 0.01 more than the base by the collector.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt.optim import Hybrid

BASES = {"AdamW": torch.optim.AdamW, "Adam": torch.optim.Adam, "SGD": torch.optim.SGD}
WIDTHS = {"1M": (256, 775, 775, 256), "25M": (1024, 3500, 3500, 2500, 100)}
BLOCKS, BLOCK, LR = 10, 100, 1e-6


def pair(
    base: type[torch.optim.Optimizer], params: Iterable[nn.Parameter], **options: Any
) -> tuple[torch.optim.Optimizer, Hybrid]:
    """The base, and Hybrid with its default escape, of the same parameters and the same state."""
    params = list(params)
    alone = base(params, lr=LR, **options)  # type: ignore[call-arg]
    optimizer = Hybrid(params, base=base, lr=LR, **options)
    alone.state, alone.param_groups = optimizer.state, optimizer.param_groups
    return alone, optimizer


def falling() -> Iterator[Tensor]:
    """Losses, each a part in a thousand below the last."""
    loss = 1e6
    while True:
        yield torch.tensor(loss)
        loss *= 0.999


def timed(action: Callable[[], object]) -> float:
    """Processor time of an action."""
    begun = time.process_time()
    action()
    return time.process_time() - begun


def block_of(optimizer: torch.optim.Optimizer, *, closure: bool) -> Callable[[], float]:
    """What takes a block of steps and returns its processor time."""
    losses = falling()

    def block() -> float:
        stored = iter([next(losses) for _ in range(BLOCK)])

        def run() -> None:
            for _ in range(BLOCK):
                if closure:
                    optimizer.step(lambda: next(stored))  # type: ignore[arg-type]
                else:
                    optimizer.step()

        return timed(run)

    return block


def added_microseconds(
    base: type[torch.optim.Optimizer], tensors: int, rounds: int, *, closure: bool
) -> float:
    """Median over rounds of the mean difference of a step."""
    params = [nn.Parameter(torch.randn(16)) for _ in range(tensors)]
    for param in params:
        param.grad = torch.randn(16)
    alone, optimizer = pair(base, params)
    plain, ours = (block_of(which, closure=closure) for which in (alone, optimizer))
    plain(), ours()  # warm
    differences = []
    for _ in range(rounds):
        spent = 0.0
        for turn in range(BLOCKS):
            for action in (plain, ours) if turn % 2 else (ours, plain):
                spent += action() if action is ours else -action()
        differences.append(spent / (BLOCKS * BLOCK) * 1e6)
    assert optimizer.history == ()
    return statistics.median(differences)


def steps(rounds: int) -> None:
    """Print a table of microseconds."""
    print("added to a step, microseconds     without closure   with closure   bar")
    for name, base in BASES.items():
        for tensors in (1, 10, 100):
            without, closed = (
                added_microseconds(base, tensors, rounds, closure=closure) for closure in (False, True)
            )
            bar = 12 + 0.5 * tensors
            verdict = "ok" if max(without, closed) <= bar else "ABOVE"
            print(f"  {name:6} {tensors:4} tensors {without:24.2f} {closed:14.2f} {bar:8.1f}  {verdict}")


def network(size: str) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A ReLU network of that many parameters, inputs (64, width) and targets (64, width)."""
    torch.manual_seed(0)
    widths = WIDTHS[size]
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1]), torch.randn(64, widths[0]), torch.randn(64, widths[-1])


def iteration_of(
    model: nn.Module, x: Tensor, y: Tensor, optimizer: torch.optim.Optimizer
) -> Callable[[], Any]:
    """What takes one iteration."""
    losses = falling()

    def closure() -> Tensor:
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        return next(losses)

    return lambda: optimizer.step(closure)  # type: ignore[arg-type]


def shares() -> None:
    """Print what an iteration takes and what Hybrid adds to it."""
    for size, repeats in (("1M", 600), ("25M", 60)):
        for label, options in (("default", {}), ("fused", {"fused": True})):
            model, x, y = network(size)
            alone, optimizer = pair(torch.optim.Adam, model.parameters(), **options)
            plain, ours = (iteration_of(model, x, y, which) for which in (alone, optimizer))
            plain(), ours()  # warm
            pairs = []
            for turn in range(repeats):
                order = (plain, ours) if turn % 2 else (ours, plain)
                times = {action: timed(action) for action in order}
                pairs.append((times[plain], times[ours]))
            iteration = statistics.median(before for before, _ in pairs)
            share = statistics.median(after - before for before, after in pairs) / iteration
            assert optimizer.history == ()
            step = statistics.median(timed(alone.step) for _ in range(repeats // 4))
            count = sum(param.numel() for param in model.parameters())
            words = f"an iteration {iteration * 1e3:8.2f} ms, of which the base's step {step * 1e3:7.2f} ms"
            print(f"{count:10,} parameters, Adam {label:8} {words}; Hybrid adds {share:+.2%}")


def collected_bytes() -> int:
    """Of all tensors that the collector finds, each storage once."""
    gc.collect()
    storages = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), Tensor):  # isinstance would wake lazy objects
            for tensor in (thing, thing.grad if thing.is_leaf else None):
                if tensor is not None:
                    storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return sum(storages.values())


def resident_bytes() -> int:
    """Of this process."""
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def held(which: int, size: str) -> tuple[float, float]:
    """Memory of a run of the base (0) or Hybrid (1) in units of the parameters: collected, resident."""
    torch.set_num_threads(1)

    def run(size: str, iterations: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        model, x, y = network(size)
        options: dict[str, Any] = {"base": torch.optim.Adam} if which else {}
        optimizer = (torch.optim.Adam, Hybrid)[which](model.parameters(), lr=LR, **options)
        iterate = iteration_of(model, x, y, optimizer)
        for _ in range(iterations):
            iterate()
        return model, optimizer

    run("1M", 1)  # what is allocated once
    before = collected_bytes(), resident_bytes()
    kept = run(size, 30)
    parameters = sum(param.numel() * param.element_size() for param in kept[0].parameters())
    return (collected_bytes() - before[0]) / parameters, (resident_bytes() - before[1]) / parameters


def memory() -> None:
    """Print what both hold, outside of escapes: weights, gradients and two moments are 4."""
    for size in WIDTHS:
        for which, name in enumerate(("Adam", "Hybrid")):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                collected, resident = pool.apply(held, (which, size))
            print(f"{size:4} parameters, {name:6} holds {collected:.4f} times them, {resident:.4f} resident")


def main() -> None:
    """Parse the arguments and go."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--shares", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    everything = not (arguments.steps or arguments.shares or arguments.memory)
    if arguments.steps or everything:
        steps(arguments.rounds)
    if arguments.shares or everything:
        shares()
    if arguments.memory or everything:
        memory()


if __name__ == "__main__":
    main()
