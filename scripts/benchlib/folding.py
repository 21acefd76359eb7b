"""(f) torc-sync taking in event lines: 100,000 and 1,000,000."""

import shutil
from collections.abc import Callable
from pathlib import Path

from benchlib import prepared, stores
from benchlib.measure import Usage, interleaved, run
from benchlib.table import Row, growth, timed

ATTEMPTS = 5  # of each job, all but the last retried; two lines an attempt
ROUNDS = 3


def measured(folder: Path, at_most: int) -> list[Row]:
    """Measure one fold of all lines, each time on a fresh copy of the store."""
    rows: list[Row] = []
    before = None
    for jobs in (jobs for jobs in (10_000, 100_000) if jobs <= at_most):
        base = prepared.unfolded(folder, jobs, ATTEMPTS)
        usage = interleaved({"": _fold(base)}, ROUNDS)[""]
        lines = stores.lines(base)
        work = f"torc-sync: {lines:,} event lines of {jobs:,} jobs"
        aim = "linear, under 30 s" if jobs == 100_000 else ""
        rows.append(timed("fold", work, usage, ROUNDS, peers=growth(usage.wall_s, before), aim=aim))
        before = usage.wall_s
    return rows


def _fold(base: Path) -> Callable[[int], Usage]:
    def case(_round: int) -> Usage:
        shutil.copyfile(base / "torc.db", base / "copy.db")
        return run(["torc-sync", "--store", "copy.db", "1"], base)

    return case
