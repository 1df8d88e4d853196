"""What comes of verification: rows, and a table of them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hybridopt.verify.standard import Measure

if TYPE_CHECKING:
    from rich.table import Table

Verdict = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True)
class Row:
    """One optimizer against one baseline.

    Attributes
    ----------
    optimizer, baseline : str
    oracle : str
        What the result is compared with, e.g. "scipy.linalg.lstsq".
    verdict : {"passed", "failed", "not applicable"}
    measure : {"distance", "value", "path"}, optional
        Distance of the point from the solution, or of its value from the lowest, as a share of the start's;
        or the distance from torch's path as a share of its length. None where there is nothing to measure.
    error : float, optional
        In that measure; None where there is no run, or one that raised an exception.
    tolerance : float, optional
    reason : str
        Why that tolerance, or why it does not apply.
    cost : int
        Units spent: a value 1, a gradient 1 more.
    seconds : float
    message : str
        Why it failed, in words.
    """

    optimizer: str
    baseline: str
    oracle: str
    verdict: Verdict
    measure: Measure | None = None
    error: float | None = None
    tolerance: float | None = None
    reason: str = ""
    cost: int = 0
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class Report:
    """All rows of a verification.

    Attributes
    ----------
    rows : tuple of Row
        By optimizer, then by baseline.
    seed : int
    """

    rows: tuple[Row, ...]
    seed: int

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that failed."""
        return tuple(row for row in self.rows if row.verdict == "failed")

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain dicts and lists, for JSON, which has no inf: such an error is None."""
        rows = [dataclasses.asdict(row) for row in self.rows]
        for row in rows:
            if row["error"] is not None and not math.isfinite(row["error"]):
                row["error"] = None
        return {"passed": self.passed, "seed": self.seed, "rows": rows}

    def table(self) -> Table:
        """Make a table for a rich console."""
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name in ("optimizer", "baseline", "against", "measure"):
            table.add_column(name)
        for name in ("error", "tolerance", "units"):
            table.add_column(name, justify="right")
        table.add_column("verdict")
        names = [row.optimizer for row in self.rows]
        for row, before, after in zip(self.rows, ["", *names], [*names[1:], ""], strict=False):
            name = "" if row.optimizer == before else row.optimizer
            cells = map(escape, (name, *_cells(row)))
            table.add_row(*cells, style=_STYLES[row.verdict], end_section=row.optimizer != after)
        return table

    def notes(self) -> list[str]:
        """Sentences below the table: failures, reasons of tolerances, and how many of each verdict."""
        failed = [f"failed: {row.optimizer} on {row.baseline}: {row.message}" for row in self.failures]
        return [*failed, *_reasons(self.rows), self.summary()]

    def summary(self) -> str:
        """How many of each verdict, in one line."""
        verdicts = [row.verdict for row in self.rows]
        counts = [f"{verdicts.count(verdict)} {verdict}" for verdict in _STYLES]
        return f"{len(verdicts)} checks, seed {self.seed}: {', '.join(counts)}"

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=120, color_system=None)
        with console.capture() as captured:
            console.print(self.table())
        return "\n".join([captured.get().rstrip(), "", *self.notes()])


_STYLES: dict[Verdict, str] = {"passed": "", "failed": "bold red", "not applicable": "dim"}


def _cells(row: Row) -> list[str]:
    return [
        row.baseline,
        row.oracle,
        row.measure or "-",
        "-" if row.error is None else f"{row.error:.1e}",
        "-" if row.tolerance is None else f"{row.tolerance:.0e}",
        str(row.cost) if row.cost else "-",
        "n/a" if row.verdict == "not applicable" else row.verdict,
    ]


def _reasons(rows: tuple[Row, ...]) -> list[str]:
    """One sentence for each reason of a tolerance, or of none."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if not row.reason:  # it raised
            continue
        what = "n/a" if row.tolerance is None else f"{row.measure} within {row.tolerance:.0e}"
        names = by_reason.setdefault((what, row.reason), [])
        if row.optimizer not in names:
            names.append(row.optimizer)
    return [f"{what} ({', '.join(names)}): {reason}" for (what, reason), names in by_reason.items()]
