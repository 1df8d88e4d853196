"""Local searches by quasi-Newton methods side by side, and what they know: where earlier ones ended.

A search that runs into a minimum that is known is given up (`judge`); so is one that can't end below the
best minimum any more, unless every one is wanted. Where it was given up it stood, by its own quadratic model,
within a twentieth of its height above the best minimum: good enough to tell how minima lie, for a fraction of
the cost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hybridopt.core import Evaluation, Query, State
from hybridopt.gradient.quasi_newton import FAILED, RUNNING, QuasiNewtonState, given_up
from hybridopt.gradient.suited import in_box
from hybridopt.hybrid.judge import arriving, hopeless, spent
from hybridopt.hybrid.minima import Minima, add, none_yet
from hybridopt.start import unit

MOST = 1000  # ends that are remembered: the last ones


@dataclass(frozen=True)
class Known:
    """Where local searches ended.

    Attributes
    ----------
    minima : Minima
        Those that converged, and the known ones that others ran into.
    ends : Tensor, shape (count, dim)
        Where searches ended or were given up, oldest first.
    heights : Tensor, shape (count,)
        Values there.
    origins : Tensor, shape (count,)
        Values where they began.
    """

    minima: Minima
    ends: Tensor
    heights: Tensor
    origins: Tensor


@dataclass(frozen=True)
class Searches:
    """Local searches, and where earlier ones ended.

    Attributes
    ----------
    search : QuasiNewtonState
    origin : Tensor, shape (rows,)
        Values where they began, +inf before they are known.
    known : Known
    width : Tensor, shape (dim,)
        Unit of distance.
    waited : int
        Trials until the first row made its first step.
    """

    search: QuasiNewtonState
    origin: Tensor
    known: Known
    width: Tensor
    waited: int = 0

    @property
    def running(self) -> bool:
        """Whether one runs."""
        return self.search.running.rows.shape[0] > 0


@dataclass(frozen=True)
class SearchingState(State):
    """State of an optimizer that searches locally and rests between searches.

    Attributes
    ----------
    searches : Searches
    """

    searches: Searches

    @property
    def searching(self) -> bool:
        """Whether a local search runs."""
        return self.searches.running

    @property
    def minima(self) -> Minima:
        """Distinct minima, best first."""
        return self.searches.known.minima


def begin(x: Tensor, lower: Tensor, upper: Tensor, seed: int) -> Searches:
    """Searches from rows (rows, dim); nothing is known yet."""
    none = x.new_empty(0)
    search = in_box(x.shape[1]).init(x, lower, upper, seed=seed)
    known = Known(none_yet(x), x.new_empty(0, x.shape[1]), none, none)
    return Searches(search, search.value, known, unit(search.x[0], lower, upper))


def begin_again(searches: Searches, x: Tensor, seed: int) -> Searches:
    """Searches from other rows (rows, dim)."""
    search = searches.search
    search = in_box(x.shape[1]).init(x, search.lower, search.upper, seed=seed)
    return Searches(search, search.value, searches.known, searches.width)


def query(searches: Searches) -> Query:
    """What the searches that run want to know."""
    return in_box(searches.search.x.shape[1]).ask(searches.search)


def told(searches: Searches, evaluation: Evaluation, *, every: bool) -> Searches:
    """Searches after their trials; with `every` the hopeless ones run on to their minima."""
    before, known, width, waited = searches.search, searches.known, searches.width, searches.waited
    ran = before.running.rows
    search = in_box(evaluation.x.shape[1]).tell(before, evaluation)
    origin = searches.origin
    if before.step == 0:
        origin = origin.index_copy(0, ran, evaluation.value)
    if waited == before.step:
        waited += int(bool((search.running.pairs[:1] == 0).any()))
    if not search.moved:  # nothing is to be judged anew
        return Searches(search, origin, known, width, waited)
    over, back = _judged(search, known.minima, width, every)
    there = spent(search, search.step - waited, width)
    if search.running.rows.shape[0] >= ran.shape[0] and not bool((over | there).any()):
        return Searches(search, origin, known, width, waited)
    there = there & ~over
    search, over = given_up(search, there), over[~there]
    ended = ran[(search.status[ran] != RUNNING) & (search.status[ran] != FAILED)]
    x = torch.cat([known.minima.x[back], search.x[ended]])
    value = torch.cat([known.minima.value[back], search.value[ended]])
    known = replace(known, minima=add(known.minima, x, value, width))
    return _stopped(Searches(search, origin, known, width, waited), over, ended)


def joined(searches: Searches, known: Known, begun: Tensor) -> Searches:
    """Searches that know where those of others ended; none begins where those did, at rows (count, dim)."""
    search = searches.search
    if search.step == 0:
        again = (search.running.trial[:, None] == begun).all(2).any(1)
        search = given_up(search, again)
    return replace(searches, search=search, known=known)


def abandoned(searches: Searches) -> Searches:
    """Searches that have all been given up where they are."""
    rows = searches.search.running.rows
    return _stopped(searches, torch.ones_like(rows, dtype=torch.bool), rows[:0])


def _stopped(searches: Searches, over: Tensor, ended: Tensor) -> Searches:
    """Searches of which some running rows, the mask `over`, are given up, and rows `ended` have ended."""
    search, known = searches.search, searches.known
    rows = torch.cat([search.running.rows[over], ended])
    known = Known(
        known.minima,
        torch.cat([known.ends, search.x[rows]])[-MOST:],
        torch.cat([known.heights, search.value[rows]])[-MOST:],
        torch.cat([known.origins, searches.origin[rows]])[-MOST:],
    )
    return replace(searches, search=given_up(search, over), known=known)


def _judged(search: QuasiNewtonState, minima: Minima, width: Tensor, every: bool) -> tuple[Tensor, Tensor]:
    """Running rows to be given up, a mask (rows,); and the minima (places) that some of them run into."""
    rows = search.running.rows
    if not rows.shape[0] or not minima.x.shape[0]:
        none = torch.zeros_like(rows, dtype=torch.bool)
        return none, rows[none]
    back, place = arriving(search, minima, width)
    if every:
        return back, place[back]
    lost = hopeless(search, minima.value[0])
    return lost | back, place[back & ~lost]
