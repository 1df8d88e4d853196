"""A result folder as one self-contained web page: tables, who won where, convergence curves, failures."""

from hybridopt.runs.report.page import write

__all__ = ["write"]
