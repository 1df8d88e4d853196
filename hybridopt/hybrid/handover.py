"""What passes from one phase to the next.

A hand-over is a function of (from, its state, to, seed) that returns the first state of `to`. Points are
the common currency; what else is carried must be said here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hybridopt.core import Optimizer, State, best_rows

Handover = Callable[[Optimizer[Any], State, Optimizer[Any], int], State]


def rows_only(source: Optimizer[Any], state: State, target: Optimizer[Any], seed: int) -> State:
    """Begin `target` at the rows of the phase before, best first; nothing else is carried.

    Step sizes, moments and covariances start afresh, so that the old ones can't trip the conditions of
    the new phase.
    """
    begun: State = target.init(best_rows(state), state.lower, state.upper, seed=seed)
    return begun
