"""DEAP's operators for whole populations: its names, parameters and distributions, on tensors.

They are registered in a `deap.base.Toolbox` in the place of `deap.tools`' functions of the same names. What
differs is what they act on: `select` takes all values (low is better) and returns the rows selected; `mate`
crosses the row pairs (0, 1), (2, 3), ... as `deap.algorithms.varAnd` does, and `mutate` changes rows, both
in place. Common to them are

* `population`, shape (n, dim), contiguous: changed in place;
* `chosen`, bool of shape (n // 2,) for pairs or (n,) for rows: which ones take part; all, where None;
* `generator`: a `torch.Generator` on the population's device;
* `mu`, `sigma`, `low`, `up`: one number, or one a gene, shape (dim,).

An operator of your own for whole populations takes the same arguments and is marked by `batched`.
All shapes are static and nothing waits for a device, so they run on GPUs and on fake tensors too.

Examples
--------
>>> import torch
>>> from deap import base
>>> from hybridopt.evolution import operators
>>> toolbox = base.Toolbox()
>>> toolbox.register("mutate", operators.mutGaussian, mu=0.0, sigma=0.1, indpb=0.5)
>>> population = torch.zeros(4, 3)
>>> toolbox.mutate(population, generator=torch.Generator().manual_seed(0))
>>> bool((population != 0).any())
True

References
----------
.. [1] F.-A. Fortin, F.-M. De Rainville, M.-A. Gardner, M. Parizeau, C. Gagné (2012), DEAP: Evolutionary
   algorithms made easy, Journal of Machine Learning Research 13, 2171-2175.
"""

from hybridopt.evolution.crossover import (
    cxBlend,
    cxOnePoint,
    cxSimulatedBinaryBounded,
    cxTwoPoint,
    cxUniform,
)
from hybridopt.evolution.mutation import mutGaussian, mutPolynomialBounded
from hybridopt.evolution.parameters import batched
from hybridopt.evolution.selection import selBest, selTournament

__all__ = [
    "batched",
    "cxBlend",
    "cxOnePoint",
    "cxSimulatedBinaryBounded",
    "cxTwoPoint",
    "cxUniform",
    "mutGaussian",
    "mutPolynomialBounded",
    "selBest",
    "selTournament",
]
