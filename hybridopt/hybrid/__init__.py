"""Schedulers of optimizers, which are optimizers themselves."""

from hybridopt.hybrid.alternate import Alternate
from hybridopt.hybrid.perturb_restart import PerturbRestart

__all__ = ["Alternate", "PerturbRestart"]
