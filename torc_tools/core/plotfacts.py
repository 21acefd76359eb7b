"""The figures of attempts and machines as a table, for the pages: what a person reads and what sorts."""

from collections.abc import Callable, Sequence
from typing import Any

from torc_tools import units
from torc_tools.core import tracks
from torc_tools.core.plots_node import Machine
from torc_tools.core.plotting import visible
from torc_tools.core.tracks import Track

Table = dict[str, Any]  # columns: texts; rows: lists of cells; a cell is text, or [text, number, ...]

COLUMNS = (
    "Job", "Attempt", "Started", "Duration", "of requested", "Peak memory", "Average", "Requested",
    "Used", "Peak CPU", "Average", "Requested", "Used", "Processes", "Samples", "Machine",
)  # fmt: skip
NODE_COLUMNS = (
    "Machine", "Started", "Duration", "Peak memory", "Average", "Total", "Used", "Peak CPU", "Average", "Samples",
)  # fmt: skip


def jobs(members: Sequence[Track], href: Callable[[int], str] | None = None) -> Table:
    """Make the table of attempts; `href` gives the page of a job by its id."""
    rows = []
    for each in members:
        memory, cpu, asked = each.memory, each.cpu, each.request
        name = visible(f"{each.job_id} {each.job_name}")
        rows.append(
            [
                {"text": name, "sort": each.job_id, "href": href(each.job_id) if href else None},
                _plain(each.attempt_id),
                {"at": each.started_at, "sort": each.started_at},
                _seconds(each.duration_s),
                _share(each.duration_s, asked.runtime_s),
                *_use(memory.peak, memory.mean, tracks.asked(each, "memory"), _bytes),
                *_use(cpu.peak, cpu.mean, tracks.asked(each, "cpu"), _percent),
                _plain(None if each.processes.peak is None else int(each.processes.peak)),
                _plain(each.samples),
                {"text": visible(each.hostname or "-"), "sort": each.hostname or None},
            ]
        )
    return {"columns": COLUMNS, "rows": rows}


def machines(found: Sequence[Machine]) -> Table:
    """Make the table of machines."""
    rows = []
    for each, bar in zip(found, [each.curves.get("total_memory") for each in found], strict=True):
        rows.append(
            [
                {"text": visible(each.name), "sort": each.name},
                {"at": each.started_at, "sort": each.started_at},
                _seconds(each.duration_s),
                *_use(each.peak_memory, each.mean_memory, bar.peak if bar else None, _bytes),
                _percent(each.peak_cpu),
                _percent(each.mean_cpu),
                _plain(each.samples),
            ]
        )
    return {"columns": NODE_COLUMNS, "rows": rows}


def _use(peak: float | None, mean: float | None, asked: float | None, shown: Any) -> list[Table]:
    return [shown(peak), shown(mean), shown(asked), _share(peak, asked)]


def _share(used: float | None, asked: float | None) -> Table:
    """Write how much of what was asked for was used; the page draws it as a bar, too."""
    if used is None or not asked:
        return {"text": "-", "sort": None}
    return {"text": f"{100 * used / asked:.0f} %", "sort": used / asked, "share": used / asked}


def _bytes(size: float | None) -> Table:
    return {"text": "-" if size is None else units.human_bytes(int(size)), "sort": size}


def _percent(value: float | None) -> Table:
    return {"text": "-" if value is None else f"{value:,.1f} %", "sort": value}


def _seconds(value: float) -> Table:
    return {"text": units.human_seconds(value), "sort": value}


def _plain(value: int | None) -> Table:
    return {"text": "-" if value is None else f"{value:,}", "sort": value}
