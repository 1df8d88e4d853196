"""Evolution and gradients in one optimizer.

Evolution explores, gradients exploit, and a schedule decides when each is worth its cost. Three doors:
`hybridopt.minimize` for those who would call scipy.optimize, `hybridopt.optim.Hybrid` for torch training
scripts, and the command `hybridopt run` for experiments.
"""

import importlib
import logging
from typing import Any

from hybridopt import optim, problems
from hybridopt._version import __version__
from hybridopt.checkpoint import CheckpointError
from hybridopt.evolution import CMAES, LSHADE, SHADE, GeneticAlgorithm, RandomSearch, RestartedCMAES
from hybridopt.gradient import BFGS, LBFGS, GradientNoise, PerturbedDescent, TorchGradient
from hybridopt.hybrid import (
    Alternate,
    BasinHopping,
    Funnel,
    MemeticGenetic,
    MultiStart,
    PerturbRestart,
    Portfolio,
)
from hybridopt.landscape import Certificate, certify, certify_model
from hybridopt.minimize import GradientMismatchError, minimize
from hybridopt.objectives import EmpiricalRisk
from hybridopt.verify import verify

__all__ = [
    "BFGS",
    "CMAES",
    "LBFGS",
    "LSHADE",
    "SHADE",
    "Alternate",
    "BasinHopping",
    "Certificate",
    "CheckpointError",
    "EmpiricalRisk",
    "Funnel",
    "GeneticAlgorithm",
    "GradientMismatchError",
    "GradientNoise",
    "MemeticGenetic",
    "MultiStart",
    "PerturbRestart",
    "PerturbedDescent",
    "Portfolio",
    "RandomSearch",
    "RestartedCMAES",
    "TorchGradient",
    "__version__",
    "certify",
    "certify_model",
    "minimize",
    "optim",
    "problems",
    "verify",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name in ("baselines", "testing"):  # loaded on use
        return importlib.import_module(f"hybridopt.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
