"""Basin hopping with a population: local minima that hop and recombine, and stay dissimilar.

A member is a local minimum. In every generation each one makes a start: a hop, a random step from it, or a
recombination, a step along the difference of two other members (or towards one) in some of the coordinates.
Local searches descend from all starts in one batch. A child that ended near a member competes with the
nearest one; a child that ended far from all competes with the worst one, so that several funnels stay
occupied [2].

References
----------
.. [1] D. J. Wales, J. P. K. Doye (1997), Global optimization by basin-hopping and the lowest energy
   structures of Lennard-Jones clusters containing up to 110 atoms, J. Phys. Chem. A 101, 5111-5116.
.. [2] A. Grosso, M. Locatelli, F. Schoen (2007), A population-based approach for hard global optimization
   problems based on dissimilarity measures, Math. Program. 110, 373-404.
.. [3] D. M. Deaven, K. M. Ho (1995), Molecular geometry optimization with a genetic algorithm, Phys. Rev.
   Lett. 75, 288-291.
.. [4] K. Price, R. Storn, J. Lampinen (2005), Differential Evolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hybridopt.check import check_not_negative, check_number, check_whole
from hybridopt.core import Evaluation, Query, State, Traits
from hybridopt.gradient.bfgs import informed, lent
from hybridopt.gradient.quasi_newton import FAILED, RUNNING, QuasiNewtonState, given_up
from hybridopt.gradient.suited import in_box
from hybridopt.hybrid.judge import ROUNDINGS, arriving, believed, hopeless, promised, standing
from hybridopt.hybrid.keep import best_of, with_best
from hybridopt.hybrid.minima import NEAR, Minima, add, duplicates, none_yet
from hybridopt.rng import child_seed, generator
from hybridopt.start import fill, unit

RETURNING = 0.3  # share of the hops that win nothing that are to have come back where they began
LEARNING = 0.5  # how quickly the reach of hops follows, in natural logarithms a generation
LEAST, MOST = 1e-3, 0.5  # that reach, in widths
SPLICED = 0.5  # share of the recombinations of two minima; the others take three


@dataclass(frozen=True)
class BasinHoppingState(State):
    """State of `BasinHopping`; `x` holds the better of every member and its search, and the best point.

    Attributes
    ----------
    members : Tensor, shape (population, dim)
        Local minima.
    heights : Tensor, shape (population,)
        Their values, +inf before the first generation has ended.
    search : QuasiNewtonState
        The local searches of this generation; row i was started by member i.
    hops : Tensor, shape (population,), bool
        Which of them were started by a hop.
    reach : float
        Of a hop, in widths.
    width : Tensor, shape (dim,)
        Unit of distance.
    generation : int
    idle : int
        Generations since a member was replaced.
    minima : Minima
    best_x : Tensor, shape (dim,)
        The best point so far.
    best_value : Tensor, shape ()
    factor : Tensor of shape (dim, dim), optional
        Of the inverse Hessian of the search that ended last: the next ones begin with it. None where members
        begin anew.
    """

    members: Tensor
    heights: Tensor
    search: QuasiNewtonState
    hops: Tensor
    reach: float
    width: Tensor
    generation: int
    idle: int
    minima: Minima
    best_x: Tensor
    best_value: Tensor
    factor: Tensor | None = None

    @property
    def searching(self) -> bool:
        """Whether local searches are on their way; a scheduler may pause where none is."""
        return self.search.step > 0


@dataclass(frozen=True)
class BasinHopping:
    """Local minima that hop and recombine, with local searches by BFGS in one batch.

    Parameters
    ----------
    population_size : int, >= 1
        Members, and local searches in a batch. Few descend a funnel soonest, more keep several funnels.
    recombined : float, in [0, 1]
        Probability that a member's start is a recombination, and not a hop; below three members all hop.
    reach : float, in (0, 0.5]
        Of the first hops: uniform within so many widths of the box to either side, as far as the box goes;
        where a bound is not finite, the width is max(1, abs(coordinate)). It adapts: hops that come back to
        their minimum lengthen it, hops that end in a worse one shorten it.
    ftol : float, at least 0
        A search for a minimum of value f that is not the best has settled when its quadratic model promises
        no more than ftol * max(abs(f), 1). The best one is searched as exactly as rounding lets.
    patience : int, >= 1
        After so many generations in which no child won, all members begin anew anywhere in the box.

    Raises
    ------
    TypeError, ValueError
        If an option is no such number.

    Notes
    -----
    A search is given up when it can hardly end below the member that started it, or when it runs into a
    minimum that is known. Members are near to one another within the reach of one hop.

    A recombination is x_i + x_j - x_k, or x_j in place of x_i, in a random share of the coordinates and x_i
    in the others: cut and splice [1] for vectors. In a landscape with a period x_i + x_j - x_k is close to a
    minimum again, however the axes are turned.

    Examples
    --------
    >>> import torch, hybridopt
    >>> def rastrigin(x):
    ...     return (x**2 - 10 * torch.cos(2 * torch.pi * x) + 10).sum()
    >>> result = hybridopt.minimize(
    ...     rastrigin, bounds=[(-5.12, 4)] * 3, method=hybridopt.BasinHopping(), max_evals=4000, seed=0)
    >>> round(result.fun, 6)
    0.0

    References
    ----------
    .. [1] D. M. Deaven, K. M. Ho (1995), Molecular geometry optimization with a genetic algorithm, Phys. Rev.
       Lett. 75, 288-291.
    """

    population_size: int = 5
    recombined: float = 0.3
    reach: float = 0.1
    ftol: float = 1e-6
    patience: int = 20

    def __post_init__(self) -> None:
        check_whole("population_size", self.population_size, 1)
        check_number("recombined", self.recombined, lambda share: 0 <= share <= 1, "at least 0 and at most 1")
        check_number("reach", self.reach, lambda reach: 0 < reach <= MOST, f"above 0 and at most {MOST}")
        check_not_negative("ftol", self.ftol)
        check_whole("patience", self.patience, 1)

    @property
    def traits(self) -> Traits:
        """Of a global method that takes gradients."""
        return Traits(order=1, stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> BasinHoppingState:
        starts = fill(x, self.population_size, lower, upper, child_seed(seed, "starts"))
        search = in_box(starts.shape[1]).init(starts, lower, upper, seed=child_seed(seed, "search", 0))
        return BasinHoppingState(
            search.x,
            search.value,
            lower,
            upper,
            seed,
            0,
            members=search.x,
            heights=search.value,
            search=search,
            hops=torch.zeros_like(search.value, dtype=torch.bool),
            reach=self.reach,
            width=unit(search.x[0], lower, upper),
            generation=0,
            idle=0,
            minima=none_yet(search.x),
            best_x=search.x[0],
            best_value=search.value[0],
        )

    def ask(self, state: BasinHoppingState) -> Query:
        return in_box(state.x.shape[1]).ask(state.search)

    def tell(self, state: BasinHoppingState, evaluation: Evaluation) -> BasinHoppingState:
        before, ran = state.search, state.search.running.rows
        search = in_box(state.x.shape[1]).tell(before, evaluation)
        best_x, best_value = best_of(evaluation, state.best_x, state.best_value)
        state = replace(state, step=state.step + 1, search=search, best_x=best_x, best_value=best_value)
        if not search.moved:
            return _shown(state)
        state = _ended(state, ran, self.ftol)
        factors = lent(before, state.search)
        if factors.shape[0]:
            state = replace(state, factor=factors[-1])
        if not state.search.running.rows.shape[0]:
            state = self._begun(_adapted(state))
        return _shown(state)

    def hopping(self, state: BasinHoppingState, minima: Minima) -> BasinHoppingState:
        """The state whose first members are minima, and whose searches begin with hops from them.

        Parameters
        ----------
        state : BasinHoppingState
            As `init` makes it.
        minima : Minima
            One or more.
        """
        count = min(self.population_size, minima.x.shape[0])
        x, value = minima.x[:count], minima.value[:count]
        state = replace(
            state,
            members=torch.cat([x, state.members[count:]]),
            heights=torch.cat([value, state.heights[count:]]),
            minima=add(state.minima, x, value, state.width),
            best_x=x[0],
            best_value=value[0],
        )
        seed = child_seed(state.seed, "search", 0)
        starts, hops = self._starts(state, seed)
        search = in_box(x.shape[1]).init(starts, state.lower, state.upper, seed=seed)
        return _shown(replace(state, search=search, hops=hops))

    def joined(self, state: BasinHoppingState, x: Tensor, value: Tensor | None = None) -> BasinHoppingState:
        """The state in which a point takes the place of the worst member; pure, like `tell`.

        Parameters
        ----------
        state : BasinHoppingState
            Between generations: not `searching`.
        x : Tensor, shape (1, dim)
        value : Tensor of shape (1,), optional
            Of a minimum: the member's search begins with a hop from there. Without it, where x is.
        """
        row = state.heights.argmax()[None]
        height = torch.full_like(x[:, 0], torch.inf) if value is None else value
        state = replace(
            state,
            members=state.members.index_copy(0, row, x),
            heights=state.heights.index_copy(0, row, height),
            hops=state.hops.index_fill(0, row, value is not None),
            idle=0,
        )
        if value is not None:
            minima = add(state.minima, x, value, state.width)
            best_x, best_value = best_of(Evaluation(x, value), state.best_x, state.best_value)
            state = replace(state, minima=minima, best_x=best_x, best_value=best_value)
            x = _hopped(x, state, generator(state.seed, "joined", state.step, device=x.device))
        return _shown(replace(state, search=in_box(x.shape[1]).restart(state.search, row, x)))

    def _begun(self, state: BasinHoppingState) -> BasinHoppingState:
        """The state in which children have won their places, and the next generation of searches begins."""
        state = _replaced(replace(state, generation=state.generation + 1))
        seed = child_seed(state.seed, "search", state.generation)
        if state.idle < self.patience:
            starts, hops = self._starts(state, seed)
        else:
            count = len(state.heights) + 1
            starts = fill(state.members[:1], count, state.lower, state.upper, seed)[1:]
            hops = torch.zeros_like(state.hops)
            unknown = torch.full_like(state.heights, torch.inf)
            state = replace(state, members=starts, heights=unknown, idle=0, reach=self.reach, factor=None)
        search = in_box(starts.shape[1]).init(starts, state.lower, state.upper, seed=seed)
        if state.factor is not None:
            search = informed(search, state.factor)
        return replace(state, search=search, hops=hops)

    def _starts(self, state: BasinHoppingState, seed: int) -> tuple[Tensor, Tensor]:
        """Where the searches of all members begin, (population, dim), and which of them by a hop."""
        best = state.members[state.heights.argmin()]
        x = torch.where(torch.isfinite(state.heights)[:, None], state.members, best)
        g = generator(seed, "starts", device=x.device)
        hop = _hopped(x, state, g)
        if len(x) < 3:
            return hop, torch.ones_like(state.hops)
        recombined = _recombined(x, state, g)
        old = (recombined[:, None] == x).all(2).any(1)  # a member again
        hops = (_uniform(g, x, len(x)) >= self.recombined) | old
        return torch.where(hops[:, None], hop, recombined), hops


def _hopped(x: Tensor, state: BasinHoppingState, g: torch.Generator) -> Tensor:
    """Points uniform in boxes around rows, cut to the bounds; (population, dim)."""
    reach = state.reach * state.width
    low, high = torch.maximum(x - reach, state.lower), torch.minimum(x + reach, state.upper)
    return torch.lerp(low, high, _uniform(g, x, *x.shape))


def _recombined(x: Tensor, state: BasinHoppingState, g: torch.Generator) -> Tensor:
    """Rows changed by the difference of two others, or of one other, in some coordinates; (population, dim).

    A coordinate that would leave the box goes half of the way to the bound.
    """
    count, dim = x.shape
    others = _uniform(g, x, count, count).fill_diagonal_(torch.inf).argsort(1)
    spliced = (_uniform(g, x, count) < SPLICED)[:, None]
    change = x[others[:, 0]] - torch.where(spliced, x, x[others[:, 1]])
    toss = _uniform(g, x, count, dim)
    taken = (toss < _uniform(g, x, count, 1)) | (toss == toss.amin(1, keepdim=True))
    new = torch.where(taken, x + change, x)
    new = torch.where(new < state.lower, (x + state.lower) / 2, new)
    return torch.where(new > state.upper, (x + state.upper) / 2, new)


def _uniform(g: torch.Generator, like: Tensor, *shape: int) -> Tensor:
    return torch.rand(shape, generator=g, dtype=like.dtype, device=like.device)


def _ended(state: BasinHoppingState, ran: Tensor, ftol: float) -> BasinHoppingState:
    """The state without searches that need not go on, and with the minima that those of `ran` found."""
    search, minima = state.search, state.minima
    rows = search.running.rows
    settled = _settled(state, ftol)
    over = settled | hopeless(search, state.heights[rows])
    back, place = settled, rows
    if minima.x.shape[0]:
        back, place = arriving(search, minima, state.width)
        back &= ~over & (standing(search) >= minima.value[place])
    if rows.shape[0] >= ran.shape[0] and not bool((over | back).any()):
        return state
    found = torch.zeros_like(state.hops).index_fill(0, ran, True)
    found &= (search.status != RUNNING) & (search.status != FAILED)
    found = found.index_fill(0, rows[settled | back], True)
    if minima.x.shape[0]:
        rows, place = rows[back], place[back]
        x = search.x.index_copy(0, rows, minima.x[place])
        search = replace(search, x=x, value=search.value.index_copy(0, rows, minima.value[place]))
    search = given_up(search, over | back)
    minima = add(minima, search.x[found], search.value[found], state.width)
    return replace(state, search=search, minima=minima)


def _settled(state: BasinHoppingState, ftol: float) -> Tensor:
    """Running searches whose model promises too little; the one that leads to the best minimum goes on."""
    search = state.search
    value, promise = standing(search), promised(search)
    size, exact = value.abs().clamp_min(1.0), ROUNDINGS * torch.finfo(value.dtype).eps
    settled = believed(search) & (promise <= max(ftol, exact) * size)
    if not bool(settled.any()):
        return settled
    leading = value <= search.value.amin()
    if state.minima.x.shape[0]:
        leading &= value - promise < state.minima.value[0]
    return settled & (promise <= torch.where(leading, exact, ftol) * size)


def _adapted(state: BasinHoppingState) -> BasinHoppingState:
    """The state whose hops reach farther if too many came back, and less far if too many found worse."""
    search = state.search
    hops = state.hops & torch.isfinite(search.value) & (search.value >= state.heights)
    if not bool(state.hops.any()):
        return state
    back = hops & (_apart(search.x, state.members, state.width) <= NEAR)
    surplus = float(back.sum()) - RETURNING * float(hops.sum())
    reach = state.reach * math.exp(LEARNING * surplus / float(state.hops.sum()))
    return replace(state, reach=min(max(reach, LEAST), MOST))


def _replaced(state: BasinHoppingState) -> BasinHoppingState:
    """The state in which the best child that competes with a member has its place, if it is better."""
    child, value = state.search.x, state.search.value
    order = torch.argsort(state.heights, stable=True)
    double = duplicates(state.members[order], state.width)
    bar = state.heights.index_fill(0, order[double], torch.inf)
    rivals = _rivals(state, bar)[None] == torch.arange(len(value), device=value.device)[:, None]
    lowest, which = torch.where(rivals, value, torch.inf).min(1)
    won = lowest < bar
    return replace(
        state,
        members=torch.where(won[:, None], child[which], state.members),
        heights=torch.where(won, lowest, state.heights),
        idle=0 if bool(won.any()) else state.idle + 1,
    )


def _rivals(state: BasinHoppingState, bar: Tensor) -> Tensor:
    """The member that each child competes with, -1 for none; (population,), int64.

    Where its parent is no minimum yet, that; else the nearest member if it is near, else one of the worst by
    the values to beat, `bar`: for the best such child the worst, for the next best the next to worst. Of
    children that are far from all members but near to one another the best alone competes.
    """
    child, members = state.search.x, state.members
    distance, nearest = _apart(child[:, None], members[None], state.width).min(1)
    order = torch.argsort(state.search.value, stable=True)
    ranked = child[order]
    near = (_apart(ranked[:, None], ranked[None], state.width) <= state.reach).tril(-1)
    known = torch.isfinite(state.heights)
    far = ((distance > state.reach) & known)[order]
    alone = far & ~(near & far).any(1)
    worst = torch.argsort(bar, descending=True, stable=True)
    place = torch.where(known, nearest, torch.arange(len(nearest), device=nearest.device))[order]
    place = torch.where(far, -1, place)
    place[alone] = worst[: int(alone.sum())]
    return torch.empty_like(place).index_copy(0, order, place)


def _apart(x: Tensor, y: Tensor, width: Tensor) -> Tensor:
    """Distance in the largest coordinate, in widths."""
    return ((x - y).abs() / width).amax(-1)


def _shown(state: BasinHoppingState) -> BasinHoppingState:
    """The state that shows each member or, where that is better, the search it started; and the best."""
    search = state.search
    better = search.value < state.heights
    x = torch.where(better[:, None], search.x, state.members)
    value = torch.where(better, search.value, state.heights)
    x, value = with_best(x, value, state.best_x, state.best_value)
    return replace(state, x=x, value=value)
