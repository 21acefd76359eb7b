"""(c) torc-create of sweeps."""

from collections.abc import Callable
from pathlib import Path

from benchlib import stores
from benchlib.measure import Usage, interleaved, run
from benchlib.table import Row, growth, timed

ROUNDS = 5


def measured(folder: Path, at_most: int) -> list[Row]:
    """Measure creating 10,000 and 100,004 jobs."""
    here = folder / "create"
    here.mkdir()
    (here / "sweep.yaml").write_text(stores.sweep(10_000))
    small = interleaved({"": _create(here, "sweep.yaml")}, ROUNDS)[""]
    aim = "0.4 s, 200 MB"
    rows = [timed("create", "torc-create: sweep of 10,000 jobs", small, ROUNDS, aim=aim, torc="0.50 s")]
    if at_most >= 100_000:
        (here / "barriers.json").write_text(stores.barriers(4, 25_000))
        large = interleaved({"": _create(here, "barriers.json")}, ROUNDS)[""]
        peers, aim = growth(large.wall_s, small.wall_s), "2.5 s, 200 MB"
        work = "torc-create: 4 x 25,000 jobs + 4 barriers"
        rows.append(timed("create", work, large, ROUNDS, peers=peers, aim=aim, torc="2.9 s, 364 MB"))
    return rows


def _create(here: Path, spec: str) -> Callable[[int], Usage]:
    def case(_round: int) -> Usage:
        (here / "torc.db").unlink(missing_ok=True)
        return run(["torc-create", spec], here)

    return case
