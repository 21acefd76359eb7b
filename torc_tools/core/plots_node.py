"""The figure of machines over time, by the clock, and what they used in all."""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from torc_tools.core import plotting, tracks
from torc_tools.core.plots_bars import Bar
from torc_tools.core.plotting import Figure
from torc_tools.core.tracks import Curve
from torc_tools.series import NodeSeries


class Machine(NamedTuple):
    """What is kept of one machine: curves over Unix seconds, CPU in percent of the whole machine."""

    name: str
    started_at: float | None
    duration_s: float
    samples: int
    curves: dict[str, Curve]  # cpu, memory, total_memory, load, processes, gpu, gpu_memory: those with a value
    peak_cpu: float | None
    mean_cpu: float | None
    peak_memory: float | None
    mean_memory: float | None


_PANELS = (  # key, title, unit, weight
    ("cpu", "CPU (%)", "%", 3),
    ("memory", "Memory ({})", "", 3),
    ("load", "Load", "", 1),
    ("processes", "Processes", "", 1),
    ("gpu", "GPU (%)", "%", 2),
    ("gpu_memory", "GPU memory (GB)", "GB", 2),
)
_DIGITS = {"load": 2, "processes": 0}


def machine(series: NodeSeries, name: str) -> Machine:
    """Reduce a series; what its file says of the whole run stands where no samples were kept."""
    keys = ("cpu", "memory", "total_memory", "load", "processes", "gpu", "gpu_memory")
    columns = {key: getattr(series, key) for key in keys}
    curves = {key: tracks.curve(series.times, values) for key, values in columns.items() if values is not None}
    curves = {key: curve for key, curve in curves.items() if curve.peak is not None}
    none = Curve(array("d"), array("d"), None, None)
    cpu, memory = curves.get("cpu", none), curves.get("memory", none)
    figures = (cpu.peak, cpu.mean, memory.peak, memory.mean)
    samples, times = len(series.times), series.times
    if series.summary is not None and not samples:
        samples, *said = series.summary
        figures = (said[0], said[1], said[2], said[3])
    return Machine(name, times[0] if times else None, times[-1] - times[0] if times else 0.0, samples, curves, *figures)


def timeline(machines: Sequence[Machine]) -> Figure:
    """Draw the machines that have samples; each panel where one has values for it."""
    sizes = plotting.size_unit(
        each.curves[key].peak for each in machines for key in ("memory", "total_memory") if key in each.curves
    )
    shown = [panel for panel in _PANELS if any(panel[0] in each.curves for each in machines)]
    data = []
    for number, each in enumerate(machines):
        for place, panel in enumerate(shown, 1):
            if panel[0] in each.curves:
                data += _lines(each, panel[0], (place, number if len(machines) > 1 else -1), sizes)
    axes = plotting.panels([title.format(sizes[1]) for _, title, _, _ in shown], [weight for *_, weight in shown])
    more = {"hovermode": "x unified", "hoversubplots": "axis"}
    made = plotting.layout("System Resource Usage Timeline", "Time (UTC)", **axes, **more)
    made["xaxis"]["type"] = "date"
    return {"data": data, "layout": made}


def _lines(each: Machine, key: str, place: tuple[int, int], sizes: tuple[float, str]) -> list[Figure]:
    """Draw one panel of a machine; place is (panel, which machine: -1 where there is one alone)."""
    panel, number = place
    unit = {"memory": sizes[1], "gpu_memory": "GB", "cpu": "%", "gpu": "%"}.get(key, "")
    factor = {"memory": sizes[0], "gpu_memory": 1 / plotting.GIB}.get(key, 1.0)
    name = {"cpu": "CPU", "gpu": "GPU", "gpu_memory": "GPU memory"}.get(key, key.capitalize())
    group = plotting.label(each.name)
    more: Figure = {"axis": "y" if panel == 1 else f"y{panel}", "unit": unit}
    if number >= 0:
        more |= {"legendgroup": group, "legendgrouptitle": {"text": group}}
    colour = plotting.COLOURS[(panel - 1 if number < 0 else number) % len(plotting.COLOURS)]
    data = [_line(name, each.curves[key], factor, {**more, "colour": colour})]
    if key in _DIGITS:
        data[0]["hovertemplate"] = f"%{{y:,.{_DIGITS[key]}f}}"
    if key == "memory" and "total_memory" in each.curves:
        above = {**more, "colour": plotting.ASKED, "dash": "dash", "width": 1.4}
        data.append(_line("Total memory", each.curves["total_memory"], factor, above))
    return data


def _line(name: str, curve: Curve, factor: float, more: Figure) -> Figure:
    x, y = plotting.moments(curve.times), plotting.numbers(curve.values, factor)
    return plotting.line(name, x, y, points=len(curve.times), **more)


def bars(machines: Sequence[Machine]) -> list[Bar]:
    """Give what each machine used in all, beside what it has."""
    found = []
    for each in machines:
        total = each.curves["total_memory"].peak if "total_memory" in each.curves else None
        memory = (each.peak_memory, each.mean_memory, total)
        found.append(Bar(each.name, memory, (each.peak_cpu, each.mean_cpu, None)))
    return found
