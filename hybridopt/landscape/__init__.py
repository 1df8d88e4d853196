"""What kind of point was reached: certificates of minima and saddles."""

from hybridopt.landscape.certificate import Certificate
from hybridopt.landscape.certify import certify
from hybridopt.landscape.model import certify_model

__all__ = ["Certificate", "certify", "certify_model"]
