"""Methods that evolve a population of points from their values alone."""

from hybridopt.evolution import operators
from hybridopt.evolution.genetic import GeneticAlgorithm, GeneticState
from hybridopt.evolution.operators import batched
from hybridopt.evolution.random_search import RandomSearch
from hybridopt.evolution.toolbox import default_toolbox

__all__ = ["GeneticAlgorithm", "GeneticState", "RandomSearch", "batched", "default_toolbox", "operators"]
