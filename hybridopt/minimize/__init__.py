"""The scipy door: arguments in, `scipy.optimize.OptimizeResult` out."""

from hybridopt.minimize.door import minimize
from hybridopt.minimize.gradcheck import GradientMismatchError

__all__ = ["GradientMismatchError", "minimize"]
