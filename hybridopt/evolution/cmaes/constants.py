"""The default parameters of CMA-ES, with their numbers in Hansen's tutorial.

References
----------
.. [1] N. Hansen (2016, revised 2023), The CMA evolution strategy: a tutorial, arXiv:1604.00772, table 1.
.. [2] R. Ros, N. Hansen (2008), A simple modification in CMA-ES achieving linear time and space complexity,
   PPSN X, 296-305.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Constants:
    """Strategy parameters for one dimension and population.

    Attributes
    ----------
    weights : tuple of float
        One for each rank, best first: the first `mu` sum to 1, the others are at most 0.
    mu : int
        How many have a positive weight.
    mu_eff : float
        Variance effective selection mass.
    c_sigma, d_sigma : float
        Rate and damping of the step size.
    c_c, c_1, c_mu : float
        Rates of the covariance's path, its rank-one and its rank-mu update.
    chi : float
        Expected length of a standard normal vector.
    gap : int
        Generations between two factorisations of the covariance.
    gain_sigma, gain_c : float
        What makes paths standard normal under random selection.
    decay, stalled : float
        What is left of the covariance in a generation (eq. 47), and how much more where h_sigma is 0.
    chi_limit : float
        Length of a path, in the long run, beyond which h_sigma is 0.
    """

    weights: tuple[float, ...]
    mu: int
    mu_eff: float
    c_sigma: float
    d_sigma: float
    c_c: float
    c_1: float
    c_mu: float
    chi: float
    gap: int
    gain_sigma: float
    gain_c: float
    decay: float
    stalled: float
    chi_limit: float

    def longest(self, tells: int) -> float:
        """Path of the step size beyond which h_sigma is 0, after that many tells (below eq. 45)."""
        return self.chi_limit * math.sqrt(1 - (1 - self.c_sigma) ** (2 * tells))


def default_population(dim: int) -> int:
    """Rows of a generation: 4 + floor(3 ln dim) (eq. 48)."""
    return 4 + int(3 * math.log(dim))


@functools.lru_cache(maxsize=256)
def constants(dim: int, population: int, acceleration: float = 1.0) -> Constants:
    """Defaults of table 1 in [1]; both covariance rates times `acceleration` (section 3 of [2])."""
    n, count = dim, population
    mu = count // 2
    raw = [math.log((count + 1) / 2) - math.log(i) for i in range(1, count + 1)]  # (eq. 49)
    mu_eff, mu_eff_minus = _mass(raw[:mu]), _mass(raw[mu:])
    c_1 = 2 / ((n + 1.3) ** 2 + mu_eff)  # (eq. 57)
    c_mu = 2 * (0.25 + mu_eff + 1 / mu_eff - 2) / ((n + 2) ** 2 + mu_eff)  # (eq. 58)
    c_1 = min(0.5, c_1 * acceleration)
    c_mu = min(1 - c_1, c_mu * acceleration)
    minus = min(
        1 + c_1 / c_mu,  # (eq. 50)
        1 + 2 * mu_eff_minus / (mu_eff + 2),  # (eq. 51)
        (1 - c_1 - c_mu) / (n * c_mu),  # (eq. 52)
    )
    positive, negative = sum(raw[:mu]), -sum(raw[mu:])
    weights = tuple(w / positive if w >= 0 else minus * w / negative for w in raw)  # (eq. 53)
    c_sigma = (mu_eff + 2) / (n + mu_eff + 5)  # (eq. 55)
    c_c = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n)  # (eq. 56)
    chi = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
    return Constants(
        weights=weights,
        mu=mu,
        mu_eff=mu_eff,
        c_sigma=c_sigma,
        d_sigma=1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (n + 1)) - 1) + c_sigma,  # (eq. 55)
        c_c=c_c,
        c_1=c_1,
        c_mu=c_mu,
        chi=chi,
        gap=max(1, int(1 / (10 * n * (c_1 + c_mu)))),  # section B.2
        gain_sigma=math.sqrt(c_sigma * (2 - c_sigma) * mu_eff),  # in (eq. 43)
        gain_c=math.sqrt(c_c * (2 - c_c) * mu_eff),  # in (eq. 45)
        decay=1 - c_1 - c_mu * sum(weights),  # in (eq. 47)
        stalled=c_1 * c_c * (2 - c_c),  # c_1 delta(h_sigma), in (eq. 47)
        chi_limit=(1.4 + 2 / (n + 1)) * chi,
    )


def _mass(weights: list[float]) -> float:
    """(sum w)^2 / sum w^2."""
    return sum(weights) ** 2 / sum(w * w for w in weights)
