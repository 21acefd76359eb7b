"""What the jobs of one requirement used beside what it asks for, and what would fit them, for `requirement_usage`.

What fits is the most that was used times 1.2, rounded up as a person would ask for it. It is not more than the
requirement where that was enough, and not less where jobs failed: theirs may be the ones that need it all.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torc_tools import units
from torc_tools.core import fitting, grouping, heuristics, utilization
from torc_tools.records import Record

MARGIN_MILLI = 1200  # torc's multiplier for what was measured
MOST_NAMES = 5  # of a group
_DIGITS = re.compile(r"\d+")


class Used(NamedTuple):
    """What one result used (None: not measured) of what its attempt had been given (None: no limit)."""

    job_id: int
    job_name: str
    memory: int | None  # bytes
    cpu: float | None  # percent of one core, at the peak
    avg_cpu: float | None
    time: float | None  # seconds
    memory_limit: int | None
    cpus: int | None


class Asked(NamedTuple):
    """What a requirement asks for; None: nothing."""

    memory: int | None  # bytes
    cpus: int | None
    time: int | None  # seconds


NOTHING = Asked(None, None, None)


def usage(asked: Asked, used: Sequence[Used], *, failed: bool) -> Record:
    """Give the figures of a `requirement_usage` record; `failed`: there are jobs that did not complete."""
    return {
        "memory_bytes": asked.memory,
        **_figures("peak_memory", "bytes", _memories(used)),
        "num_cpus": asked.cpus,
        **_figures("peak_cpu", "percent", _sorted(each.cpu for each in used)),
        "runtime_s": asked.time,
        **_figures("exec_time", "s", _sorted(each.time for each in used)),
        **fits(asked, used, failed=failed),
        "memory_efficiency_percent": _efficiency((each.memory, each.memory_limit, each.time) for each in used),
        "cpu_efficiency_percent": _efficiency((each.avg_cpu, 100 * (each.cpus or 0), each.time) for each in used),
        **_groups(asked, used),
    }


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Give the smallest value that at least `percent` of the values are not above: one that was measured."""
    return ordered[max(0, units.ceil_div(len(ordered) * percent, 100) - 1)] if ordered else None


def _memories(used: Iterable[Used]) -> list[int]:
    return sorted(each.memory for each in used if each.memory is not None)


def _sorted(values: Iterable[float | None]) -> list[float]:
    """Sort what was measured."""
    return sorted(value for value in values if value is not None and math.isfinite(value))


def _figures(name: str, unit: str, found: Sequence[float]) -> Record:
    figures = {f"{name}_p{percent}_{unit}": percentile(found, percent) for percent in (50, 95)}
    return {f"{name}_measured": len(found), **figures, f"{name}_max_{unit}": found[-1] if found else None}


def fits(asked: Asked, used: Sequence[Used], *, failed: bool) -> Record:
    """Give a request that fits `used`, None where nothing was measured; not below `asked` where jobs `failed`."""
    least = asked if failed else NOTHING
    memory, cpu, time = _memories(used), _sorted(each.cpu for each in used), _sorted(each.time for each in used)
    size = max(_memory(memory[-1], asked.memory), least.memory or 0) if memory else None
    cpus = max(_cpus(cpu[-1], asked.cpus), least.cpus or 0) if cpu else None
    runtime = max(_time(time[-1], asked.time), least.time or 0) if time else None
    return {
        "fitting_memory_bytes": size,
        "fitting_memory": None if size is None else units.format_memory(size),
        "fitting_num_cpus": cpus,
        "fitting_runtime_s": runtime,
        "fitting_runtime": None if runtime is None else units.format_duration(runtime),
    }


def _memory(peak: int, asked: int | None) -> int:
    return _at_most(max(heuristics.memory_for(peak, MARGIN_MILLI), fitting.LEAST_MEMORY), peak, asked)


def _cpus(peak: float, asked: int | None) -> int:
    least = units.ceil_div(math.ceil(peak * 1000) * MARGIN_MILLI, fitting.WHOLE_CPU * 1000)
    return _at_most(max(1, least), peak / (100 + utilization.CPU_NOISE_PERCENT), asked)


def _time(longest: float, asked: int | None) -> int:
    minutes = units.ceil_div(max(units.scale(math.ceil(longest), MARGIN_MILLI), fitting.LEAST_RUNTIME), 60)
    return _at_most(60 * minutes, longest, asked)


def _at_most(request: int, used: float, asked: int | None) -> int:
    """Take what was asked for where that was enough, and the margin alone would be more."""
    return min(request, asked) if asked and used <= asked else request


def _efficiency(parts: Iterable[tuple[float | None, float | None, float | None]]) -> float | None:
    """Give how much of what was given, over its time, was used, in percent; None where that is not known."""
    had = needed = 0.0
    for used, given, time in parts:
        if used is not None and given and time is not None and math.isfinite(used * time):
            had, needed = had + given * time, needed + used * time
    return round(100 * needed / had, 1) if had else None


def _groups(asked: Asked, used: Iterable[Used]) -> Record:
    """Give the groups, by memory, that would fit better than one request for all, and what they save of it."""
    ordered = sorted((each for each in used if each.memory is not None), key=lambda each: each.memory or 0)
    needs = ((_memory(each.memory or 0, asked.memory), _hours(each)) for each in ordered)
    found = grouping.grouped(needs, fitting.WORTH_MEMORY)
    return {
        "groups": [_group(asked, ordered[begin:end]) for begin, end in found.spans] if found else [],
        "groups_save_percent": round(found.saved_percent, 1) if found else None,
    }


def _hours(used: Used) -> float:
    """Give how long a job held its memory; jobs whose time is not known count alike."""
    return used.time if used.time and math.isfinite(used.time) else 1.0


def _group(asked: Asked, members: Sequence[Used]) -> Record:
    names = Counter(_DIGITS.sub("*", each.job_name) for each in members)
    return {
        "jobs": len(members),
        **fits(asked, members, failed=False),
        "names": [{"name": name, "jobs": count} for name, count in names.most_common(MOST_NAMES)],
        "job_ids": [each.job_id for each in members],
    }
