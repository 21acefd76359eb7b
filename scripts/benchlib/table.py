"""The one table at the end, and the same as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchlib.measure import Usage

_HEADS = (
    "",
    "work",
    "figure",
    "peak MB",
    "runs",
    "beside its peers",
    "aim",
    "torc 1.0.0, measured before, not run here",
)


class Row(NamedTuple):
    """One figure: what was measured, how often, beside what, and what was hoped for."""

    section: str
    work: str
    value: float
    unit: str  # s, ms, or another word
    runs: int
    peak_bytes: int | None = None
    peers: str = ""
    aim: str = ""
    torc: str = ""
    note: str = ""


def timed(section: str, work: str, usage: Usage, runs: int, **more: Any) -> Row:
    """Make the row of a median; a command that failed says so."""
    note = f"exit status {usage.status}!" if usage.status else ""
    return Row(section, work, usage.wall_s, "s", runs, usage.peak_bytes, **({"note": note} | more))


def ratio(value: float, peer: float) -> str:
    """Write how many times the peer's figure a figure is."""
    return f"{value / peer:.2f}x" if peer else "-"


def growth(value: float, smaller: float | None, times: int = 10) -> str:
    """Write how a figure grew where the work grew `times`-fold."""
    return f"{value / smaller:.1f}x for {times}x" if smaller else ""


def text(rows: Sequence[Row], machine: str) -> str:
    """Lay the rows out as plain columns."""
    cells = [_HEADS, *map(_cells, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(_HEADS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([machine, "", lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


def save(rows: Sequence[Row], machine: str, path: str) -> None:
    """Write the rows as one JSON object."""
    Path(path).write_text(json.dumps({"machine": machine, "rows": [row._asdict() for row in rows]}, indent=1) + "\n")


def _cells(row: Row) -> tuple[str, ...]:
    digits = {"ms": 1, "MB": 0, "jobs/s": 1}.get(row.unit, 3)
    peak = "" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}"
    beside = ", ".join(part for part in (row.peers, row.note) if part)
    return row.section, row.work, f"{row.value:.{digits}f} {row.unit}", peak, str(row.runs), beside, row.aim, row.torc
