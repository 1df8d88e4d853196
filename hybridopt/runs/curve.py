"""A convergence curve that stays small: one point for every twentieth of a growth of the cost."""

from __future__ import annotations

import math

RATIO = 1.05


class Curve:
    """Points (cost, value), at most one where the cost has grown by 5 %: 280 up to a million units.

    Within such a stretch the last point is kept, so that each point is true for its own cost, and the last
    point is that of the end.

    Examples
    --------
    >>> curve = Curve()
    >>> for cost in range(1, 1001):
    ...     curve.record(cost, 1 / cost)
    >>> len(curve.points), curve.points[-1]
    (100, (1000, 0.001))
    """

    def __init__(self) -> None:
        self.points: list[tuple[int, float]] = []
        self._stretch = -1

    def due(self, cost: int) -> bool:
        """Whether a point at this cost would begin a new stretch."""
        return self._of(cost) != self._stretch

    def record(self, cost: int, value: float) -> None:
        """Take a point in, unless its value is not finite; costs never fall."""
        if not math.isfinite(value):
            return
        stretch = self._of(cost)
        if stretch == self._stretch:
            self.points[-1] = (cost, value)
        else:
            self.points.append((cost, value))
        self._stretch = stretch

    @staticmethod
    def _of(cost: int) -> int:
        return int(math.log(max(cost, 1)) / math.log(RATIO))
