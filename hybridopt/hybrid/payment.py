"""Who is paid for what was found: accounts of the arms of a portfolio.

A turn earns credit if it brought something new that is among the best of the last turns of all arms: a turn
that is merely no record is not worthless, and one that repeats a known value is. Credit and cost fade, so
that an arm that was good for another stage of the search does not live on it. The arm with the most credit
for its cost has the next turn; everyone begins with a little of both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

MEMORY = 20.0  # periods after which half of credit and cost is forgotten
RESULTS = 40  # turns that a turn is compared with
TOP = 0.25  # of them: as good as these earns credit
NEW = 1e-3  # of the distance from the best to the middle of them: as near as this to one is no news


@dataclass(frozen=True)
class Account:
    """What an arm cost and earned.

    Attributes
    ----------
    spent : int
        Units in all.
    turns : int
    credit, paid : float
        Credit, and units, as far as they are not forgotten.
    """

    spent: int = 0
    turns: int = 0
    credit: float = 0.0
    paid: float = 0.0

    def faded(self, keep: float) -> Account:
        """Account after a while."""
        return replace(self, credit=self.credit * keep, paid=self.paid * keep)

    def rate(self, prior: float, period: float) -> float:
        """Credit per period, begun with `prior` for one."""
        return (self.credit + prior) / (self.paid / period + 1.0)


@dataclass(frozen=True)
class Books:
    """Accounts of all arms.

    Attributes
    ----------
    accounts : dict of str to Account
    results : tuple of float
        The best values of the last turns, oldest first.
    cost : int
        Units of the turn that goes on.
    low : float
        Its best value.
    noise : float
        Values that differ by no more may be the same.
    """

    accounts: dict[str, Account]
    results: tuple[float, ...] = ()
    cost: int = 0
    low: float = math.inf
    noise: float = 0.0

    def booked(self, cost: int, low: float) -> Books:
        """Books after a batch of the turn that goes on."""
        return replace(self, cost=self.cost + cost, low=min(self.low, low))

    def closed(self, name: str, period: float) -> Books:
        """Books after a turn of an arm.

        Parameters
        ----------
        name : str
        period : float
            Units that a turn usually costs; a shorter one earns its share of the credit.
        """
        share = self.cost / period
        accounts = {key: account.faded(0.5 ** (share / MEMORY)) for key, account in self.accounts.items()}
        account = accounts[name]
        accounts[name] = Account(
            account.spent + self.cost,
            account.turns + 1,
            account.credit + min(1.0, share) * earns(self.results, self.low, self.noise),
            account.paid + self.cost,
        )
        return Books(accounts, (*self.results, self.low)[-RESULTS:], noise=self.noise)


def earns(results: tuple[float, ...], value: float, noise: float = 0.0) -> bool:
    """Whether a value is among the best of `results`, and none of them again, but for noise."""
    if not results or not math.isfinite(value):
        return False
    ranked = sorted(results)
    lowest, middle = ranked[0], ranked[len(ranked) // 2]
    apart = max(noise, NEW * (middle - lowest) if math.isfinite(middle) else 0.0)
    if value > ranked[int(TOP * len(ranked))]:
        return False
    return value < lowest - apart or all(abs(value - result) > apart for result in ranked)
