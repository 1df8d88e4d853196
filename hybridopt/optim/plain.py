"""The plain escape: when the loss stalls, try a few children of the weights; keep one only if it is better.

An escape happens before a step of the base optimizer and is all or nothing. Parent and children are judged
by the closure of that step: same data, same random numbers. If no child is clearly better, then
weights, gradients, buffers, generators and the base's state are what they were, and the step is base's own.

This object is all that tells `Hybrid` from its base. It needs `due`, `attempt`, `observe`, `check`,
`say_once`, `state_dict`, `load_state_dict` and `history`; another way to escape is another object with these.
"""

from __future__ import annotations

import logging
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from numbers import Real
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from hybridopt.checkpoint import decode, encode
from hybridopt.conditions import Trace
from hybridopt.optim.escape import Attempt, Escape, Memory, append
from hybridopt.optim.mutation import mutate_into
from hybridopt.optim.snapshot import Closure, Snapshot, loss_of

logger = logging.getLogger(__name__)


class PlainEscape:
    """The escape that one `Hybrid` owns.

    Parameters
    ----------
    options : Escape
    seed : int
    buffers : iterable of Tensor
        What closures write to besides gradients.

    Attributes
    ----------
    keeps_state : bool
        Whether the base's state outlives an accepted escape; for bases that fill it when they are made
        (Adagrad) and could not do without.
    """

    def __init__(self, options: Escape, seed: int, buffers: Iterable[Tensor]) -> None:
        self.options = options
        self.buffers = list(buffers)
        self.memory = Memory(seed, Trace.for_conditions(options.when))
        self.keeps_state = False
        self._losses: list[float | Tensor] = []
        self._sign = 1.0  # -1 where the base maximises
        self._differentiable = False
        self._said = False

    @property
    def due(self) -> bool:
        """Whether the next step with a closure begins with an attempt."""
        return self.memory.due

    @property
    def history(self) -> tuple[Attempt, ...]:
        """Attempts so far."""
        return self.memory.history

    def check(self, optimizer: Optimizer) -> None:
        """Refuse parameters that can't be escaped with; called whenever groups were added or loaded.

        Raises
        ------
        TypeError
            If a parameter is complex.
        ValueError
            If some groups maximise and some minimise.
        """
        for number, group in enumerate(optimizer.param_groups):
            for param in group["params"]:
                if param.is_complex():
                    raise TypeError(
                        f"Hybrid escapes with real parameters only, got {param.dtype} in group {number}; "
                        "train torch.view_as_real(parameter), or pass escape=None for the base alone"
                    )
        self._differentiable = any(group.get("differentiable") for group in optimizer.param_groups)
        directions = {bool(group.get("maximize", False)) for group in optimizer.param_groups}
        if len(directions) > 1:
            raise ValueError(
                "one loss can't tell whether an escape was good if some parameter groups maximise it and "
                "others minimise it; set maximize alike, or pass escape=None for the base alone"
            )
        self._sign = -1.0 if True in directions else 1.0

    def observe(self, loss: object) -> None:
        """Take in the loss of one ordinary step, without waiting for a device."""
        if isinstance(loss, Tensor) and loss.numel() == 1:
            # a later change of the tensor in place must not be felt
            self._losses.append(loss.item() if loss.is_cpu else loss.detach().clone())
        elif isinstance(loss, Real):
            self._losses.append(float(loss))
        else:
            self.say_once(f"the closure returned a {type(loss).__name__}; let it return the loss, one number")
            return
        if len(self._losses) >= self.options.every:
            self._look()

    def attempt(self, optimizer: Optimizer, closure: Closure) -> Callable[[], None]:
        """Try to escape before a step, and book it.

        Returns
        -------
        callable
            Undoes it all, for a step that fails afterwards.
        """
        params = [param for group in optimizer.param_groups for param in group["params"]]
        snapshot = Snapshot(params, self.buffers)
        memory, state = self.memory, optimizer.state

        def undo() -> None:
            snapshot.restore()
            optimizer.state, self.memory = state, memory

        try:
            self._try(optimizer, closure, snapshot)
        except BaseException:
            undo()
            raise
        return undo

    def say_once(self, why: str) -> None:
        """Log, the first time, that no escape will be tried."""
        if not self._said:
            self._said = True
            logger.warning("Hybrid behaves as its base alone and tries no escapes: %s", why)

    def state_dict(self) -> dict[str, Any]:
        """Return everything it knows, as plain containers."""
        pending = tuple(float(loss) for loss in self._losses)
        plain: dict[str, Any] = encode(replace(self.memory, pending=pending))
        return plain

    def load_state_dict(self, plain: dict[str, Any] | None) -> None:
        """Take up what `state_dict` gave; None (a checkpoint of the base) begins anew."""
        fresh = Memory(self.memory.seed, Trace.for_conditions(self.options.when))
        memory: Memory = fresh if plain is None else decode(plain)
        if memory.trace.window != fresh.trace.window:  # saved with another condition
            memory = replace(memory, trace=fresh.trace, due=False)
        self._losses = list(memory.pending)
        self.memory = replace(memory, pending=())

    def _look(self) -> None:
        """Average the losses since the last look, and ask the condition."""
        if self._differentiable:
            self.say_once("differentiable=True, and a jump can't be differentiated")
        memory, options = self.memory, self.options
        losses = [_finite(self._sign * float(loss)) for loss in self._losses]
        self._losses = []
        steps = memory.steps + len(losses)
        trace = append(memory.trace, statistics.fmean(losses), len(losses))
        due = (
            not self._differentiable
            and steps >= memory.rest_until
            and memory.wasted + options.price <= options.share * steps
            and options.when(trace)
        )
        noise = _spread([loss for loss in losses if math.isfinite(loss)])
        self.memory = replace(memory, trace=trace, steps=steps, due=due, noise=noise)

    def _try(self, optimizer: Optimizer, closure: Closure, snapshot: Snapshot) -> None:
        """Judge parent and children; leave the parent, or the best child if it is good enough."""

        def loss() -> float:
            snapshot.rewind()
            return _finite(self._sign * loss_of(closure))

        parent = loss()
        genome = _genome(optimizer)  # gradients are the parent's now
        weights = snapshot.keep_weights(genome)
        name = (self.memory.seed, "escape", len(self.history))
        losses = []
        for child, sigma in enumerate(self.options.spread if genome else ()):
            mutate_into(genome, weights, sigma, *name, child)
            losses.append(loss())
        snapshot.restore()
        best = min(losses, default=math.inf)
        accepted = best < parent - self._threshold(parent)
        if accepted:
            child = losses.index(best)
            mutate_into(genome, weights, self.options.spread[child], *name, child)
            self._begin_anew(optimizer)
        gain = parent - best if best < math.inf else -math.inf
        self._book(Attempt(self.memory.steps, 1 + len(losses), gain, accepted))

    def _threshold(self, parent: float) -> float:
        """Gain that is more than luck; any is where the parent's loss is not finite."""
        return max(self.options.margin * abs(parent), self.memory.noise) if math.isfinite(parent) else 0.0

    def _begin_anew(self, optimizer: Optimizer) -> None:
        """Drop the base's moments: they belong to other weights (LBFGS would take the jump for a step)."""
        if not self.keeps_state:
            optimizer.state = defaultdict(dict)

    def _book(self, attempt: Attempt) -> None:
        memory = self.memory
        failures = 0 if attempt.accepted else memory.failures + 1
        rest = failures * memory.trace.window * self.options.every
        self.memory = replace(
            memory,
            trace=Trace.for_conditions(self.options.when),
            due=False,
            failures=failures,
            rest_until=memory.steps + rest,
            wasted=memory.wasted + (0 if attempt.accepted else attempt.cost),
            history=(*memory.history, attempt),
        )
        logger.info("escape %s: %s", "accepted" if attempt.accepted else "rejected", attempt)


def _genome(optimizer: Optimizer) -> list[Tensor]:
    """Parameters that the closure judges, by their gradients after it has run.

    A parameter without gradient played no part in the loss; one with a sparse gradient played it with a few
    rows, and a mutation of the others would go unjudged.
    """
    return [
        param
        for group in optimizer.param_groups
        if group.get("evolve", True)
        for param in group["params"]
        if param.requires_grad and param.numel() and param.grad is not None and not param.grad.is_sparse
    ]


def _spread(losses: list[float]) -> float:
    """Standard deviation; statistics.pstdev is exact, and 20 times slower."""
    if not losses:
        return 0.0
    mean = statistics.fmean(losses)
    return math.sqrt(statistics.fmean((loss - mean) ** 2 for loss in losses))


def _finite(loss: float) -> float:
    return loss if math.isfinite(loss) else math.inf
