"""The figure of one job: its attempts over time, each from its own start."""

from collections.abc import Iterable, Sequence

from torc_tools.core import plotting, tracks
from torc_tools.core.plotting import Figure
from torc_tools.core.tracks import Curve, Track

_NEAR = 1.25  # a runtime that was asked for is drawn where it is not far right of the end


def job(members: Sequence[Track]) -> Figure:
    """Draw the attempts of one job, each from its own start: memory, CPU, processes, GPUs where it used some."""
    first = members[0]
    unit_s = plotting.time_unit(max(each.duration_s for each in members))
    sizes = plotting.size_unit(size for each in members for size in (each.memory.peak, each.request.memory_bytes))
    names = [f"Memory ({sizes[1]})", "CPU (%)", "Processes"]
    if any(each.gpu for each in members):
        names.append("GPU (%)")
    if any(each.gpu_memory for each in members):
        names.append("GPU memory (GB)")
    data = [
        trace
        for number, (member, said) in enumerate(zip(members, tracks.labels(members), strict=True))
        for trace in _job_lines(member, said if len(members) > 1 else "", number, (unit_s[0], sizes, names))
    ]
    weights = [3, 3, 1, 2, 2][: len(names)]
    title = f"Job {first.job_id} ({plotting.label(first.job_name)}) Resource Usage Timeline"
    axes = plotting.panels(names, weights)
    shapes = [shape for each in members for shape in _end(each, unit_s[0])]
    more = {"hovermode": "x unified", "hoversubplots": "axis", "shapes": shapes}
    made = plotting.layout(title, f"Time ({unit_s[1]})", **axes, **more)
    made["xaxis"] |= {"unifiedhovertitle": {"text": f"%{{x:,.1f}} {unit_s[1]}"}}
    return {"data": data, "layout": made}


def _job_lines(
    member: Track, said: str, number: int, scale: tuple[float, tuple[float, str], list[str]]
) -> list[Figure]:
    """Draw an attempt; `said` tells it from the others, and is empty where there are none."""
    per_s, (per_byte, unit), names = scale
    gpu_memory = f"y{len(names)}"
    wanted: list[tuple[str, Curve | None, float, str, str]] = [
        ("Memory", member.memory, per_byte, unit, "y"),
        ("CPU", member.cpu, 1, "%", "y2"),
        ("Processes", member.processes, 1, "", "y3"),
        ("GPU", member.gpu, 1, "%", "y4"),
        ("GPU memory", member.gpu_memory, 1 / plotting.GIB, "GB", gpu_memory),
    ]
    colours, group = plotting.COLOURS, plotting.label(said)
    more: Figure = {"legendgroup": group, "legendgrouptitle": {"text": group}} if said else {}
    found = [
        plotting.line(
            name, plotting.numbers(curve.times, per_s), plotting.numbers(curve.values, factor),
            points=len(curve.times), axis=axis, unit=word, **more,
            colour=colours[(number if said else place) % len(colours)],
        )
        for place, (name, curve, factor, word, axis) in enumerate(wanted)
        if curve is not None
    ]  # fmt: skip
    asked = plotting.ASKED if not said else colours[number % len(colours)]
    width = (member.duration_s or 1) * per_s
    memory, cpus = member.request.memory_bytes, member.request.num_cpus
    if memory:
        value = memory * per_byte
        found.append(plotting.level("Requested memory", value, width, axis="y", unit=unit, colour=asked, **more))
    if cpus:
        found.append(plotting.level("Requested CPU", cpus * 100, width, axis="y2", unit="%", colour=asked, **more))
    return found


def _end(member: Track, per_s: float) -> Iterable[Figure]:
    """Mark the end of the runtime that was asked for, where the attempt came near it."""
    runtime = member.request.runtime_s
    if runtime and runtime <= member.duration_s * _NEAR:
        place = {"x0": runtime * per_s, "x1": runtime * per_s, "xref": "x", "y0": 0, "y1": 1, "yref": "paper"}
        style = {"color": plotting.ASKED, "width": 1, "dash": "dot"}
        yield {"type": "line", **place, "line": style, "label": {"text": "requested runtime", "textposition": "middle"}}
