"""A chart as plotly draws it: lines in steps, quartiles as bands, one colour an optimizer on all the page."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hybridopt.runs.report.curves import GAP, Chart, Line
from hybridopt.runs.report.quartiles import Array

# Okabe and Ito's colours, told apart by the colour-blind; without yellow, which white swallows.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("solid", "dash", "dot", "dashdot")  # one more for each seven optimizers
FLOOR = 1e-6  # of the tolerance: a logarithmic axis knows no 0
_WIDE = 30.0  # largest over smallest value from which on the axis is logarithmic
_FEW = 6  # lines whose values one box can show without hiding the curves
_GRID = {"gridcolor": "#e6e6e6", "linecolor": "#888", "ticks": "outside", "zeroline": False}
_PLOT, _ROW = 390, 26  # heights in pixels, without the legend and of a row of it


@dataclass(frozen=True)
class Style:
    """How an optimizer is drawn wherever it appears."""

    color: str
    dash: str
    width: float = 2.5


@dataclass(frozen=True)
class Scale:
    """A vertical axis.

    Attributes
    ----------
    kind : {"log", "linear", "symlog"}
    floor : float
        Smaller values are drawn here.
    """

    kind: str
    floor: float = -np.inf

    def __call__(self, values: Array) -> Array:
        """Where values stand on it, before plotly takes its logarithm."""
        raised: Array = np.maximum(values, self.floor)
        return np.sign(raised) * np.log10(1 + np.abs(raised)) if self.kind == "symlog" else raised


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """Style of every optimizer, in the order they first appear."""
    places = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    return {
        label: Style(COLORS[place % len(COLORS)], DASHES[place // len(COLORS) % len(DASHES)])
        for label, place in places.items()
    }


def scale(chart: Chart, tolerance: float) -> Scale:
    """Logarithmic for gaps, and for what is positive and spans a wide range; else linear or symlog.

    Parameters
    ----------
    chart : Chart
    tolerance : float
        Gaps up to here count as solved.
    """
    if chart.measure == GAP:
        return Scale("log", FLOOR * tolerance)
    values = np.concatenate([_finite(line.low, line.median, line.high) for line in chart.lines])
    lowest, highest = values.min(), values.max()
    if lowest > 0:
        return Scale("log" if highest > _WIDE * lowest else "linear")
    return Scale("symlog" if highest > _WIDE * max(1.0, -lowest) else "linear")


def figure(chart: Chart, style_of: Mapping[str, Style], tolerance: float) -> dict[str, Any]:
    """What plotly.js draws of a chart: a dict with `data` and `layout`, as JSON has them.

    Parameters
    ----------
    chart : Chart
        With a line at least.
    style_of : dict of str to Style
    tolerance : float
        Gaps up to here count as solved.
    """
    import plotly.graph_objects as go

    axis = scale(chart, tolerance)
    widths = np.linspace(4.0, 1.5, len(chart.lines))  # of two equal lines, an edge of the first is seen
    few = len(chart.lines) <= _FEW
    traces = [
        trace
        for line, width in zip(chart.lines, widths, strict=True)
        for trace in _traces(line, replace(style_of[line.label], width=float(width)), axis, few)
    ]
    layout = {**_layout(chart, axis, tolerance), "hovermode": "x unified" if few else "closest"}
    drawn: dict[str, Any] = json.loads(go.Figure(traces, layout).to_json())
    return drawn


def notes(chart: Chart, tolerance: float) -> Iterator[str]:
    """Yield what has to be said to a chart."""
    axis = scale(chart, tolerance)
    if chart.measure == GAP and any(line.low.min() < axis.floor for line in chart.lines):
        yield f"Gaps below {axis.floor:.2g} are drawn there."
    if _reaches(chart, tolerance):
        yield f"Dotted: the tolerance {tolerance:g}; a gap up to it counts as solved."
    if axis.kind == "symlog":
        yield "The vertical axis is a symmetric logarithm: sign(v) log10(1 + |v|)."


def _traces(line: Line, style: Style, axis: Scale, few: bool) -> Iterator[dict[str, Any]]:
    """Band, if there are several seeds, then the line; a few lines share a box that says at what cost."""
    if line.seeds > 1:
        inside = np.isfinite(line.high)
        edge: dict[str, Any] = {
            "x": line.cost[inside],
            "line": {"width": 0, "shape": "hv", "color": style.color},
            "mode": "lines",
            "legendgroup": line.label,
            "showlegend": False,
            "hoverinfo": "skip",
        }
        yield {**edge, "y": axis(line.low[inside])}
        yield {**edge, "y": axis(line.high[inside]), "fill": "tonexty", "fillcolor": _faint(style.color)}
    spread = " (%{customdata[1]:.3~g} to %{customdata[2]:.3~g})" if line.seeds > 1 else ""
    place = "" if few else ", %{x} units"
    yield {
        "x": line.cost,
        "y": axis(line.median),
        "customdata": np.stack([line.median, line.low, line.high], axis=1),
        "name": html.escape(_name(line)),  # plotly takes it for markup
        "mode": "lines",
        "line": {"width": style.width, "shape": "hv", "color": style.color, "dash": style.dash},
        "legendgroup": line.label,
        "hovertemplate": f"%{{fullData.name}}: %{{customdata[0]:.3~g}}{spread}{place}<extra></extra>",
    }


def _layout(chart: Chart, axis: Scale, tolerance: float) -> dict[str, Any]:
    return {
        "template": "none",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#222"},
        "height": _PLOT + _ROW * _rows([_name(line) for line in chart.lines]),
        "margin": {"l": 70, "r": 40, "t": 15, "b": 50},
        "modebar": {"orientation": "v"},  # in the right margin, away from the legend
        "showlegend": True,  # also of one line alone
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "xaxis": _horizontal(chart),
        "yaxis": _vertical(chart, axis),
        "shapes": [_mark(tolerance)] if _reaches(chart, tolerance) else [],
    }


def _horizontal(chart: Chart) -> dict[str, Any]:
    costs = np.concatenate([line.cost for line in chart.lines])
    form = {"exponentformat": "SI", "hoverformat": ",d"}
    return {**_GRID, "type": "log", "title": {"text": "units"}, **form, **_digits(costs)}


def _vertical(chart: Chart, axis: Scale) -> dict[str, Any]:
    drawn = {**_GRID, "title": {"text": chart.measure, "standoff": 8}, "automargin": True}
    values = axis(np.concatenate([_finite(line.low, line.median, line.high) for line in chart.lines]))
    if axis.kind == "symlog":  # plotly has none: ticks by hand
        return {**drawn, "type": "linear", **_powers(values)}
    digits = _digits(values) if axis.kind == "log" else {}
    return {**drawn, "type": axis.kind, "exponentformat": "power", **digits}


def _powers(values: Array) -> dict[str, Any]:
    """Ticks at powers of ten on both sides of 0, for values on a symmetric logarithmic scale."""
    decades = np.abs(values).max()
    every = 1 + int(decades // 6)
    powers = np.arange(every, decades + 1, every)
    names = [f"10<sup>{power:.0f}</sup>" for power in powers]
    negative = [f"\N{MINUS SIGN}{name}" for name in reversed(names)]
    marks = np.concatenate([-(10.0 ** powers[::-1]), [0.0], 10.0**powers])
    return {"tickvals": Scale("symlog")(marks), "ticktext": [*negative, "0", *names]}


def _digits(values: Array) -> dict[str, str]:
    """Ticks at 1, 2 and 5 where plotly's own choice might be all digits, too close to one another."""
    return {"dtick": "D2"} if 1e1 < values.max() / values.min() < 1e4 else {}


def _name(line: Line) -> str:
    """Label for the legend, cut to a length that fits a narrow page."""
    return line.label if len(line.label) <= 48 else line.label[:47] + "\N{HORIZONTAL ELLIPSIS}"


def _rows(names: Iterable[str]) -> int:
    """Rows that a legend takes in a narrow chart, of 420 pixels, by about what letters are wide."""
    rows, used = 1, 0
    for name in names:
        width = 45 + 7 * len(name)
        rows, used = (rows + 1, width) if used and used + width > 420 else (rows, used + width)
    return rows


def _reaches(chart: Chart, tolerance: float) -> bool:
    """Whether any line comes down to the tolerance."""
    return chart.measure == GAP and any(line.low.min() <= tolerance for line in chart.lines)


def _mark(height: float) -> dict[str, Any]:
    """A dotted line across."""
    across = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": height, "y1": height}
    return {**across, "line": {"width": 1, "dash": "dot", "color": "#555"}, "layer": "below"}


def _finite(*arrays: Array) -> Array:
    values = np.concatenate(arrays)
    return values[np.isfinite(values)]


def _faint(color: str) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.15)"
