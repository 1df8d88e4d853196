"""BFGS: an inverse Hessian for each row, kept as a product of factors H = F F'.

The factor takes a rank-one change a step (product form), costs less than a rank-two change of H, and H stays
positive definite however ill-conditioned the problem is, or becomes on a function with kinks.

References
----------
K. Brodlie, A. Gourlay and J. Greenstadt, "Rank-one and rank-two corrections to positive definite matrices
expressed in product form", J. Inst. Math. Appl. 11, 1973.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hybridopt.core import Evaluation, Query, Traits
from hybridopt.gradient import quasi_newton
from hybridopt.gradient.quasi_newton import QuasiNewtonState, Step
from hybridopt.gradient.quasi_newton_step import told

LEAST_SCALE = 1e-4  # the Hessian shrinks by no more in one step


@dataclass(frozen=True)
class Factor:
    """Inverse Hessians as factors; a record of rows.

    Attributes
    ----------
    factor : Tensor, shape (rows, dim, dim)
        F, where H = F F'.
    image : Tensor, shape (rows, 1, dim)
        d' F for the last d multiplied; so F^-1 s = length * image' for a step s = length * H d.
    """

    factor: Tensor
    image: Tensor


class FactorMemory:
    """The memory of BFGS: its matrix is scaled to the longest steps, so that 1 is often too much."""

    ambition = 2.02

    def empty(self, like: Tensor) -> Factor:
        eye = torch.eye(like.shape[1], dtype=like.dtype, device=like.device)
        return Factor(eye.expand(like.shape[0], -1, -1).contiguous(), torch.zeros_like(like)[:, None])

    def learn(self, memory: Factor, step: Step) -> Factor:
        """F <- (I - s w') F, w = y / s'y - B s / sqrt(s'y s'B s)."""
        factor, sy = memory.factor, step.sy.view(-1, 1, 1)
        inner = step.length.view(-1, 1, 1) * memory.image  # F^-1 s
        if step.bent is not None and bool(step.bent.any()):
            solved = torch.linalg.solve_ex(factor, step.s[:, :, None])[0].mT
            inner = torch.where(step.bent.view(-1, 1, 1), solved, inner)
        if bool(step.first.any()):
            first = step.first.view(-1, 1, 1)
            scaled = step.s if step.scale is None else step.s / step.scale
            root = (scaled.square().sum(1, keepdim=True) / step.sy[:, None]).sqrt()
            axes = root.expand_as(step.s) if step.scale is None else root * step.scale
            factor = torch.where(first, torch.diag_embed(axes), factor)
            inner = torch.where(first, (step.s / axes)[:, None], inner)
        bent = (inner * inner).sum(2, keepdim=True)  # s'B s
        stretch = (bent / sy).clamp_(1.0, 1 / LEAST_SCALE).sqrt_()
        if not step.every:
            stretch = stretch.masked_fill(~step.learned.view(-1, 1, 1), 1.0)
        factor = factor * stretch
        seen = torch.bmm(step.y.unsqueeze(1), factor)  # F'y
        change = torch.addcmul(seen / sy, inner, (sy * bent).rsqrt(), value=-1)  # F'w
        if not step.every:
            change = change.masked_fill(~step.learned.view(-1, 1, 1), 0.0)
        return Factor(torch.addcmul(factor, step.s.unsqueeze(2), change, value=-1), memory.image)

    def fix(self, memory: Factor, fixed: Tensor) -> Factor:
        """Condition H on variables that no longer move: the inverse of the Hessian of the others alone.

        A variable's row of F is q; the others' rows lose their part along q, one variable after another.
        """
        factor, left = memory.factor, fixed
        while bool(left.any()):
            some, place = left.max(1)
            one = torch.zeros_like(left).scatter_(1, place[:, None], some[:, None])
            q = factor.gather(1, place[:, None, None].expand(-1, 1, factor.shape[2]))
            q = torch.nn.functional.normalize(q, dim=2) * some[:, None, None]
            along = torch.where(one[:, :, None], 0.0, torch.bmm(factor, q.mT))
            factor = torch.addcmul(factor, along, q, value=-1)
            left = left & ~one
        return Factor(factor, memory.image)

    def multiply(self, memory: Factor, covector: Tensor, scale: Tensor | None) -> tuple[Factor, Tensor]:
        image = torch.bmm(covector.unsqueeze(1), memory.factor)
        return Factor(memory.factor, image), torch.bmm(image, memory.factor.mT).squeeze(1)


@dataclass(frozen=True)
class BFGS:
    """BFGS on n rows: quasi-Newton descent with a whole inverse Hessian a row.

    For up to about 100 variables; its matrices take dim^2 numbers a row. Every step asks for one point of
    each row that still runs, with its gradient: 2 units. Rows are independent, and leave the batch when they
    end; see `QuasiNewtonState.status`. When all have ended, the best row is asked for again, so that a
    condition such as `SmallGradient` can end the run; `restart` puts new starts in their place.

    Parameters
    ----------
    population_size : int, optional
        How many rows descend; by default as many as `init` is given.
    tol : float, at least 0
        A row has converged when no component of its projected gradient is larger. With 0 it goes on as far as
        floating point carries, and the conditions of the run end it.
    ftol : float, at least 0
        A row has settled when a step lowers its value f by at most ftol * max(abs(f), 1). 0 is never.
    first_step : float, > 0
        Length of the first trial step, in the coordinates of x, where the gradient is longer than this; else
        the step is as long as the gradient. With `scaled`, in widths of the box, whatever the gradient.
    scaled : bool
        Whether variables are measured in widths of the box, where it is finite: a box with sides of unlike
        size is then as a cube. A first step that leads nowhere so is tried again in the coordinates of x.
    max_trials : int, at least 2
        Trials of a line search before it gives up. Then the row forgets its matrix, and if that does not help
        it has stalled.

    Raises
    ------
    TypeError, ValueError
        If an option is of another kind, or out of its range.

    Notes
    -----
    The matrix begins at the scale of the first step's inverse curvature, and grows whenever a step meets less
    curvature than it expects (Al-Baali 1998): steps are rather too long than too short, which BFGS mends
    faster. On a function with kinks `tol` is rarely reached; rows stall, usually at a minimum.

    A row whose values are not finite where it starts has failed. Where all have, they are scattered anew.

    Examples
    --------
    >>> import hybridopt
    >>> result = hybridopt.minimize(
    ...     lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2, x0=[-1.2, 1.0], method="bfgs")
    >>> bool(result.success), result.x.round(6).tolist()
    (True, [1.0, 1.0])

    References
    ----------
    J. Nocedal and S. Wright, "Numerical Optimization", 2nd edition, 2006, algorithm 6.1.
    M. Al-Baali, "Global and superlinear convergence of a restricted class of self-scaling methods with
    inexact line searches, for convex functions", Comput. Optim. Appl. 9, 1998.
    """

    population_size: int | None = None
    tol: float = 0.0
    ftol: float = 0.0
    first_step: float = 1.0
    scaled: bool = False
    max_trials: int = 20

    def __post_init__(self) -> None:
        quasi_newton.check_options(self)

    @property
    def traits(self) -> Traits:
        """Local; deterministic on given rows; shifts with the problem."""
        return Traits(order=1, shift_equivariant=True)

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> QuasiNewtonState:
        return quasi_newton.start(self, _MEMORY, x, lower, upper, seed)

    def ask(self, state: QuasiNewtonState) -> Query:
        return quasi_newton.query(state)

    def tell(self, state: QuasiNewtonState, evaluation: Evaluation) -> QuasiNewtonState:
        return told(self, _MEMORY, state, evaluation)

    def restart(self, state: QuasiNewtonState, rows: Tensor, x: Tensor) -> QuasiNewtonState:
        """Begin some rows anew, in the same batch as the others; pure, like `tell`.

        Parameters
        ----------
        state : QuasiNewtonState
        rows : Tensor
            Places of the rows, (count,), or a mask, (population,); running rows may be among them.
        x : Tensor, shape (count, dim)
            Their new starts; projected onto the box.
        """
        return quasi_newton.restarted(_MEMORY, state, rows, x)


def informed(state: QuasiNewtonState, factor: Tensor) -> QuasiNewtonState:
    """The state of rows that have not begun, which take the inverse Hessian F F' to begin with.

    It counts as one step that they have learnt from. A row that it leads nowhere forgets it, as any other.

    Parameters
    ----------
    state : QuasiNewtonState
        As `BFGS.init` makes it.
    factor : Tensor, shape (dim, dim)
        F, for instance of a search that ended nearby.
    """
    memory = state.running.memory
    memory = replace(memory, factor=factor.expand_as(memory.factor).contiguous())
    pairs = torch.ones_like(state.running.pairs)
    return replace(state, running=replace(state.running, memory=memory, pairs=pairs))


def lent(before: QuasiNewtonState, after: QuasiNewtonState) -> Tensor:
    """Factors F of inverse Hessians F F' of the searches that have ended, or forgotten them, in between.

    Parameters
    ----------
    before, after : QuasiNewtonState
        The same rows before and after a step.

    Returns
    -------
    Tensor, shape (count, dim, dim)
        Of those that have learnt from as many steps as there are variables; none of limited memory.
    """
    running, dim = before.running, after.x.shape[1]
    learnt = running.pairs >= dim
    if isinstance(running.memory, Factor) and bool(learnt.any()):
        pairs = torch.zeros_like(after.status).index_copy(0, after.running.rows, after.running.pairs)
        learnt &= pairs[running.rows] == 0
        if bool(learnt.any()):
            return running.memory.factor[learnt]
    return after.x.new_empty(0, dim, dim)


_MEMORY = FactorMemory()
