"""The figures of all jobs over time: the highest as lines, all of them as a band."""

from collections.abc import Sequence

from torc_tools.core import downsampling, plotting, tracks
from torc_tools.core.plotting import Figure
from torc_tools.core.tracks import Track

TOP = 20  # lines that a person can still tell apart
_DASHES = ("solid", "dot", "dashdot")
_LEVELS = 3  # different requests that are drawn
_COLUMNS = 400  # of the band of all jobs
_PERCENTS = (10, 50, 90)
_BAND = "rgba(127,136,148,0.28)"


def top(members: Sequence[Track], what: str) -> list[Track]:
    """Give the TOP attempts with the highest peak of `what`, in order of job and attempt."""
    ordered = sorted(members, key=lambda each: -(tracks.used(each, what).peak or 0))
    return sorted(ordered[:TOP], key=lambda each: (each.job_id, each.attempt_id))


def figure(members: Sequence[Track], what: str) -> Figure:
    """Draw one line for each of the TOP with the highest peak of `what` (memory or cpu), and the band of all."""
    drawn = top(members, what)
    longest = max(each.duration_s for each in members)
    per_s, time_name = plotting.time_unit(longest)
    asked = {value for each in members if (value := tracks.asked(each, what)) is not None}
    peaks = [tracks.used(each, what).peak for each in members]
    few = sorted(asked) if len(asked) <= _LEVELS else []
    factor, unit = plotting.size_unit([*peaks, *few]) if what == "memory" else (1, "%")
    data = _band(members, what, longest, (per_s, factor, unit)) if len(members) > TOP else []
    colours = plotting.COLOURS[:-1]  # the last, grey, is the median
    for number, (each, name) in enumerate(zip(drawn, tracks.job_labels(drawn), strict=True)):
        curve = tracks.used(each, what)
        style: Figure = {"colour": colours[number % len(colours)], "dash": _DASHES[number // len(colours)]}
        xy = plotting.numbers(curve.times, per_s), plotting.numbers(curve.values, factor)
        data.append(plotting.line(plotting.label(name), *xy, points=len(curve.times), unit=unit, **style))
    for value, dash in zip(few, ("dash", "dot", "dashdot"), strict=False):
        name = f"Requested {value * factor:,.{2 if unit == 'GB' else 0}f} {unit}"
        data.append(
            plotting.level(name, value * factor, longest * per_s or 1, unit=unit, colour=plotting.ASKED, dash=dash)
        )
    title = f"{'Memory' if what == 'memory' else 'CPU'} Usage - All Jobs"
    if len(members) > TOP:
        title += f" (the {TOP} highest of {len(members):,})"
    axis = {"title": {"text": f"Memory ({unit})" if what == "memory" else "CPU (%)"}, "rangemode": "tozero"}
    legend = {"tracegroupgap": 0, "orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"}
    x_title = f"Time since each start ({time_name})"
    return {"data": data, "layout": plotting.layout(title, x_title, yaxis=axis, hovermode="closest", legend=legend)}


def _band(members: Sequence[Track], what: str, longest: float, scale: tuple[float, float, str]) -> list[Figure]:
    """Draw where 80 of 100 attempts are that run so long, and their median."""
    per_s, factor, unit = scale
    width = (longest or 1) / _COLUMNS
    rows = [downsampling.columns(*tracks.used(each, what)[:2], width, _COLUMNS + 1) for each in members]
    low, middle, high = downsampling.bands(rows, _PERCENTS)
    x = plotting.numbers((number * width for number in range(_COLUMNS + 1)), per_s)
    none = "rgba(0,0,0,0)"
    group: Figure = {"legendgroup": "band", "points": plotting.UNMARKED, "unit": unit}
    grey, hidden = plotting.COLOURS[-1], {"showlegend": False, "hoverinfo": "skip"}
    return [
        plotting.line("p10", x, plotting.numbers(low, factor), colour=none, **hidden, **group),
        plotting.line(
            f"10 to 90 % of all {len(members):,}", x, plotting.numbers(high, factor),
            colour=none, fill="tonexty", fillcolor=_BAND, **group,
        ),
        plotting.line(f"Median of all {len(members):,}", x, plotting.numbers(middle, factor), colour=grey, width=2.5,
                      points=plotting.UNMARKED, unit=unit),
    ]  # fmt: skip
