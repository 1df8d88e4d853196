"""Differential evolution that learns its own scale factors and crossover rates."""

from hybridopt.evolution.differential.lshade import LSHADE
from hybridopt.evolution.differential.shade import SHADE, SHADEState

__all__ = ["LSHADE", "SHADE", "SHADEState"]
