"""Methods that evolve a population of points from their values alone."""

from hybridopt.evolution import operators
from hybridopt.evolution.cmaes import CMAES, CMAESState, RestartedCMAES, bipop_cmaes, ipop_cmaes
from hybridopt.evolution.differential import LSHADE, SHADE, SHADEState
from hybridopt.evolution.genetic import GeneticAlgorithm, GeneticState
from hybridopt.evolution.operators import batched
from hybridopt.evolution.random_search import RandomSearch
from hybridopt.evolution.toolbox import default_toolbox

__all__ = [
    "CMAES",
    "LSHADE",
    "SHADE",
    "CMAESState",
    "GeneticAlgorithm",
    "GeneticState",
    "RandomSearch",
    "RestartedCMAES",
    "SHADEState",
    "batched",
    "bipop_cmaes",
    "default_toolbox",
    "ipop_cmaes",
    "operators",
]
