"""The figures of attempts and machines as a table for a page, which writes them for people and sorts them."""

from collections.abc import Sequence
from typing import Any

from torc_tools.core import tracks
from torc_tools.core.plots_node import Machine
from torc_tools.core.tracks import Track
from torc_tools.texts import visible

_EXACT = 2**53  # up to here JavaScript has every integer

Table = dict[str, Any]  # columns: (title, kind); rows: values, None where not known; names: [text, job id]; href

COLUMNS = (
    ("Job", "name"), ("Attempt", "count"), ("Started", "time"), ("Duration", "seconds"), ("of requested", "share"),
    ("Peak memory", "bytes"), ("Average", "bytes"), ("Requested", "bytes"), ("Used", "share"),
    ("Peak CPU", "percent"), ("Average", "percent"), ("Requested", "percent"), ("Used", "share"),
    ("Processes", "count"), ("Samples", "count"), ("Machine", "text"),
)  # fmt: skip
NODE_COLUMNS = (
    ("Machine", "name"), ("Started", "time"), ("Duration", "seconds"),
    ("Peak memory", "bytes"), ("Average", "bytes"), ("Total", "bytes"), ("Used", "share"),
    ("Peak CPU", "percent"), ("Average", "percent"), ("Samples", "count"),
)  # fmt: skip


def jobs(members: Sequence[Track], href: str | None = None) -> Table:
    """Make the table of attempts; `href` is the address of the page of a job, with '*' for its id."""
    rows = [
        [
            [visible(f"{each.job_id} {each.job_name}"), each.job_id],
            each.attempt_id,
            _rounded(each.started_at),
            _rounded(each.duration_s),
            _share(each.duration_s, each.request.runtime_s),
            *_use(each.memory.peak, each.memory.mean, tracks.asked(each, "memory")),
            *_use(each.cpu.peak, each.cpu.mean, tracks.asked(each, "cpu")),
            _rounded(each.processes.peak),
            each.samples,
            visible(each.hostname) or None,
        ]
        for each in members
    ]
    return {"columns": COLUMNS, "rows": rows, "href": href}


def machines(found: Sequence[Machine]) -> Table:
    """Make the table of machines."""
    rows = []
    for each in found:
        total = each.curves.get("total_memory")
        rows.append(
            [
                [visible(each.name), None],
                _rounded(each.started_at),
                _rounded(each.duration_s),
                *_use(each.peak_memory, each.mean_memory, total.peak if total else None),
                _rounded(each.peak_cpu),
                _rounded(each.mean_cpu),
                each.samples,
            ]
        )
    return {"columns": NODE_COLUMNS, "rows": rows, "href": None}


def _use(peak: float | None, mean: float | None, asked: float | None) -> list[float | None]:
    return [*map(_rounded, (peak, mean, asked)), _share(peak, asked)]


def _share(used: float | None, asked: float | None) -> float | None:
    """Give how much of what was asked for was used: 1 is all of it."""
    return None if used is None or not asked else round(used / asked, 3)


def _rounded(value: float | None) -> float | None:
    """Give a value without digits that nobody reads: they would be half of the page."""
    if value is None:
        return None
    return round(value) if 1000 <= abs(value) < _EXACT else round(value, 1)
