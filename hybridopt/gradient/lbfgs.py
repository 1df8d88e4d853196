"""Limited-memory BFGS: each row remembers its last steps, and no matrix of the size of the problem.

The inverse Hessian is kept in its compact form, so that a product with it is a few batched products however
many steps are remembered, not a loop over them. Of the triangular matrix R in it the inverse is kept, which
changes by one column a step.

References
----------
R. Byrd, J. Nocedal and R. Schnabel, "Representations of quasi-Newton matrices and their use in limited memory
methods", Math. Program. 63, 1994, eq. 3.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.check import check_whole
from hybridopt.core import Evaluation, Query, Traits
from hybridopt.gradient import quasi_newton
from hybridopt.gradient.quasi_newton import QuasiNewtonState, Step
from hybridopt.gradient.quasi_newton_step import told
from hybridopt.gradient.rows import choose, restored


@dataclass(frozen=True)
class Pairs:
    """The last steps, oldest first, and their products; a record of rows.

    Attributes
    ----------
    pairs : Tensor, shape (rows, 2 * memory, dim)
        All s, then all y: differences of points and of gradients, in scaled coordinates; zero where there is
        no step yet.
    inverse : Tensor, shape (rows, memory, memory)
        Of R, which is s_i'y_j for i <= j, else 0, and 1 on the diagonal where there is no step yet.
    yy : Tensor, shape (rows, memory, memory)
        y_i'y_j.
    gamma : Tensor, shape (rows,)
        s'y / y'y of the last step.
    """

    pairs: Tensor
    inverse: Tensor
    yy: Tensor
    gamma: Tensor


@dataclass(frozen=True)
class PairsMemory:
    """The memory of limited-memory BFGS."""

    size: int

    ambition = math.inf

    def empty(self, like: Tensor) -> Pairs:
        rows, dim = like.shape
        eye = torch.eye(self.size, dtype=like.dtype, device=like.device).expand(rows, -1, -1).contiguous()
        pairs = like.new_zeros(rows, 2 * self.size, dim)
        return Pairs(pairs, eye, torch.zeros_like(eye), torch.ones_like(like[:, 0]))

    def learn(self, memory: Pairs, step: Step) -> Pairs:
        """Without its first row and column, R has for inverse its inverse without them."""
        size = self.size
        if bool(step.first.any()):
            memory = choose(step.first, self.empty(step.s), memory)
        s, y, old = step.s, step.y, memory.pairs
        if step.scale is not None:
            s, y = s / step.scale, y * step.scale
        pairs = torch.cat([old[:, 1:size], s[:, None], old[:, size + 1 :], y[:, None]], 1)
        products = torch.bmm(pairs, y[:, :, None])  # s_i'y, y_i'y
        inverse, yy = _shifted(memory.inverse), _shifted(memory.yy)
        inverse[:, :, -1:] = torch.bmm(inverse, products[:, :size]).div_(-step.sy[:, None, None])
        inverse[:, -1, -1] = step.sy.reciprocal()
        yy[:, :, -1] = yy[:, -1] = products[:, size:, 0]
        made = Pairs(pairs, inverse, yy, step.sy / products[:, -1, 0])
        return made if step.every else restored(made, memory, (~step.learned).nonzero()[:, 0])

    def fix(self, memory: Pairs, fixed: Tensor) -> Pairs:
        return memory  # the pairs to come forget it soon enough

    def multiply(self, memory: Pairs, covector: Tensor, scale: Tensor | None) -> tuple[Pairs, Tensor]:
        scaled = covector if scale is None else covector * scale
        gamma, column = memory.gamma[:, None, None], scaled[:, :, None]
        u, v = torch.bmm(memory.pairs, column).chunk(2, 1)
        w = torch.bmm(memory.inverse, u)
        right = w / memory.inverse.diagonal(dim1=1, dim2=2)[:, :, None]
        right.addcmul_(torch.bmm(memory.yy, w).sub_(v), gamma)
        shares = torch.cat([torch.bmm(memory.inverse.mT, right), w * -gamma], 1)
        product = torch.addcmul(torch.bmm(memory.pairs.mT, shares), column, gamma)[:, :, 0]
        return memory, product if scale is None else product * scale


def _shifted(square: Tensor) -> Tensor:
    """Matrices (rows, k, k) without their first row and column, and zeros in the last ones."""
    moved = torch.zeros_like(square)
    moved[:, :-1, :-1] = square[:, 1:, 1:]
    return moved


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS on n rows, for many variables: memory for 2 * memory * dim numbers a row.

    Rows, their ends and their costs are those of `BFGS`.

    Parameters
    ----------
    population_size : int, optional
        How many rows descend; by default as many as `init` is given.
    memory : int, at least 1
        Steps that are remembered.
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
        Trials of a line search before it gives up. Then the row forgets its steps, and if that does not help
        it has stalled.

    Raises
    ------
    TypeError, ValueError
        If an option is of another kind, or out of its range.

    Examples
    --------
    >>> import torch, hybridopt
    >>> result = hybridopt.minimize(
    ...     lambda x: (x - 1).square().sum() + (x - 1).prod(), x0=torch.zeros(300), method="lbfgs")
    >>> bool(result.success), round(result.fun, 6)
    (True, 0.0)

    References
    ----------
    D. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization", Math. Program.
    45, 1989.
    """

    population_size: int | None = None
    memory: int = 10
    tol: float = 0.0
    ftol: float = 0.0
    first_step: float = 1.0
    scaled: bool = False
    max_trials: int = 20

    def __post_init__(self) -> None:
        quasi_newton.check_options(self)
        check_whole("memory", self.memory, 1)

    @property
    def traits(self) -> Traits:
        """Local; deterministic on given rows; shifts with the problem."""
        return Traits(order=1, shift_equivariant=True)

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> QuasiNewtonState:
        return quasi_newton.start(self, PairsMemory(self.memory), x, lower, upper, seed)

    def ask(self, state: QuasiNewtonState) -> Query:
        return quasi_newton.query(state)

    def tell(self, state: QuasiNewtonState, evaluation: Evaluation) -> QuasiNewtonState:
        return told(self, PairsMemory(self.memory), state, evaluation)

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
        return quasi_newton.restarted(PairsMemory(self.memory), state, rows, x)
