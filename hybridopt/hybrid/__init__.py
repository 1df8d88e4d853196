"""Schedulers of optimizers, which are optimizers themselves."""

from hybridopt.hybrid.alternate import Alternate

__all__ = ["Alternate"]
