"""What the figures of torc-plot share: plotly's JSON written by hand, units that fit, names that cannot act."""

import base64
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from torc_tools.texts import visible

GIB, MIB = 2**30, 2**20
COLOURS = (  # on white and on black, and for most eyes that see colours otherwise
    "#3f8fd2", "#e0762e", "#2fa36b", "#b25fc4", "#d64550", "#c39a1d", "#1fa2a8", "#8a6f5c", "#e377b0", "#7f8894",
)  # fmt: skip
ASKED = "#d64550"
_BIG_ENDIAN = array("H", [1]).tobytes()[0] == 0
_NAME = 48  # characters of a name in a legend
_LEVEL = 100  # parts of the line of a request: one is near wherever a reader points
_MARKED = 60  # points up to which each is marked
UNMARKED = _MARKED + 1  # `points` of a line of which none is to be

Figure = dict[str, Any]


def numbers(values: Iterable[float], factor: float = 1.0) -> Figure:
    """Write values x factor as plotly's typed array of 32-bit floats."""
    packed = array("f", (value * factor for value in values))
    return _typed(packed, "f4")


def moments(values: Iterable[float]) -> Figure:
    """Write Unix seconds as milliseconds for an axis of dates."""
    return _typed(array("d", (value * 1000 for value in values)), "f8")


def _typed(packed: "array[float]", kind: str) -> Figure:
    if _BIG_ENDIAN:
        packed.byteswap()
    return {"dtype": kind, "bdata": base64.b64encode(packed.tobytes()).decode()}


def label(text: str) -> str:
    """Write a name of others for a figure: short, and plotly sees no markup in it."""
    shown = visible(text)
    short = shown if len(shown) <= _NAME else f"{shown[: _NAME - 1]}…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def time_unit(longest_s: float) -> tuple[float, str]:
    """Give (factor, name) of the unit for an axis that is so long."""
    for most, size, name in ((600, 1, "seconds"), (3 * 3600, 60, "minutes"), (3 * 86400, 3600, "hours")):
        if longest_s <= most:
            return 1 / size, name
    return 1 / 86400, "days"


def size_unit(largest: Iterable[float | None]) -> tuple[float, str]:
    """Give (factor, name) of the unit for sizes, as people are used to: below 1024 MB these, else GB."""
    known = [size for size in largest if size is not None]
    return (1 / GIB, "GB") if max(known, default=0) >= GIB else (1 / MIB, "MB")


def line(name: str, x: Figure, y: Figure, **more: Any) -> Figure:
    """Make a line of a figure. `points` in `more` says how many it has: few are marked; `axis`, `colour`, `unit`."""
    points, axis, unit = more.pop("points"), more.pop("axis", "y"), more.pop("unit")
    style = {"color": more.pop("colour"), "width": more.pop("width", 1.6), "dash": more.pop("dash", "solid")}
    return {
        "type": "scatter",
        "mode": "lines+markers" if points <= _MARKED else "lines",
        "name": name,
        "x": x,
        "y": y,
        "yaxis": axis,
        "line": style,
        "marker": {"size": 4},
        "hovertemplate": f"%{{y:,.{2 if unit == 'GB' else 1 if unit != '' else 0}f}}{unit and ' '}{unit}",
        **more,
    }


def level(name: str, value: float, width: float, **more: Any) -> Figure:
    """Make the dashed line of what was asked for, from the start to `width`."""
    shown = {"points": UNMARKED, "dash": "dash", "width": 1.4, **more}
    x = (width * place / _LEVEL for place in range(_LEVEL + 1))
    return line(name, numbers(x), numbers([value] * (_LEVEL + 1)), **shown)


def faded(colour: str) -> str:
    """Give a colour so thin that what is behind it shows."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.42)"


def panels(titles: Sequence[str], weights: Sequence[int], gap: float = 0.06) -> Figure:
    """Lay out panels from the top down over one axis of time: yaxis, yaxis2, ..."""
    room = 1 - gap * (len(titles) - 1)
    top, axes = 1.0, {}
    for number, (title, weight) in enumerate(zip(titles, weights, strict=True), 1):
        bottom = top - room * weight / sum(weights)
        name = "yaxis" if number == 1 else f"yaxis{number}"
        domain = [max(0.0, round(bottom, 4)), round(top, 4)]
        axes[name] = {"title": {"text": title}, "domain": domain, "rangemode": "tozero", "fixedrange": False}
        top = bottom - gap
    return axes


def layout(title: str, x_title: str, **more: Any) -> Figure:
    """Make a layout: the title, the axis of x under the lowest panel, and `more`."""
    below = sum(key.startswith("yaxis") for key in more)
    return {
        "title": {"text": title},
        "xaxis": {"title": {"text": x_title}, "anchor": "y" if below < 2 else f"y{below}"},
        "yaxis": {"rangemode": "tozero"},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"namelength": -1},
        "margin": {"l": 72, "r": 24, "t": 40, "b": 60},
        **more,
    }
