"""What can be minimised: a function of the user's, or the mean loss over data."""

from hybridopt.objectives.risk import EmpiricalRisk

__all__ = ["EmpiricalRisk"]
