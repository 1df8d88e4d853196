"""Gradient methods on n rows."""

from hybridopt.gradient.bfgs import BFGS
from hybridopt.gradient.descent import TorchGradient
from hybridopt.gradient.lbfgs import LBFGS
from hybridopt.gradient.noise import GradientNoise
from hybridopt.gradient.perturbed import PerturbedDescent
from hybridopt.gradient.schedule import Replay

__all__ = ["BFGS", "LBFGS", "GradientNoise", "PerturbedDescent", "Replay", "TorchGradient"]
