"""What is kept of a series to draw it: few points, the figures of all of them, and what was asked for."""

import math
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from torc_tools.core import downsampling
from torc_tools.series import Request, Series

POINTS = 2000  # of one line at most: twice what a screen is wide
_OF_A_RUN = re.compile(r"resource_metrics_.+?_\d+_(\d+)(?:_[^_]+)?\.db")
_NOTHING_ASKED = Request(None, None, None, None)

Column = Sequence[float]


class Curve(NamedTuple):
    """One line: seconds since the start, values (nan: not known), and the figures of all that was measured."""

    times: "array[float]"
    values: "array[float]"
    peak: float | None
    mean: float | None


class Track(NamedTuple):
    """One attempt of a job on one machine. Sizes are bytes, CPU is percent of a core."""

    job_id: int
    job_name: str
    attempt_id: int
    hostname: str
    origin: str  # the name of the file that it is from
    started_at: float  # Unix seconds: when the attempt began, or its first sample
    duration_s: float  # from then to the last sample
    samples: int
    memory: Curve
    cpu: Curve
    processes: Curve
    gpu: Curve | None
    gpu_memory: Curve | None
    request: Request


def track(series: Series, origin: str) -> Track:
    """Reduce a series, which has at least one sample."""
    request = Request(*map(_positive, series.request or _NOTHING_ASKED))  # type: ignore[arg-type]
    first, last = series.times[0], series.times[-1]
    start = first if request.started_at is None else min(first, request.started_at)
    elapsed = array("d", (at - start for at in series.times))
    return Track(
        series.job_id,
        series.job_name,
        series.attempt_id,
        series.hostname,
        origin,
        start,
        last - start,
        len(elapsed),
        curve(elapsed, series.memory),
        curve(elapsed, series.cpu),
        curve(elapsed, series.processes),
        None if series.gpu is None else curve(elapsed, series.gpu),
        None if series.gpu_memory is None else curve(elapsed, series.gpu_memory),
        request,
    )


def _positive(value: object) -> float | None:
    """Give what a database says was asked for, where it is a number that one can ask for."""
    return value if isinstance(value, int | float) and 0 < value < math.inf else None


def curve(times: Column, values: Column) -> Curve:
    """Make the curve of a column."""
    if not all(map(math.isfinite, values)):
        values = array("d", (value if math.isfinite(value) else math.nan for value in values))
        known: Column = [value for value in values if not math.isnan(value)]
    else:
        known = values
    kept = downsampling.extremes(times, values, POINTS)
    if not known:
        return Curve(*kept, None, None)
    return Curve(*kept, max(known), math.fsum(known) / len(known))


def labels(tracks: Sequence[Track]) -> list[str]:
    """Tell the tracks of one job apart: by attempt, else by machine or run, too, else by file and place."""
    attempts = [f"attempt {each.attempt_id}" for each in tracks]
    machines = [f"{name} on {each.hostname}" for name, each in zip(attempts, tracks, strict=True)]
    runs = [f"{_run(each.origin)}{name}" for name, each in zip(attempts, tracks, strict=True)]
    files = [f"{name}, {each.origin}" for name, each in zip(attempts, tracks, strict=True)]
    for names in (attempts, machines, runs, files):
        if all(count == 1 for count in Counter(names).values()):
            return names
    return [f"{name} ({number})" for number, name in enumerate(files, 1)]


def _run(origin: str) -> str:
    """Say which run of its workflow a file of samples is of, where its name tells that."""
    match = _OF_A_RUN.fullmatch(origin)
    return f"run {match[1]}, " if match else ""


def job_labels(members: Sequence[Track]) -> list[str]:
    """Name attempts among those of other jobs: '7 train', '7 (attempt 2) train' where there are more."""
    by_job: dict[int, list[Track]] = {}
    for each in members:
        by_job.setdefault(each.job_id, []).append(each)
    said = {id(each): name for group in by_job.values() for each, name in zip(group, labels(group), strict=True)}
    return [
        f"{each.job_id}{f' ({said[id(each)]})' if len(by_job[each.job_id]) > 1 else ''} {each.job_name}"
        for each in members
    ]


def used(member: Track, what: str) -> Curve:
    """Give the curve of 'memory' or 'cpu'."""
    return member.memory if what == "memory" else member.cpu


def asked(member: Track, what: str) -> float | None:
    """Give what was asked for of 'memory' (bytes) or 'cpu' (percent of a core); None where that is not known."""
    if what == "memory":
        return member.request.memory_bytes or None
    return member.request.num_cpus * 100 if member.request.num_cpus else None
