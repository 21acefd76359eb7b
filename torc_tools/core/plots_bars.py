"""The figure of peaks and averages as bars, beside what was asked for or what there is."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torc_tools.core import plotting
from torc_tools.core.plotting import Figure

MOST_NAMED = 20  # bars that have room for their names
MOST_BY_ID = 60  # above, the highest come first
MOST = 1000  # that a browser draws without being waited for


class Bar(NamedTuple):
    """One place on the axis: memory in bytes, CPU in percent; None is what is not known."""

    name: str  # plain text
    memory: tuple[float | None, float | None, float | None]  # peak, average, limit
    cpu: tuple[float | None, float | None, float | None]


def figure(bars: Sequence[Bar], title: str, limit: str, kind: str) -> Figure:
    """Draw bars: memory above, CPU below. `limit` is what the marks are; `kind` is what a bar is, 'Job'."""
    count = len(bars)
    if count > MOST_BY_ID:
        bars = sorted(bars, key=lambda each: -(each.memory[0] or 0))[:MOST]
    factor, unit = plotting.size_unit(size for each in bars for size in (each.memory[0], each.memory[2]))
    data = [
        *_panel([each.memory for each in bars], (factor, unit, "y"), limit, plotting.COLOURS[0]),
        *_panel([each.cpu for each in bars], (1, "%", "y2"), limit, plotting.COLOURS[1]),
    ]
    text = [plotting.label(each.name) for each in bars]
    for trace in data:
        trace |= {"x": plotting.numbers(range(len(bars))), "text": text}
    axes = plotting.panels([f"Memory ({unit})", "CPU (%)"], [1, 1], 0.08)
    made = plotting.layout(title, kind, barmode="overlay", hovermode="closest", **axes)
    many = len(bars) > MOST_NAMED
    made["xaxis"] |= {"showgrid": False, "zeroline": False, "range": [-0.6, len(bars) - 0.4]}
    made["bargap"] = 0.1 if many else 0.4
    if many:
        order = ", highest peak first" if count > MOST_BY_ID else ""
        shown = f"{count:,} {kind.lower()}s{order}" if count <= MOST else f"{MOST:,} highest peaks of {count:,}"
        made["xaxis"] |= {"title": {"text": shown}, "showticklabels": False}
    else:
        made["xaxis"] |= {"tickmode": "array", "tickvals": list(range(len(bars))), "ticktext": text, "automargin": True}
    return {"data": data, "layout": made}


def _panel(
    rows: Sequence[tuple[float | None, float | None, float | None]],
    scale: tuple[float, str, str],
    limit: str,
    colour: str,
) -> list[Figure]:
    """Draw the bars of one panel, and the marks of the limits where one is known."""
    factor, unit, axis = scale
    peaks, means, limits = zip(*rows, strict=True)
    common: Figure = {"yaxis": axis, "textposition": "none", "showlegend": axis == "y"}
    bar: Figure = {**common, "type": "bar"}
    marked = {"color": plotting.ASKED, "width": 2}
    size = max(3, min(40, 400 // len(rows)))
    mark = {"symbol": "line-ew", "size": size, "color": plotting.ASKED, "line": marked}
    data = [
        {**bar, **_values("Peak", peaks, factor, unit), "marker": {"color": plotting.faded(colour)}},
        {**bar, **_values("Average", means, factor, unit), "marker": {"color": colour}},
    ]
    if any(limits):
        dots = {**common, "type": "scatter", "mode": "markers", "marker": mark, "textposition": "top center"}
        data.append({**dots, **_values(limit, limits, factor, unit)})
    return data


def _values(name: str, values: Iterable[float | None], factor: float, unit: str) -> Figure:
    form = f"%{{y:,.{2 if unit == 'GB' else 1}f}} {unit}"
    return {
        "name": name,
        "legendgroup": name,
        "y": plotting.numbers((math.nan if value is None else value for value in values), factor),
        "hovertemplate": f"<b>%{{text}}</b><br>{name}: {form}<extra></extra>",
    }
