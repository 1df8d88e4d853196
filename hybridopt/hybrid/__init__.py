"""Schedulers of optimizers, which are optimizers themselves."""

from hybridopt.hybrid.alternate import Alternate
from hybridopt.hybrid.basin_hopping import BasinHopping
from hybridopt.hybrid.funnel import Funnel
from hybridopt.hybrid.memetic import MemeticGenetic
from hybridopt.hybrid.multistart import MultiStart
from hybridopt.hybrid.perturb_restart import PerturbRestart
from hybridopt.hybrid.portfolio import Portfolio

__all__ = [
    "Alternate",
    "BasinHopping",
    "Funnel",
    "MemeticGenetic",
    "MultiStart",
    "PerturbRestart",
    "Portfolio",
]
