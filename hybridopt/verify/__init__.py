"""Every optimizer against scipy's closed forms: the judge that a stranger can run."""

from hybridopt.verify.door import verify
from hybridopt.verify.report import Report, Row

__all__ = ["Report", "Row", "verify"]
