"""torc-report: the report of a store of which a tenth failed, everything that was measured, and the usage."""

from collections.abc import Callable
from pathlib import Path

from benchlib import prepared
from benchlib.measure import Usage, interleaved, run
from benchlib.table import Row, growth, timed

SIZES = (10_000, 100_000)
ROUNDS = {10_000: 7, 100_000: 3}
REPORT = "torc-report --include-failed -f json"
AIMS = {10_000: "0.25 s", 100_000: "1.5 s, 100 MB"}
TORC = {10_000: "0.29 s", 100_000: "2.2 s, 240 MB"}
WORKS = (REPORT, "torc-report --all -f json", "torc-report --usage")


def measured(folder: Path, at_most: int) -> list[Row]:
    """Measure each work for each size."""
    rows: list[Row] = []
    smaller: dict[str, float] = {}
    for size in (size for size in SIZES if size <= at_most):
        base = prepared.folded(folder, size)
        taken = interleaved({work: _case(work, base) for work in WORKS}, ROUNDS[size])
        for work, usage in taken.items():
            quoted = work == REPORT
            rows.append(
                timed(
                    "report",
                    f"{work}: {size:,} results, a tenth failed",
                    usage,
                    ROUNDS[size],
                    peers=growth(usage.wall_s, smaller.get(work)),
                    aim=AIMS[size] if quoted else "",
                    torc=TORC[size] if quoted else "",
                )
            )
        smaller = {work: usage.wall_s for work, usage in taken.items()}
    return rows


def _case(work: str, base: Path) -> Callable[[int], Usage]:
    return lambda _round: run([*work.split(), "1"], base)
