"""Gradient methods on n rows."""

from hybridopt.gradient.descent import TorchGradient
from hybridopt.gradient.noise import GradientNoise
from hybridopt.gradient.perturbed import PerturbedDescent
from hybridopt.gradient.schedule import Replay

__all__ = ["GradientNoise", "PerturbedDescent", "Replay", "TorchGradient"]
