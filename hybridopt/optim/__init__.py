"""The torch door: what a training script puts where its `torch.optim` line stood."""

from hybridopt.optim.escape import Attempt, Escape
from hybridopt.optim.from_engine import FromEngine
from hybridopt.optim.hybrid import Hybrid

__all__ = ["Attempt", "Escape", "FromEngine", "Hybrid"]
