"""What one `Hybrid` owns besides its base: it watches losses, and has races begun, run and decided.

When a look at the losses says so, the next step begins with a race: children start round the weights, and in
each call from then on those alive take a step of their own beside the parent's ordinary one. When all
is decided the winner's weights, buffers and base state replace the parent's, or nothing has changed.
"""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from hybridopt.checkpoint import decode, encode
from hybridopt.conditions import Trace
from hybridopt.optim import redraw
from hybridopt.optim.buffers import Buffers
from hybridopt.optim.escape import Escape
from hybridopt.optim.heat import Heat
from hybridopt.optim.inner import storable
from hybridopt.optim.race import Race
from hybridopt.optim.ranks import Ranks
from hybridopt.optim.referee import Referee
from hybridopt.optim.snapshot import Closure
from hybridopt.optim.source import ByClosure, ByObjective, Source, refuse_scaler
from hybridopt.optim.stage import Stage, loss_number, number, params_of
from hybridopt.optim.watch import Memory, begin, finite, looked, may_try, wants

CLOSURE_EVERY = 5
MEANS = 2  # of so many losses at each look, which costs more than they
OBJECTIVE_EVERY = 30
SAVED_AS = "hybrid"  # in a state_dict
logger = logging.getLogger(__name__)


class Escaper:
    """Watches, races and decides for one optimizer.

    Parameters
    ----------
    options : Escape
    seed : int
    buffers : Buffers
    ranks : Ranks
    objective : callable, optional
        Loss for steps without a closure.
    """

    def __init__(
        self, options: Escape, seed: int, buffers: Buffers, ranks: Ranks, objective: Closure | None
    ) -> None:
        self.options = options
        self.buffers = buffers
        self.ranks = ranks
        self.objective = objective
        self.memory = begin(seed, options)
        self._losses: list[float | Tensor] = []  # since the last look
        self._enough = options.every or MEANS * CLOSURE_EVERY  # of them
        self._waited = 0  # steps by the objective since then
        self._agreed = False  # all processes on one seed
        self._said = False

    def check(self, optimizer: Optimizer) -> None:
        """Refuse parameters that can't be escaped with; called whenever groups were added or loaded.

        Raises
        ------
        TypeError
            If a parameter is complex.
        ValueError
            If some groups maximise and some minimise.
        """
        for place, group in enumerate(optimizer.param_groups):
            for param in group["params"]:
                if param.is_complex():
                    raise TypeError(
                        f"Hybrid escapes with real parameters only, got {param.dtype} in group {place}; "
                        "train torch.view_as_real(parameter), or pass escape=None for the base alone"
                    )
                if hasattr(param, "device_mesh") or type(param).__name__ == "FlatParameter":
                    raise TypeError(
                        f"Hybrid escapes with whole parameters only, got one in group {place} that is "
                        "sharded over processes (as by FSDP); pass escape=None for the base alone"
                    )
            if not isinstance(group.get("evolve", True), bool):
                raise TypeError(f"evolve must be True or False, got {group['evolve']!r} in group {place}")
        _direction(optimizer.param_groups)
        new = params_of(optimizer)[len(self.memory.firsts) :]
        firsts = (*self.memory.firsts, *map(redraw.first_of, new))
        self.memory = replace(self.memory, firsts=firsts)

    def step(self, optimizer: Any, closure: Closure) -> Any:
        """One step by a closure."""
        if not self._losses:  # the first, and one after each look
            refuse_scaler()
        if self.objective is not None:  # the closure may tell nothing: Lightning's manual optimization
            return self.step_alone(optimizer, closure)
        if self.memory.due or self.memory.race is not None:
            return self._race(optimizer, ByClosure(closure))
        loss = optimizer._base_step(closure)
        if isinstance(loss, Tensor) and loss.numel() == 1 and not (loss.is_meta or loss.is_complex()):
            # a later change of the tensor in place must not be felt
            self._losses.append(loss.item() if loss.is_cpu else loss.detach().clone())
        elif isinstance(loss, Real):
            self._losses.append(number(loss))
        else:
            self.say_once(f"the closure returned a {type(loss).__name__}; let it return the loss, one number")
            return loss
        if len(self._losses) >= self._enough:
            sign = _direction(optimizer.param_groups)
            losses, every = [finite(sign * float(each)) for each in self._losses], self._every
            means = [statistics.fmean(losses[k : k + every]) for k in range(0, len(losses), every)]
            self._look(optimizer, means, every)
        return loss

    def step_alone(self, optimizer: Any, closure: Closure | None = None) -> Any:
        """One step on the gradients that are there; the objective tells the losses."""
        if self.objective is None:
            self.say_once("step() was called without a closure, and there is no objective=")
            return optimizer._base_step()
        source = ByObjective(self.objective, closure)
        if self.memory.due or self.memory.race is not None:
            return self._race(optimizer, source)
        if self._waited + 1 < self._every:
            answer = source.base_step(optimizer)
            self._waited += 1
            return answer
        buffers = self.buffers.found(params_of(optimizer))
        stage = Stage(optimizer, (), buffers, None, distributed=self.ranks.several)
        try:
            value = self.ranks.together(lambda: stage.measure(source.value), optimizer)
        finally:
            stage.restore()
        answer = source.base_step(optimizer)
        self._look(optimizer, [loss_number(value, _direction(optimizer.param_groups))], self._waited + 1)
        return answer

    def say_once(self, why: str) -> None:
        """Log, the first time, that no escape will be tried."""
        if not self._said:
            self._said = True
            logger.warning("Hybrid behaves as its base alone and tries no escapes: %s", why)

    def state_dict(self) -> dict[str, Any]:
        """Return everything it knows, as plain containers."""
        pending = tuple(float(loss) for loss in self._losses)
        memory = replace(self.memory, pending=pending, waited=self._waited)
        if memory.race is not None:
            children = (replace(child, inner=storable(child.inner)) for child in memory.race.children)
            memory = replace(memory, race=replace(memory.race, children=tuple(children)))
        plain: dict[str, Any] = encode(memory)
        return plain

    def loadable(self, saved: dict[str, Any]) -> Memory | None:
        """What is to be taken up from a state_dict of the optimizer; None from one of the base.

        Raises
        ------
        TypeError, ValueError
            If it can't be.
        """
        _direction(saved.get("param_groups", ()))
        if SAVED_AS not in saved:
            return None
        plain = saved[SAVED_AS]
        try:
            memory = decode(plain)
        except Exception as error:
            raise ValueError(f"{SAVED_AS!r} in this state_dict can't be read: {error}") from error
        if not isinstance(memory, Memory):
            raise ValueError(
                f"{SAVED_AS!r} in this state_dict must be what state_dict() of a Hybrid gave, "
                f"got {plain!r:.80}; leave it out to begin anew"
            )
        return memory

    def load(self, saved: Memory | None) -> None:
        """Take up what was saved; None begins anew."""
        fresh = replace(begin(self.memory.seed, self.options), firsts=self.memory.firsts)
        memory = fresh if saved is None else saved
        if _measures(memory.trace) != _measures(fresh.trace):  # saved with another condition
            memory = replace(memory, trace=fresh.trace, due=False)
        self._agreed = False
        self._losses, self._waited = list(memory.pending), memory.waited
        self.memory = replace(memory, pending=(), waited=0)

    def __getstate__(self) -> dict[str, Any]:
        # an objective speaks of the model that a copy has left, and few can be pickled
        return {**vars(self), "objective": None}

    def _look(self, optimizer: Any, means: list[float], steps: int) -> None:
        """Ask the condition whether the next step is to begin a race, by mean losses of so many steps."""
        self._losses, self._waited = [], 0
        if any(group.get("differentiable") for group in optimizer.param_groups):
            self.say_once("differentiable=True, and a jump can't be differentiated")
            return
        trace = self.memory.trace
        norm = _grad_norm(optimizer) if trace.reads_gradient else math.nan
        *means, norm = self.ranks.means([*means, norm], optimizer)
        self.memory = looked(self.memory, means, steps, norm)
        # what reads curvature can only be asked when that was measured, by the next closure
        if may_try(self.memory, self.options) and (trace.reads_curvature or wants(self.memory, self.options)):
            self.memory = replace(self.memory, due=True)

    @property
    def _every(self) -> int:
        """Steps that a value of the trace is the mean of; a look at an objective costs a forward pass."""
        return self.options.every or (OBJECTIVE_EVERY if self.objective is not None else CLOSURE_EVERY)

    def _race(self, optimizer: Any, source: Source) -> Any:
        """One step in which children step too; if anything raises, all is as before it."""
        if not self._agreed:  # kept also if the closure raises
            self.memory = replace(self.memory, seed=self.ranks.same(self.memory.seed, optimizer))
            self._agreed = True
        memory = self.memory
        if memory.due:
            self.ranks.check()  # one that was unpickled has no group
            self.buffers.forget()  # the model may have been rebuilt since the last race
        sign = _direction(optimizer.param_groups)
        heat = Heat(optimizer, source, self.options, self.buffers, self.ranks, sign)
        referee = Referee(heat, self._every)
        try:
            memory = referee.opened(memory)
            race, answer = heat.run(memory.race or Race(memory.steps, 0, (), ()))
            if memory.race is not None:
                memory = referee.judged(memory, race)
        except BaseException:
            heat.stage.restore()
            raise
        if memory.race is not None:
            memory = replace(memory, race=replace(memory.race, left=heat.stage.checksums()))
        self.memory = memory
        return answer


def _direction(groups: Iterable[Mapping[str, Any]]) -> float:
    """1 where the base minimises, -1 where it maximises, by its groups; they may be changed at any time."""
    directions = {bool(group.get("maximize", False)) for group in groups}
    if len(directions) > 1:
        raise ValueError(
            "one loss can't tell whether an escape was good if some parameter groups maximise it and "
            "others minimise it; set maximize alike, or pass escape=None for the base alone"
        )
    return -1.0 if True in directions else 1.0


def _measures(trace: Trace) -> tuple[int, bool, bool]:
    return trace.window, trace.reads_gradient, trace.reads_curvature


def _grad_norm(optimizer: Optimizer) -> float:
    """Largest component of the gradient."""
    grads = [param.grad for param in params_of(optimizer) if param.grad is not None and param.numel()]
    return max((float(grad.abs().amax()) for grad in map(_dense, grads)), default=math.nan)


def _dense(grad: Tensor) -> Tensor:
    return grad.coalesce().values() if grad.is_sparse else grad
