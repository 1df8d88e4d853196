"""CMA-ES with a full or a diagonal covariance, many runs in a batch, and restarts."""

from hybridopt.evolution.cmaes.optimizer import CMAES, CMAESState
from hybridopt.evolution.cmaes.restarts import (
    Increasing,
    RestartedCMAES,
    RestartedCMAESState,
    TwoRegimes,
    bipop_cmaes,
    ipop_cmaes,
)

__all__ = [
    "CMAES",
    "CMAESState",
    "Increasing",
    "RestartedCMAES",
    "RestartedCMAESState",
    "TwoRegimes",
    "bipop_cmaes",
    "ipop_cmaes",
]
