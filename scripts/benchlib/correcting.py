"""torc-correct --dry-run: a tenth of the jobs had too little; and the requests of all of them fall."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from benchlib import prepared
from benchlib.measure import Usage, interleaved, run
from benchlib.table import Row, growth, timed

SIZES = (10_000, 100_000)
ROUNDS = {10_000: 5, 100_000: 3}
WORKS = {"torc.db": "a tenth had too little", "falls.db": "all fall"}
_EASY = "UPDATE result SET status = 5, return_code = 0, peak_memory_bytes = 1000000000; UPDATE job SET status = 5"


def measured(folder: Path, at_most: int) -> list[Row]:
    """Measure both works for each size."""
    rows: list[Row] = []
    smaller: dict[str, float] = {}
    for size in (size for size in SIZES if size <= at_most):
        base = prepared.folded(folder, size)
        _ease(base)
        taken = interleaved({store: _case(store, base) for store in WORKS}, ROUNDS[size])
        for store, usage in taken.items():
            work = f"torc-correct --dry-run: {size:,} jobs, {WORKS[store]}"
            peers = growth(usage.wall_s, smaller.get(store))
            rows.append(timed("correct", work, usage, ROUNDS[size], peers=peers))
        smaller = {store: usage.wall_s for store, usage in taken.items()}
    return rows


def _ease(base: Path) -> None:
    """Make a copy of the store all of whose jobs are done with a fraction of what they ask for."""
    shutil.copyfile(base / "torc.db", base / "falls.db")
    with sqlite3.connect(base / "falls.db") as db:
        db.executescript(_EASY)


def _case(store: str, base: Path) -> Callable[[int], Usage]:
    return lambda _round: run(["torc-correct", "--dry-run", "--store", store, "1"], base)
