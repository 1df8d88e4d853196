"""An optimizer of the engine for the weights of a small model, by closures.

The weights are one row of an engine optimizer's population. A step asks it which rows it wants, writes each
into the parameters, runs the closure, and tells it the losses and gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hybridopt.autodiff import flatten, unflatten_into
from hybridopt.check import check_number, check_whole
from hybridopt.checkpoint import decode, describe, encode
from hybridopt.conditions import Trace
from hybridopt.core import Optimizer, Query
from hybridopt.evaluate import Evaluator
from hybridopt.loop import Ledger, Progress, advance, begin
from hybridopt.optim.snapshot import Closure, Snapshot, loss_of
from hybridopt.optim.stage import params_of

_SAVED_AS = "engine"


class FromEngine(torch.optim.Optimizer):
    """An engine optimizer (a genetic algorithm, say) as a `torch.optim.Optimizer`.

    Every `step(closure)` is one ask and one tell: the closure runs once for each row that is asked for, all
    with the same random numbers (dropout masks), after which the global generators stand as after one
    run. Then the best row is in the parameters. The population and what the optimizer knows take
    population x parameters of memory or more, so this is for small models.

    Parameters
    ----------
    params : iterable
        As for any torch optimizer; of one real floating dtype, on one device. Frozen ones stay as they are.
    optimizer : hybridopt.core.Optimizer
        Of order 0 or 1.
    radius : float or None
        Half the width of the box around the first weights that is searched. A population is filled uniformly
        in the box. None: no box, and a population that is filled around the weights with standard deviation
        `max(1, |weight|)`, far for most networks.
    sampled : bool
        Whether the closure's data change from step to step (minibatches). If so, the best row of each step is
        left in the parameters; else the best one of all steps.
    seed : int, optional
        By default `torch.initial_seed()` when the optimizer is made.

    Raises
    ------
    TypeError
        If a parameter isn't real and floating, or `optimizer` is none of the engine's.
    ValueError
        If parameters differ in dtype or device, none is trainable, the optimizer needs Hessian-vector
        products, or an option has a bad value.

    Notes
    -----
    Losses that are NaN or -inf count as +inf. Gradients are left as they were before the step. The closure
    should not update buffers: BatchNorm's statistics would come from all rows; call `model.eval()`.

    Examples
    --------
    >>> import torch
    >>> from hybridopt.evolution.genetic import GeneticAlgorithm
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Linear(2, 1)
    >>> x = torch.randn(50, 2)
    >>> y = x @ torch.tensor([[1.0], [-1.0]])
    >>> optimizer = FromEngine(model.parameters(), GeneticAlgorithm(population_size=40), radius=2.0)
    >>> def closure():
    ...     return (model(x) - y).square().mean()
    >>> losses = [float(optimizer.step(closure)) for _ in range(30)]
    >>> losses[-1] < 0.1 * losses[0]
    True
    """

    def __init__(
        self,
        params: Any,
        optimizer: Optimizer[Any],
        *,
        radius: float | None = 1.0,
        sampled: bool = False,
        seed: int | None = None,
    ) -> None:
        _check_optimizer(optimizer)
        if radius is not None:
            expected = "positive and finite, or None for no box"
            check_number("radius", radius, lambda radius: 0 < radius < math.inf, expected)
        if seed is not None:
            check_whole("seed", seed, 0)
        self.optimizer = optimizer
        self.radius = radius
        self.sampled = sampled
        self.seed = torch.initial_seed() if seed is None else seed
        self._progress: Progress[Any] | None = None
        super().__init__(params, {})

    @property
    def ledger(self) -> Ledger:
        """What was paid: a value costs 1, a gradient 1 more, for each row."""
        return Ledger() if self._progress is None else self._progress.ledger

    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """Ask, evaluate, tell; leave the best row in the parameters.

        Parameters
        ----------
        closure : callable
            Returns the loss, a tensor or a number; must also compute its gradients if the optimizer wants
            gradients.

        Returns
        -------
        Tensor, shape ()
            Loss of the row that is left.

        Raises
        ------
        TypeError
            Without a closure.
        """
        if closure is None:
            raise TypeError(
                "FromEngine.step needs a closure, got None: the optimizer chooses where the loss is taken; "
                "call optimizer.step(closure) with a closure that returns the loss"
            )
        params = self._trainable()
        progress = self._begin(params) if self._progress is None else self._progress
        query = self.optimizer.ask(progress.state)
        rows = _Rows(params, closure)
        snapshot = rows.snapshot
        snapshot.keep_weights(params)
        try:
            evaluate = Evaluator(rows, progress.state.lower, progress.state.upper)
            evaluation = evaluate(query)
            progress = advance(self.optimizer, progress, evaluation)
        except BaseException:
            snapshot.restore()
            raise
        snapshot.restore_grads()
        self._progress = progress
        best = int(evaluation.value.argmin())
        if self.sampled:
            unflatten_into(evaluation.x[best], params)
            return evaluation.value[best].clone()
        unflatten_into(progress.best_x, params)
        return torch.tensor(progress.best_value, dtype=evaluation.value.dtype, device=query.x.device)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; only before the first step, which fixes the rows."""
        if self._progress is not None:
            raise ValueError("the rows are fixed by the first step; add parameter groups before it")
        super().add_param_group(param_group)
        try:
            _check_params(params_of(self))
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def state_dict(self) -> dict[str, Any]:
        """State as any torch optimizer's, and under "engine" what the engine optimizer knows."""
        state = super().state_dict()
        state[_SAVED_AS] = {
            "optimizer": describe(self.optimizer),
            "seed": self.seed,
            "progress": encode(self._progress),
        }
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` gave; the next step goes on where that one stood.

        Raises
        ------
        ValueError
            If it is of another optimizer, of one with other options, or of another model.
        """
        if _SAVED_AS not in state_dict:
            raise ValueError(f"state_dict has no entry {_SAVED_AS!r}; pass one that FromEngine gave")
        saved, mine = state_dict[_SAVED_AS].get("optimizer"), describe(self.optimizer)
        if saved != mine:
            raise ValueError(
                f"state_dict is of the optimizer {saved}, here it is {mine}; load it with the same optimizer "
                "and options"
            )
        progress = decode(state_dict[_SAVED_AS]["progress"])
        dim = sum(param.numel() for param in self._trainable())
        if progress is not None and progress.best_x.shape != (dim,):
            raise ValueError(
                f"state_dict is of rows of shape {tuple(progress.best_x.shape)}, the parameters make "
                f"({dim},); "
                "load it for the model it was saved with"
            )
        super().load_state_dict(state_dict)
        self.seed = state_dict[_SAVED_AS]["seed"]
        self._progress = progress

    def __getstate__(self) -> dict[str, Any]:
        names = ("optimizer", "radius", "sampled", "seed", "_progress")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in names}}

    def _trainable(self) -> list[Tensor]:
        return [param for param in params_of(self) if param.requires_grad]

    def _begin(self, params: Sequence[Tensor]) -> Progress[Any]:
        if not any(param.numel() for param in params):
            raise ValueError("there is no parameter to search: all are frozen or empty")
        x = flatten(params)
        radius = torch.full_like(x, math.inf if self.radius is None else self.radius)
        state = self.optimizer.init(x[None], x - radius, x + radius, seed=self.seed)
        return begin(state, Trace.for_conditions())


class _Rows:
    """A closure as an objective of rows (`hybridopt.evaluate.Objective`)."""

    draws: bool | None = None  # the snapshot sees to them
    sampled = False
    order = 1

    def __init__(self, params: Sequence[Tensor], closure: Closure) -> None:
        self.eps = torch.finfo(params[0].dtype).eps
        self.params = params
        self.closure = closure
        self.snapshot = Snapshot(params)

    def answer(self, query: Query, seed: int) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Losses (population,) and for order 1 gradients (population, dim): one run of the closure a row."""
        if query.order > 1:
            raise ValueError("closures give no Hessian-vector products; use an optimizer of order 0 or 1")
        losses, grads = [], []
        for row in query.x:
            unflatten_into(row, self.params)
            self.snapshot.rewind()
            losses.append(loss_of(self.closure))
            if query.order:
                grads.append(self._grad())
        value = torch.tensor(losses, dtype=query.x.dtype, device=query.x.device)
        return value, torch.stack(grads) if query.order else None, None

    def _grad(self) -> Tensor:
        if all(param.grad is None for param in self.params):
            raise ValueError(
                "the closure left no gradients, which the optimizer needs; call loss.backward() in it"
            )
        return flatten(torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in self.params)


def _check_optimizer(optimizer: Optimizer[Any]) -> None:
    if isinstance(optimizer, type) or not all(hasattr(optimizer, name) for name in ("init", "ask", "tell")):
        raise TypeError(
            f"optimizer must be an engine optimizer with init, ask and tell, got {optimizer!r}; "
            "e.g. hybridopt.evolution.genetic.GeneticAlgorithm(population_size=100)"
        )
    if optimizer.traits.order > 1:
        raise ValueError(
            f"{type(optimizer).__name__} asks for derivatives of order {optimizer.traits.order}; closures "
            "give none above 1"
        )


def _check_params(params: Sequence[Tensor]) -> None:
    for param in params:
        if not param.is_floating_point():
            raise TypeError(f"FromEngine searches real floating parameters, got {param.dtype}")
    kinds = {(param.dtype, param.device) for param in params}
    if len(kinds) > 1:
        raise ValueError(
            "the parameters make one row, so they must share dtype and device, got "
            f"{sorted(map(str, kinds))}; convert the model with model.to(device, dtype)"
        )
