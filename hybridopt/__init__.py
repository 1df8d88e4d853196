"""Evolution and gradients in one optimizer."""

from hybridopt._version import __version__

__all__ = ["__version__"]
